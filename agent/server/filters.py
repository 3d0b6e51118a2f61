"""Filters of the work package list as SQL (reference sections 2.3, 2.4).

A value that does not exist or is invisible makes the whole query wrong, even next to good ones [L].
"""

import json
import re
from collections.abc import Callable, Iterable
from datetime import datetime, time, timedelta

import msgspec

from .access import Viewer, visible_users
from .call import is_id, stamp
from .catalogue import Catalogue
from .errors import ApiError, invalid_query
from .params import Filter
from .store import Db, Value

Condition = tuple[str, list[Value]]

_LISTED = "(SELECT value FROM json_each(?))"
_LABELS = {
    "assignee": "Assignee", "responsible": "Accountable", "author": "Author", "ancestor": "Descendants of", "blocked": "Blocked by",
    "due_date": "Finish date", "start_date": "Start date", "created_at": "Created on", "updated_at": "Updated on",
}  # fmt: skip
_COLUMNS = {
    "status": "status_id", "type": "type_id", "priority": "priority_id", "project": "project_id", "version": "version_id",
    "assignee": "assigned_to_id", "responsible": "responsible_id", "author": "author_id", "parent": "parent_id", "id": "id",
}  # fmt: skip
_OPERATORS = {
    "status": ("=", "!", "o", "c", "*"), "assignee": ("=", "!", "*", "!*"), "responsible": ("=", "!", "*", "!*"), "version": ("=", "!", "*", "!*"),
}  # fmt: skip
# The relation filters: which end of which relation the work package asked for is at ("blocks = 12" asks for what blocks 12).
_RELATIONS = {
    "blocks": ("blocks", "from_id", "to_id"), "blocked": ("blocks", "to_id", "from_id"),
    "follows": ("follows", "from_id", "to_id"), "precedes": ("follows", "to_id", "from_id"),
    "requires": ("requires", "from_id", "to_id"), "required": ("requires", "to_id", "from_id"),
    "duplicates": ("duplicates", "from_id", "to_id"), "duplicated": ("duplicates", "to_id", "from_id"),
    "includes": ("includes", "from_id", "to_id"), "partof": ("includes", "to_id", "from_id"),
}  # fmt: skip
_TEXT_OPERATORS = ("~", "!~")
_DATE_OPERATORS = ("<t+", ">t+", "t+", "t", "w", ">t-", "<t-", "t-", "=d", "<>d", "!*")
_TIME_OPERATORS = (">t-", "<t-", "t-", "t", "w", "=d", "<>d")
_WITHOUT_VALUES = ("o", "c", "*", "!*", "t", "w")


class FilterContext(msgspec.Struct, frozen=True, kw_only=True):
    """What filters are judged against."""

    db: Db
    viewer: Viewer
    catalogue: Catalogue
    now: datetime


def conditions(context: FilterContext, filters: Iterable[Filter]) -> tuple[list[Condition], list[ApiError]]:
    """The conditions, to be joined with AND, and what is wrong with the filters: one error for each wrong one."""
    found: list[Condition] = []
    errors: list[ApiError] = []
    for filter_ in filters:
        try:
            found.append(_condition(context, filter_))
        except ApiError as error:
            errors.append(error)
    return found, errors


def label(name: str, catalogue: Catalogue) -> str:
    """What a filter is called in messages."""
    if name.startswith("cf_") and name[3:].isdecimal():
        return catalogue.fields.get(int(name[3:]), f"Cf {name[3:]}")
    return _LABELS.get(name, name.replace("_", " ").capitalize())


def _condition(context: FilterContext, filter_: Filter) -> Condition:
    name, shown = filter_.name, label(filter_.name, context.catalogue)
    if re.fullmatch(r"cf_\d+", name, re.ASCII) and int(name[3:]) in context.catalogue.fields:
        _check(filter_, shown, ("=", "~", "!", "!~"))
        return _custom_field(int(name[3:]), filter_)
    if name in ("subject", "description"):
        _check(filter_, shown, _TEXT_OPERATORS)
        return f"{'NOT ' if filter_.operator == '!~' else ''}contains({name}, ?)", [filter_.values[0]]
    if name in ("due_date", "start_date"):
        _check(filter_, shown, _DATE_OPERATORS)
        return _day(context, filter_, shown)
    if name in ("created_at", "updated_at"):
        _check(filter_, shown, _TIME_OPERATORS)
        return _moment(context, filter_, shown)
    if name in _COLUMNS:
        _check(filter_, shown, _OPERATORS.get(name, ("=", "!")))
        return _column(context, filter_, shown)
    if name in ("ancestor", "relates") or name in _RELATIONS:
        _check(filter_, shown, ("=", "!"))
        return _relative(filter_, _visible_ids(context, filter_, shown))
    raise invalid_query("filter_unknown", name=shown)


