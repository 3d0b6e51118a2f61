"""A fleet and work packages as values: what the pure cores are asked about. Every id is different from every other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, Final

from msgspec.structs import replace

from agent import pod
from agent.board.catalog import Names
from agent.model import Fleet, Principal, Relation, Row, WorkPackage
from agent.settings.rules import judge
from agent.texts import claim_token
from agent.texts.claim_token import ClaimToken, Key

NEW, ACTIVE, TESTING, CLOSED, REJECTED, HOLD = range(1, 7)
TASK, FEATURE, BUG, EPIC, STORY, SPIKE, PHASE = range(11, 18)
LOW, NORMAL, HIGH, IMMEDIATE = range(21, 25)
SHOP, BLOG = 31, 32
ME, COLLEAGUE, PERSON, CREW = range(51, 55)

PEOPLE: Final = {
    ME: Principal("users", ME, "Coding Agent"),
    COLLEAGUE: Principal("users", COLLEAGUE, "Second Agent"),
    PERSON: Principal("users", PERSON, "Hanna Human"),
    CREW: Principal("groups", CREW, "Crew"),
}


def token(pod: str = "pod-a", *, run: int = 1, nonce: str = "aa11", routed: bool = False) -> ClaimToken:
    """A claim; the same arguments make the same one."""
    return ClaimToken(
        run=f"7f9c0000-0000-4000-8000-{run:012x}",
        nonce=nonce,
        pod=pod,
        attempt=1,
        lifetime_s=4 * 3600,
        at=dt.datetime(2026, 11, 24, 8, 0, tzinfo=dt.UTC),
        routed=routed,
    )


MINE: Final = str(token())
"""The token that the state folder of `FLEET`'s pod recorded."""
THEIRS: Final = str(token("pod-b", run=2, nonce="bb22"))


def recorded(*texts: str, on: Iterable[int] = range(1, 100)) -> frozenset[Key]:
    """What is mine where the state folder recorded these tokens for each of these work packages."""
    return frozenset(one for text in texts for number in on if (one := claim_token.key(number, text)) is not None)


FLEET: Final = Fleet(
    pod="pod-a",
    me=ME,
    users=frozenset({ME, COLLEAGUE}),
    ready=NEW,
    active=ACTIVE,
    done=(TESTING, CLOSED),
    closed=frozenset({CLOSED, REJECTED}),
    bugs=frozenset({BUG}),
    tasks=frozenset({TASK, FEATURE}),
    epics=frozenset({EPIC}),
    stories=frozenset({STORY}),
    spikes=frozenset({SPIKE}),
    gates=frozenset({PHASE}),
    priorities=(IMMEDIATE, HIGH, NORMAL, LOW),
    projects=frozenset({SHOP}),
    mine=recorded(MINE),
)


def fleet(**changes: Any) -> Fleet:
    return replace(FLEET, **changes)


def item(number: int, **changes: Any) -> WorkPackage:
    """A ready Task of the shop under nothing, unless told otherwise."""
    plain = WorkPackage(
        id=number,
        lock_version=3,
        subject=f"Ticket {number}",
        project=SHOP,
        type=TASK,
        status=NEW,
        priority=NORMAL,
    )
    return replace(plain, **changes)


def row(number: int, **changes: Any) -> Row:
    """The same, as a `select` list tells it."""
    return replace(Row(number, f"Ticket {number}", SHOP, TASK, NEW), **changes)


def blocks(blocker: int, blocked: int, *, number: int = 900) -> Relation:
    return Relation(number, "blocks", blocker, blocked)


def names(**changes: Any) -> Names:
    """The names of the settings where nothing is set."""
    least = {
        "board": {"url": "http://board"},
        "repositories": {"shop": {"url": "x"}},
        "model": {"kind": "command", "command": ["x"]},
    }
    return replace(pod.names(judge(least).board), **changes)
