"""Filters of the work package list as SQL (reference sections 2.3, 2.4).

A value that does not exist or is invisible makes the whole query wrong, even next to good ones [L].
"""

import json
from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec

from . import filter_dates, filter_kinds, filter_texts
from .access import Viewer, visible_users
from .bounded import Whole
from .call import is_id
from .catalogue import Catalogue
from .errors import ApiError, invalid_query
from .filter_dates import Condition
from .filter_kinds import FilterKind
from .params import Filter
from .store import Db, Value
from .visibility import visible_below

_LISTED = "(SELECT value FROM json_each(?))"
_COLUMNS = {
    "status": "status_id", "type": "type_id", "priority": "priority_id", "project": "project_id", "version": "version_id",
    "category": "category_id", "assignee": "assigned_to_id", "assignee_or_group": "assigned_to_id", "responsible": "responsible_id",
    "author": "author_id", "parent": "parent_id", "id": "id",
}  # fmt: skip
_PEOPLE = ("assignee", "assignee_or_group", "responsible", "author", "watcher")
# The relation filters: which end of which relation the work package asked for is at ("blocks = 12" asks for what blocks 12).
_RELATIONS = {
    "blocks": ("blocks", "from_id", "to_id"), "blocked": ("blocks", "to_id", "from_id"),
    "follows": ("follows", "from_id", "to_id"), "precedes": ("follows", "to_id", "from_id"),
    "requires": ("requires", "from_id", "to_id"), "required": ("requires", "to_id", "from_id"),
    "duplicates": ("duplicates", "from_id", "to_id"), "duplicated": ("duplicates", "to_id", "from_id"),
    "includes": ("includes", "from_id", "to_id"), "partof": ("includes", "to_id", "from_id"),
}  # fmt: skip
_NUMBERS = {"done_ratio": ("done_ratio", 1), "estimated_hours": ("estimated_minutes", 60)}


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


def _condition(context: FilterContext, filter_: Filter) -> Condition:  # noqa: PLR0911 - one for each kind of filter
    name = filter_.name
    kind = filter_kinds.find(name, context.catalogue)
    shown = filter_kinds.label(name, context.catalogue)
    if kind is None:
        raise invalid_query("filter_unknown", name=shown)
    _check(filter_, kind, shown)
    if name.startswith("cf_"):
        return _custom_field(int(name[3:]), filter_)
    if name in filter_texts.NAMES:
        return filter_texts.condition(filter_)
    if name in ("due_date", "start_date"):
        return filter_dates.day(context.now, filter_, shown)
    if name == "dates_interval":
        return filter_dates.interval(filter_, shown)
    if name in ("created_at", "updated_at"):
        return filter_dates.moment(context.now, filter_, shown)
    if name in _NUMBERS or name == "duration":
        return _number(filter_, shown)
    if name in _COLUMNS:
        return _column(context, filter_, shown)
    return _OTHERS.get(name, _relative)(context, filter_, shown)


def _check(filter_: Filter, kind: FilterKind, shown: str) -> None:
    if filter_.operator not in kind.operators:
        raise invalid_query("filter_operator", name=shown)
    if filter_.operator in filter_kinds.WITHOUT_VALUES:
        if any(filter_.values):
            raise invalid_query("filter_values", name=shown)
    elif not any(value.strip() for value in filter_.values):
        raise invalid_query("blank", name=shown)


def _column(context: FilterContext, filter_: Filter, shown: str) -> Condition:
    column = _COLUMNS[filter_.name]
    if filter_.name == "version" and filter_.operator in ("o", "c", "l"):
        status = {"o": "open", "c": "closed", "l": "locked"}[filter_.operator]
        found = [id_ for id_, version in context.catalogue.versions.items() if version["status"] == status]
        return f"{column} IN {_LISTED}", [json.dumps(found)]
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

    def of_projects(rows: Iterable[tuple[int, object]]) -> list[int]:
        return [id_ for id_, row in rows if row["project_id"] in viewer.projects]  # type: ignore[index]

    existing: dict[str, Callable[[], Iterable[int]]] = {
        "status": lambda: catalogue.statuses,
        "type": lambda: catalogue.types,
        "priority": lambda: catalogue.priorities,
        "project": lambda: viewer.projects,
        "version": lambda: of_projects(catalogue.versions.items()),
        "category": lambda: of_projects(catalogue.categories.items()),
        "assigned_to_role": lambda: context.db.column(
            "SELECT role_id FROM role_permissions WHERE permission = 'work_package_assigned'"
        ),
    }
    people = filter_.name in _PEOPLE
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


