"""Mutants, as `mutants`: the claim, what may be taken, expiry, tries and the watch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from msgspec.structs import replace

from agent import choose, reporting, scan, sweep, watch
from agent.attempt import Attempt
from agent.board.client import Board
from agent.choose import Reason, Why
from agent.claim import checking, taking
from agent.claim.memory import Memory
from agent.claim.protocol import Protocol
from agent.claim.value import Claim
from agent.clock import Clock
from agent.errors import Conflict, NotFound, Unreachable
from agent.model import Around, Changes, Fleet, WorkPackage
from agent.places import Places
from agent.reporting import Reporter
from agent.settling import Runs, Settling
from agent.state import RecordedClaim, RecordedFailure, State
from agent.texts import claim_token
from agent.texts.claim_token import ClaimToken
from simulation import mutants_scenes as claims
from simulation import mutants_scenes_people as people
from simulation.invariants import (
    EXECUTED,
    EXPIRY,
    FAILURES,
    FINALLY,
    FOREIGN,
    NONCE,
    PERSON,
    SAME_RUN,
    TRIES,
    UNREPORTED,
)
from simulation.mutants import INSIDE, failing, inside, mutant, patched, without_lock
from simulation.mutants_stage import BOUNDED, FIT, ONE_WRITER, STOPS, WAITS

# -- the claim -------------------------------------------------------------------------------------------------------


@mutant(FOREIGN, claims.two_pods_want_one_ticket)
def claim_without_lock_version() -> Iterator[None]:
    """Claim: one PATCH with the lockVersion that was read (I-01, I-08)."""
    with without_lock("claim #"):
        yield


@mutant(WAITS, claims.the_answer_to_a_claim_is_lost)
def no_second_reading_after_a_time_out() -> Iterator[None]:
    """409, time-out or 5xx: read the work package again and decide by its content (I-10)."""
    with failing(Unreachable, NotFound):
        yield


@mutant(WAITS, claims.somebody_edits_before_each_claim)
def a_conflict_is_a_lost_claim() -> Iterator[None]:
    """A 409 alone proves nothing: children bump ancestors (I-11)."""
    with failing(Conflict, NotFound):
        yield


@mutant(WAITS, claims.a_pod_is_killed_in_its_claim)
def the_token_is_recorded_after_the_claim() -> Iterator[None]:
    """The token is written to the state folder before it is sent."""
    shipped, remember = taking.write, Memory.record

    async def write(protocol: Protocol, *arguments: Any) -> tuple[Claim, WorkPackage] | None:
        with inside(write):
            taken = await shipped(protocol, *arguments)
        if taken is not None:
            protocol.memory.record(taken[0].record)
        return taken

    def record(self: Memory, claim: RecordedClaim) -> None:
        if INSIDE.get() is not write:
            remember(self, claim)

    with patched(taking, "write", write), patched(Memory, "record", record):
        yield


@mutant(NONCE, claims.a_take_over_meets_an_expiry)
def constant_nonce() -> Iterator[None]:
    """The nonce is new at every claim and take-over; locking compares run id and nonce."""
    shipped = ClaimToken.renewed

    def renewed(self: ClaimToken, **more: Any) -> ClaimToken:
        return shipped(self, **{**more, "nonce": self.nonce})

    with patched(ClaimToken, "renewed", renewed):
        yield


@mutant(SAME_RUN, people.a_pod_dies_after_its_spike)
def a_take_over_changes_the_run_id() -> Iterator[None]:
    """The run id survives a take-over; evidence compares it."""
    shipped = ClaimToken.renewed

    def renewed(self: ClaimToken, **more: Any) -> ClaimToken:
        other = f"{int(self.run[:8], 16) ^ 1:08x}{self.run[8:]}"
        return shipped(replace(self, run=other), **more)

    with patched(ClaimToken, "renewed", renewed):
        yield


@mutant(FOREIGN, claims.two_hosts_have_one_name)
def takes_over_foreign_tokens_in_its_name() -> Iterator[None]:
    """Only a token that this state folder recorded is taken over (I-03)."""
    shipped = Settling.read_mine

    async def read_mine(self: Settling, seen: frozenset[str] | None) -> list[WorkPackage]:
        found = await shipped(self, seen)
        for item in found:
            claim = Claim.shown(item)
            ours = claim is not None and claim.token.pod == self._protocol.fleet.pod
            if claim is not None and ours and not self._memory.state.wrote(item.run):
                self._memory.record(replace(claim.record, born=self._memory.now()))
        return found

    with patched(Settling, "read_mine", read_mine):
        yield


@mutant(FOREIGN, claims.two_hosts_of_one_name_see_an_epic)
def an_epic_is_mine_by_name() -> Iterator[None]:
    """By me = one that my state folder recorded, not my name."""

    def is_mine(item: WorkPackage, fleet: Fleet) -> bool:
        token = claim_token.parse(item.run)
        return item.status == fleet.active and token is not None and token.pod == fleet.pod

    with patched(choose, "is_mine", is_mine):
        yield


@mutant(PERSON, people.a_person_takes_a_dead_pods_ticket)
def rung_one_without_the_assignee() -> Iterator[None]:
    """Rung 1: active, executable, assigned to a fleet user, with a token that the state folder recorded."""

    def is_unfinished(item: WorkPackage, fleet: Fleet) -> bool:
        return item.type in fleet.executable and choose.is_mine(item, fleet) and item.pod in ("", fleet.pod)

    with patched(choose, "is_unfinished", is_unfinished):
        yield


@mutant(FINALLY, claims.a_bug_is_below_an_epic)
def a_bug_does_not_take_its_epic() -> Iterator[None]:
    """Whoever takes anything below an Epic, bugs too, takes the Epic first."""
    shipped = taking.take

    async def take(protocol: Protocol, candidate: scan.Candidate) -> Any:
        bug = candidate.ticket.type in protocol.fleet.bugs
        return await shipped(protocol, replace(candidate, epic=None) if bug else candidate)

    with patched(taking, "take", take):
        yield


@mutant(PERSON, people.a_person_is_responsible_for_an_epic)
def an_epics_assignee_is_overwritten() -> Iterator[None]:
    """An Epic's assignee is set only where empty."""
    shipped = taking.write

    async def write(protocol: Protocol, item: WorkPackage, record: RecordedClaim, *more: Any) -> Any:
        return await shipped(protocol, item, replace(record, is_epic=False), *more)

    with patched(taking, "write", write):
        yield