def _check(filter_: Filter, shown: str, operators: tuple[str, ...]) -> None:
    if filter_.operator not in operators:
        raise invalid_query("filter_operator", name=shown)
    if filter_.operator in _WITHOUT_VALUES:
        if any(filter_.values):
            raise invalid_query("filter_values", name=shown)
    elif not any(value.strip() for value in filter_.values):
        raise invalid_query("blank", name=shown)


def _column(context: FilterContext, filter_: Filter, shown: str) -> Condition:
    column = _COLUMNS[filter_.name]
    if filter_.operator in ("o", "c"):
        closed = [
            id_
            for id_, status in context.catalogue.statuses.items()
            if bool(status["is_closed"]) == (filter_.operator == "c")
        ]
        return f"{column} IN {_LISTED}", [json.dumps(closed)]
    if filter_.operator in ("*", "!*"):
        return f"{column} IS {'NOT ' if filter_.operator == '*' else ''}NULL", []
    ids = json.dumps(_existing_ids(context, filter_, shown))
    if filter_.operator == "=":
        return f"{column} IN {_LISTED}", [ids]
    # "Not" includes those without one [L].
    return f"({column} IS NULL OR {column} NOT IN {_LISTED})", [ids]


def _existing_ids(context: FilterContext, filter_: Filter, shown: str) -> list[int]:
    if filter_.name in ("id", "parent"):
        return _visible_ids(context, filter_, shown)
    catalogue, viewer = context.catalogue, context.viewer
    existing: dict[str, Callable[[], Iterable[int]]] = {
        "status": lambda: catalogue.statuses,
        "type": lambda: catalogue.types,
        "priority": lambda: catalogue.priorities,
        "project": lambda: viewer.projects,
        "version": lambda: [
            id_ for id_, version in catalogue.versions.items() if version["project_id"] in viewer.projects
        ],
    }
    people = filter_.name in ("assignee", "responsible", "author")
    known = set(visible_users(context.db, viewer) if people else existing[filter_.name]())
    values = [str(viewer.id) if people and value == "me" else value for value in filter_.values]
    ids = [int(value) if is_id(value) else 0 for value in values]
    if not known.issuperset(ids):
        raise invalid_query("filter_values", name=shown)
    return ids


def _visible_ids(context: FilterContext, filter_: Filter, shown: str) -> list[int]:
    ids = {int(value) if is_id(value) else 0 for value in filter_.values}
    visible = context.db.value(
        f"SELECT count(*) FROM work_packages WHERE id IN {_LISTED} AND project_id IN {_LISTED}",  # noqa: S608 - no value inside
        json.dumps(list(ids)),
        json.dumps(list(context.viewer.projects)),
    )
    if visible != len(ids):
        raise invalid_query("filter_values", name=shown)
    return list(ids)


def _relative(filter_: Filter, ids: list[int]) -> Condition:
    listed = json.dumps(ids)
    negated = "NOT " if filter_.operator == "!" else ""
    if filter_.name == "ancestor":
        # Of two asked for, the lower one is not taken for a descendant of the upper one [L].
        below = f"SELECT descendant_id FROM hierarchies WHERE ancestor_id IN {_LISTED} EXCEPT SELECT value FROM json_each(?)"  # noqa: S608 - no value inside
        return f"id {negated}IN ({below})", [listed, listed]
    if filter_.name == "relates":
        ends = " UNION ".join(
            f"SELECT {one} FROM relations WHERE relation_type = 'relates' AND {other} IN {_LISTED}"  # noqa: S608 - no value inside
            for one, other in (("from_id", "to_id"), ("to_id", "from_id"))
        )
        return f"id {negated}IN ({ends})", [listed, listed]
    kind, one, other = _RELATIONS[filter_.name]
    ends = f"SELECT {one} FROM relations WHERE relation_type = ? AND {other} IN {_LISTED}"  # noqa: S608 - no value inside
    return f"id {negated}IN ({ends})", [kind, listed]


