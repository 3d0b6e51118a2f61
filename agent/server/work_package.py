"""A work package as it is stored: read, written and its place in the hierarchy kept. No rules here."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from .store import Db


class WorkPackage(msgspec.Struct, frozen=True, kw_only=True):
    """One row of work_packages with its custom values (only those that are not null)."""

    id: int
    project_id: int
    type_id: int
    status_id: int
    priority_id: int
    author_id: int
    assigned_to_id: int | None = None
    responsible_id: int | None = None
    version_id: int | None = None
    category_id: int | None = None
    parent_id: int | None = None
    subject: str = ""
    description: str = ""
    start_date: str | None = None
    due_date: str | None = None
    schedule_manually: bool = True
    ignore_non_working_days: bool = False
    estimated_minutes: int | None = None
    remaining_minutes: int | None = None
    done_ratio: int | None = None
    derived_estimated_minutes: int | None = None
    derived_remaining_minutes: int | None = None
    derived_done_ratio: int | None = None
    lock_version: int = 0
    created_at: str = ""
    updated_at: str = ""
    custom_values: Mapping[int, str] = {}

    def texts(self) -> tuple[str, ...]:
        """All that somebody wrote in it."""
        return self.subject, self.description, *self.custom_values.values()


_COLUMNS = tuple(field for field in WorkPackage.__struct_fields__ if field != "custom_values")
_INSERT = (
    f"INSERT INTO work_packages ({', '.join(_COLUMNS[1:])}) VALUES ({', '.join(':' + name for name in _COLUMNS[1:])})"  # noqa: S608 - names of fields
)
_UPDATE = f"UPDATE work_packages SET {', '.join(f'{name} = :{name}' for name in _COLUMNS[1:])} WHERE id = :id"  # noqa: S608 - names of fields


def load(db: Db, ids: Iterable[int]) -> dict[int, WorkPackage]:
    """The work packages with these ids, those that exist, in the order of the ids."""
    wanted = list(ids)
    listed = json.dumps(wanted)
    values: defaultdict[int, dict[int, str]] = defaultdict(dict)
    for row in db.rows("SELECT * FROM custom_values WHERE work_package_id IN (SELECT value FROM json_each(?))", listed):
        values[row["work_package_id"]][row["custom_field_id"]] = row["value"]
    found = {
        row["id"]: msgspec.convert({**row, "custom_values": values.get(row["id"], {})}, WorkPackage, strict=False)
        for row in db.rows("SELECT * FROM work_packages WHERE id IN (SELECT value FROM json_each(?))", listed)
    }
    return {id_: found[id_] for id_ in wanted if id_ in found}


def load_one(db: Db, id_: int) -> WorkPackage | None:
    """One work package, if it exists."""
    return load(db, [id_]).get(id_)


def insert(db: Db, work_package: WorkPackage) -> WorkPackage:
    """Store a new one, below its parent."""
    id_ = db.run_named(_INSERT, _values(work_package))
    created = msgspec.structs.replace(work_package, id=id_)
    _store_custom_values(db, created)
    attach(db, created.id, created.parent_id)
    return created


def update(db: Db, before: WorkPackage, after: WorkPackage) -> None:
    """Store what changed."""
    db.run_named(_UPDATE, _values(after))
    if before.custom_values != after.custom_values:
        db.run("DELETE FROM custom_values WHERE work_package_id = ?", after.id)
        _store_custom_values(db, after)
    if before.parent_id != after.parent_id:
        _detach(db, after.id)
        attach(db, after.id, after.parent_id)


def delete(db: Db, ids: Iterable[int]) -> None:
    """Remove work packages that have no children but each other."""
    doomed = json.dumps(list(ids))
    db.run("UPDATE work_packages SET parent_id = NULL WHERE id IN (SELECT value FROM json_each(?))", doomed)
    db.run("DELETE FROM work_packages WHERE id IN (SELECT value FROM json_each(?))", doomed)


def below_only(db: Db, ids: Iterable[int]) -> list[int]:
    """The children of some that are not among them."""
    return db.column(
        "SELECT id FROM work_packages WHERE parent_id IN (SELECT value FROM json_each(?1))"
        " AND id NOT IN (SELECT value FROM json_each(?1)) ORDER BY id",
        json.dumps(list(ids)),
    )


def ancestors(db: Db, id_: int) -> list[int]:
    """All above it, the root first."""
    return db.column("SELECT ancestor_id FROM hierarchies WHERE descendant_id = ? ORDER BY generations DESC", id_)


def descendants(db: Db, id_: int) -> list[int]:
    """All below it."""
    return db.column("SELECT descendant_id FROM hierarchies WHERE ancestor_id = ?", id_)


def children(db: Db, id_: int) -> list[int]:
    """Those directly below it."""
    return db.column("SELECT id FROM work_packages WHERE parent_id = ? ORDER BY id", id_)


def attach(db: Db, id_: int, parent_id: int | None) -> None:
    """Put a work package, with all below it, under a parent."""
    if parent_id is None:
        return
    db.run(
        "INSERT INTO hierarchies SELECT above.id, below.id, above.generations + below.generations + 1"
        " FROM (SELECT ancestor_id AS id, generations FROM hierarchies WHERE descendant_id = ?1 UNION ALL SELECT ?1, 0) AS above,"
        " (SELECT descendant_id AS id, generations FROM hierarchies WHERE ancestor_id = ?2 UNION ALL SELECT ?2, 0) AS below",
        parent_id,
        id_,
    )


def _detach(db: Db, id_: int) -> None:
    db.run(
        "DELETE FROM hierarchies WHERE ancestor_id IN (SELECT ancestor_id FROM hierarchies WHERE descendant_id = ?1)"
        " AND (descendant_id = ?1 OR descendant_id IN (SELECT descendant_id FROM hierarchies WHERE ancestor_id = ?1))",
        id_,
    )


def _store_custom_values(db: Db, work_package: WorkPackage) -> None:
    db.run_many(
        "INSERT INTO custom_values VALUES (?, ?, ?)",
        [(work_package.id, *value) for value in work_package.custom_values.items()],
    )


def _values(work_package: WorkPackage) -> dict[str, str | int | None]:
    return {name: getattr(work_package, name) for name in _COLUMNS}
