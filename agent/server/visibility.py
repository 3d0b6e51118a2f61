"""What a caller may see of work packages."""

import json

from . import work_package
from .access import Viewer
from .call import Call
from .errors import not_found
from .store import Db
from .work_package import WorkPackage


def visible(call: Call, id_: int | None, words: str = "work_package_not_found") -> WorkPackage:
    """The work package with this id, else 404: missing or not visible, nobody can tell.

    Args:
        call: who asks.
        id_: none of what is itself missing.
        words: what is said then, of what was asked for.
    """
    item = work_package.load_one(call.db, id_) if id_ is not None else None
    if item is None or item.project_id not in call.viewer.projects:
        raise not_found(words)
    return item


def is_visible(call: Call, id_: int | None) -> bool:
    """Whether there is one with this id that the caller sees."""
    project = call.db.value("SELECT project_id FROM work_packages WHERE id = ?", id_)
    return project in call.viewer.projects


def above(db: Db, viewer: Viewer, id_: int) -> list[int]:
    """All above a work package, the root first: of what is above a hidden one nothing."""
    return db.column(
        "WITH RECURSIVE above (id, generations) AS (SELECT parent_id, 1 FROM work_packages WHERE id = ?1 UNION ALL"
        " SELECT parent_id, generations + 1 FROM above JOIN work_packages USING (id)"
        " WHERE project_id IN (SELECT value FROM json_each(?2))) SELECT id FROM above JOIN work_packages USING (id)"
        " WHERE project_id IN (SELECT value FROM json_each(?2)) ORDER BY generations DESC",
        id_,
        json.dumps(list(viewer.projects)),
    )


def below(db: Db, viewer: Viewer, id_: int) -> list[int]:
    """All below a work package: of what is below a hidden one nothing."""
    return db.column(
        "WITH RECURSIVE below (id) AS (SELECT ?1 UNION ALL SELECT work_packages.id FROM below JOIN work_packages"
        " ON parent_id = below.id WHERE project_id IN (SELECT value FROM json_each(?2))) SELECT id FROM below WHERE id <> ?1",
        id_,
        json.dumps(list(viewer.projects)),
    )


def levels_below(db: Db, viewer: Viewer, id_: int) -> int:
    """How many levels of work packages lie below one, of what is below a hidden one none."""
    return int(
        db.value(
            "WITH RECURSIVE below (id, level) AS (SELECT ?1, 0 UNION ALL SELECT work_packages.id, level + 1 FROM below"
            " JOIN work_packages ON parent_id = below.id WHERE project_id IN (SELECT value FROM json_each(?2)))"
            " SELECT max(level) FROM below",
            id_,
            json.dumps(list(viewer.projects)),
        )
    )


def visible_below(viewer: Viewer) -> tuple[str, list[str]]:
    """A condition on the table `hierarchies`, named `line`: neither what is below nor anything in between is hidden."""
    condition = (
        "AND NOT EXISTS (SELECT 1 FROM hierarchies AS part JOIN work_packages AS middle ON middle.id = part.ancestor_id"
        " WHERE part.descendant_id = line.descendant_id AND part.generations < line.generations AND middle.project_id NOT IN"
        " (SELECT value FROM json_each(?))) AND (SELECT project_id FROM work_packages WHERE id = line.descendant_id) IN"
        " (SELECT value FROM json_each(?))"
    )
    return condition, [json.dumps(list(viewer.projects))] * 2
