"""One work package with what single answers embed (reference section 3)."""

from typing import Any

from . import attachments, documents, hal, relations
from .access import Viewer
from .catalogue import Catalogue
from .store import Db
from .work_package import WorkPackage


def document(db: Db, viewer: Viewer, catalogue: Catalogue, item: WorkPackage) -> dict[str, Any]:
    """The work package, whole."""
    [found] = documents.elements(db, viewer, catalogue, [item])
    href = f"{hal.API}/work_packages/{item.id}"
    people = {"author": item.author_id, "assignee": item.assigned_to_id, "responsible": item.responsible_id}
    found["_embedded"] = {
        "attachments": attachments.collection(db, viewer, catalogue, item),
        "relations": hal.collection(relations.of(db, viewer, item.id), f"{href}/relations"),
        "type": hal.type_(catalogue.types[item.type_id]),
        "priority": hal.priority(catalogue.priorities[item.priority_id]),
        "project": hal.project(catalogue.projects[item.project_id]),
        "status": hal.status(catalogue.statuses[item.status_id]),
        **{
            role: hal.user(catalogue.people[id_], full=viewer.admin or id_ == viewer.id, to_admin=viewer.admin)
            for role, id_ in people.items()
            if id_ is not None
        },
        "customActions": [],
    }
    if item.version_id is not None:
        row = catalogue.versions[item.version_id]
        found["_embedded"]["version"] = hal.version(row, catalogue.projects[row["project_id"]])
    return found
