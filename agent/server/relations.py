"""Relations between work packages (reference section 8): one per pair, in canonical direction, never in a circle."""

import json
from typing import Any

from . import attributes, catalogue, documents, hal, params, work_package
from .access import Viewer
from .bounded import INTEGER
from .call import Answer, Call, is_id
from .errors import ApiError, forbidden, invalid_query, not_found, raise_all, read_only, violation
from .params import Filter
from .scheduling import Scheduler
from .store import Db, Row, Value
from .visibility import above, below, visible, visible_below
from .work_package import WorkPackage

_TURNED = {reverse: kind for kind, reverse in hal.REVERSE.items() if kind != reverse}
_LONGEST_LAG = 2000
_KINDS = (*hal.REVERSE, *_TURNED)
_FROM = (
    " FROM relations JOIN work_packages AS source ON source.id = from_id JOIN work_packages AS target ON target.id = to_id"
    " WHERE source.project_id IN (SELECT value FROM json_each(?1)) AND target.project_id IN (SELECT value FROM json_each(?1))"
)
_COLUMNS = (
    "relations.*, source.subject AS from_subject, source.project_id AS from_project_id, target.subject AS to_subject"
)


def index(call: Call) -> Answer:
    """GET /relations: newest first; one with an invisible end is left out [L]."""
    parameters = params.query(call)
    page = params.page(call, parameters)
    clauses = [_clause(filter_) for filter_ in params.filters(parameters) or []]
    sql = _FROM + "".join(f" AND {clause}" for clause, _ in clauses)
    values: list[Value] = [_visible_projects(call.viewer), *(value for _, value in clauses)]
    ascending = ("id", False) in params.sort_criteria(parameters)
    total = call.db.value(f"SELECT count(*) {sql}", *values)
    rows = call.db.rows(
        f"SELECT {_COLUMNS} {sql} ORDER BY relations.id {'ASC' if ascending else 'DESC'} LIMIT ? OFFSET ?",
        *values,
        page.size,
        page.first,
    )
    shown = {name: value for name, value in parameters.items() if name not in ("offset", "pageSize")}
    document = {
        "_type": "Collection",
        "total": total,
        "count": len(rows),
        "pageSize": page.size,
        "offset": page.offset,
        "_embedded": {"elements": [hal.relation(row, call.viewer.language) for row in rows]},
        "_links": hal.page_links(call.url, shown, page.offset, page.size, total),
    }
    return Answer(document=document)


def of(db: Db, viewer: Viewer, id_: int) -> list[dict[str, Any]]:
    """All that a caller sees of one work package's relations."""
    rows = db.rows(
        f"SELECT {_COLUMNS} {_FROM} AND (from_id = ?2 OR to_id = ?2) ORDER BY relations.id",
        _visible_projects(viewer),
        id_,
    )
    return [hal.relation(row, viewer.language) for row in rows]


def moved(call: Call) -> Answer:
    """GET /work_packages/{id}/relations leads to the list, as a permanent redirect in plain text [L]."""
    filters = json.dumps([{"involved": {"operator": "=", "values": [call.path["id"]]}}], separators=(",", ":"))
    location = f"{hal.API}/relations?{hal.encoded({'filters': filters})}"
    message = f"The requested resource is deprecated and permanently moved to {location}"
    return Answer(status=308, plain=message, headers={"location": location, "content-type": "text/plain"})


def show(call: Call) -> Answer:
    """GET one."""
    return Answer(document=_single(call, _visible_relation(call)))


def create(call: Call) -> Answer:
    """POST /work_packages/{id}/relations: 201."""
    item = visible(call, call.id("id"))
    body = call.body if isinstance(call.body, dict) else {}
    kind = body.get("type")
    links = body.get("_links")
    target = links.get("to") if isinstance(links, dict) else None
    target_id = attributes.link_id("to", target.get("href"), ("work_packages",)) if isinstance(target, dict) else None
    other = work_package.load_one(call.db, target_id) if target_id else None
    if other is not None and other.project_id not in call.viewer.projects:
        other = None
    raise_all(_errors(call, item, other, target_id=target_id, kind=kind, lag=body.get("lag")))
    if other is None or not isinstance(kind, str):
        raise not_found()
    kind, source, other = (_TURNED[kind], other, item) if kind in _TURNED else (kind, item, other)
    id_ = call.db.run(
        "INSERT INTO relations (from_id, to_id, relation_type, lag, description) VALUES (?, ?, ?, ?, ?)",
        source.id, other.id, kind, body.get("lag") if kind == "follows" else None, attributes.as_text(body.get("description")),
    )  # fmt: skip
    if kind == "follows":
        Scheduler(call.db, call.viewer, call.now).predecessor_came(source.id)
    return Answer(status=201, document=_single(call, _find(call, id_)))


