"""Lists of work packages: filtered, sorted, grouped, paged, selected (reference sections 1.6 to 1.8, 2)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from . import catalogue, documents, durations, hal, params, schemas, work_package
from .call import Answer, Call
from .catalogue import Catalogue
from .errors import ApiError, internal, invalid_query, raise_all
from .filter_dates import Condition
from .filters import FilterContext, conditions
from .params import Filter, Page
from .selection import Selection, row_columns
from .store import Row, Value
from .visibility import visible
from .work_package import WorkPackage

_DIRECT = ("id", "due_date", "start_date", "created_at", "updated_at")
_SORTS = {
    **{name: name for name in _DIRECT},
    "subject": "subject COLLATE NOCASE",
    "status": "(SELECT position FROM statuses WHERE id = status_id)",
    "type": "(SELECT position FROM types WHERE id = type_id)",
    "priority": "(SELECT position FROM priorities WHERE id = priority_id)",
    "project": "(SELECT name FROM projects WHERE id = project_id)",
    "version": "(SELECT name FROM versions WHERE id = version_id)",
    "assignee": "(SELECT name FROM users WHERE id = assigned_to_id)",
    "responsible": "(SELECT name FROM users WHERE id = responsible_id)",
    "author": "(SELECT name FROM users WHERE id = author_id)",
    "category": "(SELECT name FROM categories WHERE id = category_id)",
    "estimated_hours": "estimated_minutes",
    "remaining_hours": "remaining_minutes",
    "done_ratio": "done_ratio",
    "duration": "working_days(start_date, due_date)",
}
_GROUPS = {
    "status": ("status_id", "Status", "statuses"),
    "type": ("type_id", "Type", "types"),
    "priority": ("priority_id", "Priority", "priorities"),
    "project": ("project_id", "Project", "projects"),
    "version": ("version_id", "Version", "versions"),
    "assignee": ("assigned_to_id", "Assignee", "users"),
    "responsible": ("responsible_id", "Accountable", "users"),
    "author": ("author_id", "Author", "users"),
    "category": ("category_id", "Category", "categories"),
    "done_ratio": ("done_ratio", "% Complete", None),
}
_SUMS = "sum(estimated_minutes) AS work, sum(remaining_minutes) AS remaining"
MOST_TEXT = 3 << 20
"""Characters of all descriptions on a page of more than one, as HTML."""
_READ_AT_ONCE = 20
_BY_ID = {False: "id ASC", True: "id DESC"}
_MANY = 10
"""Pages of what is found."""
# Without a sort criterion of their own the most urgent group comes first [L].
_GROUPS_DESCENDING = ("priority",)


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """What a list is grouped by: the SQL of its value and of its place, and the kind of resource it is, None for a text."""

    name: str
    title: str
    value: str
    place: str
    kind: str | None
    descending: bool
    field: int | None = None

    @property
    def order(self) -> str:
        """The place, told by the value instead of the column."""
        return "value" if self.kind is None else self.place.replace(self.value, "value")


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A list query, checked: the WHERE clause with its values, the order, the page."""

    where: str
    values: tuple[Value, ...]
    order: str
    group: Group | None
    page: Page


def index(call: Call) -> Answer:
    """GET /work_packages and /projects/{project}/work_packages."""
    parameters = params.query(call)
    known = catalogue.load(call.db, call.viewer)
    selection = Selection.parse(parameters["select"]) if "select" in parameters else None
    if selection and selection.element is not None and parameters.get("pageSize") == "-1":
        raise internal("")  # OpenProject cannot select the elements of "the largest page" [L]
    listing = _listing(call, known, parameters)
    total = call.db.value(f"SELECT count(*) FROM work_packages WHERE {listing.where}", *listing.values)  # noqa: S608 - no value inside
    path = call.url
    links = hal.page_links(path, _shown(parameters), listing.page.offset, listing.page.size, total)
    ids = _page_ids(call, listing, total)
    if selection:
        rows = _rows(call, ids, row_columns(selection))
        return Answer(document=selection.document(rows, known, total, listing.page, links))
    elements = documents.elements(call.db, call.viewer, known, _in_full(call, ids))
    document: dict[str, Any] = {
        "_type": "WorkPackageCollection",
        "total": total,
        "count": len(elements),
        "pageSize": listing.page.size,
        "offset": listing.page.offset,
    }
    if listing.group:
        document["groups"] = _groups(
            call, known, listing, listing.group, total, sums=parameters.get("showSums") == "true"
        )
    if parameters.get("showSums") == "true":
        row = call.db.row(f"SELECT {_SUMS} FROM work_packages WHERE {listing.where}", *listing.values)  # noqa: S608 - no value inside
        document["totalSums"] = _sums(row)
    document["_embedded"] = {"elements": elements}
    pairs = sorted({element["_links"]["schema"]["href"].rpartition("/")[2] for element in elements})
    if pairs:
        document["_embedded"]["schemas"] = schemas.collection(known, pairs)
    document["_links"] = {**links, **_actions(call, pairs)}
    return Answer(document=document)


