"""The resources that rarely change: statuses, types, priorities, people (reference section 10)."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from . import catalogue, hal, params
from .access import possible_assignees, visible_users
from .call import Answer, Call, is_id
from .errors import forbidden, invalid_query, not_found
from .params import Filter
from .visibility import visible


def me(call: Call) -> Answer:
    """GET /users/me."""
    return _user(call, call.viewer.id)


def user(call: Call) -> Answer:
    """GET one account; 404 without a shared project."""
    return _user(call, call.id("id"))


def users(call: Call) -> Answer:
    """GET /users is for administrators (section 10)."""
    if not call.viewer.admin:
        raise forbidden()
    return principals(call)


def statuses(call: Call) -> Answer:
    """GET all, by position, paging ignored."""
    return _all(call, [hal.status(row) for row in catalogue.load(call.db, call.viewer).statuses.values()])


def status(call: Call) -> Answer:
    """GET one."""
    return _one(call, catalogue.load(call.db, call.viewer).statuses, hal.status)


def types(call: Call) -> Answer:
    """GET all, paging ignored."""
    return _all(call, [hal.type_(row) for row in catalogue.load(call.db, call.viewer).types.values()])


def type_(call: Call) -> Answer:
    """GET one."""
    return _one(call, catalogue.load(call.db, call.viewer).types, hal.type_)


def priorities(call: Call) -> Answer:
    """GET all, paging ignored."""
    return _all(call, [hal.priority(row) for row in catalogue.load(call.db, call.viewer).priorities.values()])


def priority(call: Call) -> Answer:
    """GET one."""
    return _one(call, catalogue.load(call.db, call.viewer).priorities, hal.priority)


def project_assignees(call: Call) -> Answer:
    """GET who can be assigned in a project; for those who may add or edit work packages only [L]."""
    return _assignees(call, call.project_id())


def work_package_assignees(call: Call) -> Answer:
    """GET who can be assigned to a work package."""
    return _assignees(call, visible(call, call.id("id")).project_id)


def principals(call: Call) -> Answer:
    """GET the accounts that the caller sees, newest first, filtered by membership, type, status, name or id."""
    found = set(visible_users(call.db, call.viewer))
    for filter_ in params.filters(call.query) or []:
        found &= _principals(call, filter_, found)
    return paged(call, people(call, found))


def _principals(call: Call, filter_: Filter, among: set[int]) -> set[int]:
    name, shown = filter_.name, f"Filters {filter_.name.capitalize()}"
    if name == "member" and filter_.operator in ("=", "!", "*", "!*"):
        wanted = [int(value) if is_id(value) else 0 for value in filter_.values]
        if not set(call.viewer.projects).issuperset(wanted):
            raise invalid_query("filter_values", name=shown)
        anywhere = filter_.operator.endswith("*")
        found = set(
            call.db.column(
                "SELECT user_id FROM members WHERE ? OR project_id IN (SELECT value FROM json_each(?))",
                anywhere,
                json.dumps(wanted),
            )
        )
    elif name == "type" and filter_.operator in ("=", "!"):
        if not {"User", "Group", "PlaceholderUser"}.issuperset(filter_.values):
            raise invalid_query("filter_values", name=shown)
        found = among if "User" in filter_.values else set()
    elif name == "status" and filter_.operator in ("=", "!"):
        found = among if "1" in filter_.values else set()
    elif name == "id" and filter_.operator in ("=", "!"):
        values = [str(call.viewer.id) if value == "me" else value for value in filter_.values]
        found = {int(value) for value in values if is_id(value)}
    elif name in ("name", "any_name_attribute") and filter_.operator in ("~", "!~") and filter_.values:
        found = set(call.db.column("SELECT id FROM users WHERE contains(name, ?)", filter_.values[0]))
    else:
        raise invalid_query("filter_unknown", name=shown)
    return among - found if filter_.operator.startswith("!") else found


def _assignees(call: Call, project_id: int) -> Answer:
    if not (call.viewer.may("add_work_packages", project_id) or call.viewer.may("edit_work_packages", project_id)):
        raise forbidden()
    return Answer(
        document=hal.collection(
            people(call, possible_assignees(call.db, project_id)), f"{hal.API}/principals?filters=%5B%5D"
        )
    )


def _user(call: Call, id_: int) -> Answer:
    if id_ not in visible_users(call.db, call.viewer):
        raise not_found()
    return Answer(document=people(call, [id_])[0])


def people(call: Call, ids: Iterable[int]) -> list[dict[str, Any]]:
    """The accounts with these ids, newest first, with as much of them as the caller may see."""
    wanted = set(ids)
    return [
        hal.user(row, full=call.viewer.admin or id_ == call.viewer.id, to_admin=call.viewer.admin)
        for id_, row in catalogue.load(call.db, call.viewer).users.items()
        if id_ in wanted
    ]


def _one(call: Call, rows: Any, document: Any) -> Answer:
    if call.id("id") not in rows:
        raise not_found()
    return Answer(document=document(rows[call.id("id")]))


def _all(call: Call, elements: Sequence[Any]) -> Answer:
    return Answer(document=hal.collection(elements, call.url))


def paged(call: Call, elements: Sequence[Any]) -> Answer:
    """One page of a collection."""
    page = params.page(call, call.query)
    shown = elements[page.first : page.first + page.size]
    query = {name: value for name, value in call.query.items() if name not in ("offset", "pageSize")}
    document = {
        **hal.collection(shown, call.url),
        "total": len(elements),
        "pageSize": page.size,
        "offset": page.offset,
        "_links": hal.page_links(call.url, query, page.offset, page.size, len(elements)),
    }
    return Answer(document=document)
