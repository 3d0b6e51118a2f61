"""The links of a work package: what may be done with it, and what it belongs to (reference section 3)."""

from collections.abc import Sequence
from typing import Any

import msgspec

from . import hal
from .access import Viewer
from .catalogue import Catalogue
from .work_package import WorkPackage


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """What surrounds a work package, as one caller sees it: pairs of id and subject, root first; whether the caller watches it."""

    ancestors: Sequence[tuple[int, str]] = ()
    children: Sequence[tuple[int, str]] = ()
    watched: bool = False
    derived_start: str | None = None
    derived_due: str | None = None
    work_below: int | None = None
    remaining_below: int | None = None


def of(item: WorkPackage, catalogue: Catalogue, viewer: Viewer, family: Family) -> dict[str, Any]:
    """All of them; those to actions only for who may act."""
    href = f"{hal.API}/work_packages/{item.id}"
    ancestors = [hal.work_package_link(*ancestor) for ancestor in family.ancestors]
    has_parent = bool(family.ancestors) and family.ancestors[-1][0] == item.parent_id
    links: dict[str, Any] = {
        "self": hal.link("work_packages", item.id, item.subject),
        "schema": {"href": f"{hal.API}/work_packages/schemas/{item.project_id}-{item.type_id}"},
        "availableRelationCandidates": {
            "href": f"{href}/available_relation_candidates",
            "title": "Potential work packages to relate to",
        },
        "activities": {"href": f"{href}/activities"},
        "attachments": {"href": f"{href}/attachments"},
        "relations": {"href": f"{href}/relations"},
        "previewMarkup": {"href": f"{hal.API}/render/markdown?context={href}", "method": "post"},
        "category": hal.optional_link("categories", item.category_id, catalogue.categories),
        "type": hal.optional_link("types", item.type_id, catalogue.types),
        "priority": hal.optional_link("priorities", item.priority_id, catalogue.priorities),
        "project": hal.optional_link("projects", item.project_id, catalogue.projects),
        "projectPhaseDefinition": {"href": None},
        "status": hal.optional_link("statuses", item.status_id, catalogue.statuses),
        "author": hal.optional_link("users", item.author_id, catalogue.people),
        "responsible": hal.optional_link("users", item.responsible_id, catalogue.people),
        "assignee": hal.optional_link("users", item.assigned_to_id, catalogue.people),
        "version": hal.optional_link("versions", item.version_id, catalogue.versions),
        "parent": ancestors[-1] if has_parent else {"href": None},
        "ancestors": ancestors,
        "customActions": [],
        **_watching(href, viewer, watched=family.watched),
        **_actions(item, href, catalogue, viewer),
    }
    if family.children:
        links["children"] = [hal.work_package_link(*child) for child in family.children]
    return links


def _watching(href: str, viewer: Viewer, *, watched: bool) -> dict[str, Any]:
    if watched:
        return {"unwatch": {"href": f"{href}/watchers/{viewer.id}", "method": "delete"}}
    payload = {"user": {"href": f"{hal.API}/users/{viewer.id}"}}
    return {"watch": {"href": f"{href}/watchers", "method": "post", "payload": payload}}


def _actions(item: WorkPackage, href: str, catalogue: Catalogue, viewer: Viewer) -> dict[str, Any]:
    permissions = viewer.projects.get(item.project_id, frozenset())
    milestone = bool(catalogue.types[item.type_id]["is_milestone"])
    identifier = catalogue.projects[item.project_id]["identifier"]
    user = f"{hal.API}/users/{{user_id}}"
    offered: dict[str, tuple[str, dict[str, Any]]] = {
        "update": ("edit_work_packages", {"href": f"{href}/form", "method": "post"}),
        "updateImmediately": ("edit_work_packages", {"href": href, "method": "patch"}),
        "delete": ("delete_work_packages", {"href": href, "method": "delete"}),
        "availableWatchers": ("add_work_package_watchers", {"href": f"{href}/available_watchers"}),
        "watchers": ("view_work_package_watchers", {"href": f"{href}/watchers"}),
        "addWatcher": (
            "add_work_package_watchers",
            {"href": f"{href}/watchers", "method": "post", "payload": {"user": {"href": user}}, "templated": True},
        ),
        "removeWatcher": (
            "delete_work_package_watchers",
            {"href": f"{href}/watchers/{{user_id}}", "method": "delete", "templated": True},
        ),
        "addRelation": (
            "manage_work_package_relations",
            {"href": f"{href}/relations", "method": "post", "title": "Add relation"},
        ),
        "addChild": (
            "add_work_packages",
            {
                "href": f"{hal.API}/workspaces/{identifier}/work_packages",
                "method": "post",
                "title": f"Add child of {item.subject}",
            },
        ),
        "changeParent": (
            "manage_subtasks",
            {"href": href, "method": "patch", "title": f"Change parent of {item.subject}"},
        ),
        "addComment": (
            "add_work_package_comments",
            {"href": f"{href}/activities", "method": "post", "title": "Add comment"},
        ),
    }
    links = {
        name: link
        for name, (permission, link) in offered.items()
        if permission in permissions and not (milestone and name == "addChild")
    }
    if permissions & {"edit_work_packages", "add_work_package_attachments"}:
        links["addAttachment"] = {"href": f"{href}/attachments", "method": "post"}
    return links