def _in_full(call: Call, ids: Sequence[int]) -> list[WorkPackage]:
    """The work packages of a page; one answer holds no more of people's texts than everybody can wait for."""
    found: list[WorkPackage] = []
    characters = 0
    for start in range(0, len(ids), _READ_AT_ONCE):
        some = work_package.load(call.db, ids[start : start + _READ_AT_ONCE]).values()
        characters += sum(_html_length(one.description) for one in some)
        if characters > MOST_TEXT and len(found) + len(some) > 1:
            raise ApiError(413, "InvalidRequestBody", "page_too_large", {"most": str(MOST_TEXT)})
        found += some
    return found


def _html_length(text: str) -> int:
    """About how long it is as HTML, in which some characters are six."""
    return len(text) + 5 * sum(map(text.count, "\"&<>'"))


def candidates(call: Call) -> Answer:
    """GET what a work package could be related to, filtered by what somebody types."""
    item = visible(call, call.id("id"))
    kind = call.query.get("type", "relates")
    wanted = params.filters(call.query) or []
    found = [{one.name: {"operator": one.operator, "values": list(one.values)}} for one in wanted]
    found.append({"relatable": {"operator": kind, "values": [str(item.id)]}})
    if "query" in call.query:
        found.append({"typeahead": {"operator": "**", "values": [call.query["query"]]}})
    query = {"pageSize": "10", **call.query, "filters": json.dumps(found)}
    return index(msgspec.structs.replace(call, query=query, path={}))


def _actions(call: Call, pairs: Sequence[str]) -> dict[str, Any]:
    """What may be done from a list."""
    href = f"{hal.API}/work_packages"
    may = {permission for held in call.viewer.projects.values() for permission in held}
    links: dict[str, Any] = {}
    if "edit_work_packages" in may:
        links["editWorkPackage"] = {"href": f"{href}/{{work_package_id}}/form", "method": "post", "templated": True}
    if "add_work_packages" in may:
        links["createWorkPackage"] = {"href": f"{href}/form", "method": "post"}
        links["createWorkPackageImmediate"] = {"href": href, "method": "post"}
    if pairs:
        links["schemas"] = {"href": schemas.collection_href(pairs)}
    return links


def _listing(call: Call, known: Catalogue, parameters: Mapping[str, str]) -> Listing:
    found = params.filters(parameters)
    # No `filters` at all means "open"; an empty list means everything (section 2.1).
    filters = [Filter(name="status", operator="o", values=())] if found is None else found
    # The plus keeps this from choosing the index: it is the least selective condition of all.
    scope: list[Condition] = [
        ("+project_id IN (SELECT value FROM json_each(?))", [json.dumps(list(call.viewer.projects))])
    ]
    if known.whole:
        scope = [("1", [])]
    if "project" in call.path:
        project_id = call.project_id()
        # A filter on the project takes the place of the path's [L].
        if not any(filter_.name == "project" for filter_ in filters):
            scope.append(("project_id = ?", [project_id]))
    wanted, errors = conditions(FilterContext(db=call.db, viewer=call.viewer, catalogue=known, now=call.now), filters)
    criteria = params.sort_criteria(parameters)
    errors += [invalid_query("sort_unknown", name=name) for name, _ in criteria if _sort(name, known) is None]
    group = None
    if parameters.get("groupBy"):
        name = params.internal_name(parameters["groupBy"])
        group = _group(name, criteria, known)
        errors += [] if group else [invalid_query("group_unknown", name=name)]
    raise_all(errors)
    scope += wanted
    return Listing(
        where=" AND ".join(f"({sql})" for sql, _ in scope),
        values=tuple(value for _, values in scope for value in values),
        order=_order(criteria, group, known),
        group=group,
        page=params.page(call, parameters),
    )


def _page_ids(call: Call, listing: Listing, total: int) -> list[int]:
    """Which work packages are on the page: found by what indexes hold, without a look at the rest of them.

    Of very many by id, the first are met soon on a walk along the table, which is in that order.
    """
    page = listing.page
    if not page.size:
        return []
    walks = listing.order in _BY_ID.values() and total > _MANY * (page.first + page.size)
    table = "work_packages NOT INDEXED" if walks else "work_packages"
    sql = f"SELECT id FROM {table} WHERE {listing.where} ORDER BY {listing.order} LIMIT ? OFFSET ?"  # noqa: S608 - no value inside
    return call.db.column(sql, *listing.values, page.size, page.first)


def _rows(call: Call, ids: Sequence[int], columns: str) -> list[Row]:
    sql = f"SELECT {columns} FROM work_packages WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608 - no value inside
    found = {row["id"]: row for row in call.db.rows(sql, json.dumps(ids))}
    return [found[id_] for id_ in ids]


def _field(name: str, known: Catalogue) -> int | None:
    return next((id_ for id_ in known.fields if name == f"cf_{id_}"), None)


