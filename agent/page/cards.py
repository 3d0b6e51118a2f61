"""What the page shows of a work package and of a pod: the shapes of its JSON."""

from __future__ import annotations

from msgspec import Struct


class Holder(Struct, frozen=True, rename={"attempt": "try"}):
    """Who works on it, since when, at which try."""

    pod: str
    since: str
    attempt: int


class Because(Struct, frozen=True):
    """One reason why no pod takes it, as `agent explain` names it, with its particulars."""

    reason: str
    detail: str


class Card(Struct, frozen=True, kw_only=True):
    """A work package as a card: everything by id. `reasons` are those of tickets that wait to be taken, and of no others."""

    id: int
    lock: int
    project: int
    type: int
    subject: str
    status: int
    priority: int
    parent: int | None
    epic: int | None
    """The outermost Epic above."""
    assignee: int | None
    pod: str
    claim: Holder | None
    due: str | None
    updated: str
    badges: tuple[str, ...] = ()
    reasons: tuple[Because, ...] = ()


class Doing(Struct, frozen=True, rename={"attempt": "try"}):
    """What a pod works on."""

    id: int
    subject: str
    since: str
    attempt: int


class Named(Struct, frozen=True):
    """A work package by its name."""

    id: int
    subject: str


class Pod(Struct, frozen=True, kw_only=True):
    """A pod as its claims and comments show it: `working`, `waiting` (after trouble, or for its Epic) or `idle`."""

    name: str
    state: str
    doing: Doing | None
    epic: Named | None
    seen: str | None
    """When it last wrote something."""
    routed: int
    """Ready tickets that are routed to it."""