@mutant(PERSON, people.a_type_loses_a_field)
def any_success_is_a_claim() -> Iterator[None]:
    """200 counts only if the answer carries the token; else status and assignee are put back."""
    shipped = Board.patch

    async def patch(self: Board, item: WorkPackage, wanted: Changes, why: str, *, notify: bool = False) -> WorkPackage:
        if "undo the half-written claim" in why:
            return item
        return await shipped(self, item, wanted, why, notify=notify)

    with patched(Board, "patch", patch):
        yield


@mutant(EXECUTED, people.a_person_blocks_a_ticket_in_the_moment_of_its_claim)
def no_second_look_after_the_claim() -> Iterator[None]:
    """After the claim, before the model starts, read relations, gates and Spikes once more."""

    async def nothing(_: Protocol, __: WorkPackage) -> list[Why]:
        return []

    with patched(checking, "second_look", nothing):
        yield


# -- what may be taken -----------------------------------------------------------------------------------------------


@contextmanager
def blind_to(reason: Reason, *, but: Callable[[Around, Fleet], bool] = lambda _around, _fleet: False) -> Iterator[None]:
    """A reason does not count, unless `but` says so."""
    shipped = choose.surrounding_reasons

    def surrounding_reasons(ticket: WorkPackage, around: Around, fleet: Fleet) -> list[Why]:
        found = shipped(ticket, around, fleet)
        return found if but(around, fleet) else [why for why in found if why.reason is not reason]

    with patched(choose, "surrounding_reasons", surrounding_reasons):
        yield


@mutant(EXECUTED, people.a_phase_is_closed)
def a_closed_gate_counts_as_open() -> Iterator[None]:
    """Gated: an ancestor gate, at any depth, is not active (closed ones too)."""

    def waits(around: Around, fleet: Fleet) -> bool:
        gates = [one for one in around.ancestors if one.type in fleet.gates]
        return any(one.status not in fleet.closed | {fleet.active} for one in gates)

    with blind_to(Reason.GATED, but=waits):
        yield


