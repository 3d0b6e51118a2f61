"""Filters on days and on moments as SQL (reference section 2.3)."""

from collections.abc import Callable
from datetime import datetime, time, timedelta

from .bounded import DAY, Whole
from .call import stamp
from .errors import invalid_query
from .params import Filter
from .store import Value

Condition = tuple[str, list[Value]]

_MOMENT = Whole(
    "a moment",
    r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d))?",
    sees="a filter of a request",
)
_FEW_DAYS = Whole("a number of days", r"-?\d{1,5}", sees="a filter of a request")


def day(now: datetime, filter_: Filter, shown: str) -> Condition:
    """A column that holds a day."""
    column, today = filter_.name, now.date()
    if filter_.operator == "!*":
        return f"{column} IS NULL", []
    if filter_.operator in ("=d", "<>d"):
        low, high = _range(filter_, shown, "filter_date", DAY)
    else:
        low, high = _around(filter_, shown, today.weekday(), lambda days: (today + timedelta(days=days)).isoformat())
    return f"{column} IS NOT NULL AND {column} >= ? AND {column} <= ?", [low, high or "9999-12-31"]


def interval(filter_: Filter, shown: str) -> Condition:
    """Work that starts, ends or goes on between two days."""
    low, high = _range(filter_, shown, "filter_date", DAY)
    last = high or "9999-12-31"
    sql = "(start_date < ? AND due_date > ?) OR (start_date >= ? AND start_date <= ?) OR (due_date >= ? AND due_date <= ?)"
    return sql, [low, low, low, last, low, last]


def moment(now: datetime, filter_: Filter, shown: str) -> Condition:
    """A column that holds a moment."""
    column, today = filter_.name, now.date()
    if filter_.operator in ("=d", "<>d"):
        low, high = _range(filter_, shown, "filter_date_time", _MOMENT)
        try:
            low, high = (_in_utc(moment) for moment in (low, high))
            if filter_.operator == "=d":
                high = stamp(datetime.fromisoformat(low) + timedelta(days=1, milliseconds=-1))
        except (ValueError, OverflowError):
            raise invalid_query("filter_date_time", name=shown) from None
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


def _range(filter_: Filter, shown: str, key: str, pattern: Whole) -> tuple[str, str]:
    low, high = (*filter_.values, "", "")[:2] if filter_.operator == "<>d" else (filter_.values[0],) * 2
    if any(value and not pattern.match(value) for value in (low, high)):
        raise invalid_query(key, name=shown)
    return low, high


def _in_utc(moment: str) -> str:
    if not moment:
        return ""
    parsed = datetime.fromisoformat(moment)
    return stamp(parsed - parsed.utcoffset() if parsed.utcoffset() else parsed)  # type: ignore[operator] # it has an offset here


def _days(filter_: Filter, shown: str) -> int:
    if not _FEW_DAYS.match(filter_.values[0]):
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
