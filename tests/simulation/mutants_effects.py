"""More mutants, as `mutants`: fences, pushes, reports and Spikes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from agent import epics
from agent.attempt import Attempt
from agent.claim import checking, ending, rules
from agent.claim.ending import Cause, How
from agent.claim.protocol import Protocol
from agent.claim.value import Claim
from agent.cycle import Cycle
from agent.git.refs import LeaseRefused
from agent.model import BoardText, Changes, Fleet, WorkPackage
from agent.reporting import Reporter
from agent.spikes import Spikes
from agent.texts.claim_token import ClaimToken
from agent.texts.where import NOWHERE, Where
from simulation import mutants_scenes as claims
from simulation import mutants_scenes_people as people
from simulation.invariants import FAILURES, FINALLY, ONCE, ONE_SPIKE, PERSON, SUPERSEDED, UNREPORTED, WRITER
from simulation.mutants import INSIDE, inside, mutant, patched, without_lock
from simulation.mutants_stage import LOST, ONE_WRITER, REF, STOPS
from simulation.workspace import SimRepository

# -- fences ----------------------------------------------------------------------------------------------------------


@contextmanager
def unfenced(owner: Any, name: str) -> Iterator[None]:
    """Inside this method, the fence lets everything through."""
    shipped, guarded = vars(owner)[name], Reporter.fence

    async def fence(self: Reporter) -> WorkPackage:
        if INSIDE.get() is not without:
            return await guarded(self)
        return await self._board.work_package(self.claim.ticket, "no fence")

    async def without(self: Any, *arguments: Any, **more: Any) -> Any:
        with inside(without):
            return await shipped(self, *arguments, **more)

    with patched(owner, name, without), patched(Reporter, "fence", fence):
        yield


@mutant(SUPERSEDED, people.a_person_takes_a_ticket_before_the_push)
def no_fence_before_the_push() -> Iterator[None]:
    """Fence: re-read, compare the token, immediately before each effect: push."""
    with unfenced(Attempt, "_publish"):
        yield


@mutant(SUPERSEDED, people.a_person_takes_a_ticket_before_the_spike)
def no_fence_before_the_spike() -> Iterator[None]:
    """Fence: re-read, compare the token, immediately before each effect: Spike."""
    with unfenced(Attempt, "_failed"):
        yield


@mutant(SUPERSEDED, people.a_person_takes_a_ticket_before_the_report)
def no_fence_before_the_report() -> Iterator[None]:
    """Fence: re-read, compare the token, immediately before each effect: report."""
    with unfenced(Reporter, "_last_patch"):
        yield


@mutant(PERSON, people.a_person_holds_a_ticket_before_the_last_patch)
def the_last_patch_without_lock_version() -> Iterator[None]:
    """Every change of hands is one compare-and-swap."""
    with without_lock(" done"):
        yield


@mutant(SUPERSEDED, claims.a_pod_outlives_its_lifetime)
def effects_after_the_lifetime() -> Iterator[None]:
    """At the lifetime the holder stops every effect."""

    async def fence(self: Reporter) -> WorkPackage:
        return await checking.check(self._protocol, self.claim)

    with patched(Reporter, "fence", fence):
        yield


@mutant(ONE_WRITER, people.an_operator_reroutes_a_running_epic)
def watch_and_fence_do_not_read_the_epic() -> Iterator[None]:
    """Still mine = my token on the ticket and, below an Epic, a token of mine on the active Epic."""
    with patched(rules, "epic_lost", lambda _epic, _fleet: ""):
        yield


@mutant(STOPS, people.a_person_takes_a_running_ticket)
def watch_and_fence_ignore_the_assignee() -> Iterator[None]:
    """Watch: assignee no fleet user: stop, keep the work, give back what is ours."""
    shipped = rules.ticket_lost

    def ticket_lost(item: WorkPackage, claim: Claim, epic: int | None, fleet: Fleet) -> str:
        why = shipped(item, claim, epic, fleet)
        return "" if why == "its assignee was changed" else why

    with patched(rules, "ticket_lost", ticket_lost):
        yield


@mutant(STOPS, people.a_person_moves_a_running_ticket_to_another_epic)
def a_move_to_another_epic_is_not_noticed() -> Iterator[None]:
    """Watch: other project, type or Epic."""
    shipped = rules.ticket_lost

    def ticket_lost(item: WorkPackage, claim: Claim, _: int | None, fleet: Fleet) -> str:
        return shipped(item, claim, claim.epic, fleet)

    with patched(rules, "ticket_lost", ticket_lost), patched(rules, "epic_lost", lambda _epic, _fleet: ""):
        yield


# -- what is given back ----------------------------------------------------------------------------------------------


@contextmanager
def giving_back(more: Any) -> Iterator[None]:
    """Something else is given back too."""
    shipped = rules.give_back

    def give_back(item: WorkPackage, token: ClaimToken, fleet: Fleet, *, to: int | None) -> Changes:
        return replace(shipped(item, token, fleet, to=to), **more(fleet, to))

    with patched(rules, "give_back", give_back):
        yield


@mutant(PERSON, people.an_operator_routed_a_ticket_that_fails)
def a_release_wipes_an_operators_route() -> Iterator[None]:
    """It clears the pod field only if it is the token's pod and the token is not `routed`."""
    with giving_back(lambda _fleet, _to: {"pod": ""}):
        yield


