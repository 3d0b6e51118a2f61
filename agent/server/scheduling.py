"""What a change does to the ancestors and successors of a work package (reference sections 5.3, 5.4).

The first child switches its parent to automatic scheduling (+1), an automatic parent takes its dates from its children (+1 again
if they differ), the last child's leaving switches it back; a first predecessor does the same to its successor. Each ancestor that
changes because a child came or moved gets a note in the caller's name.

Only what everybody sees who sees a work package can move it: else its dates, totals and lockVersion would tell the others of what
is hidden from them.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec

from . import journals, progress, work_package, working_days
from .access import Viewer, seen_by_all_of
from .call import stamp
from .errors import violation
from .store import Db
from .texts import child_note
from .work_package import WorkPackage

MOST_MOVED = 200
"""Work packages whose dates one request moves beside its own: each takes a millisecond or two, in which the board answers nobody."""


class Scheduler:
    """Carries the effects of one request of one caller."""

    def __init__(self, db: Db, viewer: Viewer, now: datetime) -> None:
        self._db = db
        self._viewer = viewer
        self._now = now
        self._open: dict[int, list[int]] = {}
        self._moved = 0

    def child_came(self, child: WorkPackage) -> None:
        """It was created under its parent or moved there."""
        parent = self._parent(child.parent_id)
        if parent is None or child.id not in self._children(parent):
            return
        note = child_note(child.id, self._viewer.language)
        only = self._children(parent) == [child.id]
        after = self._totalled(parent)
        if parent.schedule_manually and only and not self._predecessors(parent):
            after = msgspec.structs.replace(after, schedule_manually=False)
        if after != parent:
            parent = self._save(parent, after, note)
        self._total_ancestors(parent, note)
        self._follow_children(parent, note)

    def progress_changed(self, item: WorkPackage) -> None:
        """Its work, remaining work or % complete: the totals of all above it follow, and its own if it has children."""
        own = self._totalled(item)
        if own != item:
            self._save(item, own, "")
        self._total_ancestors(item, child_note(item.id, self._viewer.language))

    def child_went(self, parent_id: int | None) -> None:
        """One was deleted or moved away."""
        parent = self._parent(parent_id)
        if parent is None:
            return
        after = self._totalled(parent)
        if after != parent:
            parent = self._save(parent, after, "")
        self._total_ancestors(parent, "")
        if self._children(parent):
            self._follow_children(parent, "")
        elif not parent.schedule_manually and not self._predecessors(parent):
            self._save(parent, msgspec.structs.replace(parent, schedule_manually=True), "")

    def dates_changed(self, item: WorkPackage) -> None:
        """Its automatic ancestors and successors move along, and theirs.

        Raises:
            ApiError: 422, these are too many for one request.
        """
        way = [(item.id, self._moved_by(item))]
        # Who sees not all of it can close a circle.
        on_the_way = {item.id}
        while way:
            moved = next(way[-1][1], None)
            if moved is None:
                on_the_way.discard(way.pop()[0])
            elif moved.id not in on_the_way:
                on_the_way.add(moved.id)
                way.append((moved.id, self._moved_by(moved)))

    def _moved_by(self, item: WorkPackage) -> Iterator[WorkPackage]:
        """What moves because it did, without what moves because of that; each has moved when it is told."""
        for successor in self._db.column(
            "SELECT from_id FROM relations WHERE to_id = ? AND relation_type = 'follows'", item.id
        ):
            if moved := self._put_behind_predecessors(successor):
                yield self._counted(moved)
        parent = self._parent(item.parent_id)
        if parent is not None and (
            moved := self._put_over_children(parent, child_note(item.id, self._viewer.language))
        ):
            yield self._counted(moved)

    def _counted(self, moved: WorkPackage) -> WorkPackage:
        self._moved += 1
        if self._moved > MOST_MOVED:
            raise violation("dueDate", "too_many_moved", most=str(MOST_MOVED))
        return moved

    def predecessor_came(self, successor_id: int) -> None:
        """The first predecessor of a childless work package makes it automatic; its dates may move in the same write (+1 in all) [L]."""
        successor = work_package.load_one(self._db, successor_id)
        if (
            successor
            and successor.schedule_manually
            and len(self._predecessors(successor)) == 1
            and not self._children(successor)
        ):
            after = self._after_predecessors(msgspec.structs.replace(successor, schedule_manually=False))
            self._save(successor, after, "")
            self.dates_changed(after)
        else:
            self._follow_predecessors(successor_id)

    def predecessor_went(self, successor_id: int) -> None:
        """The last one's leaving switches back to manual (+1) [L]."""
        successor = work_package.load_one(self._db, successor_id)
        if successor is None or successor.schedule_manually or self._children(successor):
            return
        if self._predecessors(successor):
            self._follow_predecessors(successor_id)
        else:
            self._save(successor, msgspec.structs.replace(successor, schedule_manually=True), "")

    def is_driven(self, item: WorkPackage) -> bool:
        """Whether children or predecessors decide about its dates once it is automatic."""
        return bool(self._children(item) or self._predecessors(item))

    def settled(self, item: WorkPackage) -> WorkPackage:
        """Dates that the caller wrote although others decide about them are put back, without a word [L]."""
        if item.schedule_manually:
            return item
        if self._children(item):
            return self._over_children(item)
        return self._after_predecessors(item)

    def _total_ancestors(self, item: WorkPackage, note: str) -> None:
        below = item
        for above in reversed(work_package.ancestors(self._db, item.id)):
            before = work_package.load_one(self._db, above)
            if before is None or below.project_id not in self._seen(before):
                return
            after = self._totalled(before)
            below = self._save(before, after, note) if after != before else before

    def _totalled(self, item: WorkPackage) -> WorkPackage:
        row = self._db.row(
            "WITH RECURSIVE family (id) AS (SELECT ?1 UNION ALL SELECT child.id FROM family JOIN work_packages AS child"
            " ON child.parent_id = family.id WHERE child.project_id IN (SELECT value FROM json_each(?2)))"
            " SELECT count(*) AS number, sum(estimated_minutes) AS work, sum(remaining_minutes) AS remaining FROM family"
            " JOIN work_packages USING (id)",
            item.id,
            self._seen_with(item),
        )
        if row is None:
            return item
        return progress.totals(item, work=row["work"], remaining=row["remaining"], has_children=row["number"] > 1)

    def _parent(self, id_: int | None) -> WorkPackage | None:
        return None if id_ is None else work_package.load_one(self._db, id_)

    def _seen(self, item: WorkPackage) -> list[int]:
        """The projects that everybody sees who sees this work package."""
        if item.project_id not in self._open:
            self._open[item.project_id] = seen_by_all_of(self._db, item.project_id)
        return self._open[item.project_id]

    def _seen_with(self, item: WorkPackage) -> str:
        return json.dumps(self._seen(item))

    def _children(self, item: WorkPackage) -> list[int]:
        return self._db.column(
            "SELECT id FROM work_packages WHERE parent_id = ? AND project_id IN (SELECT value FROM json_each(?)) ORDER BY id",
            item.id,
            self._seen_with(item),
        )

    def _predecessors(self, item: WorkPackage) -> list[int]:
        return self._db.column(
            "SELECT to_id FROM relations JOIN work_packages ON work_packages.id = to_id WHERE from_id = ?"
            " AND relation_type = 'follows' AND project_id IN (SELECT value FROM json_each(?))",
            item.id,
            self._seen_with(item),
        )

    def _follow_children(self, parent: WorkPackage, note: str) -> None:
        if moved := self._put_over_children(parent, note):
            self.dates_changed(moved)

    def _put_over_children(self, parent: WorkPackage, note: str) -> WorkPackage | None:
        """As it has been saved; None if it stays where it is."""
        after = self._over_children(parent)
        is_moved = (parent.start_date, parent.due_date) != (after.start_date, after.due_date)
        return self._save(parent, after, note) if is_moved else None

    def _over_children(self, parent: WorkPackage) -> WorkPackage:
        if parent.schedule_manually:
            return parent
        listed = json.dumps(self._children(parent))
        dates = self._db.rows(
            "SELECT start_date, due_date FROM work_packages WHERE id IN (SELECT value FROM json_each(?))", listed
        )
        days = _present(day for row in dates for day in row)
        return msgspec.structs.replace(parent, start_date=min(days, default=None), due_date=max(days, default=None))

    def _follow_predecessors(self, successor_id: int) -> None:
        if moved := self._put_behind_predecessors(successor_id):
            self.dates_changed(moved)

    def _put_behind_predecessors(self, successor_id: int) -> WorkPackage | None:
        """As it has been saved; None if it stays where it is."""
        before = work_package.load_one(self._db, successor_id)
        if before is None or before.schedule_manually or self._children(before):
            return None
        after = self._after_predecessors(before)
        is_moved = (before.start_date, before.due_date) != (after.start_date, after.due_date)
        return self._save(before, after, "") if is_moved else None

    def _after_predecessors(self, item: WorkPackage) -> WorkPackage:
        """As soon as all predecessors allow, its duration kept."""
        earliest = max(
            (
                working_days.after(row["day"], 1 + (row["lag"] or 0))
                for row in self._db.rows(
                    "SELECT coalesce(due_date, start_date) AS day, lag FROM relations JOIN work_packages ON work_packages.id = to_id"
                    " WHERE from_id = ? AND relation_type = 'follows' AND coalesce(due_date, start_date) IS NOT NULL"
                    " AND project_id IN (SELECT value FROM json_each(?))",
                    item.id,
                    self._seen_with(item),
                )
            ),
            default=None,
        )
        if earliest is None or item.start_date == earliest:
            return item
        due = item.due_date
        if due is not None:
            days = working_days.count(item.start_date, due) if item.start_date else 1
            due = max(due, earliest) if item.start_date is None else working_days.after(earliest, days - 1)
        return msgspec.structs.replace(item, start_date=earliest, due_date=due)

    def _save(self, before: WorkPackage, after: WorkPackage, note: str) -> WorkPackage:
        after = msgspec.structs.replace(after, lock_version=before.lock_version + 1, updated_at=stamp(self._now))
        work_package.update(self._db, before, after)
        journals.record(self._db, after, self._viewer.id, self._now, "" if self._said(after.id, note) else note)
        return after

    def _said(self, id_: int, note: str) -> bool:
        """Whether this request has left that note already: one is enough."""
        last = self._db.row(
            "SELECT notes, updated_at FROM journals WHERE work_package_id = ? ORDER BY version DESC LIMIT 1", id_
        )
        return bool(last and last["notes"] == note and last["updated_at"] == stamp(self._now))


def _present(days: Iterable[str | None]) -> list[str]:
    return [day for day in days if day is not None]
