"""Durations as ISO 8601 has them (reference section 1.8), in minutes. Pure."""

from .bounded import Whole

_HOUR, _DAY = 60, 24 * 60
_DURATION = Whole(
    "a duration",
    r"P(?:(?P<weeks>\d{1,15})W)?(?:(?P<days>\d{1,15}(?:\.\d{1,15})?)D)?"
    r"(?:T(?:(?P<hours>\d{1,15}(?:\.\d{1,15})?)H)?(?:(?P<minutes>\d{1,15}(?:\.\d{1,15})?)M)?(?:(?P<seconds>\d{1,15}(?:\.\d{1,15})?)S)?)?",
    sees="a property of a request",
)
_DAYS = Whole("a duration of days", r"P(\d{1,6})D", sees="a property of a request")
_MINUTES = {"weeks": 7 * _DAY, "days": _DAY, "hours": _HOUR, "minutes": 1, "seconds": 1 / 60}
_MOST = 10**12


def parse(text: str) -> int | None:
    """The minutes of a duration, None if the text is none; the week form stands alone."""
    found = _DURATION.match(text)
    if found is None or text.endswith(("P", "T")) or (found["weeks"] and text[-1] != "W"):
        return None
    minutes = sum(float(found[unit]) * size for unit, size in _MINUTES.items() if found[unit])
    return round(minutes) if minutes <= _MOST else None


def days(text: str) -> int | None:
    """The days of a duration of whole days, None if it is none."""
    found = _DAYS.match(text)
    return int(found[1]) if found else None


def iso(minutes: int | None) -> str | None:
    """`PT4H30M`; days are written as hours and days, as OpenProject writes them."""
    if minutes is None:
        return None
    amount, rest = divmod(minutes, _DAY)
    hours, rest = divmod(rest, _HOUR)
    date = f"{amount}D" if amount else ""
    time = (f"{hours}H" if hours else "") + (f"{rest}M" if rest else "")
    if not date and not time:
        return "PT0S"
    return f"P{date}T{time}" if time else f"P{date}"


def shown(minutes: int | None) -> str | None:
    """`4h`, `4.5h`: how activities tell it."""
    return None if minutes is None else f"{minutes / _HOUR:.2f}".rstrip("0").rstrip(".") + "h"
