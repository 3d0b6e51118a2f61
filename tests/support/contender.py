"""A contender in a claim race: one process that lives for all rounds and runs the shipped claim.

Reads a ticket id per line from stdin, waits for the barrier (a moment by CLOCK_MONOTONIC on the same line), claims, and
prints `won` or `lost`. Arguments: the settings file.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from loguru import logger

from agent.choose import Rung, epic_of
from agent.protocol import Claimed
from agent.scan import Candidate, read_around
from support.pods import opened


async def contend(config: Path) -> None:
    logger.remove()
    async with opened(config) as pod:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while line := await asyncio.to_thread(sys.stdin.readline):
            ticket, moment = line.split()
            found = await pod.board.work_package(int(ticket), "the prize")
            around = await read_around(pod.board, found)
            candidate = Candidate(Rung.STANDALONE, found, around, epic_of(around.ancestors, pod.fleet))
            await asyncio.sleep(max(0.0, float(moment) - time.monotonic()))
            claimed = await pod.protocol.claim(candidate)
            sys.stdout.write("won\n" if isinstance(claimed, Claimed) else "lost\n")
            sys.stdout.flush()


asyncio.run(contend(Path(sys.argv[1])))
