"""Work packages as HAL documents, as seen by one caller (reference section 3)."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from . import hal, working_days
from .access import Viewer
from .catalogue import Catalogue
from .store import Db
from .work_package import WorkPackage


def elements(db: Db, viewer: Viewer, catalogue: Catalogue, items: Sequence[WorkPackage]) -> list[dict[str, Any]]:
    """Full work packages without `_embedded`, as lists hold them. Invisible ancestors and children are left out [L]."""
    listed = json.dumps([item.id for item in items])
    ancestors: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
    for row in db.rows(
        "SELECT descendant_id, id, subject, project_id FROM hierarchies JOIN work_packages ON id = ancestor_id"
        " WHERE descendant_id IN (SELECT value FROM json_each(?)) ORDER BY generations DESC",
        listed,
    ):
        if row["project_id"] in viewer.projects:
            ancestors[row["descendant_id"]].append((row["id"], row["subject"]))
    children: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
    for row in db.rows(
        "SELECT parent_id, id, subject, project_id FROM work_packages WHERE parent_id IN (SELECT value FROM json_each(?)) ORDER BY id",
        listed,
    ):
        if row["project_id"] in viewer.projects:
            children[row["parent_id"]].append((row["id"], row["subject"]))
    return [
        element(
            item,
            catalogue,
            permissions=viewer.projects.get(item.project_id, frozenset()),
            ancestors=ancestors[item.id],
            children=children[item.id],
        )
        for item in items
    ]


def single(db: Db, viewer: Viewer, catalogue: Catalogue, item: WorkPackage) -> dict[str, Any]:
    """One work package with what single answers embed."""
    [document] = elements(db, viewer, catalogue, [item])
    people = {"author": item.author_id, "assignee": item.assigned_to_id, "responsible": item.responsible_id}
    document["_embedded"] = {
        "type": hal.type_(catalogue.types[item.type_id]),
        "priority": hal.priority(catalogue.priorities[item.priority_id]),
        "project": hal.project(catalogue.projects[item.project_id]),
        "status": hal.status(catalogue.statuses[item.status_id]),
        **{
            role: hal.user(catalogue.users[id_], full=viewer.admin or id_ == viewer.id, to_admin=viewer.admin)
            for role, id_ in people.items()
            if id_ is not None
        },
    }
    return document


def element(
    item: WorkPackage,
    catalogue: Catalogue,
    *,
    permissions: frozenset[str],
    ancestors: Iterable[tuple[int, str]],
    children: Iterable[tuple[int, str]],
) -> dict[str, Any]:
    """A work package without `_embedded`, as lists hold it (section 3). Progress and estimates are always empty here."""
    milestone = bool(catalogue.types[item.type_id]["is_milestone"])
    dates = (
        {"date": item.due_date}
        if milestone
        else {
            "startDate": item.start_date,
            "dueDate": item.due_date,
            "duration": working_days.duration(item.start_date, item.due_date),
        }
    )
    fields = {
        f"customField{id_}": item.custom_values.get(id_) for id_ in catalogue.fields_of_type.get(item.type_id, ())
    }
    return {
        "_type": "WorkPackage",
        "id": item.id,
        "displayId": str(item.id),
        "lockVersion": item.lock_version,
        "subject": item.subject,
        "description": hal.formattable(item.description),
        "scheduleManually": item.schedule_manually,
        **dates,
        "estimatedTime": None,
        "derivedEstimatedTime": None,
        "derivedRemainingTime": None,
        "ignoreNonWorkingDays": item.ignore_non_working_days,
        "percentageDone": None,
        "derivedPercentageDone": None,
        "createdAt": item.created_at,
        "updatedAt": item.updated_at,
        **fields,
        "_links": _work_package_links(item, catalogue, permissions, list(ancestors), list(children)),
    }


def _work_package_links(
    item: WorkPackage,
    catalogue: Catalogue,
    permissions: frozenset[str],
    ancestors: list[tuple[int, str]],
    children: list[tuple[int, str]],
) -> dict[str, Any]:
    href = f"{hal.API}/work_packages/{item.id}"
    links: dict[str, Any] = {
        "self": hal.link("work_packages", item.id, item.subject),
        "schema": {"href": f"{hal.API}/work_packages/schemas/{item.project_id}-{item.type_id}"},
        "activities": {"href": f"{href}/activities"},
        "relations": {"href": f"{href}/relations"},
        "type": hal.optional_link("types", item.type_id, catalogue.types),
        "priority": hal.optional_link("priorities", item.priority_id, catalogue.priorities),
        "project": hal.optional_link("projects", item.project_id, catalogue.projects),
        "status": hal.optional_link("statuses", item.status_id, catalogue.statuses),
        "author": hal.optional_link("users", item.author_id, catalogue.users),
        "responsible": hal.optional_link("users", item.responsible_id, catalogue.users),
        "assignee": hal.optional_link("users", item.assigned_to_id, catalogue.users),
        "version": hal.optional_link("versions", item.version_id, catalogue.versions),
        "category": {"href": None},
        "parent": hal.work_package_link(*ancestors[-1])
        if ancestors and ancestors[-1][0] == item.parent_id
        else {"href": None},
        "ancestors": [hal.work_package_link(*ancestor) for ancestor in ancestors],
        "customActions": [],
    }
    if children:
        links["children"] = [hal.work_package_link(*child) for child in children]
    if "edit_work_packages" in permissions:
        links["update"] = {"href": f"{href}/form", "method": "post"}
        links["updateImmediately"] = {"href": href, "method": "patch"}
    if "delete_work_packages" in permissions:
        links["delete"] = {"href": href, "method": "delete"}
    if "manage_work_package_relations" in permissions:
        links["addRelation"] = {"href": f"{href}/relations", "method": "post", "title": "Add relation"}
    if "manage_subtasks" in permissions and not catalogue.types[item.type_id]["is_milestone"]:
        identifier = catalogue.projects[item.project_id]["identifier"]
        links["addChild"] = {"href": f"{hal.API}/workspaces/{identifier}/work_packages", "method": "post"}
    if "add_work_package_comments" in permissions:
        links["addComment"] = {"href": f"{href}/activities", "method": "post", "title": "Add comment"}
    return links
