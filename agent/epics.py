"""Giving up an Epic: done when nothing is left to do in it, else ready for another pod (DESIGN, section 3)."""

from __future__ import annotations

from loguru import logger

from agent import farewells
from agent.board.query import none_of, one_of
from agent.errors import Conflict, NotFound, Refused, Unreachable
from agent.model import Changes, WorkPackage
from agent.protocol import Protocol
from agent.texts import claim_token, report


async def release(protocol: Protocol, number: int, reason: str = report.NOTHING_LEFT) -> None:
    """Give back what is ours of an Epic and say why.

    Stories, gates and Spikes are never moved by the fleet and do not count.
    """
    fleet, board = protocol.fleet, protocol.board
    try:
        epic = await board.work_package(number, "the Epic to release")
    except NotFound:
        return
    token = claim_token.parse(epic.run)
    if token is None or protocol.memory.state.recorded(epic.id, epic.run) is None:
        return
    await protocol.announce(epic)
    below = [one_of("ancestor", [epic.id]), one_of("type", fleet.executable)]
    finished = frozenset(fleet.done) | fleet.closed
    every = await board.groups(below, "status", f"what is left in Epic #{epic.id}")
    all_done = bool(every) and all(int(status) in finished for status in every)
    released = await farewells.give_back(
        protocol,
        epic.id,
        token,
        report.epic_released(token.run, reason=reason),
        to=(*fleet.done, fleet.ready) if all_done else (),
    )
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
    try:
        await board.patch(epic, Changes(status=fleet.ready), f"Epic #{epic.id} back to ready")
    except (Conflict, NotFound, Refused, Unreachable) as settled:
        logger.info("Epic #{} was changed by somebody else: {}", epic.id, settled)
