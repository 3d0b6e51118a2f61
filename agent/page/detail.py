"""One work package as the panel shows it: its text, its surroundings, what may be done with it, and its audit trail.

Of other projects only what the viewer may see. However long a trail is, what one look reads and renders is bounded: older
entries are counted, and shown when they are asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from agent.page import markdown, scene, snapshot, timeline
from agent.page.timeline import Journal
from agent.server import catalogue, journals, rules, work_package
from agent.server.access import Viewer
from agent.server.catalogue import Catalogue
from agent.server.errors import not_found
from agent.server.store import Db, Row
from agent.server.work_package import WorkPackage

ENTRIES: Final = 500
"""So many journals are shown at once."""
STATES: Final = 8 << 20
"""And no more once what they hold is so many characters: each has the description of its time."""
_CHUNK: Final = 50

_KINDS: Final = {
    "blocks": ("blocks", "blocked by"),
    "follows": ("follows", "precedes"),
    "requires": ("requires", "required by"),
    "duplicates": ("duplicates", "duplicated by"),
    "includes": ("includes", "part of"),
    "relates": ("relates to", "relates to"),
}


def detail(db: Db, viewer: Viewer, id_: int, *, before: int | None = None) -> dict[str, Any]:
    """All that the panel shows.

    Args:
        db: the board's file.
        viewer: who looks.
        id_: of the work package.
        before: a journal: the timeline is of those that are older.

    Raises:
        ApiError: 404, it is missing or not visible.
    """
    setting = scene.setting(db)
    found = snapshot.one(db, viewer, setting, id_)
    item = work_package.load_one(db, id_)
    if found is None or item is None:
        raise not_found("work_package_not_found")
    card, reasons = found
    known = catalogue.load(db)
    trail, earlier = _timeline(db, viewer, known, item, before)
    author = known.users.get(item.author_id)
    version = known.versions.get(item.version_id or 0)
    return {
        "card": msgspec.to_builtins(card),
        "description": {"raw": item.description, "html": markdown.render(item.description)},
        "author": author["name"] if author else "",
        "created": item.created_at,
        "version": version["name"] if version else None,
        **_around(db, viewer, id_),
        "reasons": msgspec.to_builtins(reasons),
        "actions": _actions(db, viewer, item),
        "timeline": timeline.entries(trail, setting.facts.fleet),
        "earlier": earlier,
    }


def _around(db: Db, viewer: Viewer, id_: int) -> dict[str, Any]:
    """Ancestors, children and relations in visible projects."""
    visible = json.dumps(list(viewer.projects))
    ancestors = db.rows(
        "SELECT id, subject, type_id, status_id FROM hierarchies JOIN work_packages ON id = ancestor_id"
        " WHERE descendant_id = ?1 AND project_id IN (SELECT value FROM json_each(?2)) ORDER BY generations DESC",
        id_,
        visible,
    )
    children = db.rows(
        "SELECT id, subject, type_id, status_id FROM work_packages"
        " WHERE parent_id = ?1 AND project_id IN (SELECT value FROM json_each(?2)) ORDER BY id",
        id_,
        visible,
    )
    related = db.rows(
        "SELECT relations.id AS relation_id, relation_type, from_id, other.id, subject, type_id, status_id FROM relations"
        " JOIN work_packages AS other ON other.id = CASE from_id WHEN ?1 THEN to_id ELSE from_id END"
        " WHERE (from_id = ?1 OR to_id = ?1) AND project_id IN (SELECT value FROM json_each(?2)) ORDER BY relations.id",
        id_,
        visible,
    )
    return {
        "ancestors": [_other(row) for row in ancestors],
        "children": [_other(row) for row in children],
        "relations": [
            {
                "id": row["relation_id"],
                "kind": _KINDS[row["relation_type"]][row["from_id"] != id_],
                "other": _other(row),
            }
            for row in related
        ],
    }


def _other(row: Row) -> dict[str, Any]:
    return {"id": row["id"], "subject": row["subject"], "type": row["type_id"], "status": row["status_id"]}


def _actions(db: Db, viewer: Viewer, item: WorkPackage) -> dict[str, Any]:
    edit = viewer.may("edit_work_packages", item.project_id)
    return {
        "edit": edit,
        "comment": viewer.may("add_work_package_comments", item.project_id),
        "statuses": rules.allowed_statuses(db, viewer, item) if edit else [],
    }


def _timeline(
    db: Db, viewer: Viewer, known: Catalogue, item: WorkPackage, before: int | None
) -> tuple[list[Journal], int]:
    """The youngest journals that tell something, and how many older ones there are."""
    rows = list(_youngest(db, item.id, before))[::-1]
    states = _states(db, viewer, known, rows)
    # The first may serve only to tell what the second one changed.
    start = 1 if rows and rows[0]["version"] > 1 else 0
    found = []
    for at in range(start, len(rows)):
        journal = _journal(db, known, rows[at], states[at - 1] if at else {}, states[at])
        same = at > 0 and rows[at]["data"] == rows[at - 1]["data"]
        if journal.first or journal.notes or journal.changes or same:  # else it changed only what is hidden
            found.append(journal)
    return found, rows[0]["version"] if start else 0


def _youngest(db: Db, id_: int, before: int | None) -> Iterator[Row]:
    """Youngest first, at least two if there are so many."""
    read = count = 0
    last = db.value("SELECT version FROM journals WHERE id = ? AND work_package_id = ?", before, id_) or 1 << 62
    while count <= ENTRIES and (read < STATES or count < 2):  # noqa: PLR2004 - see above
        rows = db.rows(
            "SELECT * FROM journals WHERE work_package_id = ? AND version < ? ORDER BY version DESC LIMIT ?",
            id_,
            last,
            _CHUNK,
        )
        yield from rows
        if len(rows) < _CHUNK:
            return
        last, count, read = rows[-1]["version"], count + len(rows), read + sum(len(row["data"]) for row in rows)


def _journal(db: Db, known: Catalogue, row: Row, before: Mapping[str, Any], after: Mapping[str, Any]) -> Journal:
    user = known.users.get(row["user_id"])
    first = row["version"] == 1
    return Journal(
        id=row["id"],
        at=row["created_at"],
        user=row["user_id"],
        name=user["name"] if user else "",
        notes=row["notes"],
        changes=() if first else tuple(journals.changes(db, known, before, after)),
        first=first,
    )


def _states(db: Db, viewer: Viewer, known: Catalogue, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What the journals hold, without the names of what the viewer may not see."""
    states = [json.loads(row["data"]) for row in rows]
    parents = json.dumps(sorted({state["parent_id"] for state in states if state["parent_id"]}))
    visible = set(
        db.column(
            "SELECT id FROM work_packages WHERE id IN (SELECT value FROM json_each(?))"
            " AND project_id IN (SELECT value FROM json_each(?))",
            parents,
            json.dumps(list(viewer.projects)),
        )
    )
    for state in states:
        if state["parent_id"] not in visible:
            state["parent_id"] = None
        for name, table in (("version_id", known.versions), ("category_id", known.categories)):
            if (row := table.get(state.get(name))) and row["project_id"] not in viewer.projects:
                state[name] = None
        if state["project_id"] not in viewer.projects:
            state["project_id"] = None
    return states
