"""Giving up an Epic: done when nothing is left to do in it, else ready for another pod (DESIGN, section 3)."""

from __future__ import annotations

from loguru import logger

from agent.board.query import none_of, one_of
from agent.claim import ending, taking
from agent.claim.ending import Cause, How
from agent.claim.protocol import Protocol
from agent.claim.swap import swap
from agent.claim.value import Claim
from agent.errors import NotFound
from agent.model import Changes, WorkPackage
from agent.texts import report


async def release(protocol: Protocol, number: int, reason: str = report.NOTHING_LEFT) -> None:
    """Give back what is ours of an Epic and say why.

    Stories, gates and Spikes are never moved by the fleet and do not count.
    """
    fleet, board = protocol.fleet, protocol.board
    try:
        epic = await board.work_package(number, "the Epic to release")
    except NotFound:
        return
    claim = Claim.mine(protocol.memory.state, epic)
    if claim is None:
        return
    await taking.announce(protocol, epic)
    below = [one_of("ancestor", [epic.id]), one_of("type", fleet.executable)]
    finished = frozenset(fleet.done) | fleet.closed
    every = await board.groups(below, "status", f"what is left in Epic #{epic.id}")
    all_done = bool(every) and all(int(status) in finished for status in every)
    run = claim.token.run
    how = How(
        cause=Cause.EPIC_RELEASED,
        word=lambda _: report.epic_released(run, reason=reason),
        to=(*fleet.done, fleet.ready) if all_done else (),
    )
    released = (await ending.end(protocol, claim, how)).item
    if released is not None:
        logger.info("Epic #{} released: {}", epic.id, reason)
        await reopen_if_needed(protocol, released)


async def reopen_if_needed(protocol: Protocol, epic: WorkPackage) -> None:
    """A descendant that became ready while the Epic was being closed would never be found: put the Epic back."""
    fleet, board = protocol.fleet, protocol.board
    if epic.type not in fleet.epics or epic.status not in fleet.closed:
        return
    waiting = [
        one_of("ancestor", [epic.id]),
        one_of("type", fleet.executable),
        none_of("status", fleet.closed | set(fleet.done)),
    ]
    if not await board.count(waiting, f"what was reopened in Epic #{epic.id}"):
        return
    closed = epic.status

    def wanted(now: WorkPackage) -> Changes | None:
        """As long as it stands as it was closed: what a person does to it meanwhile is theirs."""
        return Changes(status=fleet.ready) if now.status == closed and not now.run else None

    done = await swap(
        board,
        lambda: board.work_package(epic.id, "the Epic to put back"),
        wanted,
        f"Epic #{epic.id} back to ready",
        start=epic,
    )
    if done.written is None:
        logger.info("Epic #{} is not put back to ready: {}", epic.id, done.refusal or done.outcome.value)
