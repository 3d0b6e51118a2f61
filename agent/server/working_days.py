"""Days that count: Monday to Friday, as OpenProject has it by default. Pure."""

from datetime import date

_SATURDAY = 5
_WEEK = 7


def duration(start: str | None, due: str | None) -> str | None:
    """Working days from start to finish, both included, as ISO 8601; none without both."""
    return None if start is None or due is None else f"P{count(start, due)}D"


def count(start: str, due: str) -> int:
    """How many working days from start to finish, at least one."""
    first, last = date.fromisoformat(start).toordinal(), date.fromisoformat(due).toordinal()
    return max(1, _until(last) - _until(first - 1))


def _until(ordinal: int) -> int:
    """How many working days there were since the first Monday of all, which has the ordinal 1."""
    weeks, days = divmod(ordinal, _WEEK)
    return weeks * _SATURDAY + min(days, _SATURDAY)


def on_or_after(day: str) -> str:
    """The day itself or the Monday after it: dates are moved off the weekend [L]."""
    moved = date.fromisoformat(day)
    beyond = moved.weekday() - _SATURDAY
    return moved.isoformat() if beyond < 0 else _day(moved.toordinal() + 2 - beyond)


def after(day: str, days: int = 1) -> str:
    """The working day that comes so many working days later, and no later than the calendar goes."""
    moved = date.fromisoformat(day)
    if days <= 0:
        return moved.isoformat()
    weeks, rest = divmod(days + min(moved.weekday(), _SATURDAY - 1), _SATURDAY)
    return _day(moved.toordinal() - moved.weekday() + _WEEK * weeks + rest)


def later(day: str, days: int) -> str:
    """The day that comes so many days later, weekends included, and no later than the calendar goes."""
    return _day(date.fromisoformat(day).toordinal() + days)


def _day(ordinal: int) -> str:
    return date.fromordinal(min(ordinal, date.max.toordinal())).isoformat()
