"""What a work package must fulfil to be saved (reference sections 4, 5.1, 6): the property errors, in one pass."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from . import durations, progress, work_package, working_days
from .access import Viewer, possible_assignees
from .attributes import Change
from .catalogue import Catalogue
from .errors import ApiError, read_only, violation
from .store import Db
from .visibility import above, levels_below
from .work_package import WorkPackage

MOST_SUBJECT = 255
"""Characters of a subject."""
DEEPEST = 50
"""Levels of work packages below each other: each write goes up all of them, and each look down. Of what is hidden none counts,
or the answer would tell of it."""


def without_project() -> list[ApiError]:
    """A creation that names no project has no type either."""
    return [violation("project", "blank", name="Project"), violation("type", "blank", name="Type")]


def author_errors(author_id: int, change: Change) -> list[ApiError]:
    """The author may be repeated, not changed [L]."""
    return [read_only("author", "Author")] if change.columns.get("author_id", author_id) != author_id else []


def errors(
    db: Db, viewer: Viewer, known: Catalogue, before: WorkPackage | None, after: WorkPackage, *, change: Change
) -> Iterator[ApiError]:
    """All that speaks against saving what somebody wrote; `before` is None for a creation."""
    yield from _people_errors(db, known, before, after)
    if not after.subject.strip():
        yield violation("subject", "blank", name="Subject")
    elif len(after.subject) > MOST_SUBJECT:
        yield violation("subject", "too_long", name="Subject")
    if after.priority_id not in known.priorities:
        yield violation("priority", "blank", name="Priority")
    if after.start_date and after.due_date and after.due_date < after.start_date:
        yield violation("dueDate", "due_before_start")
        yield violation("duration", "duration_positive")
    if before and before.project_id != after.project_id:
        yield from _move_errors(viewer, after)
    yield from _version_errors(known, before, after)
    yield from _category_errors(known, before, after)
    if "parent_id" in change.columns:
        yield from _parent_errors(db, viewer, known, before, after)
    if before:
        yield from _status_errors(db, viewer, known, before, after)


def _people_errors(db: Db, known: Catalogue, before: WorkPackage | None, after: WorkPackage) -> Iterator[ApiError]:
    possible = possible_assignees(db, after.project_id) if after.project_id in known.projects else set()
    for attribute, name, column in (
        ("assignee", "Assignee", "assigned_to_id"),
        ("responsible", "Accountable", "responsible_id"),
    ):
        person = getattr(after, column)
        if person is not None and person not in possible and (before is None or person != getattr(before, column)):
            yield violation(attribute, "not_assignable", name=name)


def _move_errors(viewer: Viewer, after: WorkPackage) -> Iterator[ApiError]:
    # OpenProject tells one that does not exist from one that is hidden; here nobody can.
    if not viewer.may("move_work_packages", after.project_id):
        yield read_only("project", "Project")


def _version_errors(known: Catalogue, before: WorkPackage | None, after: WorkPackage) -> Iterator[ApiError]:
    if after.version_id is None or (
        before and before.version_id == after.version_id and before.project_id == after.project_id
    ):
        return
    version = known.versions.get(after.version_id)
    if version is None or version["project_id"] != after.project_id or version["status"] != "open":
        yield violation("version", "not_listed", name="Version")


def _category_errors(known: Catalogue, before: WorkPackage | None, after: WorkPackage) -> Iterator[ApiError]:
    if after.category_id is None or (
        before and before.category_id == after.category_id and before.project_id == after.project_id
    ):
        return
    category = known.categories.get(after.category_id)
    if category is None:
        yield violation("category", "category_missing")
    elif category["project_id"] != after.project_id:
        yield violation("category", "category_elsewhere")


def derived_errors(before: WorkPackage | None, body: Any) -> list[ApiError]:
    """Totals may be repeated, not changed [L]."""
    present = {
        ("derivedEstimatedTime", "derivedEstimatedHours", "Total work"): durations.iso(
            before.derived_estimated_minutes if before else None
        ),
        ("derivedRemainingTime", "derivedRemainingHours", "Total remaining work"): durations.iso(
            before.derived_remaining_minutes if before else None
        ),
        ("derivedPercentageDone", "derivedPercentageDone", "Total % complete"): before.derived_done_ratio
        if before
        else None,
    }
    written = body if isinstance(body, dict) else {}
    return [
        read_only(attribute, label)
        for (name, attribute, label), value in present.items()
        if written.get(name, value) != value
    ]


def progress_errors(item: WorkPackage, change: Change) -> list[ApiError]:
    """Work, remaining work and % complete that do not go together, if one of them was written."""
    given = [name for name in (progress.WORK, progress.REMAINING, progress.RATIO) if name in change.columns]
    found = progress.problems(item, given) or (progress.conflicts(item) if given else [])
    return [violation(attribute, key) for attribute, key in found]


def _parent_errors(
    db: Db, viewer: Viewer, known: Catalogue, before: WorkPackage | None, after: WorkPackage
) -> Iterator[ApiError]:
    if after.parent_id is None:
        return
    parent = work_package.load_one(db, after.parent_id)
    if parent is None or parent.project_id not in viewer.projects:
        yield violation("parent", "parent_missing")
        if before:
            yield violation("parent", "parent_invisible")
    elif before and before.parent_id == parent.id:
        return
    elif known.types[parent.type_id]["is_milestone"]:
        yield violation("parent", "parent_milestone")
    elif parent.id == after.id:
        yield violation("parent", "parent_self")
    elif before and (_is_below(db, parent.id, before.id) or _related(db, viewer, before.id, parent.id)):
        yield violation("parent", "parent_related")
    elif len(above(db, viewer, parent.id)) + 1 + (levels_below(db, viewer, before.id) if before else 0) >= DEEPEST:
        yield violation("parent", "parent_too_deep", levels=str(DEEPEST))


def _is_below(db: Db, id_: int, top: int) -> bool:
    """By what is hidden, too: a circle would be worse than what this tells to somebody who tries to close one."""
    return bool(db.value("SELECT 1 FROM hierarchies WHERE ancestor_id = ? AND descendant_id = ?", top, id_))


def _related(db: Db, viewer: Viewer, id_: int, parent_id: int) -> bool:
    """Between a work package and those above it no relation is possible [L]."""
    return any(
        db.value(
            "SELECT 1 FROM relations JOIN work_packages ON work_packages.id = ?2 WHERE ((from_id = ?1 AND to_id = ?2)"
            " OR (from_id = ?2 AND to_id = ?1)) AND project_id IN (SELECT value FROM json_each(?3))",
            id_,
            one,
            json.dumps(list(viewer.projects)),
        )
        for one in (parent_id, *above(db, viewer, parent_id))
    )


def _status_errors(
    db: Db, viewer: Viewer, known: Catalogue, before: WorkPackage, after: WorkPackage
) -> Iterator[ApiError]:
    if after.status_id not in known.statuses:
        yield violation("status", "blank", name="Status")
    elif before.type_id == after.type_id and after.status_id not in allowed_statuses(db, viewer, before):
        yield violation("status", "no_transition")


def allowed_statuses(db: Db, viewer: Viewer, item: WorkPackage) -> list[int]:
    """The present status and those that the workflow offers the caller's role; an administrator has every role (section 6)."""
    return db.column(
        "SELECT id FROM statuses WHERE id = ?1 OR id IN (SELECT new_status_id FROM workflows WHERE type_id = ?2 AND old_status_id = ?1"
        " AND (?3 OR role_id IN (SELECT role_id FROM members WHERE user_id = ?4 AND project_id = ?5))) ORDER BY position",
        item.status_id, item.type_id, viewer.admin, viewer.id, item.project_id,
    )  # fmt: skip


