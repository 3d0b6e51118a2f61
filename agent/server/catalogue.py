"""The small tables that every document refers to, read once per request."""

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from .store import Db, Row


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """Statuses, types and so on by id, in their order."""

    statuses: Mapping[int, Row]
    types: Mapping[int, Row]
    priorities: Mapping[int, Row]
    projects: Mapping[int, Row]
    users: Mapping[int, Row]
    versions: Mapping[int, Row]
    categories: Mapping[int, Row]
    fields: Mapping[int, str]
    fields_of_type: Mapping[int, tuple[int, ...]]

    @property
    def default_status(self) -> int:
        """The status of a new work package."""
        return next(id_ for id_, status in self.statuses.items() if status["is_default"])

    @property
    def default_priority(self) -> int:
        """The priority of a new work package."""
        return next(id_ for id_, priority in self.priorities.items() if priority["is_default"])

    @property
    def default_type(self) -> int:
        """The first type that the projects enable (they enable all)."""
        return next(iter(self.types))


def load(db: Db) -> Catalogue:
    """Read them all: a few rows each."""
    fields_of_type: defaultdict[int, tuple[int, ...]] = defaultdict(tuple)
    for row in db.rows("SELECT type_id, custom_field_id FROM custom_field_types ORDER BY custom_field_id"):
        fields_of_type[row["type_id"]] += (row["custom_field_id"],)
    return Catalogue(
        statuses=_by_id(db.rows("SELECT * FROM statuses ORDER BY position")),
        types=_by_id(db.rows("SELECT * FROM types ORDER BY position")),
        priorities=_by_id(db.rows("SELECT * FROM priorities ORDER BY position")),
        projects=_by_id(db.rows("SELECT * FROM projects ORDER BY name")),
        users=_by_id(db.rows("SELECT * FROM users ORDER BY id DESC")),
        versions=_by_id(db.rows("SELECT * FROM versions ORDER BY id")),
        categories=_by_id(db.rows("SELECT * FROM categories ORDER BY name")),
        fields={row["id"]: row["name"] for row in db.rows("SELECT * FROM custom_fields ORDER BY id")},
        fields_of_type=fields_of_type,
    )


def _by_id(rows: list[Row]) -> dict[int, Row]:
    return {row["id"]: row for row in rows}
