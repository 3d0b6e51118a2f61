"""Forms: what a creation or an update would make, what each property may be set to, what is wrong (reference sections 5, 6, 9)."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from . import attributes, catalogue, durations, hal, rules, schemas, work_packages, working_days
from .call import Answer, Call
from .catalogue import Catalogue
from .errors import ApiError
from .store import Row
from .visibility import is_visible, visible
from .work_package import WorkPackage


def update(call: Call) -> Answer:
    """POST the form of a work package: what an update would make of it; 409 without its lockVersion [L]."""
    before = visible(call, call.id("id"))
    known = catalogue.load(call.db, call.viewer)
    after, errors = work_packages.changed(call, known, before)
    attributes.storable_in(after, before)
    href = f"{hal.API}/work_packages/{before.id}"
    present = before if before.type_id == after.type_id else msgspec.structs.replace(before, type_id=after.type_id)
    document = _form(call, known, before=present, after=after, errors=errors, href=href)
    document["_embedded"]["payload"]["lockVersion"] = before.lock_version
    if not errors:
        document["_links"]["commit"] = {"href": href, "method": "patch"}
    return Answer(document=document)


def creation(call: Call) -> Answer:
    """POST the form of a project, or of none yet: what a creation would make."""
    known = catalogue.load(call.db, call.viewer)
    item, errors = work_packages.draft(call, known)
    attributes.storable_in(item)
    href = f"{hal.API}/work_packages"
    document = _form(call, known, before=item, after=item, errors=errors, href=href)
    if "project" in call.path:
        document["_links"]["self"]["href"] = document["_links"]["validate"]["href"] = call.url
    if not errors:
        document["_links"]["commit"] = {"href": href, "method": "post"}
    return Answer(document=document)


def _form(
    call: Call, known: Catalogue, *, before: WorkPackage, after: WorkPackage, errors: list[ApiError], href: str
) -> dict[str, Any]:
    schema = schemas.document(known, after.project_id, after.type_id)
    schema["lockVersion"]["writable"] = True
    base = schema["_links"].pop("self")
    schema["_links"]["baseSchema"] = base

    def of_project(rows: Iterable[Row]) -> list[Row]:
        return [row for row in rows if row["project_id"] == after.project_id]

    allowed = {
        "status": [hal.status(known.statuses[id_]) for id_ in rules.allowed_statuses(call.db, call.viewer, before)],
        "type": [hal.type_(row) for row in known.types.values()],
        "priority": [hal.priority(row) for row in known.priorities.values()],
        "version": [
            hal.version(row, known.projects[row["project_id"]])
            for row in of_project(known.versions.values())
            if row["status"] == "open"
        ],
        "category": [
            {"_type": "Category", "id": row["id"], "name": row["name"], "_links": {"self": hal.link("categories", row["id"], row["name"])}}
            for row in of_project(known.categories.values())
        ],
    }  # fmt: skip
    for name, values in allowed.items():
        schema[name]["_embedded"] = {"allowedValues": values}
        schema[name]["_links"] = {"allowedValues": [value["_links"]["self"] for value in values]}
    people = f"{hal.API}/workspaces/{after.project_id}" if not after.id else href
    candidates = "" if not after.id else f"{href}/available_relation_candidates?type=parent"
    lists = {
        "assignee": f"{people}/available_assignees",
        "responsible": f"{people}/available_assignees",
        "project": f"{href}/available_projects",
        **({"parent": candidates} if candidates else {}),
    }
    for name, list_href in lists.items():
        schema[name]["_links"] = {"allowedValues": {"href": list_href}}
    form = {"href": f"{href}/form", "method": "post"}
    return {
        "_type": "Form",
        "_embedded": {
            "payload": _payload(call, known, before, after),
            "schema": schema,
            "validationErrors": {error.attribute: error.document(call.viewer.language) for error in errors},
        },
        "_links": {
            "self": form,
            "validate": dict(form),
            "previewMarkup": {"href": f"{hal.API}/render/markdown?context={href}", "method": "post"},
        },
    }


def _payload(call: Call, known: Catalogue, before: WorkPackage, item: WorkPackage) -> dict[str, Any]:
    milestone = bool(known.types[item.type_id]["is_milestone"])
    dates = (
        {"date": item.due_date}
        if milestone
        else {
            "startDate": item.start_date,
            "dueDate": item.due_date,
            "duration": working_days.duration(item.start_date, item.due_date),
        }
    )
    remaining = {} if item.remaining_minutes is None else {"remainingTime": durations.iso(item.remaining_minutes)}
    # Whoever stands on it is seen there; anybody else's number could be sent to hear a name.
    there = {before.assigned_to_id, before.responsible_id} if before.id else set()
    users = {id_: row for id_, row in known.people.items() if id_ in known.users or id_ in there}
    rows: Mapping[str, tuple[str, int | None, Mapping[int, Any]]] = {
        "category": ("categories", item.category_id, known.categories),
        "type": ("types", item.type_id, known.types),
        "priority": ("priorities", item.priority_id, known.priorities),
        "project": ("projects", item.project_id, known.projects),
        "status": ("statuses", item.status_id, known.statuses),
        "responsible": ("users", item.responsible_id, users),
        "assignee": ("users", item.assigned_to_id, users),
        "version": ("versions", item.version_id, known.versions),
    }
    links = {
        name: {"href": None}
        if id_ is None
        else {"href": f"{hal.API}/{kind}/{id_}", "title": values[id_]["name"] if id_ in values else None}
        for name, (kind, id_, values) in rows.items()
    }
    parent = is_visible(call, item.parent_id)
    links["parent"] = {"href": f"{hal.API}/work_packages/{item.parent_id}" if parent else None}
    links["projectPhase"] = links["projectPhaseDefinition"] = {"href": None}
    return {
        "subject": item.subject,
        "description": hal.formattable(item.description),
        "scheduleManually": item.schedule_manually,
        **dates,
        "estimatedTime": durations.iso(item.estimated_minutes),
        **remaining,
        "ignoreNonWorkingDays": item.ignore_non_working_days,
        "percentageDone": item.done_ratio,
        "_meta": {},
        **{f"customField{id_}": item.custom_values.get(id_) for id_ in known.fields_of_type.get(item.type_id, ())},
        "_links": links,
    }
