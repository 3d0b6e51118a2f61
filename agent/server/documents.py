"""Work packages as HAL documents, as seen by one caller (reference section 3)."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from . import durations, hal, links, progress, working_days
from .access import Viewer
from .catalogue import Catalogue
from .links import Family
from .store import Db
from .visibility import visible_below
from .work_package import WorkPackage

_LISTED = "(SELECT value FROM json_each(?))"


def elements(db: Db, viewer: Viewer, catalogue: Catalogue, items: Sequence[WorkPackage]) -> list[dict[str, Any]]:
    """Full work packages without `_embedded`, as lists hold them. Invisible ancestors and children are left out [L]."""
    found = _families(db, viewer, catalogue, [item.id for item in items])
    return [
        element(item if catalogue.whole else _totalled(item, found[item.id]), catalogue, viewer, found[item.id])
        for item in items
    ]


def seen(db: Db, viewer: Viewer, catalogue: Catalogue, item: WorkPackage) -> WorkPackage:
    """A work package with the totals that this caller sees."""
    return item if catalogue.whole else _totalled(item, _families(db, viewer, catalogue, [item.id])[item.id])


def _totalled(item: WorkPackage, family: Family) -> WorkPackage:
    """Over itself and what is visible below it: those that are stored may count more."""
    work, remaining = (
        sum(filter(None, (own, below))) if own is not None or below is not None else None
        for own, below in (
            (item.estimated_minutes, family.work_below),
            (item.remaining_minutes, family.remaining_below),
        )
    )
    return progress.totals(item, work=work, remaining=remaining, has_children=bool(family.children))


def _families(db: Db, viewer: Viewer, catalogue: Catalogue, ids: Sequence[int]) -> dict[int, Family]:
    listed = json.dumps(ids)
    ancestors: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
    for row in db.rows(
        "SELECT descendant_id, id, subject, project_id FROM hierarchies JOIN work_packages ON id = ancestor_id"  # noqa: S608 - no value inside
        f" WHERE descendant_id IN {_LISTED} ORDER BY generations DESC",
        listed,
    ):
        if row["project_id"] in viewer.projects:
            ancestors[row["descendant_id"]].append((row["id"], row["subject"]))
        else:
            # What is above a hidden one is above it for those alone who see that.
            ancestors[row["descendant_id"]].clear()
    children: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
    parents = set()
    for row in db.rows(
        f"SELECT parent_id, id, subject, project_id FROM work_packages WHERE parent_id IN {_LISTED} ORDER BY id",  # noqa: S608 - no value inside
        listed,
    ):
        parents.add(row["parent_id"])
        if row["project_id"] in viewer.projects:
            children[row["parent_id"]].append((row["id"], row["subject"]))
    below = _below(db, viewer, catalogue, sorted(parents)) if parents else {}
    watched = set(
        db.column(
            f"SELECT work_package_id FROM watchers WHERE user_id = ? AND work_package_id IN {_LISTED}",  # noqa: S608 - no value inside
            viewer.id,
            listed,
        )
    )
    return {
        id_: Family(
            ancestors=ancestors[id_],
            children=children[id_],
            watched=id_ in watched,
            **below.get(id_, {}),
        )
        for id_ in ids
    }


def _below(db: Db, viewer: Viewer, catalogue: Catalogue, parents: Sequence[int]) -> dict[int, dict[str, Any]]:
    """First and last day and the work of all below, as far as the caller sees it."""
    seen, values = ("", []) if catalogue.whole else visible_below(viewer)
    rows = db.rows(
        "SELECT ancestor_id, min(coalesce(start_date, due_date)) AS derived_start, max(coalesce(due_date, start_date)) AS derived_due,"  # noqa: S608 - no value inside
        " sum(estimated_minutes) AS work_below, sum(remaining_minutes) AS remaining_below"
        f" FROM hierarchies AS line JOIN work_packages ON id = descendant_id WHERE ancestor_id IN {_LISTED} {seen} GROUP BY ancestor_id",
        json.dumps(parents),
        *values,
    )
    return {row["ancestor_id"]: {name: row[name] for name in row.keys() if name != "ancestor_id"} for row in rows}  # noqa: SIM118 - a row


def element(item: WorkPackage, catalogue: Catalogue, viewer: Viewer, family: Family) -> dict[str, Any]:
    """A work package without `_embedded`, as lists hold it (section 3)."""
    milestone = bool(catalogue.types[item.type_id]["is_milestone"])
    dates = (
        {"date": item.due_date}
        if milestone
        else {
            "derivedStartDate": family.derived_start,
            "derivedDueDate": family.derived_due,
            "startDate": item.start_date,
            "dueDate": item.due_date,
            "duration": working_days.duration(item.start_date, item.due_date),
        }
    )
    remaining = {} if item.remaining_minutes is None else {"remainingTime": durations.iso(item.remaining_minutes)}
    fields = {
        f"customField{id_}": item.custom_values.get(id_) for id_ in catalogue.fields_of_type.get(item.type_id, ())
    }
    return {
        "_type": "WorkPackage",
        "id": item.id,
        "displayId": str(item.id),
        "lockVersion": item.lock_version,
        "subject": item.subject,
        "description": hal.formattable(item.description),
        "scheduleManually": item.schedule_manually,
        **dates,
        "estimatedTime": durations.iso(item.estimated_minutes),
        "derivedEstimatedTime": durations.iso(item.derived_estimated_minutes),
        **remaining,
        "derivedRemainingTime": durations.iso(item.derived_remaining_minutes),
        "ignoreNonWorkingDays": item.ignore_non_working_days,
        "percentageDone": item.done_ratio,
        "derivedPercentageDone": item.derived_done_ratio,
        "createdAt": item.created_at,
        "updatedAt": item.updated_at,
        **fields,
        "_links": links.of(item, catalogue, viewer, family),
    }
