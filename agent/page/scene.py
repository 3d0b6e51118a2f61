"""Work packages with all that decides about them, read from the board's file in a handful of queries.

However many closed ones there are, those that matter are found by index: the open ones, and what these hang on.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from agent import choose
from agent.model import Around, Principal, Relation, WorkPackage
from agent.page import authors
from agent.page.judge import Judge
from agent.page.words import Words, words_of
from agent.server import catalogue
from agent.server.store import Db, Row

_COLUMNS = "id, project_id, type_id, status_id, priority_id, assigned_to_id, parent_id, subject, due_date, lock_version, updated_at"
_SELECT = f"SELECT {_COLUMNS} FROM work_packages WHERE"  # noqa: S608 - constants
_LISTED = "IN (SELECT value FROM json_each(?))"


class Facts(Struct, frozen=True, kw_only=True):
    """The small tables."""

    words: Words
    fleet: frozenset[int]
    """The accounts that pods act as, as far as the board shows."""
    people: Mapping[int, Principal]
    assignable: Mapping[int, frozenset[int]]
    """Who can be an assignee, by project: all of them."""


class Setting(Struct, frozen=True):
    """The small tables, and who judges by them."""

    facts: Facts
    judge: Judge
    is_whole: bool = True
    """Whether the fleet is all that it is known to be to whoever sees everything."""
    narrower: dict[frozenset[int], Setting] = field(default_factory=dict)
    """As others see it, by the fleet that they know."""

    def with_fleet(self, fleet: frozenset[int]) -> Setting:
        """The same for those to whom only these accounts are the fleet's."""
        if fleet == self.facts.fleet:
            return self
        found = self.narrower.get(fleet)
        if found is None:
            facts = replace(self.facts, fleet=fleet)
            found = self.narrower[fleet] = Setting(facts, _judge(facts), is_whole=False)
        return found

    @property
    def words(self) -> Words:
        """What the board's ids mean."""
        return self.facts.words


Near: TypeAlias = tuple[list[WorkPackage], list[WorkPackage], list[Relation], list[WorkPackage]]
"""Ancestors, children, relations that hold back, and their other ends."""


class Scene(Struct, frozen=True, kw_only=True):
    """The work packages asked for (`shown`), and beside them those that decide about them."""

    known: Setting
    read: Mapping[int, tuple[object, ...]]
    """What was read of each."""
    items: Mapping[int, WorkPackage]
    shown: frozenset[int]
    children: Mapping[int, list[WorkPackage]]
    waits: Mapping[int, list[Relation]]
    """By who waits."""

    def near(self, item: WorkPackage) -> Near:
        """What decides about one of those asked for, besides itself."""
        ancestors = [self.items[one] for one in item.ancestors]
        relations = [one for id_ in (item.id, *item.ancestors) if id_ in self.waits for one in self.waits[id_]]
        ends = sorted({end for one in relations for end in (one.source, one.target)})
        others = [self.items[one] for one in ends if one in self.items]
        return ancestors, self.children.get(item.id, []), relations, others


def around(near: Near) -> Around:
    """The same as the ladder wants it."""
    ancestors, children, relations, others = near
    return Around(
        ancestors=tuple(ancestors),
        children=tuple(choose.as_row(one) for one in children),
        relations=tuple(relations),
        others=tuple(others),
    )


def setting(db: Db, before: Setting | None = None, *, projects: Iterable[int] | None = None) -> Setting:
    """Read the small tables.

    Args:
        db: the board's file.
        before: what is returned if nothing has changed since.
        projects: those of the viewer, all if left out: who acts for the fleet is told by what happens there.
    """
    known = catalogue.load(db)
    words = words_of(
        [dict(row) for row in known.statuses.values()],
        [dict(row) for row in known.types.values()],
        [dict(row) for row in known.priorities.values()],
        known.fields,
        known.fields_of_type,
    )
    fleet = authors.fleet(db, words.run_field, projects)
    assignable: defaultdict[int, set[int]] = defaultdict(set)
    for row in db.rows(
        "SELECT project_id, user_id FROM members JOIN role_permissions USING (role_id) WHERE permission = 'work_package_assigned'"
    ):
        assignable[row["project_id"]].add(row["user_id"])
    facts = Facts(
        words=words,
        fleet=fleet,
        people={id_: Principal("users", id_, row["name"]) for id_, row in known.users.items()},
        assignable={id_: frozenset(assignable[id_]) for id_ in known.projects},
    )
    if before is not None and before.facts == facts:
        return before
    return Setting(facts, _judge(facts))


def _judge(facts: Facts) -> Judge:
    unassignable = (id_ for id_, users in facts.assignable.items() if not users & facts.fleet)
    return Judge(facts.words, facts.fleet, facts.assignable, unassignable)


