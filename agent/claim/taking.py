"""Taking a claim, and renewing one: the Epic first, so that one Epic has one writer, then the ticket.

What a claim replaces is read from the very representation whose lockVersion it sends, in each turn of the
compare-and-swap: a route that a person gave or took away meanwhile is what giving back restores. A token is in the state
folder before it is sent, so that a crash at any point leaves a claim that its pod recognises.
"""

from __future__ import annotations

from collections.abc import Callable

from loguru import logger
from msgspec import UNSET, Struct
from msgspec.structs import replace

from agent import choose
from agent.choose import Reason, Why
from agent.claim import checking, ending, rules
from agent.claim.protocol import Protocol
from agent.claim.swap import Outcome, Swap, swap
from agent.claim.value import Claim
from agent.errors import Ignored, NotFound, Refused, Superseded
from agent.model import Changes, WorkPackage
from agent.scan import Candidate
from agent.state import RecordedClaim
from agent.texts import claim_token, report
from agent.texts.claim_token import ClaimToken


class Taken(Struct, frozen=True):
    """A claim that was made and checked, with what it is on."""

    claim: Claim
    ticket: WorkPackage
    epic: WorkPackage | None


class Lost(Struct, frozen=True):
    """A claim that came to nothing; `whole_epic` where its Epic is somebody else's."""

    whys: tuple[Why, ...] = ()
    whole_epic: bool = False


async def take(protocol: Protocol, candidate: Candidate) -> Taken | Lost:
    """Claim the Epic, then the ticket, then look a second time at what is around it.

    Raises:
        Unreachable: the board fell silent; what was written will be found by rung 1.
    """
    before, epic = candidate.ticket, candidate.epic
    if epic is not None:
        owned = choose.is_mine(epic, protocol.fleet)
        epic = await take_epic(protocol, epic, before.id if before.type in protocol.fleet.bugs else 0)
        if epic is None:
            return Lost(whole_epic=True)
        await announce(protocol, epic, fresh=not owned)
    token = _new_token(protocol, before)
    record = RecordedClaim(
        ticket=before.id,
        token=str(token),
        born=protocol.memory.now(),
        pod=token.pod,
        epic=epic.id if epic is not None else None,
        project=before.project,
        type=before.type,
    )
    taken = await write(protocol, before, record, lambda one: not choose.own_reasons(one, protocol.fleet))
    if taken is None:
        refusal = protocol.refusals.get(before.id)
        return Lost(whys=(Why(Reason.REFUSED, str(refusal)),) if refusal else ())
    claim, ticket = taken
    record = replace(claim.record, schedule_manually_before=ticket.schedule_manually)
    protocol.memory.record(record)
    claim = replace(claim, record=record)
    whys = await checking.second_look(protocol, ticket)
    if whys:
        await ending.end(protocol, claim, ending.How(cause=ending.Cause.SECOND_LOOK))
        return Lost(whys=tuple(whys))
    return Taken(claim, ticket, epic)


async def take_epic(protocol: Protocol, epic: WorkPackage, bug: int = 0) -> WorkPackage | None:
    """Claim an Epic, or renew the token of one that is mine; None = it is another's, or closed to us.

    Args:
        protocol: the pod's.
        epic: as it was read.
        bug: the bug that it is taken for, with which it goes back; 0 if for its own sake. An Epic that was held for
            its own sake before stays so.
    """
    old = Claim.mine(protocol.memory.state, epic) if choose.is_mine(epic, protocol.fleet) else None
    if old is not None:
        token = old.token.renewed(
            nonce=protocol.randomness.nonce(), now=protocol.clock.now(), lifetime_s=protocol.lifetime
        )
        bug = bug if old.record.taken_for else 0
    else:
        token = _new_token(protocol, epic)
    record = RecordedClaim(
        ticket=epic.id,
        token=str(token),
        born=protocol.memory.now(),
        pod=token.pod,
        is_epic=True,
        announced=old is not None and old.record.announced,
        taken_for=bug,
    )

    def is_open(one: WorkPackage) -> bool:
        """What is renewed must be ours still; an Epic that was given back meanwhile is another run's to take."""
        return not choose.epic_reasons(one, protocol.fleet) and (old is None or old.is_on(one))

    taken = await write(protocol, epic, record, is_open, old)
    if taken is None:
        return None
    if old is not None:
        protocol.memory.forget(epic.id, str(old.token))
    return taken[1]


async def announce(protocol: Protocol, epic: WorkPackage, *, fresh: bool = False) -> None:
    """Say that this Epic was taken, once: a pod that died before it could says so when it goes on.

    Args:
        protocol: the pod's.
        epic: with our token.
        fresh: it was taken in this very moment, so that there is nothing to look for.
    """
    claim = Claim.mine(protocol.memory.state, epic)
    if claim is None or claim.record.announced:
        return
    run = claim.token.run
    if fresh or report.Event.EPIC_TAKEN not in await protocol.events(epic.id, run):
        await protocol.say(epic.id, report.epic_taken(run, pod=protocol.fleet.pod), "Epic taken")
    protocol.memory.record(replace(claim.record, announced=True))


