"""What a pod remembers between processes, pure: its claims, the tokens it has watched, its back-off.

Frozen values with pure methods; `agent.state_folder` keeps them on disk. A lost or corrupt state folder costs time and never
work: what it recorded is then nobody's and expires (DESIGN, section 3). Durations are differences of boot-clock readings that
are handed in, within one boot; a reading of another boot says nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from agent.model import BoardText
from agent.texts import claim_token
from agent.texts.claim_token import ClaimToken, parse

Key = TypeVar("Key")
Value = TypeVar("Value")

MOST_REFUSED: Final = 200
"""Refused claims that are remembered."""

MOST_ENDED: Final = 100
"""Claims that have ended and are remembered, oldest first forgotten."""

LONGEST_TROUBLE: Final = 1_000
"""Characters of the last trouble that are remembered."""

AN_HOUR: Final = 3_600.0
A_DAY: Final = 86_400.0

LONGEST_BACKOFF_MIN: Final = 60
"""The pauses after trouble are 1, 2, 4 … 60 minutes (DESIGN, section 3, pod trouble)."""


class Reading(Struct, frozen=True):
    """A moment by the boot clock, in seconds, and the boot in which that number means something."""

    at: float
    boot: str

    def age(self, now: float, boot: str) -> float | None:
        """Seconds since; None when the host was booted meanwhile, or its clock makes no sense."""
        return now - self.at if boot == self.boot and now >= self.at else None


class Backoff(Struct, frozen=True):
    """How often in a row something failed, and when to ask again."""

    failures: int
    until: Reading

    def left(self, now: float, boot: str) -> float:
        """Seconds to wait still. A reboot ends the wait, not the count: it may well have mended the pod."""
        return max(self.until.at - now, 0.0) if boot == self.until.boot else 0.0


def _more(backoff: Backoff | None, now: float, boot: str) -> Backoff:
    failures = (backoff.failures if backoff else 0) + 1
    minutes = min(1 << min(failures - 1, 16), LONGEST_BACKOFF_MIN)
    return Backoff(failures, Reading(now + 60 * minutes, boot))


class RecordedFailure(Struct, frozen=True):
    """How a run failed: kept until it is reported, so that a take-over reports the same (see `TicketFailure`)."""

    reason: str
    evidence: str = ""
    question: str = ""
    change: str = ""
    """The hash of what a person must see first (see `Unseen`); empty for every other failure."""
    diff: str = ""
    """As a person gets to see it."""


class Probe(Struct, frozen=True):
    """What is known of a remote's refs below `refs/agent`: `takes` is None until it has said no twice, an hour apart."""

    asked: Reading
    takes: bool | None = None
    refused: Reading | None = None

    def is_due(self, now: float, boot: str) -> bool:
        """A day later, after a boot, and an hour after a first refusal."""
        age = self.asked.age(now, boot)
        return age is None or age >= (A_DAY if self.takes is not None else AN_HOUR)

    def answered(self, takes: bool, now: float, boot: str) -> Probe:
        """The next answer in the remote's own words."""
        here = Reading(now, boot)
        if takes:
            return Probe(here, takes=True)
        first = self.refused if self.refused is not None and self.refused.age(now, boot) is not None else here
        known_no = self.takes is False or (first.age(now, boot) or 0.0) >= AN_HOUR
        return Probe(here, takes=False if known_no else None, refused=first)


class RecordedClaim(Struct, frozen=True, kw_only=True):
    """A claim that this pod sent or holds; recorded before the request, since the answer may be lost.

    Attributes:
        ticket: the id of the claimed work package, which may be an Epic.
        token: the token's text as written to `Agent run`.
        born: the boot clock before the request was sent; the lifetime counts from here.
        pod: the name under which it was claimed.
        attempt: the try, from 1.
        epic: the Epic above it, None for standalone work and for an Epic itself.
        taken_for: of an Epic: the bug that it was taken for, with which it goes back; 0 if for its own sake.
        project: where the ticket was at the claim: a move while the pod is away is seen.
        type: likewise.
        is_epic: whether the claimed work package is an Epic.
        announced: of an Epic: whether its comment "Epic taken" is known to be there.
        schedule_manually_before: what the last PATCH of a failure restores.
        subject: as it was at the claim, so that a change of the text is seen.
        description: likewise.
        branch: where the result goes; kept before the push, since a template may depend on what a person can change.
        trouble: what kept the pod from working in its last try; empty once the model has started.
        starter: the commit of the starter flake that this run added; empty if it did not.
        completion: the comment that reports the result, kept before the push; empty while there is no result.
        failure: how the run failed; None while it has not.
        spike: the number of the Spike that asks about it; 0 while there is none. A person may rewrite its text.
    """

    ticket: int
    token: str
    born: Reading
    pod: str
    attempt: int = 1
    epic: int | None = None
    taken_for: int = 0
    project: int = 0
    type: int = 0
    is_epic: bool = False
    announced: bool = True
    schedule_manually_before: bool = True
    subject: str = ""
    description: str = ""
    branch: str = ""
    trouble: str = ""
    starter: str = ""
    completion: BoardText = BoardText("")
    failure: RecordedFailure | None = None
    spike: int = 0

    def parsed(self) -> ClaimToken | None:
        """The token; None if a newer version wrote what this one cannot read."""
        return parse(self.token)

    @property
    def key(self) -> claim_token.Key | None:
        """What locking compares; None likewise."""
        return claim_token.key(self.ticket, self.token)

    def left(self, now: float, boot: str) -> float:
        """Seconds of its lifetime that are left: 0 at its end, and 0 when the host was booted since its birth."""
        age, token = self.born.age(now, boot), self.parsed()
        return 0.0 if age is None or token is None else max(token.lifetime_s - age, 0.0)