def of_open(db: Db, known: Setting, recent: Iterable[int] = (), before: Scene | None = None) -> Scene:
    """Every open work package, and the closed ones with these ids. What is as it was before is the same object."""
    rows = {row["id"]: row for row in db.rows(f"{_SELECT} status_id {_LISTED}", json.dumps(known.words.opened))}
    _add(db, rows, recent)
    return _scene(db, known, rows, before)


def of_one(db: Db, known: Setting, id_: int) -> Scene:
    """One work package, if it exists."""
    rows: dict[int, Row] = {}
    _add(db, rows, [id_])
    return _scene(db, known, rows, None)


def _scene(db: Db, known: Setting, rows: dict[int, Row], before: Scene | None) -> Scene:
    """Whatever decides about the rows is added to them."""
    shown = frozenset(rows)
    _add_ancestors(db, rows)
    waits = _waits(db, rows)
    executable = [id_ for id_ in shown if rows[id_]["type_id"] in known.words.executable]
    below = db.rows(f"{_SELECT} parent_id {_LISTED} ORDER BY id", json.dumps(executable))
    rows |= {row["id"]: row for row in below}
    _add(db, rows, (end for relations in waits.values() for one in relations for end in (one.source, one.target)))
    _add_ancestors(db, rows)
    read = _read(db, known, rows)
    if before is None or before.known is not known:
        items = {id_: _item(known, one) for id_, one in read.items()}
    else:
        old, kept = before.read, before.items
        items = {id_: kept[id_] if old.get(id_) == one else _item(known, one) for id_, one in read.items()}
    children: defaultdict[int, list[WorkPackage]] = defaultdict(list)
    for row in below:
        children[row["parent_id"]].append(items[row["id"]])
    return Scene(known=known, read=read, items=items, shown=shown, children=children, waits=waits)


def _add(db: Db, rows: dict[int, Row], ids: Iterable[int]) -> None:
    wanted = sorted(set(ids) - rows.keys())
    if wanted:
        rows |= {row["id"]: row for row in db.rows(f"{_SELECT} id {_LISTED}", json.dumps(wanted))}


def _add_ancestors(db: Db, rows: dict[int, Row]) -> None:
    while missing := {row["parent_id"] for row in rows.values()} - rows.keys() - {None}:
        _add(db, rows, missing)


def _waits(db: Db, ids: Iterable[int]) -> dict[int, list[Relation]]:
    """What these wait for, and only that."""
    listed = json.dumps(list(ids))
    found: defaultdict[int, list[Relation]] = defaultdict(list)
    for row in db.rows(
        f"SELECT id, relation_type, from_id, to_id FROM relations WHERE to_id {_LISTED} AND relation_type = 'blocks' UNION ALL"  # noqa: S608 - constants
        f" SELECT id, relation_type, from_id, to_id FROM relations WHERE from_id {_LISTED} AND relation_type IN ('follows', 'requires')"
        " ORDER BY id",
        listed,
        listed,
    ):
        relation = Relation(*row)
        if (pair := relation.blocked_and_blocker()) is not None:
            found[pair[0]].append(relation)
    return found


def _read(db: Db, known: Setting, rows: Mapping[int, Row]) -> dict[int, tuple[object, ...]]:
    """All that is told of each: its row, the fleet's two texts, and what is above it."""
    listed = json.dumps(list(rows))
    pods, runs = (_values(db, field, listed) for field in (known.words.pod_field, known.words.run_field))
    chains: dict[int, tuple[int, ...]] = {}
    return {
        id_: (*row, pods.get(id_, ""), runs.get(id_, ""), _chain(row["parent_id"], rows, chains))
        for id_, row in rows.items()
    }


def _values(db: Db, field: int, listed: str) -> dict[int, str]:
    """One field's texts."""
    sql = f"SELECT work_package_id, value FROM custom_values WHERE work_package_id {_LISTED} AND custom_field_id = ?"  # noqa: S608 - constants
    return {row["work_package_id"]: row["value"] for row in db.rows(sql, listed, field)}


def _item(known: Setting, read: tuple[Any, ...]) -> WorkPackage:
    id_, project, type_, status, priority, assignee, parent, subject, due, lock, updated, pod, run, ancestors = read
    return WorkPackage(
        id=id_,
        lock_version=lock,
        subject=subject,
        project=project,
        type=type_,
        status=status,
        priority=priority,
        assignee=known.facts.people.get(assignee),
        parent=parent,
        ancestors=ancestors,
        due_date=dt.date.fromisoformat(due) if due else None,
        updated_at=updated,
        pod=pod,
        run=run,
        has_fields=type_ in known.words.complete,
    )


def _chain(id_: int | None, rows: Mapping[int, Row], known: dict[int, tuple[int, ...]]) -> tuple[int, ...]:
    """A work package and all above it, the root first."""
    new: dict[int, None] = {}
    while id_ is not None and id_ in rows and id_ not in known and id_ not in new:
        new[id_] = None
        id_ = rows[id_]["parent_id"]
    line = known.get(id_, ()) if id_ is not None else ()
    for one in reversed(new):
        line = known[one] = (*line, one)
    return line
