"""What the cards' ids stand for, and what the viewer may do: the part of the board that rarely changes."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from agent.page.snapshot import View
from agent.server import catalogue
from agent.server.access import Viewer, possible_assignees, visible_users
from agent.server.store import Db


def catalog(db: Db, view: View) -> dict[str, Any]:
    """Everything by id, in its order, as far as the viewer may know it."""
    tables = catalogue.load(db)
    viewer, words = view.viewer, view.known.words
    people = visible_users(db, viewer)
    return {
        "statuses": [
            {
                "id": id_,
                "name": row["name"],
                "color": row["color"],
                "closed": bool(row["is_closed"]),
                "role": words.role(id_),
            }
            for id_, row in tables.statuses.items()
        ],
        "types": [
            {"id": id_, "name": row["name"], "color": row["color"], "kind": words.kind(id_)}
            for id_, row in tables.types.items()
        ],
        "priorities": [
            {"id": id_, "name": row["name"], "color": row["color"]} for id_, row in tables.priorities.items()
        ],
        "projects": [
            {
                "id": id_,
                "identifier": row["identifier"],
                "name": row["name"],
                "may": {
                    "create": viewer.may("add_work_packages", id_),
                    "edit": viewer.may("edit_work_packages", id_),
                    "comment": viewer.may("add_work_package_comments", id_),
                    "status": viewer.may("edit_work_packages", id_),
                },
            }
            for id_, row in tables.projects.items()
            if id_ in viewer.projects
        ],
        "users": [
            {"id": id_, "name": row["name"], "fleet": id_ in view.fleet}
            for id_, row in sorted(tables.users.items(), key=lambda one: one[1]["name"])
            if id_ in people
        ],
        "assignees": {str(id_): sorted(possible_assignees(db, id_)) for id_ in viewer.projects},
        "workflow": workflow(db, viewer),
        "fields": {"pod": f"customField{words.pod_field}", "run": f"customField{words.run_field}"},
    }


def workflow(db: Db, viewer: Viewer) -> dict[str, dict[str, list[int]]]:
    """By type and status, where the viewer's roles may lead from there."""
    found: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in db.rows(
        "SELECT DISTINCT type_id, old_status_id, new_status_id FROM workflows JOIN statuses ON statuses.id = new_status_id"
        " WHERE ?1 OR role_id IN (SELECT role_id FROM members WHERE user_id = ?2) ORDER BY position",
        viewer.admin,
        viewer.id,
    ):
        found[str(row["type_id"])][str(row["old_status_id"])].append(row["new_status_id"])
    return {type_: dict(moves) for type_, moves in found.items()}