async def take_over(protocol: Protocol, ticket: WorkPackage, old: Claim) -> Taken | None:
    """After a crash or restart: the Epic is renewed, then a new nonce and the next try.

    Returns:
        None where the ticket changed hands meanwhile.

    Raises:
        Superseded: its Epic is not this pod's any more.
        Refused: the board does not let this account write to the ticket any more.
    """
    record = old.record
    epic = await _renewed_epic(protocol, record.epic, record.ticket if record.type in protocol.fleet.bugs else 0)
    token = old.token.renewed(
        nonce=protocol.randomness.nonce(),
        now=protocol.clock.now(),
        attempt=old.token.attempt + 1,
        lifetime_s=protocol.lifetime,
    )
    fresh = replace(record, token=str(token), born=protocol.memory.now(), attempt=token.attempt)

    def is_as_it_was(one: WorkPackage) -> bool:
        """What a person has taken, moved or re-routed meanwhile is not written over."""
        unmoved = (one.project, one.type) == (record.project, record.type)
        return old.is_on(one) and choose.is_unfinished(one, protocol.fleet) and unmoved

    taken = await write(protocol, ticket, fresh, is_as_it_was, old)
    if taken is None and ticket.id in protocol.refusals:
        raise protocol.refusals[ticket.id]
    if taken is None:
        return None
    protocol.memory.forget(record.ticket, record.token)
    return Taken(taken[0], taken[1], epic)


async def _renewed_epic(protocol: Protocol, number: int | None, bug: int) -> WorkPackage | None:
    if number is None:
        return None
    try:
        epic = await protocol.board.work_package(number, "the Epic to renew")
    except NotFound as gone:
        raise Superseded(f"its Epic #{number} is gone") from gone
    why = rules.epic_lost(epic, protocol.fleet)
    held = None if why else await take_epic(protocol, epic, bug)
    if held is None:
        raise Superseded(why or f"its Epic #{number} is another pod's now")
    return held


def _new_token(protocol: Protocol, item: WorkPackage) -> ClaimToken:
    return claim_token.new(
        run=protocol.randomness.uuid(),
        nonce=protocol.randomness.nonce(),
        pod=protocol.fleet.pod,
        lifetime_s=protocol.lifetime,
        now=protocol.clock.now(),
        routed=bool(item.pod),
    )


async def write(
    protocol: Protocol,
    item: WorkPackage,
    record: RecordedClaim,
    still: Callable[[WorkPackage], bool],
    old: Claim | None = None,
) -> tuple[Claim, WorkPackage] | None:
    """Write the token, and read again whenever the answer does not settle it.

    Args:
        protocol: the pod's.
        item: as it was read, and judged.
        record: with the token.
        still: whether what is read later may still be taken.
        old: the claim of ours that this one replaces.
    """
    fleet, board, memory = protocol.fleet, protocol.board, protocol.memory
    token = claim_token.parse(record.token)
    assert token is not None  # noqa: S101 - it was written a moment ago
    claim = Claim(token=token, record=record)

    def wanted(now: WorkPackage) -> Changes | None:
        nonlocal claim
        moment = memory.now()
        # one that is over may have been ended by a judge
        if now is not item and (not still(now) or record.left(moment.at, moment.boot) <= 0):
            return None
        fresh = replace(token, routed=rules.is_routed(now, old.token if old is not None else None))
        claim = Claim(token=fresh, record=replace(record, token=str(fresh)))
        memory.record(claim.record)
        keep_assignee = record.is_epic and now.assignee is not None
        assignee = UNSET if keep_assignee else fleet.me
        return Changes(status=fleet.active, assignee=assignee, pod=fleet.pod, run=str(fresh))

    swapped = await swap(
        board,
        lambda: board.work_package(item.id, "who has it now"),
        wanted,
        f"claim #{item.id}",
        start=item,
        landed=lambda now, _: claim.is_on(now),
    )
    shown = swapped.written
    if shown is not None:
        record = replace(claim.record, token=shown.run)
        memory.record(record)
        return Claim(token=claim_token.parse(shown.run) or claim.token, record=record), shown
    await _note(protocol, swapped)
    if not swapped.in_flight:
        memory.forget(item.id, claim.record.token)
    return None


async def _note(protocol: Protocol, swapped: Swap) -> None:
    """Why a claim was not taken, where the board has something against it."""
    item, refusal = swapped.item, swapped.refusal
    if item is None or refusal is None:
        return
    if isinstance(refusal, Ignored):
        logger.error("#{}: {}", item.id, refusal)
        await _put_back(protocol, item)
        refusal = Refused(str(refusal))
    else:
        logger.warning("#{} cannot be claimed: {}", item.id, refusal)
    protocol.note_refusal(item, refusal)


async def _put_back(protocol: Protocol, before: WorkPackage) -> None:
    """The claim was half written: what is still as we wrote it becomes as it was, in the same breath."""
    fleet, board = protocol.fleet, protocol.board

    def wanted(now: WorkPackage) -> Changes:
        ours = now.assignee is not None and now.assignee.id == fleet.me
        assignee = before.assignee.id if before.assignee is not None and ours else None
        return Changes(
            status=before.status if now.status == fleet.active else UNSET,
            assignee=assignee if ours else UNSET,
            pod=before.pod if now.pod == fleet.pod else UNSET,
        )

    done = await swap(
        board,
        lambda: board.work_package(before.id, "what was half written"),
        wanted,
        f"undo the half-written claim of #{before.id}",
    )
    if done.outcome in (Outcome.REFUSED, Outcome.IGNORED):
        logger.error("#{}: its half-written claim cannot be undone: {}", before.id, done.refusal)
