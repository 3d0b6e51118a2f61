"""The shared vocabulary: what the board says, in the words of OpenProject, freed of its JSON."""

from __future__ import annotations

import datetime as dt
from typing import Final

from msgspec import Struct

BLOCKING: Final = ("blocks", "follows", "requires")
"""The canonical relation types that hold a work package back (reference, section 8)."""


class Principal(Struct, frozen=True):
    """A user, group or placeholder user; `kind` is the path segment of its link (`users`, `groups`, …)."""

    kind: str
    id: int
    name: str = ""


class Status(Struct, frozen=True):
    """A status of the board; closed ones end a blocker."""

    id: int
    name: str
    is_closed: bool = False


class Named(Struct, frozen=True):
    """A type or a priority: an id that differs from board to board, and the name that people know."""

    id: int
    name: str


class Project(Struct, frozen=True):
    """A project of the board; settings speak of its identifier."""

    id: int
    identifier: str
    name: str = ""


class Row(Struct, frozen=True):
    """What a `select` list tells of a work package; 50 times cheaper than the whole (reference, section 14)."""

    id: int
    subject: str
    project: int
    type: int
    status: int
    assignee: Principal | None = None
    due_date: dt.date | None = None


class WorkPackage(Struct, frozen=True, kw_only=True):
    """A work package read in full. `pod` and `run` are the fleet's two text fields, empty when unset."""

    id: int
    lock_version: int
    subject: str
    description: str = ""
    project: int
    type: int
    status: int
    priority: int
    version: str = ""
    author: Principal | None = None
    assignee: Principal | None = None
    responsible: Principal | None = None
    parent: int | None = None
    ancestors: tuple[int, ...] = ()
    """Root first."""
    children: tuple[int, ...] = ()
    due_date: dt.date | None = None
    schedule_manually: bool = True
    updated_at: str = ""
    """As the board wrote it: compared and shown, never computed with."""
    pod: str = ""
    run: str = ""
    has_fields: bool = True
    """Whether its type carries both of the fleet's fields."""


class Relation(Struct, frozen=True):
    """A relation in OpenProject's canonical direction: `source` `type` `target`, as in 41 blocks 42."""

    id: int
    type: str
    source: int
    target: int

    def blocked_and_blocker(self) -> tuple[int, int] | None:
        """Who waits for whom; None for relations that hold nobody back."""
        if self.type == "blocks":
            return self.target, self.source
        if self.type in ("follows", "requires"):
            return self.source, self.target
        return None


class Activity(Struct, frozen=True):
    """A journal entry of a work package; `text` is the comment's raw Markdown, empty if it has none."""

    id: int
    text: str
    user: int
    created_at: str = ""
