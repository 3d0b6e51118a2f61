"""While the model or verify runs, the ticket is looked at; when it is not ours any more, the work is stopped whole."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from loguru import logger

from agent import choose
from agent.claim import checking
from agent.claim.protocol import Protocol
from agent.claim.value import Claim
from agent.errors import Superseded, Unreachable
from agent.model import WorkPackage
from agent.spikes import Spikes

T = TypeVar("T")

WATCH: Final = 60.0
"""Seconds between two looks."""


async def watched(protocol: Protocol, claim: Claim, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the claim is lost under it.

    Raises:
        Superseded: why it was lost; the work has ended.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_watch(protocol, claim))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return await working
        await watching
        raise AssertionError("the watch ends by raising only")
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _watch(protocol: Protocol, claim: Claim) -> None:
    while True:
        await protocol.clock.sleep(WATCH)
        try:
            now = await checking.check(protocol, claim)
            if now.children:
                await _refuse_foreign_spike(protocol, now)
        except Unreachable as silent:
            logger.warning("#{}: the board does not answer the watch: {}", claim.ticket, silent)


async def _refuse_foreign_spike(protocol: Protocol, ticket: WorkPackage) -> None:
    for spike in await Spikes(protocol).of_ticket(ticket.id):
        if choose.holds(spike, ticket) and spike.status not in protocol.fleet.closed:
            raise Superseded(f"Spike #{spike.id} was opened")
