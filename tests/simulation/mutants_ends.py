"""More mutants, as `mutants`: whose a claim is, what it replaces, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.claim import ending, outbox, rules
from agent.claim import swap as swaps
from agent.claim.ending import Ended, How
from agent.claim.protocol import Protocol
from agent.claim.value import Claim
from agent.model import BoardText, WorkPackage
from agent.reporting import Reporter
from agent.spikes import Spikes
from agent.state import Farewell, State
from agent.texts import claim_token
from agent.texts.claim_token import ClaimToken, Key
from simulation import mutants_scenes_claims as claims
from simulation.invariants import FINALLY, ONCE, ONE_SPIKE, PERSON
from simulation.mutants import mutant, patched
from simulation.mutants_scenes_claims import COPIED
from simulation.mutants_stage import LOST


@mutant(COPIED, claims.a_person_copies_a_dead_pods_ticket)
def a_copy_is_mine_too() -> Iterator[None]:
    """Mine = run id, nonce and work package (P7)."""
    shipped = claim_token.key

    def key(_: int, text: str) -> Key | None:
        return shipped(0, text)

    with patched(claim_token, "key", key), patched(State, "held_elsewhere", lambda *_: None):
        yield


@mutant(COPIED, claims.a_person_copies_a_running_epic)
def a_copy_is_left_to_expire() -> Iterator[None]:
    """The pod that recorded the token gives the copy back as an expiry does (P7)."""
    with patched(State, "held_elsewhere", lambda *_: None):
        yield


@mutant(COPIED, claims.a_person_copies_a_running_ticket)
def a_claim_that_has_ended_is_not_known_any_more() -> Iterator[None]:
    """… also when the original has ended meanwhile (P7)."""
    shipped = State.held_elsewhere

    def held_elsewhere(self: State, work_package: int, text: str) -> int | None:
        original = shipped(self, work_package, text)
        return original if original in self.tickets() else None

    with patched(State, "held_elsewhere", held_elsewhere):
        yield


@mutant(PERSON, claims.an_operator_routes_a_ticket_to_the_pod_that_is_claiming_it)
def a_route_is_judged_once_for_all_turns() -> Iterator[None]:
    """What a claim replaces is read from the very representation whose lockVersion it sends, in each turn (P18)."""
    shipped, first = rules.is_routed, dict[int, bool]()

    def is_routed(item: WorkPackage, old: ClaimToken | None) -> bool:
        return first.setdefault(item.id, shipped(item, old))

    with patched(rules, "is_routed", is_routed):
        yield


@mutant(LOST, claims.a_person_blocks_a_dead_pods_ticket)
def an_end_leaves_the_worktree_alone() -> Iterator[None]:
    """Every end of a claim keeps what is in the worktree and ends what runs there (P5)."""
    shipped = ending.end

    async def end(protocol: Protocol, claim: Claim, how: How, _: object = None) -> Ended:
        return await shipped(protocol, claim, how)

    with patched(ending, "end", end):
        yield


@mutant(LOST, claims.a_claim_expires_while_its_pod_is_dead)
def a_claim_that_others_ended_is_forgotten() -> Iterator[None]:
    """… those too that others end while the pod is away (P5)."""

    async def lost(*_: object) -> None:
        return

    with patched(Reporter, "lost", lost):
        yield


@mutant(FINALLY, claims.a_pod_dies_when_the_board_has_refused_its_status)
def the_last_word_is_not_noted() -> Iterator[None]:
    """The last word is put into the one outbox before the compare-and-swap (P16)."""

    def put(_: Protocol, claim: Claim, text: BoardText) -> Farewell:
        return Farewell(claim.ticket, str(claim.token), text)

    with patched(outbox, "put", put):
        yield


@mutant(ONCE, claims.two_judges_free_one_claim_and_one_of_them_is_not_heard)
def the_last_word_is_said_without_a_look() -> Iterator[None]:
    """What an unanswered request may have done, another may have done, and said (P16)."""
    shipped = outbox.say

    async def say(protocol: Protocol, farewell: Farewell, *, look: bool) -> None:
        del look
        await shipped(protocol, farewell, look=False)

    with patched(outbox, "say", say):
        yield


@mutant(ONCE, claims.an_expiry_is_answered_with_a_conflict_although_it_happened)
def a_conflict_means_that_nothing_happened() -> Iterator[None]:
    """A 409 proves nothing: what the work package shows settles it (P16)."""
    shipped = swaps.swap

    async def swap(*arguments: Any, **more: Any) -> Any:
        return await shipped(*arguments, **more, landed=lambda *_: False)

    with patched(ending, "swap", swap):
        yield


@mutant(FINALLY, claims.an_epics_reopening_meets_an_edit)
def compare_and_swap_gives_up_at_a_conflict() -> Iterator[None]:
    """A 409 alone proves nothing: children bump their ancestors (I-11, P16)."""
    with patched(swaps, "SWAPS", 1):
        yield


@mutant(ONE_SPIKE, claims.a_person_rewrites_a_spike_while_its_pod_is_dead)
def a_spike_is_known_by_its_marker_alone() -> Iterator[None]:
    """The Spike's number is in the claim's record (P15)."""
    shipped = Spikes.ask

    async def ask(self: Spikes, ticket: WorkPackage, run: str, description: BoardText, _: int = 0) -> int:
        return await shipped(self, ticket, run, description)

    with patched(Spikes, "ask", ask):
        yield
