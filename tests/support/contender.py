"""A contender in a claim race: one process that lives for all rounds and runs the shipped claim.

Reads from stdin, a line a round, the barrier (a moment by CLOCK_MONOTONIC), the chance that the board's answer to a write
is lost on its way, and the ticket as the board showed it; waits, claims, and prints `won`, `won unheard` (the answer was
lost) or `lost`, and its token. Argument: the settings file.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from pathlib import Path

import httpx
from loguru import logger

from agent.board import wire
from agent.choose import Rung
from agent.claim.taking import Taken, take
from agent.model import Around
from agent.scan import Candidate
from support.pods import opened


class Lossy(httpx.AsyncBaseTransport):
    """A network that carries every write to the board, and loses some of the answers."""

    def __init__(self, seed: str) -> None:
        self._inner = httpx.AsyncHTTPTransport()
        self._random = random.Random(seed)
        self.chance = 0.0
        self.lost = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        if request.method == "PATCH" and self._random.random() < self.chance:
            await answer.aread()
            await answer.aclose()
            self.lost += 1
            raise httpx.ReadError("the answer was lost", request=request)
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()


async def contend(config: Path) -> None:
    logger.remove()
    network = Lossy(str(config))
    async with opened(config, transport=network) as pod:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while line := await asyncio.to_thread(sys.stdin.readline):
            moment, chance, shown = line.split(" ", 2)
            ticket = wire.work_package(wire.parse(shown.encode()), pod.board.fields)
            candidate = Candidate(Rung.STANDALONE, ticket, Around(), None)
            network.chance, network.lost = float(chance), 0
            await asyncio.sleep(max(0.0, float(moment) - time.monotonic()))
            claimed = await take(pod.protocol, candidate)
            won = isinstance(claimed, Taken)
            said = ("won unheard" if network.lost else "won") if won else "lost"
            sys.stdout.write(f"{said}: {claimed.claim.record.token if isinstance(claimed, Taken) else ''}\n")
            sys.stdout.flush()


asyncio.run(contend(Path(sys.argv[1])))
