"""Memberships and roles, read (reference section 10)."""

import json
from typing import Any

from . import hal, lookups, params
from .call import Answer, Call, is_id
from .errors import forbidden, invalid_query, not_found
from .params import Filter
from .store import Row, Value

_FROM = (
    "SELECT members.*, projects.name AS project, users.name AS principal, roles.name AS role FROM members"
    " JOIN projects ON projects.id = project_id JOIN users ON users.id = user_id JOIN roles ON roles.id = role_id"
    " WHERE project_id IN (SELECT value FROM json_each(?))"
)
_COLUMNS = {"principal": "user_id", "project": "project_id", "role": "role_id", "id": "members.id"}


def index(call: Call) -> Answer:
    """GET those of the visible projects, newest first, filtered by principal, project, role, name or status."""
    sql = _FROM
    values: list[Value] = [_projects(call)]
    for filter_ in params.filters(call.query) or []:
        clause, listed = _clause(call, filter_)
        sql, values = f"{sql} AND {clause}", [*values, *listed]
    rows = call.db.rows(f"{sql} ORDER BY members.id DESC", *values)
    return lookups.paged(call, [_document(row) for row in rows])


def show(call: Call) -> Answer:
    """GET one."""
    row = call.db.row(f"{_FROM} AND members.id = ?", _projects(call), call.id("id"))
    if row is None:
        raise not_found()
    return Answer(document=_document(row))


def roles(call: Call) -> Answer:
    """GET the roles that a member can have."""
    _need_members(call)
    return Answer(
        document=hal.collection([_role(row) for row in call.db.rows("SELECT * FROM roles ORDER BY id")], call.url)
    )


def role(call: Call) -> Answer:
    """GET one."""
    _need_members(call)
    row = call.db.row("SELECT * FROM roles WHERE id = ?", call.id("id"))
    if row is None:
        raise not_found()
    return Answer(document=_role(row))


def _need_members(call: Call) -> None:
    if not call.viewer.admin and not any("view_members" in held for held in call.viewer.projects.values()):
        raise forbidden()


def _projects(call: Call) -> str:
    return json.dumps([id_ for id_, held in call.viewer.projects.items() if "view_members" in held])


def _clause(call: Call, filter_: Filter) -> tuple[str, list[Value]]:
    name, shown = filter_.name, f"Filters {filter_.name.capitalize()}"
    negated = "NOT " if filter_.operator.startswith("!") else ""
    if name in _COLUMNS and filter_.operator in ("=", "!"):
        values = [str(call.viewer.id) if value == "me" else value for value in filter_.values]
        if not values or not all(map(is_id, values)):
            raise invalid_query("filter_values", name=shown)
        return f"{_COLUMNS[name]} {negated}IN (SELECT value FROM json_each(?))", [json.dumps([*map(int, values)])]  # noqa: S608 - no value inside
    if name in ("name", "any_name_attribute") and filter_.operator in ("~", "!~") and filter_.values:
        return f"{negated}contains(users.name, ?)", [filter_.values[0]]
    if name == "status" and filter_.operator in ("=", "!"):
        return f"{negated}?", ["1" in filter_.values]
    if name in ("group", "blocked", "created_at", "updated_at"):
        return "0" if filter_.operator in ("=", "*") else "1", []
    raise invalid_query("filter_unknown", name=shown)


def _document(row: Row) -> dict[str, Any]:
    return {
        "_type": "Membership",
        "id": row["id"],
        "createdAt": row["created_at"],
        "updatedAt": row["created_at"],
        "_links": {
            "self": hal.link("memberships", row["id"], row["principal"]),
            "schema": {"href": f"{hal.API}/memberships/schema"},
            "project": hal.link("projects", row["project_id"], row["project"]),
            "principal": hal.link("users", row["user_id"], row["principal"]),
            "roles": [hal.link("roles", row["role_id"], row["role"])],
        },
    }


def _role(row: Row) -> dict[str, Any]:
    return {
        "_type": "Role",
        "id": row["id"],
        "name": row["name"],
        "_links": {"self": hal.link("roles", row["id"], row["name"])},
    }
