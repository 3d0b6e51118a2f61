"""The watchers of a work package (reference section 7.4)."""

from . import attributes, hal, lookups, watching
from .access import visible_users
from .call import Answer, Call
from .errors import ApiError, not_found, violation
from .visibility import visible


def index(call: Call) -> Answer:
    """GET them all."""
    item = visible(call, call.id("id"))
    call.viewer.need("view_work_package_watchers", item.project_id)
    seen = visible_users(call.db, call.viewer)
    found = [id_ for id_ in watching.watchers(call.db, item.id) if id_ in seen]
    return Answer(document=hal.collection(lookups.people(call, found), call.url))


def create(call: Call) -> Answer:
    """POST `{"user": {"href": …}}`: 201 for a new one, 200 for one that watches already; answers with the user."""
    item = visible(call, call.id("id"))
    if call.body is None:
        raise ApiError(400, "InvalidRequestBody", "no_json")
    user = call.body.get("user") if isinstance(call.body, dict) else None
    links = call.body.get("_links") if isinstance(call.body, dict) else None
    user = user or (links.get("user") if isinstance(links, dict) else None)
    href = user.get("href") if isinstance(user, dict) else None
    user_id = attributes.link_id("user", href, ("users",)) or 0
    if user_id != call.viewer.id:
        call.viewer.need("add_work_package_watchers", item.project_id)
    if user_id not in visible_users(call.db, call.viewer):
        raise not_found()
    if user_id not in watching.possible(call.db, item.project_id) and not _is_admin(call, user_id):
        raise violation("user", "user_invalid")
    new = watching.watch(call.db, item.id, user_id)
    return Answer(status=201 if new else 200, document=lookups.people(call, [user_id])[0])


def delete(call: Call) -> Answer:
    """DELETE one: 204, whether it watched or not."""
    item = visible(call, call.id("id"))
    user_id = call.id("user")
    if user_id != call.viewer.id:
        call.viewer.need("delete_work_package_watchers", item.project_id)
    if user_id not in visible_users(call.db, call.viewer):
        raise not_found()
    watching.unwatch(call.db, item.id, user_id)
    return Answer(status=204)


def available(call: Call) -> Answer:
    """GET who could watch and does not."""
    item = visible(call, call.id("id"))
    call.viewer.need("add_work_package_watchers", item.project_id)
    watching_already = set(watching.watchers(call.db, item.id))
    found = [id_ for id_ in watching.possible(call.db, item.project_id) if id_ not in watching_already]
    return lookups.paged(call, lookups.people(call, found))


def _is_admin(call: Call, user_id: int) -> bool:
    return bool(call.db.value("SELECT admin FROM users WHERE id = ?", user_id))
