"""The body of a creation or an update, taken apart (reference sections 1.9, 4, 5.1).

What has the wrong shape is refused here, before anything else but visibility; what nobody knows is left out without a word.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

import msgspec

from . import durations
from .bounded import DAY, LINE, Whole
from .catalogue import Catalogue
from .errors import ApiError, bad_request, internal, read_only
from .work_package import WorkPackage

# Property of `_links`: the column it sets and the kinds of resources it may lead to.
LINKS = {
    "type": ("type_id", ("types",)),
    "status": ("status_id", ("statuses",)),
    "priority": ("priority_id", ("priorities",)),
    "project": ("project_id", ("projects", "workspaces", "programs", "portfolios")),
    "assignee": ("assigned_to_id", ("groups", "users", "placeholder_users")),
    "responsible": ("responsible_id", ("groups", "users", "placeholder_users")),
    "author": ("author_id", ("users",)),
    "version": ("version_id", ("versions",)),
    "category": ("category_id", ("categories",)),
    "parent": ("parent_id", ("work_packages",)),
}
_READ_ONLY = {
    "createdAt": "Created on",
    "updatedAt": "Updated on",
}
_DURATIONS = {"estimatedTime": "estimated_minutes", "remainingTime": "remaining_minutes"}
_FALSE = ("false", "f", "0", "off", "no", "")
_MAX_ID_DIGITS = 18
LONGEST_TEXT = 1 << 20
"""Characters of a description or a comment; OpenProject has no limit."""
LONGEST_FIELD = 2_000
"""Characters of a custom field, which is part of each list, each change and the page."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a body wants: columns by name, custom values by field, and what it may not have."""

    columns: Mapping[str, Any]
    custom_values: Mapping[int, str | None]
    refused: tuple[ApiError, ...]


def parse(body: Any, catalogue: Catalogue, *, creation: bool) -> Change:
    """Read a body; arrays and nothing count as an empty object, as OpenProject takes them [L]."""
    if body is not None and not isinstance(body, dict) and body != []:
        raise bad_request("the body must be a JSON object")
    body = body or {}
    refused = [read_only(name, _READ_ONLY[name]) for name in _READ_ONLY if name in body]
    if creation:
        refused += [
            read_only(name, label)
            for name, label in (("id", "ID"), ("lockVersion", "Lock version"))
            if body.get(name) not in (None, 0, "0")
        ]
    custom_values = {id_: as_text(body[f"customField{id_}"]) for id_ in catalogue.fields if f"customField{id_}" in body}
    columns = {**dict(_scalars(body)), **dict(_progress(body)), **dict(_links(body, catalogue))}
    return Change(columns=columns, custom_values=custom_values, refused=tuple(refused))


def lock_version(body: Any) -> int | None:
    """The lockVersion of a body; a text that is a number counts as one [L]."""
    value = body.get("lockVersion") if isinstance(body, dict) else None
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value.strip()[:_MAX_ID_DIGITS])
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == value // 1 else None


