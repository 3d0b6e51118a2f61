"""One work package as the panel shows it: its text, its surroundings, what may be done with it, and its audit trail.

Of other projects only what the viewer may see. However long a trail is, what one look holds and renders is bounded: older
entries are counted, and shown when they are asked for.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from itertools import takewhile
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
    setting = scene.setting(db, projects=viewer.projects)
    found = snapshot.one(db, viewer, setting, id_)
    item = work_package.load_one(db, id_)
    if found is None or item is None:
        raise not_found("work_package_not_found")
    card, reasons = found
    known = catalogue.load(db, viewer)
    trail, earlier = _timeline(db, viewer, known, item, before)
    author = known.people.get(item.author_id)
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
    above = db.rows(
        "SELECT id, subject, type_id, status_id, project_id FROM hierarchies JOIN work_packages ON id = ancestor_id"
        " WHERE descendant_id = ? ORDER BY generations",
        id_,
    )
    # What is above a hidden one is above this one for those alone who see that.
    ancestors = list(takewhile(lambda row: row["project_id"] in viewer.projects, above))[::-1]
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
    """The youngest journals that tell the viewer something, and how many older ones there are of those.

    A journal that tells only of what is hidden is none in any count, nor one that there could be others before.
    """
    youngest: deque[Journal] = deque(maxlen=ENTRIES)
    count = 0
    for row, details in journals.shown(db, viewer, known, item):
        if row["id"] == before:
            break
        youngest.append(_journal(known, row, [one["raw"] for one in details]))
        count += 1
    return list(youngest), count - len(youngest)


def _journal(known: Catalogue, row: Row, changes: Sequence[str]) -> Journal:
    user = known.people.get(row["user_id"])
    first = row["version"] == 1
    return Journal(
        id=row["id"],
        at=row["created_at"],
        user=row["user_id"],
        name=user["name"] if user else "",
        notes=row["notes"],
        changes=() if first else tuple(changes),
        first=first,
    )
