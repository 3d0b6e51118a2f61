"""Time and chance for tests: a clock that only moves when somebody sleeps, and ids that follow from a seed."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import uuid
from typing import Final

START: Final = dt.datetime(2026, 11, 24, 8, 0, tzinfo=dt.UTC)


class FakeClock:
    """An `agent.clock.Clock` without waiting.

    `sleep` moves the time on, notes its length in `slept` and gives other tasks a turn; `advance` is a suspend or a
    slow neighbour; `reboot` starts the count again under another boot id.
    """

    def __init__(self, *, monotonic: float = 1000.0, now: dt.datetime = START) -> None:
        self.slept: list[float] = []
        self._monotonic = monotonic
        self._now = now
        self._boots = 1

    def monotonic(self) -> float:
        return self._monotonic

    def boot_id(self) -> str:
        return f"00000000-0000-4000-8000-{self._boots:012x}"

    def now(self) -> dt.datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(max(seconds, 0.0))
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self._monotonic += seconds
        self._now += dt.timedelta(seconds=seconds)

    def reboot(self, *, away: float = 60.0) -> None:
        self._boots += 1
        self._monotonic = 0.0
        self._now += dt.timedelta(seconds=away)


class FixedRandomness:
    """An `agent.clock.Randomness` that repeats itself for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def nonce(self) -> str:
        return f"{self._random.getrandbits(64):016x}"

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)
