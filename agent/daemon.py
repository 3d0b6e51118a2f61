"""Pass after pass: pace, limits and an orderly stop.

    ┌──► pass ──worked──► pass …             a pass that worked is followed at once
    │     │ nothing, trouble
    └── pause (jittered)                     a fleet that wakes together does not stay together

A stop request ends a pause at once. A pass that runs is cancelled once: it finishes the effect it is in, gives back or
keeps its claim, and ends; the daemon waits for that without a limit of its own, since the cycle bounds each step and
systemd bounds the whole. A second signal ends the process at once. The event loop feeds the watchdog all the while: a loop
that stands is ended from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from types import FrameType
from typing import Any, Final

from loguru import logger

from agent.clock import Clock, Randomness
from agent.watchdog import Watchdog

PAUSE_S: Final = 60.0
"""The mean pause after a pass that found nothing to do."""
JITTER: Final = 0.5
"""By what part of it a pause is shorter or longer."""
ONE_PASS: Final = 0.0
"""A time limit that is over when the first pass is: no second one, no pause."""


class Pass(enum.Enum):
    """How one pass ended."""

    WORKED = "worked"
    NOTHING = "nothing"
    TROUBLE = "trouble"


async def run(
    cycle: Callable[[], Awaitable[Pass]],
    clock: Clock,
    randomness: Randomness,
    *,
    stop: asyncio.Event,
    until_idle: bool = False,
    for_s: float | None = None,
    pause_s: float = PAUSE_S,
) -> Pass:
    """Run passes until there is a reason not to; how the last whole pass ended.

    Args:
        cycle: one pass; cancelling it stops it in order. What a later pass may not meet is its outcome, no error.
        clock: paces the passes.
        randomness: the jitter.
        stop: set by the command line on the first signal.
        until_idle: end after the first pass that did not work, instead of pausing.
        for_s: end after that many seconds, between two passes; `ONE_PASS` for a single one.
        pause_s: the mean pause.

    Raises:
        ConfigurationError: a person must mend something first; pausing would not help. The pass raises nothing else.
    """
    end = None if for_s is None else clock.monotonic() + for_s
    last = Pass.NOTHING
    while not stop.is_set():
        outcome = await _one_pass(cycle, stop)
        if outcome is None:
            break
        last = outcome
        left = float("inf") if end is None else end - clock.monotonic()
        if left <= 0 or (until_idle and last is not Pass.WORKED):
            break
        if last is not Pass.WORKED:
            pause = pause_s * randomness.uniform(1 - JITTER, 1 + JITTER)
            if pause >= left:
                break
            await _first_of(clock.sleep(pause), stop)
    return last


@contextlib.asynccontextmanager
async def fed(watchdog: Watchdog) -> AsyncIterator[None]:
    """Inside, the event loop feeds the watchdog for as long as it goes on: the one place where it does."""

    async def feed() -> None:
        while True:
            watchdog.beat()
            await asyncio.sleep(watchdog.pause)

    feeding = asyncio.create_task(feed(), name="watchdog")
    try:
        yield
    finally:
        feeding.cancel()


@contextlib.contextmanager
def stop_on_signals(stop: asyncio.Event, at_once: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Inside, the first SIGTERM or SIGINT sets `stop`; a second one ends the process, whatever is still to be finished.

    The handlers are Python's and not the event loop's, since a loop that stands runs none of its own. Python's own effect
    of SIGINT, an exception in the event loop, would wait for what the loop still cleans up.

    Args:
        stop: asks for an end in order.
        at_once: what the second signal does before the process is gone, within milliseconds.
    """
    loop = asyncio.get_running_loop()
    received: list[int] = []

    def first(one: signal.Signals) -> None:
        stop.set()
        logger.bind(action="stop", signal=one.name).info("stopping in order; a second signal kills")

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)
        if len(received) > 1:
            try:
                at_once()
            finally:
                os._exit(128 + number)  # as a shell reports a process that the signal killed
        loop.call_soon_threadsafe(first, signal.Signals(number))

    before = {one: signal.signal(one, handle) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


async def _one_pass(cycle: Callable[[], Awaitable[Pass]], stop: asyncio.Event) -> Pass | None:
    """One pass; None when it was stopped."""
    task = asyncio.ensure_future(_awaited(cycle))
    try:
        await _first_of(_settled(task), stop)
        if not task.done():
            task.cancel()
            await _settled(task)
        return task.result()
    except asyncio.CancelledError:
        if not task.done():  # the daemon itself is cancelled: pass it down, then up
            task.cancel()
            await _settled(task)
            raise
        if not stop.is_set():
            raise
        return None


async def _awaited(cycle: Callable[[], Awaitable[Pass]]) -> Pass:
    return await cycle()


async def _settled(task: asyncio.Future[Pass]) -> None:
    await asyncio.wait([task])


async def _first_of(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    """Return when the work is done or a stop is requested, and leave neither running."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        working.cancel()
        await asyncio.wait((working, stopping))
    if not working.cancelled():
        working.result()
