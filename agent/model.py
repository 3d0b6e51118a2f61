"""The shared vocabulary: what the board says, in the words of OpenProject, freed of its JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import NewType

from msgspec import UNSET, Struct, UnsetType


class Principal(Struct, frozen=True):
    """A user, group or placeholder user; `kind` is the path segment of its link (`users`, `groups`, …).

    The id is 0 and the kind `undisclosed` where the board hides who it is.
    """

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


class Change(Struct, frozen=True):
    """One property that a journal entry changed: the board's sentence, in the language of the account that reads it.

    Attributes:
        text: the sentence.
        values: those that it marks, the old one first: they are in no language.
        is_gone: they were taken away, and nothing is in their place.
    """

    text: str
    values: tuple[str, ...] = ()
    is_gone: bool = False


class Activity(Struct, frozen=True):
    """A journal entry of a work package; `text` is the comment's raw Markdown, empty if it has none."""

    id: int
    text: str
    user: int
    created_at: str = ""
    changes: tuple[Change, ...] = ()


BoardText = NewType("BoardText", str)
"""Markdown, or a subject, that may be written on the board: `agent.texts.outlet` makes them, and nobody else."""


class Draft(Struct, frozen=True, kw_only=True):
    """A work package to be; everything by id."""

    project: int
    type: int
    subject: BoardText
    description: BoardText = BoardText("")
    parent: int | None = None
    responsible: int | None = None


class Changes(Struct, frozen=True, omit_defaults=True):
    """What a PATCH is to write; `UNSET` leaves a property alone, None empties it.

    Statuses and assignees are ids. `pod` and `run` are the fleet's text fields.
    """

    status: int | UnsetType = UNSET
    assignee: int | UnsetType | None = UNSET
    pod: str | UnsetType = UNSET
    run: str | UnsetType = UNSET
    schedule_manually: bool | UnsetType = UNSET

    def __bool__(self) -> bool:
        """Whether anything at all is to be written."""
        return self != Changes()


class Around(Struct, frozen=True):
    """What decides about a work package besides itself.

    `others` holds the far ends of `relations` as far as the board showed them; one that is missing counts as open.
    """

    ancestors: tuple[WorkPackage, ...] = ()
    """Root first."""
    children: tuple[Row, ...] = ()
    relations: tuple[Relation, ...] = ()
    others: tuple[WorkPackage, ...] = ()


class Fleet(Struct, frozen=True, kw_only=True):
    """What a pod must know of the board, of itself and of its colleagues to judge a work package. All ids."""

    pod: str
    me: int
    users: frozenset[int]
    """The accounts that pods act as."""
    ready: int
    active: int
    done: tuple[int, ...]
    """Statuses that mean done, in order of preference."""
    closed: frozenset[int]
    """Every status that the board itself calls closed."""
    bugs: frozenset[int]
    tasks: frozenset[int]
    epics: frozenset[int]
    stories: frozenset[int]
    spikes: frozenset[int]
    gates: frozenset[int]
    priorities: tuple[int, ...]
    """Most urgent first."""
    projects: frozenset[int]
    """Those that settings give a repository."""
    unassignable: frozenset[int] = frozenset()
    """Projects of which this pod's account is no possible assignee."""
    spikeless: frozenset[int] = frozenset()
    """Projects in which no Spike can be created."""
    fieldless: frozenset[tuple[int, int]] = frozenset()
    """Pairs of project and type that lack one of the fleet's fields."""
    unreachable: frozenset[int] = frozenset()
    """Projects whose repository did not answer the last time."""
    mine: frozenset[tuple[int, str, str]] = frozenset()
    """The claims that this pod's state folder recorded: work package, run id and nonce (`agent.texts.claim_token.Key`)."""
    refused: frozenset[tuple[int, int]] = frozenset()
    """Work packages whose claim the board refused, each with the lockVersion that it had then."""
    statuses: Mapping[int, str] = {}
    """What the board calls its statuses."""
    spike_names: frozenset[str] = frozenset()
    """What it calls the types of Spikes."""
    assignable: Mapping[int, frozenset[int]] = {}
    """Whom work can be assigned to, by project; an account in none of these counts only where it is in `people`."""
    people: frozenset[int] = frozenset()
    """Accounts whose words count in every project."""
    integrations: frozenset[int] = frozenset()
    """Accounts through which others speak: their words never count."""

    def counts(self, user: int, project: int) -> bool:
        """Whether this account's words reach a prompt: it may be assigned there, or the operator names it."""
        if user in self.integrations or user in self.users:
            return False
        return user in self.people or user in self.assignable.get(project, ())

    def is_assignable(self, user: int) -> bool:
        """Whether work can be assigned to this account in any project: of nobody else the board takes a filter."""
        return any(user in some for some in self.assignable.values())

    @property
    def executable(self) -> frozenset[int]:
        """The types that agents work on."""
        return self.bugs | self.tasks

    @property
    def open_projects(self) -> frozenset[int]:
        """The projects in which this pod can work at all."""
        return self.projects - self.unassignable - self.spikeless - self.unreachable

    @property
    def open_done(self) -> frozenset[int]:
        """Done, but not closed: a person has yet to look."""
        return frozenset(self.done) - self.closed

    @property
    def workable(self) -> frozenset[int]:
        """Statuses in which an Epic may be worked on."""
        return self.open_done | {self.ready, self.active}
