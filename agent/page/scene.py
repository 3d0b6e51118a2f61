"""Work packages with all that decides about them, read from the board's file in a handful of queries.

However many closed ones there are, those that matter are found by index: the open ones, and what these hang on.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping

from msgspec import Struct

from agent import choose
from agent.model import Around, Principal, Relation, WorkPackage
from agent.page.judge import Judge
from agent.page.words import FLEET_LOGIN, Words, words_of
from agent.server import catalogue
from agent.server.store import Db, Row

_COLUMNS = "id, project_id, type_id, status_id, priority_id, assigned_to_id, parent_id, subject, due_date, lock_version, updated_at"
_SELECT = f"SELECT {_COLUMNS} FROM work_packages WHERE"
_LISTED = "IN (SELECT value FROM json_each(?))"
_MARKED = "instr(notes, '<!-- ') > 0"
"""As the index `journals_with_markers` says it."""
_MARKER = "<!-- agent run="


class Setting(Struct, frozen=True, kw_only=True):
    """The small tables, and what they mean."""

    words: Words
    judge: Judge
    fleet: frozenset[int]
    """The accounts that pods act as, as far as the board shows."""
    people: Mapping[int, Principal]


class Scene(Struct, frozen=True, kw_only=True):
    """The work packages asked for (`shown`), and beside them those that decide about them."""

    items: Mapping[int, WorkPackage]
    shown: frozenset[int]
    children: Mapping[int, list[WorkPackage]]
    waits: Mapping[int, list[Relation]]
    """By who waits."""
    due: Mapping[int, str | None]

    def around(self, item: WorkPackage) -> Around:
        """The surroundings of one of those asked for, as far as they decide."""
        relations = [relation for id_ in (item.id, *item.ancestors) for relation in self.waits.get(id_, ())]
        ends = {end for one in relations for end in (one.source, one.target)}
        return Around(
            ancestors=tuple(self.items[one] for one in item.ancestors),
            children=tuple(choose.as_row(one) for one in self.children.get(item.id, ())),
            relations=tuple(relations),
            others=tuple(self.items[one] for one in sorted(ends) if one in self.items),
        )


def setting(db: Db) -> Setting:
    """Read the small tables."""
    known = catalogue.load(db)
    found = words_of(
        [dict(row) for row in known.statuses.values()],
        [dict(row) for row in known.types.values()],
        [dict(row) for row in known.priorities.values()],
        known.fields,
        known.fields_of_type,
    )
    fleet = _fleet(db, found)
    assignable: defaultdict[int, set[int]] = defaultdict(set)
    for row in db.rows(
        "SELECT project_id, user_id FROM members JOIN role_permissions USING (role_id) WHERE permission = 'work_package_assigned'"
    ):
        assignable[row["project_id"]].add(row["user_id"])
    unassignable = {id_ for id_ in known.projects if not assignable[id_] & fleet}
    return Setting(
        words=found,
        judge=Judge(found, fleet, known.projects, unassignable),
        fleet=fleet,
        people={id_: Principal("users", id_, row["name"]) for id_, row in known.users.items()},
    )


def _fleet(db: Db, words: Words) -> frozenset[int]:
    """By their names, by the claims that they hold and by what they ever wrote."""
    named = db.column("SELECT id FROM users WHERE login LIKE ?", f"{FLEET_LOGIN}%")
    wrote = db.column(
        f"SELECT id FROM users WHERE EXISTS (SELECT 1 FROM journals WHERE user_id = users.id AND {_MARKED} AND instr(notes, ?))",
        _MARKER,
    )
    holding = db.column(
        "SELECT DISTINCT assigned_to_id FROM custom_values JOIN work_packages ON id = work_package_id"
        " WHERE custom_field_id = ? AND instr(value, '@') AND assigned_to_id IS NOT NULL",
        words.run_field,
    )
    return frozenset((*named, *wrote, *holding))


def of_open(db: Db, known: Setting, recent: Iterable[int] = ()) -> Scene:
    """Every open work package, and the closed ones with these ids."""
    rows = {row["id"]: row for row in db.rows(f"{_SELECT} status_id {_LISTED}", json.dumps(known.words.opened))}
    _add(db, rows, recent)
    return _scene(db, known, rows)


def of_one(db: Db, known: Setting, id_: int) -> Scene:
    """One work package, if it exists."""
    rows: dict[int, Row] = {}
    _add(db, rows, [id_])
    return _scene(db, known, rows)


def _scene(db: Db, known: Setting, rows: dict[int, Row]) -> Scene:
    """Whatever decides about the rows is added to them."""
    shown = frozenset(rows)
    due = {id_: row["due_date"] for id_, row in rows.items()}
    _add_ancestors(db, rows)
    waits = _waits(db, rows)
    executable = [id_ for id_ in shown if rows[id_]["type_id"] in known.words.executable]
    below = db.rows(f"{_SELECT} parent_id {_LISTED} ORDER BY id", json.dumps(executable))
    rows |= {row["id"]: row for row in below}
    _add(db, rows, (end for relations in waits.values() for one in relations for end in (one.source, one.target)))
    _add_ancestors(db, rows)
    items = _items(db, known, rows)
    children: defaultdict[int, list[WorkPackage]] = defaultdict(list)
    for row in below:
        children[row["parent_id"]].append(items[row["id"]])
    return Scene(items=items, shown=shown, children=children, waits=waits, due=due)


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
        f"SELECT id, relation_type, from_id, to_id FROM relations WHERE to_id {_LISTED} AND relation_type = 'blocks' UNION ALL"
        f" SELECT id, relation_type, from_id, to_id FROM relations WHERE from_id {_LISTED} AND relation_type IN ('follows', 'requires')"
        " ORDER BY id",
        listed,
        listed,
    ):
        relation = Relation(*row)
        if (pair := relation.blocked_and_blocker()) is not None:
            found[pair[0]].append(relation)
    return found


def _items(db: Db, known: Setting, rows: Mapping[int, Row]) -> dict[int, WorkPackage]:
    listed = json.dumps(list(rows))
    pods, runs = (_values(db, field, listed) for field in (known.words.pod_field, known.words.run_field))
    chains: dict[int, tuple[int, ...]] = {}
    return {
        id_: WorkPackage(
            id=id_,
            lock_version=row["lock_version"],
            subject=row["subject"],
            project=row["project_id"],
            type=row["type_id"],
            status=row["status_id"],
            priority=row["priority_id"],
            assignee=known.people.get(row["assigned_to_id"]),
            parent=row["parent_id"],
            ancestors=_chain(row["parent_id"], rows, chains),
            due_date=dt.date.fromisoformat(row["due_date"]) if row["due_date"] else None,
            updated_at=row["updated_at"],
            pod=pods.get(id_, ""),
            run=runs.get(id_, ""),
            has_fields=row["type_id"] in known.words.complete,
        )
        for id_, row in rows.items()
    }


def _values(db: Db, field: int, listed: str) -> dict[int, str]:
    """One field's texts."""
    sql = f"SELECT work_package_id, value FROM custom_values WHERE work_package_id {_LISTED} AND custom_field_id = ?"
    return {row["work_package_id"]: row["value"] for row in db.rows(sql, listed, field)}


def _chain(id_: int | None, rows: Mapping[int, Row], known: dict[int, tuple[int, ...]]) -> tuple[int, ...]:
    """A work package and all above it, the root first."""
    if id_ is None or id_ not in rows:
        return ()
    if id_ not in known:
        known[id_] = (*_chain(rows[id_]["parent_id"], rows, known), id_)
    return known[id_]