def update(call: Call) -> Answer:
    """PATCH its type, lag and description; the ends stay."""
    row = _visible_relation(call)
    body = call.body if isinstance(call.body, dict) else {}
    if not call.viewer.may("manage_work_package_relations", row["from_project_id"]):
        raise forbidden()
    if isinstance(body.get("_links"), dict) and body["_links"].keys() & {"from", "to"}:
        raise_all([read_only(end, end.capitalize()) for end in ("from", "to") if end in body["_links"]])
    kind, lag = body.get("type", row["relation_type"]), body.get("lag", row["lag"])
    raise_all(_kind_errors(kind, lag))
    source, target = (row["to_id"], row["from_id"]) if kind in _TURNED else (row["from_id"], row["to_id"])
    kind = _TURNED.get(kind, kind)
    description = attributes.as_text(body.get("description", row["description"]))
    attributes.storable(description or "")
    call.db.run("DELETE FROM relations WHERE id = ?", row["id"])
    if (kind, source) != (row["relation_type"], row["from_id"]) and _circular(call, kind, source, target):
        raise violation("base", "relation_circular")
    call.db.run(
        "INSERT INTO relations (id, from_id, to_id, relation_type, lag, description) VALUES (?, ?, ?, ?, ?, ?)",
        row["id"], source, target, kind, lag if kind == "follows" else None, description,
    )  # fmt: skip
    _rescheduled(call, row, kind, source)
    return Answer(document=_single(call, _find(call, row["id"])))


def _rescheduled(call: Call, row: Row, kind: str, source: int) -> None:
    scheduler = Scheduler(call.db, call.viewer, call.now)
    followed, follows = row["relation_type"] == "follows", kind == "follows"
    if followed and not (follows and source == row["from_id"]):
        scheduler.predecessor_went(row["from_id"])
    if follows:
        scheduler.predecessor_came(source)


def delete(call: Call) -> Answer:
    """DELETE: 204; without edit permission 422, not 403 [L]."""
    row = _visible_relation(call)
    if not call.viewer.may("manage_work_package_relations", row["from_project_id"]):
        raise violation("base", "relation_undeletable")
    call.db.run("DELETE FROM relations WHERE id = ?", row["id"])
    if row["relation_type"] == "follows":
        Scheduler(call.db, call.viewer, call.now).predecessor_went(row["from_id"])
    return Answer(status=204)


def _errors(
    call: Call, item: WorkPackage, other: WorkPackage | None, *, target_id: int | None, kind: Any, lag: Any
) -> list[ApiError]:
    errors = []
    for attribute, end in (("from", item), ("to", other)):
        if end is None:
            errors.append(violation("to", "relation_target_missing"))
        elif not call.viewer.may("manage_work_package_relations", end.project_id):
            errors.append(violation(attribute, "relation_uneditable"))
    errors += _kind_errors(kind, lag)
    if target_id is not None and other is None:
        errors.append(violation("base", "relation_circular"))  # so says OpenProject of what is not there [L]
    if not errors and other is not None:
        turned = kind in _TURNED
        source, target = (other.id, item.id) if turned else (item.id, other.id)
        if call.db.value("SELECT 1 FROM relations WHERE from_id = ? AND to_id = ?", source, target):
            errors.append(violation("to", "relation_taken"))
        if _circular(call, _TURNED.get(kind, kind), source, target):
            errors.append(violation("base", "relation_circular"))
    return errors


def _kind_errors(kind: Any, lag: Any) -> list[ApiError]:
    errors = []
    if kind not in _KINDS:
        errors.append(violation("type", "not_listed", name="Relation type"))
    if lag is not None and (isinstance(lag, bool) or not isinstance(lag, int) or abs(lag) > _LONGEST_LAG):
        errors.append(violation("lag", "not_a_number", name="Lag"))
    return errors


