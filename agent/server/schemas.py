"""Schemas and forms: which properties a work package of a project and type has, and what they may be set to (reference sections 5, 6, 9)."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from . import attributes, catalogue, hal, params, rules, work_packages
from .call import Answer, Call, is_id
from .catalogue import Catalogue
from .errors import ApiError, invalid_query, not_found
from .work_package import WorkPackage

# Name, type, label, required, has a default, writable.
_PROPERTIES = (
    ("lockVersion", "Integer", "Lock version", True, False, False),
    ("id", "Integer", "ID", True, False, False),
    ("subject", "String", "Subject", True, False, True),
    ("description", "Formattable", "Description", False, False, True),
    ("scheduleManually", "Boolean", "Manual scheduling", False, True, True),
    ("ignoreNonWorkingDays", "Boolean", "Ignore non working days", False, False, True),
    ("startDate", "Date", "Start date", False, False, True),
    ("dueDate", "Date", "Finish date", False, False, True),
    ("date", "Date", "Date", False, False, True),
    ("createdAt", "DateTime", "Created on", True, False, False),
    ("updatedAt", "DateTime", "Updated on", True, False, False),
    ("author", "User", "Author", True, False, False),
    ("project", "Project", "Project", True, False, True),
    ("parent", "WorkPackage", "Parent", False, False, True),
    ("assignee", "User", "Assignee", False, False, True),
    ("responsible", "User", "Accountable", False, False, True),
    ("type", "Type", "Type", True, False, True),
    ("status", "Status", "Status", True, True, True),
    ("version", "Version", "Version", False, False, True),
    ("priority", "Priority", "Priority", True, True, True),
)
_LINKED = ("author", "project", "parent", "assignee", "responsible", "type", "status", "version", "priority")


def show(call: Call) -> Answer:
    """GET the schema of a project and a type."""
    known = catalogue.load(call.db)
    found = _schema(call, known, call.path["schema"])
    if found is None:
        raise not_found()
    return Answer(document=found)


def index(call: Call) -> Answer:
    """GET several; the filter on `id` is required, ids that are not visible are left out [L]."""
    try:
        [wanted] = params.filters(call.query) or []
        ids = [value for value in wanted.values if wanted.name == "id" and re.fullmatch(r"\d+-\d+", value, re.ASCII)]
    except (ValueError, ApiError):
        ids = []
    if not ids:
        raise invalid_query("schema_filters")
    known = catalogue.load(call.db)
    found = [schema for schema in (_schema(call, known, id_) for id_ in ids) if schema]
    return Answer(document=hal.collection(found, f"{call.url}?{hal.encoded(call.query)}"))


def form(call: Call) -> Answer:
    """POST the form of a work package: what an update would make of it; 409 without its lockVersion [L]."""
    before = work_packages.visible(call, call.id("id"))
    known = catalogue.load(call.db)
    after, errors = work_packages.changed(call, known, before)
    attributes.storable(*after.texts())
    href = f"{hal.API}/work_packages/{before.id}"
    present = before if before.type_id == after.type_id else msgspec.structs.replace(before, type_id=after.type_id)
    document = _form(call, known, before=present, after=after, errors=errors, href=f"{href}/form")
    document["_embedded"]["payload"]["lockVersion"] = before.lock_version
    if not errors:
        document["_links"]["commit"] = {"href": href, "method": "patch"}
    return Answer(document=document)


def creation_form(call: Call) -> Answer:
    """POST the form of a project: what a creation would make."""
    known = catalogue.load(call.db)
    item, errors = work_packages.draft(call, known)
    attributes.storable(*item.texts())
    href = f"{hal.API}/work_packages"
    document = _form(call, known, before=item, after=item, errors=errors, href=f"{href}/form")
    if not errors:
        document["_links"]["commit"] = {"href": href, "method": "post"}
    return Answer(document=document)


def _form(
    call: Call, known: Catalogue, *, before: WorkPackage, after: WorkPackage, errors: list[ApiError], href: str
) -> dict[str, Any]:
    schema = _document(known, after.project_id, after.type_id)
    allowed = {
        "status": (
            "statuses",
            [hal.status(known.statuses[id_]) for id_ in rules.allowed_statuses(call.db, call.viewer, before)],
        ),
        "type": ("types", [hal.type_(row) for row in known.types.values()]),
        "priority": ("priorities", [hal.priority(row) for row in known.priorities.values()]),
        "version": (
            "versions",
            [
                hal.version(row, known.projects[row["project_id"]])
                for row in known.versions.values()
                if row["project_id"] == after.project_id
            ],
        ),
    }
    for name, (_, values) in allowed.items():
        schema[name]["_embedded"] = {"allowedValues": values}
        schema[name]["_links"] = {"allowedValues": [value["_links"]["self"] for value in values]}
    for name in ("assignee", "responsible"):
        schema[name]["_links"] = {
            "allowedValues": {"href": f"{hal.API}/workspaces/{after.project_id}/available_assignees"}
        }
    return {
        "_type": "Form",
        "_embedded": {
            "payload": _payload(known, after),
            "schema": schema,
            "validationErrors": {error.attribute: error.document(call.viewer.language) for error in errors},
        },
        "_links": {"self": {"href": href, "method": "post"}, "validate": {"href": href, "method": "post"}},
    }


def _payload(known: Catalogue, item: WorkPackage) -> dict[str, Any]:
    dates = (
        {"date": item.due_date}
        if known.types[item.type_id]["is_milestone"]
        else {"startDate": item.start_date, "dueDate": item.due_date}
    )
    rows: Mapping[str, tuple[str, int | None, Mapping[int, Any]]] = {
        "type": ("types", item.type_id, known.types),
        "priority": ("priorities", item.priority_id, known.priorities),
        "project": ("projects", item.project_id, known.projects),
        "status": ("statuses", item.status_id, known.statuses),
        "responsible": ("users", item.responsible_id, known.users),
        "assignee": ("users", item.assigned_to_id, known.users),
        "version": ("versions", item.version_id, known.versions),
    }
    links = {
        name: {"href": None}
        if id_ is None
        else {"href": f"{hal.API}/{kind}/{id_}", "title": values[id_]["name"] if id_ in values else None}
        for name, (kind, id_, values) in rows.items()
    }
    links["parent"] = {"href": None if item.parent_id is None else f"{hal.API}/work_packages/{item.parent_id}"}
    return {
        "subject": item.subject,
        "description": hal.formattable(item.description),
        "scheduleManually": item.schedule_manually,
        **dates,
        "ignoreNonWorkingDays": item.ignore_non_working_days,
        **{f"customField{id_}": item.custom_values.get(id_) for id_ in known.fields_of_type.get(item.type_id, ())},
        "_links": links,
    }


def _schema(call: Call, known: Catalogue, id_: str) -> dict[str, Any] | None:
    project, _, type_id = id_.partition("-")
    if (
        not (is_id(project) and is_id(type_id))
        or int(project) not in call.viewer.projects
        or int(type_id) not in known.types
    ):
        return None
    return _document(known, int(project), int(type_id))


def _document(known: Catalogue, project_id: int, type_id: int) -> dict[str, Any]:
    absent = ("startDate", "dueDate") if known.types[type_id]["is_milestone"] else ("date",)
    properties: dict[str, Any] = {}
    for name, kind, label, required, has_default, writable in _PROPERTIES:
        if name not in absent:
            entry = {"type": kind, "name": label, "required": required, "hasDefault": has_default, "writable": writable}
            properties[name] = (
                {**entry, "location": "_links", "_links": {}} if name in _LINKED else {**entry, "options": {}}
            )
    properties["subject"] |= {"minLength": 1, "maxLength": 255}
    for id_ in known.fields_of_type.get(type_id, ()):
        properties[f"customField{id_}"] = {
            "type": "String", "name": known.fields[id_], "required": False, "hasDefault": False, "writable": True, "options": {"rtl": None},
        }  # fmt: skip
    return {
        "_type": "Schema",
        "_dependencies": [],
        **properties,
        "_links": {"self": {"href": f"{hal.API}/work_packages/schemas/{project_id}-{type_id}"}},
    }
