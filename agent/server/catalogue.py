"""The small tables that every document refers to, read once per request: as far as one account sees them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from .access import Viewer, visible_users
from .store import Db, Row


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """Statuses, types and so on by id, in their order. What somebody may not see is not there, so that nothing can tell of it."""

    statuses: Mapping[int, Row]
    types: Mapping[int, Row]
    priorities: Mapping[int, Row]
    projects: Mapping[int, Row]
    users: Mapping[int, Row]
    people: Mapping[int, Row]
    """All accounts: to name those who stand on a work package that is seen, and for nothing else."""
    versions: Mapping[int, Row]
    categories: Mapping[int, Row]
    fields: Mapping[int, str]
    fields_of_type: Mapping[int, tuple[int, ...]]
    whole: bool
    """Whether nothing is left out."""

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


def load(db: Db, viewer: Viewer | None = None) -> Catalogue:
    """Read them all, a few rows each.

    Args:
        db: the board's file.
        viewer: who asks; the board itself if left out.
    """
    projects = _by_id(db.rows("SELECT * FROM projects ORDER BY name"))
    people = _by_id(db.rows("SELECT * FROM users ORDER BY id DESC"))
    seen = projects.keys() if viewer is None else projects.keys() & viewer.projects.keys()
    users = people.keys() if viewer is None else visible_users(db, viewer)
    fields_of_type: defaultdict[int, tuple[int, ...]] = defaultdict(tuple)
    for row in db.rows("SELECT type_id, custom_field_id FROM custom_field_types ORDER BY custom_field_id"):
        fields_of_type[row["type_id"]] += (row["custom_field_id"],)
    return Catalogue(
        statuses=_by_id(db.rows("SELECT * FROM statuses ORDER BY position")),
        types=_by_id(db.rows("SELECT * FROM types ORDER BY position")),
        priorities=_by_id(db.rows("SELECT * FROM priorities ORDER BY position")),
        projects={id_: row for id_, row in projects.items() if id_ in seen},
        users={id_: row for id_, row in people.items() if id_ in users},
        people=people,
        versions=_by_id(row for row in db.rows("SELECT * FROM versions ORDER BY id") if row["project_id"] in seen),
        categories=_by_id(
            row for row in db.rows("SELECT * FROM categories ORDER BY name") if row["project_id"] in seen
        ),
        fields={row["id"]: row["name"] for row in db.rows("SELECT * FROM custom_fields ORDER BY id")},
        fields_of_type=fields_of_type,
        whole=len(seen) == len(projects),
    )


def _by_id(rows: Iterable[Row]) -> dict[int, Row]:
    return {row["id"]: row for row in rows}
