"""The filters of the work package list: what each is called, which operators it has, what its values are (reference sections 2.2 to 2.4)."""

from collections.abc import Iterator

import msgspec

from .catalogue import Catalogue

_LIST, _OPTIONAL = ("=", "!"), ("=", "!", "*", "!*")
_TEXT, _STRING, _SEARCH = ("~", "!~"), ("=", "~", "!", "!~"), ("**",)
_INTEGER = ("=", "!", ">=", "<=", "!*", "*")
_DAY = ("<t+", ">t+", "t+", "t", "w", ">t-", "<t-", "t-", "=d", "<>d", "!*")
_TIME = (">t-", "<t-", "t-", "t", "w", "=d", "<>d")
_RELATION = ("relates", "precedes", "follows", "blocks", "blocked", "duplicates", "duplicated", "includes", "partof", "requires", "required", "parent", "child", "children")  # fmt: skip
WITHOUT_VALUES = ("o", "c", "l", "*", "!*", "t", "w")


class FilterKind(msgspec.Struct, frozen=True, kw_only=True):
    """One filter; `values` is the type of its values as schemas tell it, `allowed` the list they are taken from."""

    api: str
    label: str
    operators: tuple[str, ...]
    values: str
    allowed: str | None = None


def _kind(api: str, label: str, operators: tuple[str, ...], values: str, allowed: str | None = None) -> FilterKind:
    return FilterKind(api=api, label=label, operators=operators, values=values, allowed=allowed)


_PEOPLE = "principals"
_KINDS = {
    "status": _kind("status", "Status", ("=", "!", "o", "c", "*"), "Status", "statuses"),
    "type": _kind("type", "Type", _LIST, "Type", "types"),
    "priority": _kind("priority", "Priority", _LIST, "Priority", "priorities"),
    "project": _kind("project", "Project", _LIST, "Project", "projects"),
    "version": _kind("version", "Version", (*_OPTIONAL, "o", "l", "c"), "Version", "versions"),
    "category": _kind("category", "Category", _OPTIONAL, "Category"),
    "assignee": _kind("assignee", "Assignee", _OPTIONAL, "User", _PEOPLE),
    "assignee_or_group": _kind("assigneeOrGroup", "Assignee or belonging group", _OPTIONAL, "User", _PEOPLE),
    "responsible": _kind("responsible", "Accountable", _OPTIONAL, "User", _PEOPLE),
    "author": _kind("author", "Author", _LIST, "User", _PEOPLE),
    "watcher": _kind("watcher", "Watcher", _LIST, "User", _PEOPLE),
    "assigned_to_role": _kind("assignedToRole", "Assignee's role", _OPTIONAL, "Role", "roles"),
    "id": _kind("id", "ID", _LIST, "WorkPackage", "work_packages"),
    "parent": _kind("parent", "Parent", _LIST, "WorkPackage", "work_packages"),
    "ancestor": _kind("ancestor", "Descendants of", _LIST, "WorkPackage", "work_packages"),
    "subject": _kind("subject", "Subject", _TEXT, "String"),
    "description": _kind("description", "Description", _TEXT, "String"),
    "comment": _kind("comment", "Comment", _TEXT, "String"),
    "attachment_file_name": _kind("attachmentFileName", "Attachment file name", _TEXT, "String"),
    "search": _kind("search", "Search", _SEARCH, "String"),
    "subject_or_id": _kind("subjectOrId", "Subject or ID", _SEARCH, "String"),
    "typeahead": _kind("typeahead", "Typeahead", _SEARCH, "String"),
    "done_ratio": _kind("percentageDone", "% Complete", _INTEGER, "Integer"),
    "estimated_hours": _kind("estimatedTime", "Work", _INTEGER, "Integer"),
    "duration": _kind("duration", "Duration", _INTEGER, "Integer"),
    "start_date": _kind("startDate", "Start date", _DAY, "Date"),
    "due_date": _kind("dueDate", "Finish date", _DAY, "Date"),
    "dates_interval": _kind("datesInterval", "Dates interval", ("<>d",), "Date"),
    "created_at": _kind("createdAt", "Created on", _TIME, "DateTime"),
    "updated_at": _kind("updatedAt", "Updated on", _TIME, "DateTime"),
    "is_milestone": _kind("isMilestone", "Is milestone", _LIST, "Boolean"),
    "relatable": _kind("relatable", "Relatable", _RELATION, "WorkPackage", "work_packages"),
    **{
        name: _kind(name, label, _LIST, "WorkPackage", "work_packages")
        for name, label in (
            ("relates", "Relates to"), ("blocks", "Blocks"), ("blocked", "Blocked by"), ("follows", "Follows"), ("precedes", "Precedes"),
            ("requires", "Requires"), ("required", "Required by"), ("duplicates", "Duplicates"), ("duplicated", "Duplicated by"),
            ("includes", "Includes"), ("partof", "Part of"),
        )
    },
}  # fmt: skip


def find(name: str, known: Catalogue) -> FilterKind | None:
    """The filter with this internal name."""
    if name in _KINDS:
        return _KINDS[name]
    if name.startswith("cf_") and name[3:].isascii() and name[3:].isdecimal() and int(name[3:]) in known.fields:
        return _of_field(int(name[3:]), known)
    return None


def every(known: Catalogue) -> Iterator[FilterKind]:
    """All that this board knows."""
    yield from _KINDS.values()
    for id_ in known.fields:
        yield _of_field(id_, known)


def label(name: str, known: Catalogue) -> str:
    """What a filter is called in messages, one that does not exist too."""
    kind = find(name, known)
    return kind.label if kind else name.replace("_", " ").capitalize()


def _of_field(id_: int, known: Catalogue) -> FilterKind:
    return _kind(f"customField{id_}", known.fields[id_], _STRING, "String")