def _scalars(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if "subject" in body:
        yield "subject", as_text(body["subject"]) or ""
    if "description" in body:
        description = body["description"]
        if description is None:
            raise bad_request("description is invalid")
        # Given as a text it is ignored without a word [L].
        if isinstance(description, dict) and "raw" in description:
            yield "description", as_text(description["raw"]) or ""
    for name, column in (("startDate", "start_date"), ("dueDate", "due_date"), ("date", "date")):
        if name in body:
            yield column, _date(name, body[name])
    for name, column in (
        ("scheduleManually", "schedule_manually"),
        ("ignoreNonWorkingDays", "ignore_non_working_days"),
    ):
        if name in body:
            if body[name] is None:
                raise bad_request(f"{name} is invalid")
            yield column, body[name].lower() not in _FALSE if isinstance(body[name], str) else bool(body[name])


def _progress(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, column in _DURATIONS.items():
        if name in body:
            yield column, _duration(name, body[name], durations.parse)
    if "duration" in body:
        yield "duration", _duration("duration", body["duration"], durations.days)
    if "percentageDone" in body:
        yield "done_ratio", _percentage(body["percentageDone"])


def _links(body: Mapping[str, Any], catalogue: Catalogue) -> Iterator[tuple[str, int | None]]:
    links = body.get("_links", {})
    if not isinstance(links, dict):
        raise bad_request("_links must be a JSON object.")
    for name, (column, kinds) in LINKS.items():
        if name not in links:
            continue
        if not isinstance(links[name], dict):
            raise bad_request(f"The link under key '{name}' is not valid.")
        if "href" in links[name]:
            yield column, link_id(name, links[name]["href"], kinds, catalogue)


def link_id(name: str, href: Any, kinds: tuple[str, ...], catalogue: Catalogue | None = None) -> int | None:
    """The id that a link leads to; 0 leads nowhere. Absolute addresses and those with a sub-path are accepted [L]."""
    if href is None:
        return None
    *path, id_ = (href.rsplit("/", 4)[1:] if isinstance(href, str) else ()) or ("",)
    if not id_ or {"?", "#"} & set(id_) or path not in [["api", "v3", kind] for kind in kinds]:
        expected = " or ".join(f"'/api/v3/{kind}/:id'" for kind in kinds if kind not in ("programs", "portfolios"))
        raise ApiError(
            422, "ResourceTypeMismatch", "link_kind", {"attribute": name, "expected": expected, "value": str(href)}
        )
    if catalogue and kinds[0] == "projects" and not id_.isdecimal():
        return next((project["id"] for project in catalogue.projects.values() if project["identifier"] == id_), 0)
    return int(id_[:_MAX_ID_DIGITS]) if id_.isascii() and id_.isdecimal() else 0


def _date(name: str, value: Any) -> str | None:
    if value is None:
        return None
    try:
        if isinstance(value, str) and DAY.match(value):
            return date.fromisoformat(value).isoformat()
    except ValueError:
        pass
    raise ApiError(
        422, "PropertyFormatError", "date_format", {"attribute": name, "value": str(value)}, {"attribute": name}
    )


def _duration(name: str, value: Any, read: Callable[[str], int | None]) -> int | None:
    if value is None:
        return None
    found = read(value) if isinstance(value, str) else None
    if found is None:
        raise ApiError(
            422, "PropertyFormatError", "duration_format", {"attribute": name, "value": str(value)}, {"attribute": name}
        )
    return found


_PERCENT = Whole("a percentage", r"\s*+(-?\d{1,9})(?:\.\d*+)?\s*+%?\s*+", sees="% complete of a request")


def _percentage(value: Any) -> int | None:
    """A number; what is none is told apart from every possible one."""
    if value is None or value == "":
        return None
    found = _PERCENT.match(str(value)[:LINE])
    return int(found[1]) if found and not isinstance(value, bool) else -1


def as_text(value: Any) -> str | None:
    """A text; other kinds of JSON are turned into one, as OpenProject does [L]."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def storable(*texts: str, most: int = LONGEST_TEXT) -> None:
    """Refuse what a database cannot hold: OpenProject answers 500 to it (section 0, item 16); and what is no text of a person."""
    for value in texts:
        if len(value) > most:
            raise ApiError(413, "InvalidRequestBody", "text_too_large", {"most": str(most)})
        if "\0" in value:
            raise internal("string contains null byte")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise internal("invalid byte sequence in UTF-8") from None


def storable_in(item: WorkPackage, before: WorkPackage | None = None) -> None:
    """The same of those texts of a work package that are not as they were: what an older board kept may be longer."""
    known = frozenset(before.texts() if before else ())
    storable(*(text for text in (item.subject, item.description) if text not in known))
    storable(*(text for text in item.custom_values.values() if text not in known), most=LONGEST_FIELD)