def _relative(context: FilterContext, filter_: Filter, shown: str) -> Condition:
    listed = json.dumps(_visible_ids(context, filter_, shown))
    negated = "NOT " if filter_.operator == "!" else ""
    if filter_.name == "ancestor":
        # Of two asked for, the lower one is not taken for a descendant of the upper one [L].
        seen, values = ("", []) if context.catalogue.whole else visible_below(context.viewer)
        below = f"SELECT descendant_id FROM hierarchies AS line WHERE ancestor_id IN {_LISTED} {seen} EXCEPT SELECT value FROM json_each(?)"  # noqa: S608 - no value inside
        return f"id {negated}IN ({below})", [listed, *values, listed]
    if filter_.name == "relates":
        ends = " UNION ".join(
            f"SELECT {one} FROM relations WHERE relation_type = 'relates' AND {other} IN {_LISTED}"  # noqa: S608 - no value inside
            for one, other in (("from_id", "to_id"), ("to_id", "from_id"))
        )
        return f"id {negated}IN ({ends})", [listed, listed]
    kind, one, other = _RELATIONS[filter_.name]
    ends = f"SELECT {one} FROM relations WHERE relation_type = ? AND {other} IN {_LISTED}"  # noqa: S608 - no value inside
    return f"id {negated}IN ({ends})", [kind, listed]


def _relatable(context: FilterContext, filter_: Filter, shown: str) -> Condition:
    """What this work package could be related to: neither itself, nor its family, nor what it is related to already or leads to it."""
    if len(filter_.values) != 1:
        raise invalid_query("filter_values", name=shown)
    [id_] = _visible_ids(context, filter_, shown)
    seen = json.dumps(list(context.viewer.projects))
    # Step by step, over what is seen alone.
    up = "SELECT ?1 UNION SELECT parent.id FROM up JOIN work_packages AS own ON own.id = up.id JOIN work_packages AS parent ON parent.id = own.parent_id WHERE parent.project_id IN (SELECT value FROM json_each(?2))"
    down = "SELECT ?1 UNION SELECT child.id FROM down JOIN work_packages AS child ON child.parent_id = down.id WHERE child.project_id IN (SELECT value FROM json_each(?2))"
    family = f"WITH RECURSIVE up (id) AS ({up}), down (id) AS ({down}) SELECT id FROM up UNION SELECT id FROM down"  # noqa: S608 - no value inside
    related = "SELECT from_id FROM relations WHERE to_id = ?1 UNION SELECT to_id FROM relations WHERE from_id = ?1"
    unfit = {*context.db.column(family, id_, seen), *context.db.column(related, id_)}
    kind, one, other = _RELATIONS.get(filter_.operator, ("", "from_id", "to_id"))
    if kind:
        step = f"SELECT {one} FROM relations JOIN chain ON {other} = chain.id JOIN work_packages AS next ON next.id = {one} WHERE relation_type = ?2 AND next.project_id IN (SELECT value FROM json_each(?3))"  # noqa: S608 - names of columns
        chain = f"WITH RECURSIVE chain (id) AS (SELECT ?1 UNION {step}) SELECT id FROM chain"  # noqa: S608 - no value inside
        unfit |= set(context.db.column(chain, id_, kind, seen))
    return f"id NOT IN {_LISTED}", [json.dumps(sorted(unfit))]


