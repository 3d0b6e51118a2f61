"""Projects, under their newer name workspaces too (reference section 10): all are active, none is public, favoured or below another."""

import json
from collections.abc import Callable

from . import catalogue, hal, params
from .call import Answer, Call, is_id
from .errors import forbidden, invalid_query
from .lookups import paged
from .params import Filter
from .store import Row
from .visibility import visible

_SORTS = {
    "id": "id",
    "name": "name",
    "identifier": "identifier",
    "created_at": "created_at",
    "updated_at": "created_at",
}
_FLAGS = {"active": True, "visible": True, "public": False, "favored": False, "templated": False}
_EQUAL, _TEXT = ("=", "!"), ("~", "!~", "=", "!", "**")


def index(call: Call) -> Answer:
    """GET the visible ones, paged, by name unless sorted otherwise."""
    found = [row for id_, row in catalogue.load(call.db, call.viewer).projects.items() if id_ in call.viewer.projects]
    for filter_ in params.filters(call.query) or []:
        matches = _matching(call, filter_)
        negated = filter_.operator.startswith("!")
        found = [row for row in found if matches(row) != negated]
    for name, descending in reversed(params.sort_criteria(call.query)):
        if name not in _SORTS:
            raise invalid_query("sort_unknown", name=name)
        column = _SORTS[name]
        found = sorted(found, key=lambda row, column=column: row[column], reverse=descending)  # type: ignore[misc]
    return paged(call, [hal.project(row) for row in found])


def show(call: Call) -> Answer:
    """GET one, by id or by identifier."""
    return Answer(document=hal.project(catalogue.load(call.db, call.viewer).projects[call.project_id()]))


def types(call: Call) -> Answer:
    """GET the types that a project enables: here all."""
    document = hal.collection(
        [hal.type_(row) for row in catalogue.load(call.db, call.viewer).types.values()],
        f"{hal.API}/workspaces/{call.project_id()}/types",
    )
    return Answer(document=document)


def targets(call: Call) -> Answer:
    """GET the projects in which the caller may create work packages, or to which this one could be moved."""
    permission = "add_work_packages"
    if "id" in call.path:
        call.viewer.need("edit_work_packages", visible(call, call.id("id")).project_id)
        permission = "move_work_packages"
    elif not any(permission in held for held in call.viewer.projects.values()):
        raise forbidden()
    rows = catalogue.load(call.db, call.viewer).projects
    return paged(call, [hal.project(row) for id_, row in rows.items() if call.viewer.may(permission, id_)])


def _matching(call: Call, filter_: Filter) -> Callable[[Row], bool]:  # noqa: PLR0911 - one for each filter
    name, values, operator = filter_.name, filter_.values, filter_.operator
    if name in _FLAGS and operator in _EQUAL:
        return lambda _: ("t" in values) == _FLAGS[name]
    if name == "id" and operator in _EQUAL:
        return lambda row: str(row["id"]) in values
    if name in ("name", "identifier", "name_and_identifier") and operator in _TEXT and values:
        columns = ("name", "identifier") if name == "name_and_identifier" else (name,)
        if operator in _EQUAL:
            return lambda row: any(row[column] in values for column in columns)
        return lambda row: any(call.db.value("SELECT contains(?, ?)", row[column], values[0]) for column in columns)
    if name == "principal" and operator in _EQUAL:
        users = [call.viewer.id if value == "me" else int(value) if is_id(value) else 0 for value in values]
        sql = "SELECT project_id FROM members WHERE user_id IN (SELECT value FROM json_each(?))"
        held = set(call.db.column(sql, json.dumps(users)))
        return lambda row: row["id"] in held
    if name in ("parent", "ancestor", "project_status_code"):
        return lambda _: False
    if name in ("type", "created_at", "latest_activity_at"):
        return lambda _: not operator.startswith("!")
    raise invalid_query("filter_unknown", name=f"Filters {name.capitalize()}")