def status_of_type(db: Db, known: Catalogue, type_id: int, status_id: int) -> int:
    """The status if the type's workflow knows it, else the default one, without a word [L]."""
    if status_id not in known.statuses or db.value(
        "SELECT 1 FROM workflows WHERE type_id = ? AND old_status_id = ?", type_id, status_id
    ):
        return status_id
    return known.default_status


def with_parents_dates(db: Db, viewer: Viewer, item: WorkPackage, change: Change) -> WorkPackage:
    """A creation that names no dates takes those of its parent where they fit [L]."""
    parent = work_package.load_one(db, item.parent_id) if item.parent_id else None
    if parent is None or parent.project_id not in viewer.projects:
        return item
    start, due = item.start_date, item.due_date
    if (
        start is None
        and parent.start_date
        and "start_date" not in change.columns
        and (due is None or parent.start_date <= due)
    ):
        start = parent.start_date
    if (
        due is None
        and parent.due_date
        and "due_date" not in change.columns
        and (start is None or start <= parent.due_date)
    ):
        due = parent.due_date
    return msgspec.structs.replace(item, start_date=start, due_date=due)


def with_duration(item: WorkPackage, change: Change) -> WorkPackage:
    """A written duration makes the date that was not written."""
    days = change.columns.get("duration")
    if not days or ("start_date" in change.columns and "due_date" in change.columns):
        return item
    if item.start_date is None or ("due_date" in change.columns and item.due_date):
        return item
    if item.ignore_non_working_days:
        due = working_days.later(item.start_date, days - 1)
    else:
        due = working_days.after(item.start_date, days - 1)
    return msgspec.structs.replace(item, due_date=due)


def on_working_days(before: WorkPackage, after: WorkPackage) -> WorkPackage:
    """Dates that were written are moved off the weekend unless it counts [L]."""
    if after.ignore_non_working_days:
        return after
    start, due = (
        day if day is None or day == old else working_days.on_or_after(day)
        for day, old in ((after.start_date, before.start_date), (after.due_date, before.due_date))
    )
    return msgspec.structs.replace(after, start_date=start, due_date=due)
