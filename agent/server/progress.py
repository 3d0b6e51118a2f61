"""Work, remaining work and % complete, of which two make the third; and their totals over a parent and all below it. Pure.

OpenProject's mode "work-based" with the weighted average, the default (reference section 4).
"""

from collections.abc import Collection

import msgspec

from .work_package import WorkPackage

WORK, REMAINING, RATIO = "estimated_minutes", "remaining_minutes", "done_ratio"
_WHOLE = 100


def derived(before: WorkPackage, after: WorkPackage, given: Collection[str]) -> WorkPackage:
    """The values that were not given, from those that were."""
    if problems(after, given):
        return after
    after = _with_work(before, after, given)
    after, told = _with_remaining(before, after, given)
    if not told and RATIO not in given and _changed(before, after, WORK, REMAINING):
        after = _with_ratio(after)
    return after


def of(item: WorkPackage) -> tuple[int | None, ...]:
    """What its ancestors' totals depend on."""
    return item.estimated_minutes, item.remaining_minutes, item.done_ratio


def problems(item: WorkPackage, given: Collection[str]) -> list[tuple[str, str]]:
    """What is wrong with the values: pairs of a property and a key of `texts`."""
    work, remaining, ratio = item.estimated_minutes, item.remaining_minutes, item.done_ratio
    found = []
    if ratio is not None and not 0 <= ratio <= _WHOLE:
        found.append(("percentageDone", "ratio_range"))
    if work is not None and remaining is not None and remaining > work and (REMAINING in given or WORK not in given):
        found += [("estimatedTime", "work_below_remaining"), ("remainingTime", "remaining_above_work")]
    return found


def conflicts(item: WorkPackage) -> list[tuple[str, str]]:  # noqa: PLR0911 - one for each rule
    """Where all three are set and do not go together."""
    work, remaining, ratio = item.estimated_minutes, item.remaining_minutes, item.done_ratio
    if work == 0 and ratio is not None:
        return [("percentageDone", "ratio_without_work")]
    if work is None and remaining is not None and ratio is not None and ratio != _WHOLE:
        return [("estimatedTime", "work_missing")]
    if remaining is not None and ratio == _WHOLE and remaining > 0:
        return [("remainingTime", "remaining_at_end")]
    if work and remaining is None and ratio is not None:
        return [("remainingTime", "remaining_missing")]
    if work and remaining is not None:
        if ratio is None:
            return [("percentageDone", "ratio_missing")]
        if ratio != _ratio(work, remaining) and remaining != _remaining(work, ratio):
            return [("percentageDone", "ratio_mismatch")]
    return []


def totals(item: WorkPackage, *, work: int | None, remaining: int | None, has_children: bool) -> WorkPackage:
    """A parent with the sums over itself and all below it."""
    if not has_children:
        work = remaining = None
    ratio = round((work - remaining) / work * _WHOLE) if work and remaining is not None else None
    return msgspec.structs.replace(
        item, derived_estimated_minutes=work, derived_remaining_minutes=remaining, derived_done_ratio=ratio
    )


def _changed(before: WorkPackage, after: WorkPackage, *names: str) -> bool:
    return any(getattr(before, name) != getattr(after, name) for name in names)


def _with_work(before: WorkPackage, item: WorkPackage, given: Collection[str]) -> WorkPackage:
    work, remaining, ratio = item.estimated_minutes, item.remaining_minutes, item.done_ratio
    if WORK in given or not _changed(before, item, REMAINING, RATIO) or ratio == _WHOLE:
        return item
    if remaining is None and ratio is None:
        return item
    told = REMAINING in given
    if not (work is None or (told and RATIO in given) or (remaining is None and told)):
        return item
    if remaining is None:
        return msgspec.structs.replace(item, estimated_minutes=None) if _changed(before, item, REMAINING) else item
    work = remaining if ratio is None else round(remaining * _WHOLE / (_WHOLE - ratio))
    return msgspec.structs.replace(item, estimated_minutes=work)


def _with_remaining(  # noqa: PLR0911 - one for each rule
    before: WorkPackage, item: WorkPackage, given: Collection[str]
) -> tuple[WorkPackage, bool]:
    """The item, and whether the ratio was used and so stays."""
    work, remaining, ratio = item.estimated_minutes, item.remaining_minutes, item.done_ratio
    if REMAINING in given or not _changed(before, item, WORK, RATIO) or (work is None and ratio is None):
        return item, False
    if before.estimated_minutes is None and remaining is not None:
        return item, False
    if work is not None and remaining is None and ratio is None:
        return msgspec.structs.replace(item, remaining_minutes=work), False
    if work is not None and remaining is not None and _changed(before, item, WORK) and RATIO not in given:
        moved = remaining + work - (before.estimated_minutes or 0)
        return msgspec.structs.replace(item, remaining_minutes=max(0, min(moved, work))), False
    if work is None:
        cleared = None if _changed(before, item, WORK) else remaining
        return msgspec.structs.replace(item, remaining_minutes=cleared), False
    if ratio is None:
        return msgspec.structs.replace(item, remaining_minutes=None), False
    return msgspec.structs.replace(item, remaining_minutes=_remaining(work, ratio)), True


def _with_ratio(item: WorkPackage) -> WorkPackage:
    work, remaining = item.estimated_minutes, item.remaining_minutes
    if work is None:
        return item
    ratio = None if not work or remaining is None else _ratio(work, remaining)
    return msgspec.structs.replace(item, done_ratio=ratio)


def _remaining(work: int, ratio: int) -> int:
    return round(work * (_WHOLE - ratio) / _WHOLE)


def _ratio(work: int, remaining: int) -> int:
    """0 and 100 are kept for what is exactly so."""
    exact = (work - remaining) / work * _WHOLE
    if 0 < exact < 1:
        return 1
    return _WHOLE - 1 if _WHOLE - 1 < exact < _WHOLE else round(exact)
