"""Versions and categories of projects (reference section 10)."""

from datetime import date
from typing import Any

from . import attributes, catalogue, hal, params
from .bounded import DAY
from .call import Answer, Call
from .catalogue import Catalogue
from .errors import ApiError, forbidden, invalid_query, not_found, raise_all, read_only, violation
from .store import Row

_STATUSES = ("open", "locked", "closed")
_LONGEST_NAME = 60


def index(call: Call) -> Answer:
    """GET those of all visible projects, paging ignored."""
    known = catalogue.load(call.db, call.viewer)
    found = [row for row in known.versions.values() if row["project_id"] in call.viewer.projects]
    for filter_ in params.filters(call.query) or []:
        if filter_.name != "sharing" or filter_.operator not in ("=", "!"):
            raise invalid_query("filter_unknown", name=f"Filters {filter_.name.capitalize()}")
        if ("none" in filter_.values) != (filter_.operator == "="):
            found = []
    return Answer(document=hal.collection([_document(row, known) for row in found], call.url))


def of_project(call: Call) -> Answer:
    """GET the versions of a project, paging ignored."""
    known, project_id = catalogue.load(call.db, call.viewer), call.project_id()
    found = [_document(row, known) for row in known.versions.values() if row["project_id"] == project_id]
    return Answer(document=hal.collection(found, f"{hal.API}/workspaces/{project_id}/versions"))


def show(call: Call) -> Answer:
    """GET one."""
    return _answer(call, _find(call)["id"])


def projects(call: Call) -> Answer:
    """GET where one can be used: in its own project only."""
    row = _find(call)
    project = catalogue.load(call.db, call.viewer).projects[row["project_id"]]
    return Answer(document=hal.collection([hal.project(project)], call.url))


def create(call: Call) -> Answer:
    """POST: 201."""
    body = call.body if isinstance(call.body, dict) else {}
    links = body.get("_links") if isinstance(body.get("_links"), dict) else {}
    known = catalogue.load(call.db, call.viewer)
    target = links.get("definingProject") if isinstance(links, dict) else None
    project_id = (
        attributes.link_id("definingProject", target.get("href"), ("projects", "workspaces"), known)
        if isinstance(target, dict)
        else None
    )
    if not any("manage_versions" in held for held in call.viewer.projects.values()):
        raise forbidden()
    if project_id is None or project_id not in call.viewer.projects:
        raise violation("project", "blank", name="Project")
    call.viewer.need("manage_versions", project_id)
    values = _values(call, body, project_id, None)
    id_ = call.db.run(
        "INSERT INTO versions (project_id, name, description, start_date, end_date, status, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        project_id, *values, call.stamp,
    )  # fmt: skip
    return Answer(status=201, document=_answer(call, id_).document)


def update(call: Call) -> Answer:
    """PATCH one."""
    row = _find(call)
    call.viewer.need("manage_versions", row["project_id"])
    body = call.body if isinstance(call.body, dict) else {}
    if isinstance(body.get("_links"), dict) and "definingProject" in body["_links"]:
        raise read_only("project", "Project")
    values = _values(call, body, row["project_id"], row)
    call.db.run(
        "UPDATE versions SET name = ?, description = ?, start_date = ?, end_date = ?, status = ? WHERE id = ?",
        *values,
        row["id"],
    )
    return _answer(call, row["id"])


def delete(call: Call) -> Answer:
    """DELETE: 204; one that work packages use cannot go."""
    row = _find(call)
    call.viewer.need("manage_versions", row["project_id"])
    if call.db.value("SELECT 1 FROM work_packages WHERE version_id = ?", row["id"]):
        raise violation("base", "version_used")
    call.db.run("DELETE FROM versions WHERE id = ?", row["id"])
    return Answer(status=204)


def categories(call: Call) -> Answer:
    """GET the categories of a project."""
    known, project_id = catalogue.load(call.db, call.viewer), call.project_id()
    found = [_category(row, known) for row in known.categories.values() if row["project_id"] == project_id]
    identifier = known.projects[project_id]["identifier"]
    return Answer(document=hal.collection(found, f"{hal.API}/workspaces/{identifier}/categories"))


def category(call: Call) -> Answer:
    """GET one."""
    known = catalogue.load(call.db, call.viewer)
    row = known.categories.get(call.id("id"))
    if row is None or row["project_id"] not in call.viewer.projects:
        raise not_found()
    return Answer(document=_category(row, known))


def _category(row: Row, known: Catalogue) -> dict[str, Any]:
    project = known.projects[row["project_id"]]
    return {
        "_type": "Category",
        "id": row["id"],
        "name": row["name"],
        "_links": {
            "self": hal.link("categories", row["id"], row["name"]),
            "project": hal.link("projects", project["id"], project["name"]),
        },
    }


def _values(call: Call, body: dict[str, Any], project_id: int, row: Row | None) -> tuple[str | None, ...]:
    before = (
        dict(row) if row else {"name": "", "description": "", "start_date": None, "end_date": None, "status": "open"}
    )
    name = attributes.as_text(body.get("name", before["name"])) or ""
    description = body.get("description", before["description"])
    raw = attributes.as_text(description.get("raw") if isinstance(description, dict) else description) or ""
    start = _day("startDate", body.get("startDate", before["start_date"]))
    end = _day("endDate", body.get("endDate", before["end_date"]))
    status = body.get("status", before["status"])
    attributes.storable(name, raw)
    errors: list[ApiError] = []
    if not name.strip():
        errors.append(violation("name", "blank", name="Name"))
    elif len(name) > _LONGEST_NAME:
        errors.append(violation("name", "too_long", name="Name"))
    elif name != before["name"] and call.db.value(
        "SELECT 1 FROM versions WHERE project_id = ? AND name = ?", project_id, name
    ):
        errors.append(violation("name", "name_taken", name="Name"))
    if status not in _STATUSES:
        errors.append(violation("status", "not_listed", name="Status"))
    if start and end and end < start:
        errors.append(violation("endDate", "due_before_start"))
    raise_all(errors)
    return name, raw, start, end, str(status)


def _day(attribute: str, value: Any) -> str | None:
    if value is None:
        return None
    try:
        if isinstance(value, str) and DAY.match(value):
            return date.fromisoformat(value).isoformat()
    except ValueError:
        pass
    raise ApiError(
        422,
        "PropertyFormatError",
        "date_format",
        {"attribute": attribute, "value": str(value)},
        {"attribute": attribute},
    )


def _find(call: Call) -> Row:
    row = catalogue.load(call.db, call.viewer).versions.get(call.id("id"))
    if row is None or row["project_id"] not in call.viewer.projects:
        raise not_found()
    return row


def _answer(call: Call, id_: int) -> Answer:
    known = catalogue.load(call.db, call.viewer)
    return Answer(document=_document(known.versions[id_], known))


def _document(row: Row, known: Catalogue) -> dict[str, Any]:
    return hal.version(row, known.projects[row["project_id"]])