@mutant(EXECUTED, people.a_blocker_waits_for_review)
def a_blocker_that_is_done_counts_everywhere() -> Iterator[None]:
    """A blocker is complete when it is closed; one that is done but not closed counts only for its own Epic (I-57)."""

    def is_complete(blocker: WorkPackage, _: WorkPackage | None, fleet: Fleet) -> bool:
        return blocker.status in fleet.closed | set(fleet.done)

    with patched(choose, "is_complete", is_complete):
        yield


@mutant(EXECUTED, people.a_person_opened_a_spike)
def an_open_spike_does_not_bar() -> Iterator[None]:
    """Spiked: an open Spike child."""
    with blind_to(Reason.SPIKED):
        yield


@mutant(PERSON, people.a_person_takes_a_ready_ticket)
def what_a_person_took_is_available() -> Iterator[None]:
    """Taken: assigned to somebody who is no fleet user; people keep what they took."""
    with patched(choose, "is_taken", lambda _item, _fleet: False):
        yield


@mutant(PERSON, people.an_operator_routes_a_ticket_that_a_pod_has_listed)
def a_route_to_another_pod_does_not_bar() -> Iterator[None]:
    """Routed to another pod."""
    shipped = choose.own_reasons

    def own_reasons(ticket: WorkPackage, fleet: Fleet) -> list[Why]:
        return [why for why in shipped(ticket, fleet) if why.reason is not Reason.ROUTED]

    with patched(choose, "own_reasons", own_reasons):
        yield


# -- expiry ----------------------------------------------------------------------------------------------------------


@mutant(WAITS, claims.a_pod_dies)
def no_expiry() -> Iterator[None]:
    """A judge expires a claim when it has itself seen the same token for its lifetime plus grace (I-15, I-17)."""
    with patched(State, "expired", lambda _, *__: ()):
        yield


@mutant(EXPIRY, claims.a_take_over_meets_an_expiry)
def expiry_without_the_token() -> Iterator[None]:
    """Expiry gives back by compare-and-swap on that token (I-21)."""
    shipped = sweep.free

    async def free(judge: Protocol, claim: Claim) -> None:
        now = await judge.board.work_package(claim.ticket, "whose is it now")
        await shipped(judge, Claim.shown(now) or claim)

    with patched(sweep, "free", free):
        yield


@contextmanager
def judging(expired: Callable[[Protocol, State, float, str, float], tuple[str, ...]]) -> Iterator[None]:
    """Another rule for what has expired, which may ask the judge."""
    shipped = sweep.sweep

    async def judged(judge: Protocol, grace: float) -> frozenset[str]:
        with inside(judge):
            return await shipped(judge, grace)

    def rule(state: State, now: float, boot: str, grace: float) -> tuple[str, ...]:
        return expired(INSIDE.get(), state, now, boot, grace)

    with patched(sweep, "sweep", judged), patched(State, "expired", rule):
        yield


@mutant(EXPIRY, claims.clocks_differ_by_hours)
def expiry_by_comparing_clocks() -> Iterator[None]:
    """There is no server clock to go by, and hosts' clocks differ."""

    def expired(judge: Protocol, state: State, _: float, __: str, grace: float) -> tuple[str, ...]:
        clock: Clock = judge.clock
        tokens = {text: claim_token.parse(text) for text in state.seen}
        return tuple(
            text
            for text, token in tokens.items()
            if token is not None and (clock.now() - token.at).total_seconds() >= token.lifetime_s + grace
        )

    with judging(expired):
        yield


@mutant(EXPIRY, claims.time_outs_differ_by_hours)
def expiry_by_the_judges_own_time_out() -> Iterator[None]:
    """The same token for its lifetime plus grace: `for` is the claim's lifetime."""

    def expired(judge: Protocol, state: State, now: float, boot: str, grace: float) -> tuple[str, ...]:
        old = [text for text, first in state.seen.items() if (first.age(now, boot) or 0) >= judge.lifetime + grace]
        return tuple(old)

    with judging(expired):
        yield


@mutant(EXPIRY, claims.a_pod_dies)
def no_grace() -> Iterator[None]:
    """The same token for its lifetime plus grace."""
    shipped = State.expired

    def expired(self: State, now: float, boot: str, _: float) -> tuple[str, ...]:
        return shipped(self, now, boot, 0.0)

    with patched(State, "expired", expired):
        yield


