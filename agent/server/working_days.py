"""Days that count: Monday to Friday, as OpenProject has it by default. Pure."""

from datetime import date, timedelta

_SATURDAY = 5
_DAY = timedelta(days=1)


def duration(start: str | None, due: str | None) -> str | None:
    """Working days from start to finish, both included, as ISO 8601; none without both."""
    return None if start is None or due is None else f"P{count(start, due)}D"


def count(start: str, due: str) -> int:
    """How many working days from start to finish, at least one."""
    first, last = date.fromisoformat(start), date.fromisoformat(due)
    days = ((first + n * _DAY).weekday() for n in range((last - first).days + 1))
    return max(1, sum(day < _SATURDAY for day in days))


def on_or_after(day: str) -> str:
    """The day itself or the Monday after it: dates are moved off the weekend [L]."""
    moved = date.fromisoformat(day)
    while moved.weekday() >= _SATURDAY:
        moved += _DAY
    return moved.isoformat()


def after(day: str, days: int = 1) -> str:
    """The working day that comes so many working days later."""
    moved = date.fromisoformat(day)
    for _ in range(days):
        moved = date.fromisoformat(on_or_after((moved + _DAY).isoformat()))
    return moved.isoformat()
