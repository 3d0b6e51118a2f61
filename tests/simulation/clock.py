"""Hosts with clocks of their own, in virtual time; a process is what lives on one, and can be frozen or killed there."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import uuid
from collections.abc import Callable
from typing import Any, Final

START: Final = dt.datetime(2026, 11, 24, 8, 0, tzinfo=dt.UTC)
"""What a right clock shows when a history begins."""


class Killed(BaseException):
    """The process is gone: whatever still runs of it reaches nothing any more."""


class Chance:
    """An `agent.clock.Randomness` that repeats itself for the same seed."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def nonce(self) -> str:
        return f"{self._random.getrandbits(64):016x}"

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


class Host:
    """A machine.

    Args:
        loop: where virtual time passes.
        name: of the host; two hosts may run pods of one name.
        ahead: seconds by which its time of day is wrong.
        rate: how many of its seconds pass in a true one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str, *, ahead: float = 0.0, rate: float = 1.0) -> None:
        self.loop = loop
        self.name = name
        self.rate = rate
        self._ahead = ahead
        self._boots = 1
        self._booted = loop.time()

    def monotonic(self) -> float:
        return 30.0 + (self.loop.time() - self._booted) * self.rate

    def boot_id(self) -> str:
        return f"{self.name}-boot-{self._boots}"

    def now(self) -> dt.datetime:
        return START + dt.timedelta(seconds=self.loop.time() + self._ahead)

    def reboot(self) -> None:
        self._boots += 1
        self._booted = self.loop.time()


class Process:
    """One process of a pod: the `agent.clock.Clock` of everything in it, and the edge at which it is struck.

    Args:
        host: where it runs.
        name: unique in the history.
        strike: asked at every point at which something may befall it, with what it is about to do or has just done:
            seconds to be frozen for, infinity to be killed, 0 for nothing.
    """

    def __init__(self, host: Host, name: str, strike: Callable[[str], float] = lambda _: 0.0) -> None:
        self.host = host
        self.name = name
        self.alive = True
        self.task: asyncio.Task[Any] | None = None
        self.requests = 0
        self.refusals = 0
        """Writes that the board turned away."""
        self.troubles: list[float] = []
        """When a request of it went wrong."""
        self.frozen: list[tuple[float, float]] = []
        """From when until when."""
        self.on_kill: Callable[[], None] = lambda: None
        self.on_freeze: Callable[[float], None] = lambda _: None
        self._strike = strike
        self._thaws = 0.0

    # -- the clock -------------------------------------------------------------------------------------------------

    def monotonic(self) -> float:
        return self.host.monotonic()

    def boot_id(self) -> str:
        return self.host.boot_id()

    def now(self) -> dt.datetime:
        return self.host.now()

    async def sleep(self, seconds: float) -> None:
        await self.cross("sleep")
        await asyncio.sleep(max(seconds, 0.0) / self.host.rate)
        await self.cross("wake")

    # -- what befalls it -------------------------------------------------------------------------------------------

    async def cross(self, what: str) -> None:
        """A point at which the process may be killed or frozen; returns when it runs."""
        self.touch(what)
        while (left := self._thaws - self.host.loop.time()) > 0:  # noqa: ASYNC110 - it may be frozen for longer meanwhile
            await asyncio.sleep(left)
        if not self.alive:
            raise Killed

    def touch(self, what: str) -> None:
        """The same where nothing can be waited for: a freeze begins at the next crossing."""
        if not self.alive:
            raise Killed
        struck = self._strike(what)
        if struck == float("inf"):
            self.kill()
            raise Killed
        if struck > 0:
            self.freeze(struck)

    def freeze(self, seconds: float) -> None:
        """Nothing of it runs for so long; what it has sent goes on."""
        now = self.host.loop.time()
        if self.alive and now + seconds > self._thaws:
            self._thaws = now + seconds
            self.frozen.append((now, self._thaws))
            self.on_freeze(seconds)

    def kill(self) -> None:
        """It is gone at once. What unwinds of its coroutines finds every way out shut."""
        if not self.alive:
            return
        self.alive = False
        self.on_kill()
        if self.task is not None:
            self.task.cancel()

    def frozen_within(self, start: float, end: float) -> float:
        """Seconds of that span in which it did not run."""
        spans = sorted((max(a, start), min(b, end)) for a, b in self.frozen)
        total, reached = 0.0, start
        for a, b in spans:
            total += max(0.0, b - max(a, reached))
            reached = max(reached, b)
        return total
