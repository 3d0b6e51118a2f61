"""Whether the event loop goes on: between two beats of it, its thread may not work for long.

A beat is a timer of the loop. What counts is processor time, so that a loaded machine fails no test: the time of the loop's
own thread between two beats, and, where another thread kept the interpreter's lock (`re` does, whatever thread it is in),
the time of the whole process in which no beat came, less what the loop's thread waited for a processor. What waits without
working, a sleep or a lock, is not seen. A loop in another thread than the main one is a server beside a test, and only its
own work counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

STANDS: Final = 0.25
"""Seconds that the loop may stand."""
EVERY: Final = 0.01
"""Seconds between two beats of a loop that works."""
REST: Final = 0.05
"""Seconds between two beats of one that has nothing to do: a beat wakes the process, which costs a quarter of a millisecond."""
WORKS: Final = 0.002
"""Seconds of work between two beats from which on a loop works."""


class Heart:
    """The beats of a loop.

    Args:
        loop: which; the one that runs if none is named.

    Attributes:
        longest: seconds of processor time in the longest stand so far.
        beats: how many there were.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.longest = 0.0
        self.beats = 0
        self._loop = loop or asyncio.get_running_loop()
        self._alone = threading.current_thread() is threading.main_thread()
        self._before = _clocks()
        self._next: asyncio.Handle = self._loop.call_soon(self._beat)  # a test may be over in 10 ms

    def look(self) -> float:
        """Measure what has passed since the last beat; how much of it was work, in seconds."""
        now = _clocks()
        thread, process, wall, queued = (after - before for after, before in zip(now, self._before, strict=True))
        stood = max(thread, min(process, wall - queued) if self._alone else 0.0)
        self.longest = max(self.longest, stood)
        self._before = now
        return stood

    def stop(self) -> None:
        """No further beat."""
        self._next.cancel()

    def _beat(self) -> None:
        works = self.look() > WORKS
        self.beats += 1
        self._next = self._loop.call_later(EVERY if works else REST, self._beat)


def _clocks() -> tuple[float, float, float, float]:
    return time.thread_time(), time.process_time(), time.monotonic(), _queued()


def _queued() -> float:
    """Seconds that this thread has waited for a processor so far, which others had; 0 where the kernel does not count them."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_bytes().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


@contextlib.asynccontextmanager
async def heartbeat(limit: float = STANDS) -> AsyncIterator[Heart]:
    """Inside, the loop never stands longer than `limit` seconds of processor time.

    Raises:
        AssertionError: it did; unless the block raises itself.
    """
    heart = Heart()
    try:
        yield heart
    finally:
        heart.stop()
    heart.look()
    assert heart.longest <= limit, (
        f"the event loop stood for {heart.longest:.3f} s of processor time; more than {limit:.3f} s are too long"
    )