@mutant(EXPIRY, claims.one_of_two_hosts_with_one_name_dies)
def a_dead_claim_ends_all_claims_of_its_pod() -> Iterator[None]:
    """An Epic is freed in the same sweep as its owner's last claim, if its own token has aged too."""
    shipped = State.expired

    def expired(self: State, now: float, boot: str, grace: float) -> tuple[str, ...]:
        dead = {token.pod for token in map(claim_token.parse, shipped(self, now, boot, grace)) if token is not None}
        tokens = {text: claim_token.parse(text) for text in self.seen}
        return tuple(text for text, token in tokens.items() if token is not None and token.pod in dead)

    with patched(State, "expired", expired):
        yield


@mutant(ONE_WRITER, claims.an_epic_was_seen_before_its_child)
def an_epic_expires_while_a_descendant_lives() -> Iterator[None]:
    """An Epic does not expire while a descendant holds a living token."""

    async def lives(*_: object) -> bool:
        return False

    with patched(sweep, "is_alive", lives):
        yield


# -- tries and trouble -----------------------------------------------------------------------------------------------


@mutant(TRIES, claims.a_pod_dies_again_and_again)
def tries_are_not_counted() -> Iterator[None]:
    """A take-over writes a new nonce and the next try (I-40, I-41)."""
    shipped = ClaimToken.renewed

    def renewed(self: ClaimToken, **more: Any) -> ClaimToken:
        return shipped(self, **{**more, "attempt": None})

    with patched(ClaimToken, "renewed", renewed):
        yield


@mutant(TRIES, claims.a_pod_dies_again_and_again)
def tries_without_a_cap() -> Iterator[None]:
    """Defaults: … tries 3; beyond them it is a failure (I-41, I-46)."""
    shipped = Runs.reporter

    def reporter(self: Runs, *arguments: Any) -> Reporter:
        made = shipped(self, *arguments)
        made.tries = 1_000_000
        return made

    with patched(Runs, "reporter", reporter):
        yield


@mutant(UNREPORTED, claims.a_pod_dies_after_its_last_push)
def at_the_cap_it_is_a_failure_without_a_look() -> Iterator[None]:
    """At the cap of tries it still takes over, sets the ref and looks: only if its commit is not there is it a failure."""
    shipped = Attempt._carry_out

    async def carry_out(self: Attempt, ticket: WorkPackage, epic: WorkPackage | None, branch: str) -> Any:
        if self._claim.token.attempt > self._reporter.tries:
            await self._raise_known_failure(ticket, branch)
        return await shipped(self, ticket, epic, branch)

    with patched(Attempt, "_carry_out", carry_out):
        yield


@mutant(BOUNDED, claims.the_models_api_is_down)
def the_back_off_is_lost() -> Iterator[None]:
    """The back-off is kept in the state, over processes: 1, 2, 4 … 60 minutes before the next resume or claim (I-42)."""
    with patched(State, "wait", lambda *_: 0.0):
        yield


@mutant(BOUNDED, claims.every_run_of_a_ticket_is_trouble)
def trouble_without_bound_over_claims() -> Iterator[None]:
    """Three such releases of one ticket since a person last spoke: the trouble comes with the ticket."""
    with patched(reporting, "TROUBLED_RELEASES", 1_000_000):
        yield


@mutant(FAILURES, claims.the_models_api_is_down)
def pod_trouble_makes_a_spike() -> Iterator[None]:
    """Pod trouble is not the ticket's fault and never makes a Spike (I-51)."""

    async def interrupted(self: Attempt, reason: str) -> Any:
        return await self._failed(RecordedFailure(reason))

    with patched(Attempt, "_interrupted", interrupted):
        yield


@mutant(FIT, claims.a_pod_cannot_work)
def no_preflight() -> Iterator[None]:
    """Preflight, before every claim: disk, Nix, the model's API (I-67)."""

    async def nothing(_: Places) -> None:
        return

    with patched(Places, "preflight", nothing):
        yield


# -- the watch -------------------------------------------------------------------------------------------------------


@mutant(STOPS, people.a_person_takes_a_running_ticket)
def nobody_watches() -> Iterator[None]:
    """While the model runs, re-read the work package every minute (I-48)."""
    with patched(watch, "WATCH", 1e9):
        yield


@mutant(STOPS, people.a_person_opens_a_spike_under_a_running_ticket)
def the_watch_does_not_see_a_persons_spike() -> Iterator[None]:
    """Watch: … or an open Spike that is not ours."""

    async def nothing(*_: object) -> None:
        return

    with patched(watch, "_refuse_foreign_spike", nothing):
        yield