class WorkedText(Struct, frozen=True):
    """The text that a run worked from although it had changed meanwhile, and how many runs in a row did so."""

    subject: str
    description: str
    times: int


class Farewell(Struct, frozen=True):
    """A comment that is due as soon as the claim that it tells of has been given back."""

    ticket: int
    token: str
    text: BoardText


class State(Struct, frozen=True, kw_only=True):
    """All that a pod remembers. Unknown keys are ignored and missing ones have defaults: versions come and go."""

    claims: tuple[RecordedClaim, ...] = ()
    seen: Mapping[str, Reading] = {}
    """When each foreign token was first seen, by its text."""
    last_sweep: Reading | None = None
    backoff: Backoff | None = None
    trouble: str = ""
    """What the last trouble was, while there is one."""
    repositories: Mapping[int, Backoff] = {}
    """By project: repositories that could not be reached."""
    refused: Mapping[int, int] = {}
    """By work package: the lockVersion at which the board refused its claim; it is tried again when it changes."""
    texts: Mapping[int, WorkedText] = {}
    """By ticket: what the next prompt shows beside the present text."""
    farewells: tuple[Farewell, ...] = ()
    """What may still have to be said."""
    probes: Mapping[int, Probe] = {}
    """By project: whether its remote takes refs below `refs/agent`."""
    litter: Mapping[int, int] = {}
    """Tickets whose worktree is not needed any more once they are done, with their projects."""
    ended: Mapping[str, int] = {}
    """By run: what the latest claims were about that have ended."""

    # --- claims ---

    def with_claim(self, claim: RecordedClaim) -> State:
        """Record a claim; the record of the same claim is replaced, another one of the ticket stays."""
        others = (other for other in self.claims if not _same(other, claim.ticket, claim.token))
        return replace(self, claims=(*others, claim))

    def without(self, ticket: int, token: str) -> State:
        """Forget a claim whose end is known."""
        return self._ending(claim for claim in self.claims if _same(claim, ticket, token))

    def without_ticket(self, ticket: int) -> State:
        """Forget every claim of a ticket."""
        return self._ending(self.of_ticket(ticket))

    def _ending(self, over: Iterable[RecordedClaim]) -> State:
        """Without these; a copy that somebody made of one of them is known for one still (see `held_elsewhere`)."""
        gone = tuple(over)
        if not gone:
            return self
        runs = {token.run: claim.ticket for claim in gone if (token := claim.parsed()) is not None}
        before = {run: ticket for run, ticket in self.ended.items() if run not in runs}
        latest = dict([*before.items(), *runs.items()][-MOST_ENDED:])
        return replace(self, claims=tuple(claim for claim in self.claims if claim not in gone), ended=latest)

    def recorded(self, work_package: int, text: str) -> RecordedClaim | None:
        """The record of what a work package shows in `Agent run`, compared as locks are: run id, nonce and work package.

        "By me" means this, and never a name (DESIGN, section 2).
        """
        shown = claim_token.key(work_package, text)
        return None if shown is None else next((claim for claim in self.claims if claim.key == shown), None)

    def held_elsewhere(self, work_package: int, text: str) -> int | None:
        """The work package that the run in this text was really about: what shows it here is a copy of that one."""
        shown = parse(text)
        if shown is None:
            return None
        living = {token.run: claim.ticket for claim in self.claims if (token := claim.parsed()) is not None}
        original = living.get(shown.run, self.ended.get(shown.run))
        return None if original == work_package else original

    def wrote(self, text: str) -> bool:
        """Whether this pod wrote this token, wherever it is shown."""
        shown = parse(text)
        return shown is not None and any(shown.same_claim(claim.parsed()) for claim in self.claims)

    def of_ticket(self, ticket: int) -> tuple[RecordedClaim, ...]:
        """All records of a ticket, oldest first: a lost answer leaves more than one."""
        return tuple(claim for claim in self.claims if claim.ticket == ticket)

    def tickets(self) -> frozenset[int]:
        """The ids that a scan reads in full because the state recorded them, Epics among them."""
        return frozenset(claim.ticket for claim in self.claims)

    def with_farewell(self, farewell: Farewell) -> State:
        """The claim is about to be given back."""
        return replace(self, farewells=(*self.without_farewell(farewell).farewells, farewell))

    def without_farewell(self, farewell: Farewell) -> State:
        """It was said, or is not to be said."""
        return replace(self, farewells=tuple(one for one in self.farewells if one != farewell))

    def with_litter(self, ticket: int, project: int) -> State:
        """The ticket is about to be done."""
        return replace(self, litter={**self.litter, ticket: project})

    def without_litter(self, ticket: int) -> State:
        """Its worktree is gone, or needed after all."""
        return replace(self, litter=_less(self.litter, ticket))

    # --- expiry ---

    def observe(self, tokens: Collection[str], now: float, boot: str) -> State:
        """Take note of the tokens on the board now; one that is gone is forgotten, a reboot starts its count again."""
        seen = {
            text: first if (first := self.seen.get(text)) and first.age(now, boot) is not None else Reading(now, boot)
            for text in sorted(tokens)
            if parse(text) is not None
        }
        return replace(self, seen=seen, last_sweep=Reading(now, boot))

    def expired(self, now: float, boot: str, grace: float) -> tuple[str, ...]:
        """The tokens seen for their lifetime plus grace, in one boot and without a break, longest first."""
        ages = {text: first.age(now, boot) for text, first in self.seen.items()}
        old = [
            (age, text)
            for text, age in ages.items()
            if age is not None and (token := parse(text)) is not None and age >= token.lifetime_s + grace
        ]
        return tuple(text for _, text in sorted(old, key=lambda pair: (-pair[0], pair[1])))

    def silent_for(self, token: str, now: float, boot: str) -> float:
        """Seconds for which the token has been seen unchanged; 0 for one that was not seen in this boot."""
        first = self.seen.get(token)
        return (first.age(now, boot) or 0.0) if first else 0.0

    def sweep_is_due(self, now: float, boot: str, every: float) -> bool:
        """Whether the last sweep is that many seconds ago; the design asks for half the grace period."""
        age = self.last_sweep.age(now, boot) if self.last_sweep else None
        return age is None or age >= every

    # --- trouble ---

    def with_trouble(self, what: str, now: float, boot: str) -> State:
        """Pod trouble: the next resume or claim waits twice as long."""
        return replace(self, backoff=_more(self.backoff, now, boot), trouble=what[:LONGEST_TROUBLE])

    def with_verdict(self) -> State:
        """A run reached a verdict: the pod works."""
        return replace(self, backoff=None, trouble="")

    def wait(self, now: float, boot: str) -> float:
        """Seconds before the next resume or claim."""
        return self.backoff.left(now, boot) if self.backoff else 0.0

    def with_repository_trouble(self, project: int, now: float, boot: str) -> State:
        """A repository could not be reached: its tickets wait."""
        return replace(
            self, repositories={**self.repositories, project: _more(self.repositories.get(project), now, boot)}
        )

    def with_repository(self, project: int) -> State:
        """A repository answered."""
        return replace(self, repositories=_less(self.repositories, project))

    def repositories_waiting(self, now: float, boot: str) -> frozenset[int]:
        """The projects whose repository is not asked again yet."""
        return frozenset(project for project, wait in self.repositories.items() if wait.left(now, boot) > 0)

    def with_probe(self, project: int, now: float, boot: str, *, takes: bool) -> State:
        """A remote has said whether it takes refs below `refs/agent`."""
        before = self.probes.get(project) or Probe(Reading(now, boot))
        return replace(self, probes={**self.probes, project: before.answered(takes, now, boot)})

    # --- refused claims ---

    def with_refused(self, item: int, lock_version: int) -> State:
        """The board refused to let this work package be claimed as it is; only the latest are remembered."""
        kept = dict(list(_less(self.refused, item).items())[1 - MOST_REFUSED :])
        return replace(self, refused={**kept, item: lock_version})

    # --- changed texts ---

    def with_text(self, ticket: int, subject: str, description: str) -> State:
        """A run worked from a text that changed meanwhile."""
        times = self.texts[ticket].times if ticket in self.texts else 0
        return replace(self, texts={**self.texts, ticket: WorkedText(subject, description, times + 1)})

    def without_text(self, ticket: int) -> State:
        """A run worked from the present text, or the ticket is no longer ours."""
        return replace(self, texts=_less(self.texts, ticket))


def _same(claim: RecordedClaim, ticket: int, token: str) -> bool:
    """Whether this is the record of that claim; of a token that this version cannot read, the whole text counts."""
    return claim.ticket == ticket and (
        claim.token == token or (claim.key is not None and claim.key == claim_token.key(ticket, token))
    )


def _less(mapping: Mapping[Key, Value], key: Key) -> Mapping[Key, Value]:
    return {other: value for other, value in mapping.items() if other != key}
