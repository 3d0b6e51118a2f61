"""A contender in a claim race: one process that lives for all rounds and runs the shipped claim.

Reads from stdin, a line a round, the barrier (a moment by CLOCK_MONOTONIC) and the ticket as the board showed it; waits,
claims, and prints `won` or `lost`. Argument: the settings file.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from loguru import logger

from agent.board import wire
from agent.choose import Rung
from agent.model import Around
from agent.protocol import Claimed
from agent.scan import Candidate
from support.pods import opened


async def contend(config: Path) -> None:
    logger.remove()
    async with opened(config) as pod:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while line := await asyncio.to_thread(sys.stdin.readline):
            moment, _, shown = line.partition(" ")
            ticket = wire.work_package(wire.parse(shown.encode()), pod.board.fields)
            candidate = Candidate(Rung.STANDALONE, ticket, Around(), None)
            await asyncio.sleep(max(0.0, float(moment) - time.monotonic()))
            claimed = await pod.protocol.claim(candidate)
            sys.stdout.write("won\n" if isinstance(claimed, Claimed) else "lost\n")
            sys.stdout.flush()


asyncio.run(contend(Path(sys.argv[1])))
