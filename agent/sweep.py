"""Frees what dead pods hold, by what this pod itself has seen: no clock of another host is trusted (DESIGN, section 3).

As with Kubernetes' leases, a claim expires when the same token was seen for its lifetime plus grace.
"""

from __future__ import annotations

from typing import Final

from loguru import logger
from msgspec.structs import replace

from agent.board.query import contains, one_of
from agent.claim import ending
from agent.claim.ending import Cause, How
from agent.claim.protocol import Protocol
from agent.claim.value import Claim
from agent.errors import BoardError
from agent.model import WorkPackage
from agent.texts import claim_token, report

MOST: Final = 100
"""Expired claims that one pass frees; the next pass goes on."""
_PORTION: Final = 20
"""Tokens in one question: they are long, and cannot be packed."""


async def sweep(protocol: Protocol, grace: float) -> frozenset[str]:
    """Give back the claims that expired; one request where none did. Returns every token that the board shows.

    Args:
        protocol: the pod's protocol.
        grace: seconds after its lifetime for which a silent claim is still left alone.
    """
    board, memory = protocol.board, protocol.memory
    run_field = board.fields.run
    tokens = await board.groups([contains(run_field, claim_token.SIGN)], run_field, "sweep: all claims")
    now = memory.now()
    observed = memory.state.observe({text for text in tokens if not memory.state.wrote(text)}, now.at, now.boot)
    expired = observed.expired(now.at, now.boot, grace)
    # a pod that dies while it frees them sweeps again at once
    memory.change(lambda state: replace(observed, last_sweep=state.last_sweep) if expired else observed)
    if not expired:
        return frozenset(tokens)
    some = _some(protocol, expired)
    found: list[WorkPackage] = []
    for at in range(0, len(some), _PORTION):
        asked = one_of(run_field, some[at : at + _PORTION])
        found += await board.work_packages([asked], "sweep: expired claims")
    fleet = protocol.fleet
    for item in sorted(found, key=lambda one: one.type in fleet.epics):
        claim = Claim.shown(item)
        if claim is None or item.run not in expired:
            continue
        if item.type in fleet.epics and await is_alive(protocol, item, expired):
            continue
        await free(protocol, claim)
    if len(some) == len(expired):
        memory.change(lambda state: replace(state, last_sweep=observed.last_sweep))
    return frozenset(tokens)


def _some(protocol: Protocol, expired: tuple[str, ...]) -> tuple[str, ...]:
    """What one pass frees. Anybody may write tokens, and some that nobody can free must not stand before the others."""
    if len(expired) <= MOST:
        return expired
    start = int(protocol.randomness.uniform(0, len(expired)))
    return (*expired[start:], *expired[:start])[:MOST]


async def is_alive(protocol: Protocol, epic: WorkPackage, expired: tuple[str, ...]) -> bool:
    """An Epic does not expire while a descendant holds a living token."""
    board = protocol.board
    below = [one_of("ancestor", [epic.id]), contains(board.fields.run, claim_token.SIGN)]
    tokens = await board.groups(below, board.fields.run, f"sweep: claims below Epic #{epic.id}")
    return any(text not in expired for text in tokens)


async def free(protocol: Protocol, claim: Claim) -> None:
    """Give back what a pod held that has not been heard of for too long."""
    now, token = protocol.memory.now(), claim.token
    silent = protocol.memory.state.silent_for(claim.record.token, now.at, now.boot)
    how = How(cause=Cause.EXPIRED, word=lambda _: report.expired(token.run, pod=token.pod, silent_s=silent))
    try:
        ended = await ending.end(protocol, claim, how)
    except BoardError as trouble:
        logger.error("#{}: the expired claim of {} cannot be given back: {}", claim.ticket, token.pod, trouble)
        return
    if ended.item is not None:
        logger.warning("#{}: given back, pod {} has not been heard of for {:.0f} s", claim.ticket, token.pod, silent)
