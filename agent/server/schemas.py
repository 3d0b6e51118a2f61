"""Schemas: which properties a work package of a project and type has (reference section 9)."""

from collections.abc import Sequence
from typing import Any

from . import catalogue, hal, params
from .bounded import Whole
from .call import Answer, Call, is_id
from .catalogue import Catalogue
from .errors import ApiError, invalid_query, not_found

# Name, type, label, required, has a default, writable, group in the form.
_PROPERTIES = (
    ("lockVersion", "Integer", "Lock version", True, False, False, None),
    ("id", "Integer", "ID", True, False, False, None),
    ("subject", "String", "Subject", True, False, True, None),
    ("description", "Formattable", "Description", False, False, True, None),
    ("duration", "Duration", "Duration", False, False, True, None),
    ("scheduleManually", "Boolean", "Manual scheduling", False, True, True, None),
    ("ignoreNonWorkingDays", "Boolean", "Ignore non working days", False, False, True, None),
    ("startDate", "Date", "Start date", False, False, True, None),
    ("dueDate", "Date", "Finish date", False, False, True, None),
    ("derivedStartDate", "Date", "Derived start date", False, False, False, None),
    ("derivedDueDate", "Date", "Derived finish date", False, False, False, None),
    ("date", "Date", "Date", False, False, True, "Details"),
    ("estimatedTime", "Duration", "Work", False, False, True, "Estimates and progress"),
    ("derivedEstimatedTime", "Duration", "Total work", False, False, False, None),
    ("remainingTime", "Duration", "Remaining work", False, False, True, "Estimates and progress"),
    ("derivedRemainingTime", "Duration", "Total remaining work", False, False, False, None),
    ("percentageDone", "Integer", "% Complete", False, False, True, "Estimates and progress"),
    ("derivedPercentageDone", "Integer", "Total % complete", False, False, False, None),
    ("createdAt", "DateTime", "Created on", True, False, False, None),
    ("updatedAt", "DateTime", "Updated on", True, False, False, None),
    ("author", "User", "Author", True, False, False, None),
    ("project", "Project", "Project", True, False, True, None),
    ("parent", "WorkPackage", "Parent", False, False, True, None),
    ("assignee", "User", "Assignee", False, False, True, "People"),
    ("responsible", "User", "Accountable", False, False, True, "People"),
    ("type", "Type", "Type", True, False, True, None),
    ("status", "Status", "Status", True, True, True, None),
    ("category", "Category", "Category", False, False, True, "Details"),
    ("version", "Version", "Version", False, False, True, "Details"),
    ("priority", "Priority", "Priority", True, True, True, "Details"),
)
_LINKED = ("project", "parent", "assignee", "responsible", "type", "status", "category", "version", "priority")
_GROUPS = (
    ("People", ("assignee", "responsible")),
    ("Estimates and progress", ("estimatedTime", "remainingTime", "percentageDone", "spentTime")),
    ("Details", ("priority", "version", "category", "projectPhase", "date")),
)
_OF_MILESTONES_ABSENT = ("startDate", "dueDate", "derivedStartDate", "derivedDueDate", "duration")
_PAIR = Whole("a project and a type", r"\d{1,18}-\d{1,18}", sees="a filter of a request")


def show(call: Call) -> Answer:
    """GET the schema of a project and a type."""
    known = catalogue.load(call.db, call.viewer)
    found = _schema(call, known, call.path["schema"])
    if found is None:
        raise not_found()
    return Answer(document=found)


def index(call: Call) -> Answer:
    """GET several; the filter on `id` is required, ids that are not visible are left out [L]."""
    try:
        [wanted] = params.filters(call.query) or []
        ids = [value for value in wanted.values if wanted.name == "id" and _PAIR.match(value)]
    except (ValueError, ApiError):
        ids = []
    if not ids:
        raise invalid_query("schema_filters")
    known = catalogue.load(call.db, call.viewer)
    found = [schema for schema in (_schema(call, known, id_) for id_ in ids) if schema]
    return Answer(document=hal.collection(found, f"{call.url}?{hal.encoded(call.query)}"))


def collection(known: Catalogue, pairs: Sequence[str]) -> dict[str, Any]:
    """The schemas of some pairs of project and type, as lists of work packages embed them."""
    found = [document(known, *map(int, pair.split("-"))) for pair in pairs]
    return hal.collection(found, collection_href(pairs))


def collection_href(pairs: Sequence[str]) -> str:
    """Where they are."""
    listed = ",".join(f'"{pair}"' for pair in pairs)
    query = hal.encoded({"filters": f'[{{"id":{{"operator":"=","values":[{listed}]}}}}]'})
    return f"{hal.API}/work_packages/schemas?{query}"


def _schema(call: Call, known: Catalogue, id_: str) -> dict[str, Any] | None:
    project, _, type_id = id_.partition("-")
    if (
        not (is_id(project) and is_id(type_id))
        or int(project) not in call.viewer.projects
        or int(type_id) not in known.types
    ):
        return None
    return document(known, int(project), int(type_id))


def document(known: Catalogue, project_id: int, type_id: int) -> dict[str, Any]:
    """The schema of a project and a type."""
    absent = _OF_MILESTONES_ABSENT if known.types[type_id]["is_milestone"] else ("date",)
    properties: dict[str, Any] = {}
    for name, kind, label, required, has_default, writable, group in _PROPERTIES:
        if name in absent:
            continue
        entry = {"type": kind, "name": label, "required": required, "hasDefault": has_default, "writable": writable}
        if group:
            entry["attributeGroup"] = group
        if name in _LINKED:
            entry |= {"location": "_links", "_links": {}}
        else:
            entry |= {"options": {}, **({"location": "_links"} if name == "author" else {})}
        properties[name] = entry
    properties["subject"] |= {"minLength": 1, "maxLength": 255}
    fields = known.fields_of_type.get(type_id, ())
    for id_ in fields:
        properties[f"customField{id_}"] = {
            "type": "String", "name": known.fields[id_], "required": False, "hasDefault": False, "writable": True,
            "attributeGroup": "Other", "options": {"rtl": None},
        }  # fmt: skip
    groups = [*_GROUPS, ("Other", tuple(f"customField{id_}" for id_ in fields)), ("Costs", ())]
    return {
        "_type": "Schema",
        "_dependencies": [],
        "_attributeGroups": [
            {"_type": "WorkPackageFormAttributeGroup", "name": name, "attributes": list(attributes)}
            for name, attributes in groups
        ],
        **properties,
        "_links": {
            "self": {"href": f"{hal.API}/work_packages/schemas/{project_id}-{type_id}"},
            "attachments": {"href": None},
        },
    }
