"""One pass of a pod as a process of its own, with ids that follow from a seed and a calendar that stands still.

    python -m support.fixed_pod AGENT.TOML SEED

Prints the result as `agent cycle --json` does.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import sys
from pathlib import Path

import msgspec

from agent.clock import SystemClock
from agent.pod import open_pod
from agent.programs.processes import Processes
from agent.settings import ambient, credentials, load
from support.fake_clock import START, FixedRandomness


class Calendar(SystemClock):
    """Durations are real; the day is always the same."""

    def now(self) -> dt.datetime:
        return START


async def main(config: str, seed: str) -> None:
    """One pass."""
    home = {"HOME": str(Path(config).parent)}
    settings = load(config, environ=home)
    async with open_pod(
        settings,
        credentials(settings, environ={}),
        ambient(environ={"PATH": os.environ["PATH"], **home}),
        clock=Calendar(),
        randomness=FixedRandomness(int(seed)),
        runner=Processes(),
    ) as pod:
        result = await pod.cycle(lambda _: None).run()
    sys.stdout.write(json.dumps(msgspec.to_builtins(result), default=str) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