@mutant(PERSON, people.a_person_takes_a_running_ticket)
def a_release_wipes_a_persons_assignee() -> Iterator[None]:
    """It clears the assignee only if it is a fleet user."""
    with giving_back(lambda _fleet, _to: {"assignee": None}):
        yield


@mutant(PERSON, people.a_person_holds_a_running_ticket)
def a_release_sets_the_status_whatever_it_is() -> Iterator[None]:
    """It sets the status only if it is active: what a person has set meanwhile stays."""
    with giving_back(lambda _fleet, to: {"status": UNSET if to is None else to}):
        yield


@mutant(LOST, people.a_person_takes_a_running_ticket)
def stopped_work_is_not_kept() -> Iterator[None]:
    """Stop the model's whole process tree, push the work as `refs/agent/kept/<id>-<run>` (I-35)."""

    async def keep(_: Attempt, __: str) -> Where:
        return NOWHERE

    async def leave(_: SimRepository, __: int) -> None:  # clearing the worktree away would keep it, too
        return

    with patched(Attempt, "_keep", keep), patched(SimRepository, "discard", leave):
        yield


@mutant(FINALLY, people.a_person_reopens_a_child_while_its_epic_closes)
def no_look_after_an_epics_release() -> Iterator[None]:
    """Then look once more: a descendant that became ready meanwhile under a closed Epic, the Epic back to ready."""

    async def nothing(_: Protocol, __: WorkPackage) -> None:
        return

    with patched(epics, "reopen_if_needed", nothing):
        yield


@mutant(FINALLY, claims.everything_in_an_epic_is_done)
def a_stale_epic_is_never_released() -> Iterator[None]:
    """Rung 3: release my stale Epic; its status becomes done when every executable descendant is done or closed."""
    shipped = epics.release

    async def release(protocol: Protocol, number: int, *why: str) -> None:
        if why:
            await shipped(protocol, number, *why)

    with patched(epics, "release", release):
        yield


# -- git -------------------------------------------------------------------------------------------------------------


@mutant(WRITER, claims.a_pod_freezes_in_its_push)
def no_claim_ref() -> Iterator[None]:
    """Git is fenced too: each branch owner has a ref on the remote."""

    async def nothing(_: Attempt) -> None:
        return

    with patched(Attempt, "_set_claim_ref", nothing):
        yield


@mutant(WRITER, claims.a_pod_freezes_in_its_push)
def the_result_is_pushed_without_the_claim_ref() -> Iterator[None]:
    """The result is one push, with a lease on the claim ref, which deletes the ref."""
    shipped = Attempt._publish

    async def publish(self: Attempt, *arguments: Any) -> Any:
        self._claim_blob = None
        return await shipped(self, *arguments)

    with patched(Attempt, "_publish", publish):
        yield


@contextmanager
def setting(how: Any) -> Iterator[None]:
    """Another way to set the claim ref; `how` gives what to expect next after a refused lease."""

    async def set_claim_ref(self: Attempt) -> None:
        text, owner = str(self._claim.token), self._claim.owner
        expected = self._place.refs.claims.get(owner)
        while True:
            try:
                self._claim_blob = await self._repository.set_claim(owner, text, expected)
            except LeaseRefused:
                expected = await how(self, owner)
            else:
                return

    with patched(Attempt, "_set_claim_ref", set_claim_ref):
        yield


@mutant(REF, claims.a_pod_freezes_before_its_claim_ref)
def the_ref_is_set_without_a_lease() -> Iterator[None]:
    """Rejected: read the ref, then the board; still mine, again; else give up."""

    async def whatever_is_there(self: Attempt, owner: int) -> str | None:
        return await self._repository.read_claim(owner)

    with setting(whatever_is_there):
        yield


@mutant(REF, claims.a_pod_freezes_between_board_and_ref)
def the_board_is_read_before_the_ref() -> Iterator[None]:
    """Read the ref, then the board."""

    async def board_first(self: Attempt, owner: int) -> str | None:
        await checking.check(self._protocol, self._claim)
        return await self._repository.read_claim(owner)

    with setting(board_first):
        yield


@mutant(UNREPORTED, claims.a_push_is_on_its_way_when_its_pod_dies)
def fetch_before_the_ref_is_set() -> Iterator[None]:
    """Set it; only then fetch."""
    shipped = Attempt._set_claim_ref

    async def set_claim_ref(self: Attempt) -> None:
        await self._repository.fetch()
        await shipped(self)

        async def nothing() -> None:
            return

        self._repository.fetch = nothing  # type: ignore[method-assign]

    with patched(Attempt, "_set_claim_ref", set_claim_ref):
        yield