def _custom_field(field: int, filter_: Filter) -> Condition:
    """Work packages whose type lacks the field never match, not even with `!` [L]; the empty ones match `!` and `!~` [L]."""
    active = "type_id IN (SELECT type_id FROM custom_field_types WHERE custom_field_id = ?)"
    if filter_.operator in ("=", "!"):
        holds, value = f"value IN {_LISTED}", json.dumps(filter_.values)
    else:
        holds, value = "contains(value, ?)", filter_.values[0]
    negated = "NOT " if filter_.operator.startswith("!") else ""
    holding = f"SELECT work_package_id FROM custom_values WHERE custom_field_id = ? AND {holds}"  # noqa: S608 - no value inside
    return f"{active} AND id {negated}IN ({holding})", [field, field, value]


def _day(context: FilterContext, filter_: Filter, shown: str) -> Condition:
    column, today = filter_.name, context.now.date()
    if filter_.operator == "!*":
        return f"{column} IS NULL", []
    if filter_.operator in ("=d", "<>d"):
        low, high = _range(filter_, shown, "filter_date", r"\d{4}-\d\d-\d\d")
    else:
        low, high = _around(filter_, shown, today.weekday(), lambda days: (today + timedelta(days=days)).isoformat())
    return f"{column} IS NOT NULL AND {column} >= ? AND {column} <= ?", [low, high or "9999-12-31"]


def _moment(context: FilterContext, filter_: Filter, shown: str) -> Condition:
    column, today = filter_.name, context.now.date()
    if filter_.operator in ("=d", "<>d"):
        low, high = _range(
            filter_, shown, "filter_date_time", r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d))?"
        )
        low, high = (_in_utc(moment) for moment in (low, high))
        if filter_.operator == "=d":
            high = stamp(datetime.fromisoformat(low) + timedelta(days=1, milliseconds=-1))
        return f"{column} >= ? AND {column} <= ?", [low, high or "9999"]

    def midnight(days: int) -> str:
        return stamp(datetime.combine(today + timedelta(days=days), time()))

    since: int | None
    until: int | None
    if filter_.operator in (">t-", "<t-", "t-"):
        days = _days(filter_, shown)
        since, until = {">t-": (-days, None), "<t-": (None, 1 - days), "t-": (-days, 1 - days)}[filter_.operator]
    else:
        since, until = (0, 1) if filter_.operator == "t" else (-today.weekday(), 7 - today.weekday())
    return f"{column} >= ? AND {column} < ?", [
        "" if since is None else midnight(since),
        "9999" if until is None else midnight(until),
    ]


def _range(filter_: Filter, shown: str, key: str, pattern: str) -> tuple[str, str]:
    low, high = (*filter_.values, "")[:2] if filter_.operator == "<>d" else (filter_.values[0],) * 2
    if any(value and not re.fullmatch(pattern, value, re.ASCII) for value in (low, high)):
        raise invalid_query(key, name=shown)
    return low, high


def _in_utc(moment: str) -> str:
    if not moment:
        return ""
    parsed = datetime.fromisoformat(moment)
    return stamp(parsed - parsed.utcoffset() if parsed.utcoffset() else parsed)  # type: ignore[operator] # it has an offset here


def _days(filter_: Filter, shown: str) -> int:
    if not re.fullmatch(r"-?\d{1,5}", filter_.values[0], re.ASCII):
        raise invalid_query("filter_integer", name=shown)
    return int(filter_.values[0])


def _around(filter_: Filter, shown: str, weekday: int, day: Callable[[int], str]) -> tuple[str, str]:
    if filter_.operator == "t":
        return day(0), day(0)
    if filter_.operator == "w":
        return day(-weekday), day(6 - weekday)
    days = _days(filter_, shown)
    bounds: dict[str, tuple[int | None, int | None]] = {
        "<t+": (0, days), ">t+": (days, None), "t+": (days, days), ">t-": (-days, 0), "<t-": (None, -days), "t-": (-days, -days),
    }  # fmt: skip
    low, high = bounds[filter_.operator]
    return ("" if low is None else day(low)), ("" if high is None else day(high))