def _watched(context: FilterContext, filter_: Filter, shown: str) -> Condition:
    ids = json.dumps(_existing_ids(context, filter_, shown))
    negated = "NOT " if filter_.operator == "!" else ""
    return f"id {negated}IN (SELECT work_package_id FROM watchers WHERE user_id IN {_LISTED})", [ids]  # noqa: S608 - no value inside


def _in_role(context: FilterContext, filter_: Filter, shown: str) -> Condition:
    """Assigned to somebody who has one of these roles in any project that is seen."""
    assignable = "SELECT role_id FROM role_permissions WHERE permission = 'work_package_assigned'"
    any_role = filter_.operator.endswith("*")
    ids = [] if any_role else _existing_ids(context, filter_, shown)
    users = f"SELECT user_id FROM members WHERE role_id IN ({assignable if any_role else _LISTED}) AND project_id IN {_LISTED}"  # noqa: S608 - no value inside
    values = [*([] if any_role else [json.dumps(ids)]), json.dumps(list(context.viewer.projects))]
    if filter_.operator.startswith("!"):
        return f"(assigned_to_id IS NULL OR assigned_to_id NOT IN ({users}))", [*values]
    return f"assigned_to_id IN ({users})", [*values]


def _milestone(_: FilterContext, filter_: Filter, shown: str) -> Condition:
    values = [value for value in filter_.values if value]
    if len(values) != 1 or values[0] not in ("t", "f"):
        raise invalid_query("filter_values", name=shown)
    wanted = (filter_.operator == "=") == (values[0] == "t")
    return f"type_id {'' if wanted else 'NOT '}IN (SELECT id FROM types WHERE is_milestone)", []  # noqa: S608 - no value inside


_OTHERS: dict[str, Callable[[FilterContext, Filter, str], Condition]] = {
    "relatable": _relatable, "watcher": _watched, "assigned_to_role": _in_role, "is_milestone": _milestone,
}  # fmt: skip


_NINE = Whole("a number of nine digits", r"-?\d{1,9}", sees="a filter of a request")


def _number(filter_: Filter, shown: str) -> Condition:
    column, unit = _NUMBERS.get(filter_.name, ("working_days(start_date, due_date)", 1))
    milestones = "type_id IN (SELECT id FROM types WHERE is_milestone)"
    if filter_.operator == "!*":
        also = {"estimated_hours": f" OR {column} = 0", "duration": f" OR {milestones}"}.get(filter_.name, "")
        return f"{column} IS NULL{also}", []
    only = f" AND NOT {milestones}" if filter_.name == "duration" else ""
    if filter_.operator == "*":
        return f"{column} IS NOT NULL{only}", []
    if any(not _NINE.match(value) for value in filter_.values):
        raise invalid_query("filter_integer", name=shown)
    numbers = [int(value) * unit for value in filter_.values]
    if filter_.operator in (">=", "<="):
        return f"{column} {filter_.operator} ?{only}", [numbers[0]]
    if filter_.operator == "=":
        return f"{column} IN {_LISTED}{only}", [json.dumps(numbers)]
    return f"({column} IS NULL OR {column} NOT IN {_LISTED}){only}", [json.dumps(numbers)]


def _custom_field(field: int, filter_: Filter) -> Condition:
    """Work packages whose type lacks the field never match, not even with `!` [L]; the empty ones match `!` and `!~` [L]."""
    active = "type_id IN (SELECT type_id FROM custom_field_types WHERE custom_field_id = ?)"
    if filter_.operator in ("=", "!"):
        holds = f"value IN {_LISTED}"
        values: list[Value] = [json.dumps(filter_.values)]
    else:
        holds, values = filter_texts.containing("value", next(value for value in filter_.values if value.strip()))
    negated = "NOT " if filter_.operator.startswith("!") else ""
    holding = f"SELECT work_package_id FROM custom_values WHERE custom_field_id = ? AND {holds}"  # noqa: S608 - no value inside
    return f"{active} AND id {negated}IN ({holding})", [field, field, *values]