def _circular(call: Call, kind: str, source: int, target: int) -> bool:
    """Whether the target leads to the source already: itself, by any relation, up or down the hierarchy, or by a chain of this kind [L].

    A chain over what the caller does not see is none to him: a refusal would tell of it.
    """
    db = call.db
    if source == target or db.value(
        "SELECT 1 FROM relations WHERE (from_id = ?1 AND to_id = ?2) OR (from_id = ?2 AND to_id = ?1)", source, target
    ):
        return True
    if kind == "relates":
        # It may go round and skip a generation; only parent and child cannot have it [L].
        return source in work_package.children(db, target) or target in work_package.children(db, source)
    if source in (*above(db, call.viewer, target), *below(db, call.viewer, target)):
        return True
    seen, _ = visible_below(call.viewer)
    line = f"SELECT ancestor_id, descendant_id FROM hierarchies AS line WHERE TRUE {seen.replace('?', '?3')}"  # noqa: S608 - no value inside
    reached = db.column(
        f"WITH RECURSIVE down (one, other) AS ({line}), family (one, other) AS (SELECT id, id FROM work_packages"  # noqa: S608 - likewise
        " UNION ALL SELECT one, other FROM down UNION ALL SELECT other, one FROM down), reached (id) AS (SELECT other FROM family"
        " JOIN work_packages ON work_packages.id = other WHERE one = ?1 AND project_id IN (SELECT value FROM json_each(?3)) UNION"
        " SELECT other FROM reached JOIN relations ON from_id = reached.id AND relation_type = ?2 JOIN family ON one = to_id JOIN work_packages ON work_packages.id = other"
        " JOIN work_packages AS passed ON passed.id = to_id WHERE work_packages.project_id IN (SELECT value FROM json_each(?3))"
        " AND passed.project_id IN (SELECT value FROM json_each(?3))) SELECT id FROM reached",
        target,
        kind,
        _visible_projects(call.viewer),
    )
    return source in reached


def _clause(filter_: Filter) -> tuple[str, str]:
    shown = filter_.name.capitalize()
    if filter_.name not in ("id", "from", "to", "involved", "type"):
        raise invalid_query("filter_unknown", name=f"Filters {shown}")
    if filter_.operator not in ("=", "!"):
        raise invalid_query("filter_operator", name=f"Filters {shown}")
    if not any(value.strip() for value in filter_.values):
        raise invalid_query("blank", name=f"Filters {shown}")
    negated = "NOT " if filter_.operator == "!" else ""
    listed = "(SELECT value FROM json_each(?))"
    if filter_.name == "type":
        if any(value not in _KINDS for value in filter_.values):
            raise invalid_query("filter_values", name=f"Filters {shown}")
        return f"relation_type {negated}IN {listed}", json.dumps(
            [_TURNED.get(value, value) for value in filter_.values]
        )
    if any(not INTEGER.match(value) for value in filter_.values):
        raise invalid_query("filter_integer", name=f"Filters {shown}")
    ids = json.dumps([int(value) for value in filter_.values if is_id(value)])
    if filter_.name == "involved":
        ends = (
            "SELECT one.id FROM asked JOIN relations AS one ON one.from_id = asked.id"
            " UNION SELECT one.id FROM asked JOIN relations AS one ON one.to_id = asked.id"
        )
        return f"relations.id {negated}IN (WITH asked (id) AS {listed} {ends})", ids
    column = {"id": "relations.id", "from": "from_id", "to": "to_id"}[filter_.name]
    return f"{column} {negated}IN {listed}", ids


def _visible_projects(viewer: Viewer) -> str:
    return json.dumps(list(viewer.projects))


def _visible_relation(call: Call) -> Row:
    return _find(call, call.id("id"))


def _find(call: Call, id_: int) -> Row:
    row = call.db.row(f"SELECT {_COLUMNS} {_FROM} AND relations.id = ?2", _visible_projects(call.viewer), id_)
    if row is None:
        raise not_found()
    return row


def _single(call: Call, row: Row) -> dict[str, Any]:
    ends = list(work_package.load(call.db, [row["from_id"], row["to_id"]]).values())
    source, target = documents.elements(call.db, call.viewer, catalogue.load(call.db, call.viewer), ends)
    return {**hal.relation(row, call.viewer.language), "_embedded": {"from": source, "to": target}}
