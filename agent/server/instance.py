"""What the instance is: root, configuration, preferences, and the collections that are always empty here (reference section 1.1)."""

from typing import Any

from . import hal, lookups, params
from .access import visible_users
from .call import Answer, Call
from .errors import ApiError, forbidden, not_found

VERSION = "17.6.0"


def root(call: Call) -> Answer:
    """GET /api/v3; the version is told to administrators only (section 1.1)."""
    kinds = ("configuration", "memberships", "priorities", "relations", "statuses", "time_entries", "types")
    document = {
        "_type": "Root",
        "instanceName": setting(call, "instance_name"),
        **({"coreVersion": VERSION} if call.viewer.admin else {}),
        "_links": {
            "self": {"href": hal.API},
            **{kind: {"href": f"{hal.API}/{kind}"} for kind in kinds},
            "user": hal.link("users", call.viewer.id, call.viewer.name),
            "userPreferences": {"href": f"{hal.API}/users/{call.viewer.id}/preferences"},
            "workPackages": {"href": f"{hal.API}/work_packages"},
        },
    }
    return Answer(document=document)


def configuration(call: Call) -> Answer:
    """GET /configuration: limits and formats."""
    document = {
        "_type": "Configuration",
        "maximumAttachmentFileSize": int(setting(call, "attachment_max_bytes")),
        "maximumAPIV3PageSize": int(setting(call, "apiv3_max_page_size")),
        "perPageOptions": [20, 100],
        "dateFormat": None,
        "durationFormat": "hours_only",
        "timeFormat": None,
        "userDefaultTimezone": None,
        "startOfWeek": None,
        "hoursPerDay": 8,
        "daysPerMonth": 20,
        "hostName": call.host,
        "activeFeatureFlags": [],
        "availableFeatures": [],
        "triallingFeatures": [],
        "allowedLinkProtocols": ["http", "https", "mailto"],
        "wikisAvailable": False,
        "_embedded": {"userPreferences": _preferences(call.viewer.id, call.viewer.name)},
        "_links": {
            "self": {"href": f"{hal.API}/configuration"},
            "userPreferences": {"href": f"{hal.API}/users/{call.viewer.id}/preferences"},
        },
    }
    return Answer(document=document)


def preferences(call: Call) -> Answer:
    """GET one's own; they are the same for all and cannot be changed here."""
    id_ = call.viewer.id if call.path["id"] == "me" else call.id("id")
    if id_ not in visible_users(call.db, call.viewer):
        raise not_found()
    if id_ != call.viewer.id and not call.viewer.admin:
        raise forbidden()
    name = call.db.value("SELECT name FROM users WHERE id = ?", id_)
    return Answer(document=_preferences(id_, name))


def my_preferences(_: Call) -> Answer:
    """GET the older path: moved for good."""
    location = f"{hal.API}/users/me/preferences"
    message = f"This resource has been moved permanently to {location}."
    return Answer(status=301, plain=message, headers={"location": location, "content-type": "text/plain"})


def nothing(call: Call) -> Answer:
    """A collection of what this board does not have: groups, time entries, notifications and the like."""
    params.filters(call.query)
    return lookups.paged(call, [])


def no_queries(call: Call) -> Answer:
    """GET the saved queries: none, paging ignored."""
    return Answer(document=hal.collection([], call.url))


def emoji_reactions(call: Call) -> Answer:
    """GET the reactions to a comment: none."""
    return Answer(document=hal.collection([], call.url))


def never(_: Call) -> Answer:
    """One of those: there is none."""
    raise not_found()


def render(call: Call) -> Answer:
    """POST text to see it as HTML: plain text in, plain HTML out."""
    text = call.raw[:].decode(errors="replace")
    found = hal.formattable(text) if call.path["format"] == "markdown" else hal.plain(text)
    return Answer(plain=found["html"], headers={"content-type": "text/html; charset=utf-8"})


def setting(call: Call, name: str) -> Any:
    """One of the board's settings."""
    found = call.db.value("SELECT value FROM settings WHERE name = ?", name)
    if found is None:
        raise ApiError(500, "InternalServerError", "internal", {"reason": name})
    return found


def _preferences(user_id: int, name: str) -> dict[str, Any]:
    href = f"{hal.API}/users/{user_id}/preferences"
    return {
        "_type": "UserPreferences",
        "timeZone": "Etc/UTC",
        "disableKeyboardShortcuts": False,
        "warnOnLeavingUnsaved": True,
        "commentSortDescending": False,
        "autoHidePopups": True,
        "dailyReminders": {"enabled": True, "times": ["08:00"]},
        "immediateReminders": {"mentioned": True, "personalReminder": True},
        "pauseReminders": {"enabled": False},
        "workdays": [1, 2, 3, 4, 5],
        "notifications": [],
        "_links": {
            "self": {"href": href},
            "user": hal.link("users", user_id, name),
            "updateImmediately": {"href": href, "method": "patch"},
        },
    }