def _sort(name: str, known: Catalogue) -> str | None:
    field = _field(name, known)
    if field is None:
        return _SORTS.get(name)
    # An empty field sorts as the empty text [L].
    return f"coalesce((SELECT value FROM custom_values WHERE work_package_id = work_packages.id AND custom_field_id = {field}), '')"  # noqa: S608 - a known id


def _order(criteria: Sequence[tuple[str, bool]], group: Group | None, known: Catalogue) -> str:
    """Nulls come last when ascending, first when descending; equals by id, newest first, unless the id is among the criteria [L].

    What is said again of one name orders nothing more, nor what comes behind the id: no two are alike, and none is without.
    """
    first: dict[str, bool] = {}
    for name, down in criteria or [("id", False)]:
        first.setdefault(name, down)
    names = [*first, "id"]
    before = names[: names.index("id")]
    terms = [_directed(_sort(name, known) or "", descending=first[name]) for name in before]
    if group:
        terms.insert(0, _directed(group.place, descending=group.descending))
    return ", ".join([*terms, _BY_ID[first.get("id", True)]])


def _directed(expression: str, *, descending: bool) -> str:
    return f"{expression} {'DESC NULLS FIRST' if descending else 'ASC NULLS LAST'}"


def _group(name: str, criteria: Sequence[tuple[str, bool]], known: Catalogue) -> Group | None:
    descending = dict(criteria).get(name, name in _GROUPS_DESCENDING)
    field = _field(name, known)
    if field is not None:
        value = f"nullif({_sort(name, known)}, '')"
        return Group(
            name=f"customField{field}",
            title=known.fields[field],
            value=value,
            place=value,
            kind=None,
            descending=descending,
            field=field,
        )
    if name not in _GROUPS:
        return None
    column, title, kind = _GROUPS[name]
    return Group(name=name, title=title, value=column, place=_SORTS[name], kind=kind, descending=descending)


def _sums(row: Row | None) -> dict[str, Any]:
    work, remaining = (row["work"], row["remaining"]) if row else (None, None)
    ratio = round((work - remaining) / work * 100) if work and remaining is not None else None
    return {
        "estimatedTime": durations.iso(work),
        "remainingTime": durations.iso(remaining),
        "percentageDone": ratio,
    }


def _groups(
    call: Call, known: Catalogue, listing: Listing, group: Group, total: int, *, sums: bool
) -> list[dict[str, Any]]:
    """Each value with its count, the empty one too, at the top level of the document (section 1.8)."""
    numbers = f"count(*) AS number, {_SUMS if sums else 'NULL AS work, NULL AS remaining'}"
    if group.field is None:
        grouped = f"SELECT {group.value} AS value, {numbers} FROM work_packages WHERE {listing.where} GROUP BY 1"  # noqa: S608 - no value inside
        values = listing.values
    else:
        # Those with a value, by its index; the rest are those without one.
        own = f"FROM custom_values WHERE custom_field_id = {group.field} AND value <> ''"
        some = (
            f"SELECT own.value AS value, {numbers} FROM (SELECT work_package_id, value {own}) AS own"  # noqa: S608 - no value inside
            f" JOIN work_packages ON id = own.work_package_id WHERE {listing.where} GROUP BY 1"
        )
        if sums:
            grouped = (
                f"{some} UNION ALL SELECT NULL, {numbers} FROM work_packages WHERE ({listing.where})"  # noqa: S608 - no value inside
                f" AND id NOT IN (SELECT work_package_id {own}) HAVING count(*) > 0"
            )
            values = listing.values * 2
        else:  # how many those are is known without a look at them
            rest = "? - (SELECT total(number) FROM some)"
            grouped = (
                f"WITH some AS MATERIALIZED ({some}) SELECT * FROM some"  # noqa: S608 - no value inside
                f" UNION ALL SELECT NULL, CAST({rest} AS INTEGER), NULL, NULL WHERE {rest} > 0"
            )
            values = (*listing.values, total, total)
    place = _directed(group.order, descending=group.descending)
    rows = call.db.rows(f"SELECT * FROM ({grouped}) ORDER BY {place}", *values)  # noqa: S608 - no value inside
    return [
        {**_group_document(group, known, row["value"], row["number"]), **({"sums": _sums(row)} if sums else {})}
        for row in rows
    ]


def _group_document(group: Group, known: Catalogue, value: Any, count: int) -> dict[str, Any]:
    linked = group.kind is not None and value is not None
    rows = known.people if group.kind == "users" else getattr(known, group.kind or "", {})
    return {
        "value": rows[value]["name"] if linked else value,
        "count": count,
        "_links": {
            "valueLink": [{"href": f"{hal.API}/{group.kind}/{value}" if linked else None}],
            "groupBy": {"href": f"{hal.API}/queries/group_bys/{group.name}", "title": group.title},
        },
    }


def _shown(parameters: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in parameters.items() if name not in ("offset", "pageSize")}