@mutant(SUPERSEDED, claims.a_push_lands_after_the_take_over)
def a_take_over_does_not_set_the_ref_again() -> Iterator[None]:
    """A take-over does the same with its new token before anything else touches git."""
    shipped = Attempt._set_claim_ref

    async def set_claim_ref(self: Attempt) -> None:
        if self._claim.token.attempt == 1:
            await shipped(self)
        else:
            self._claim_blob = self._place.refs.claims.get(self._claim.owner)

    with patched(Attempt, "_set_claim_ref", set_claim_ref):
        yield


@mutant(REF, claims.a_pod_freezes_in_its_run)
def anothers_claim_ref_is_deleted() -> Iterator[None]:
    """Failure and release delete the ref when it is mine (I-33)."""

    async def delete_claim_ref(self: Attempt) -> None:
        owner = self._claim.owner
        shown = await self._repository.read_claim(owner)
        if shown is not None:
            await self._repository.delete_claim(owner, shown)

    with patched(Attempt, "_delete_claim_ref", delete_claim_ref):
        yield


# -- reports ---------------------------------------------------------------------------------------------------------


@mutant(ONCE, people.the_answer_to_a_comment_is_lost)
def a_comment_is_repeated_without_a_look() -> Iterator[None]:
    """Every step is idempotent: before doing it, look whether it is done (own comment, …)."""

    async def events(*_: object) -> frozenset[str]:
        return frozenset()

    with patched(Protocol, "events", events):
        yield


@mutant(ONCE, people.a_pod_dies_before_its_last_patch)
def a_take_over_does_not_look_what_was_said() -> Iterator[None]:
    """A kill between any two effects, followed by a restart, ends in the same board as no kill."""

    async def events(_: Reporter) -> frozenset[str]:
        return frozenset()

    with patched(Reporter, "events", events):
        yield


@mutant(PERSON, people.a_person_changes_the_text)
def a_changed_text_is_ignored() -> Iterator[None]:
    """If subject or description changed since the claim: push all the same, back to ready."""
    shipped = Attempt._report

    async def told(self: Attempt, branch: str, commit: str, ticket: WorkPackage, *, pushed: bool = True) -> Any:
        record = self._reporter.record
        self._reporter.remember(replace(record, subject=ticket.subject, description=ticket.description))
        return await shipped(self, branch, commit, ticket, pushed=pushed)

    with patched(Attempt, "_report", told):
        yield


@mutant(FAILURES, claims.a_model_is_stuck)
def release_before_the_spike() -> Iterator[None]:
    """Failure: comment, Spike child, comment with its number, PATCH back to ready."""
    shipped = Spikes.ask

    async def ask(self: Spikes, ticket: WorkPackage, run: str, description: BoardText, known: int = 0) -> int:
        claim = Claim.shown(ticket)
        if claim is not None:
            await ending.end(self._protocol, claim, How(cause=Cause.FAILED))
        return await shipped(self, ticket, run, description, known)

    with patched(Spikes, "ask", ask):
        yield


@mutant(ONE_SPIKE, people.the_answer_to_a_spike_is_lost)
def a_spike_is_posted_again_without_a_look() -> Iterator[None]:
    """Before doing a step, look whether it is done: a Spike with this run's marker means it was asked."""

    async def nothing(*_: object) -> list[WorkPackage]:
        return []

    with patched(Spikes, "of_run", nothing):
        yield


@mutant(ONE_SPIKE, people.a_spike_is_answered_while_its_pod_is_dead)
def only_an_open_spike_means_asked() -> Iterator[None]:
    """A Spike with this run's marker, open or closed, means it was asked (I-28)."""
    shipped = Spikes.of_run

    async def of_run(self: Spikes, ticket: WorkPackage, run: str) -> list[WorkPackage]:
        closed = self._protocol.fleet.closed
        return [one for one in await shipped(self, ticket, run) if one.status not in closed]

    with patched(Spikes, "of_run", of_run):
        yield


@mutant(FAILURES, people.a_lost_spike_lands_before_the_last_patch)
def surplus_spikes_stay_open() -> Iterator[None]:
    """Of several open ones the lowest stays and the others are closed, before the last PATCH."""

    async def nothing(_: Spikes, __: int) -> None:
        return

    with patched(Spikes, "close_surplus", nothing):
        yield


@mutant(FAILURES, people.a_lost_spike_lands_after_the_last_patch)
def the_sweep_closes_no_surplus_spike() -> Iterator[None]:
    """… and by the sweep (a lost POST may land late)."""

    async def nothing(_: Cycle, __: Any) -> None:
        return

    with patched(Cycle, "_tidy_spikes", nothing):
        yield


@mutant(FAILURES, people.a_pod_dies_after_it_said_that_its_run_failed)
def a_known_failure_is_forgotten() -> Iterator[None]:
    """Rung 1: its own comment "Execution failed", finish the failure, never run the model again."""

    async def nothing(_: Attempt, __: WorkPackage, ___: str) -> None:
        return

    with patched(Attempt, "_raise_known_failure", nothing):
        yield


@mutant(FINALLY, people.trouble_outlasts_the_tries)
def trouble_never_gives_back() -> Iterator[None]:
    """After three tries or the lifetime give it back with one comment."""

    async def interrupted(self: Reporter, reason: str, _: object) -> None:
        self.troubled(reason)

    with patched(Reporter, "interrupted", interrupted):
        yield
