"""Time and chance as arguments: what the simulation replaces.

Durations are differences of `monotonic()` within one boot: CLOCK_BOOTTIME, so that suspend counts (DESIGN, section 3,
Time). Two readings with different boot ids cannot be compared. `now()` is for people and never computed with.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import pathlib
import random
import secrets
import time
import uuid
from typing import Final, Protocol

_BOOT_ID: Final = pathlib.Path("/proc/sys/kernel/random/boot_id")

SLICE_S: Final = 20.0
"""The longest single sleep: the event loop's own timers stand still during suspend, so a long sleep looks up."""


class Clock(Protocol):
    """The time of this host."""

    def monotonic(self) -> float:
        """Seconds since this boot, suspend included."""

    def boot_id(self) -> str:
        """What tells this boot from every other."""

    def now(self) -> dt.datetime:
        """The time of day, UTC, for people."""

    async def sleep(self, seconds: float) -> None:
        """Return once that many seconds of `monotonic()` have passed."""


class Randomness(Protocol):
    """Where ids and jitter come from."""

    def uuid(self) -> str:
        """A run id, in lower case."""

    def nonce(self) -> str:
        """A text no claim had before: 16 characters of 0-9 and a-f."""

    def uniform(self, low: float, high: float) -> float:
        """A number between both."""


class SystemClock:
    """The real time."""

    def monotonic(self) -> float:
        """CLOCK_BOOTTIME in seconds."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot_id(self) -> str:
        """The kernel's random id of this boot."""
        return _boot_id()

    def now(self) -> dt.datetime:
        """The host's time of day."""
        return dt.datetime.now(dt.UTC)

    async def sleep(self, seconds: float) -> None:
        """Sleep in slices, so that a suspend counts."""
        end = self.monotonic() + seconds
        while (left := end - self.monotonic()) > 0:  # noqa: ASYNC110 - it is the clock that is waited for
            await asyncio.sleep(min(left, SLICE_S))


@functools.cache
def _boot_id() -> str:
    """Read once: no process outlives its boot, and every reading of the clock has it."""
    return _BOOT_ID.read_text(encoding="ascii").strip()


class SystemRandomness:
    """The operating system's randomness."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def uuid(self) -> str:
        """A random UUID."""
        return str(uuid.uuid4())

    def nonce(self) -> str:
        """64 random bits."""
        return secrets.token_hex(8)

    def uniform(self, low: float, high: float) -> float:
        """A number between both."""
        return self._random.uniform(low, high)
