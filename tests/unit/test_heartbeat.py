"""The fixture that tells whether an event loop goes on."""

import asyncio
import re
import time
from collections.abc import Callable

import pytest

from support.heartbeat import Heart, heartbeat

pytestmark = pytest.mark.unwatched("its loops stand on purpose")
LIMIT = 0.05


def work(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def match() -> None:
    """Keeps the interpreter's lock for a while, from whatever thread."""
    for length in range(18, 40):
        began = time.thread_time()
        re.match(r"(a+)+$", "a" * length + "b")
        if time.thread_time() - began > 2 * LIMIT:
            return


@pytest.mark.parametrize("blocks", [lambda: work(2 * LIMIT), match], ids=["python", "pattern"])
async def test_a_loop_that_works_for_too_long_between_two_beats_is_told(blocks: Callable[[], None]) -> None:
    with pytest.raises(AssertionError, match="the event loop stood for"):
        async with heartbeat(LIMIT):
            blocks()


async def test_a_stand_in_the_middle_is_told() -> None:
    async def lives() -> None:
        async with heartbeat(LIMIT):
            await asyncio.sleep(0.02)
            work(2 * LIMIT)
            await asyncio.sleep(0.02)

    with pytest.raises(AssertionError, match="the event loop stood for"):
        await lives()


async def test_a_pattern_in_a_thread_stops_the_loop_too_and_is_told() -> None:
    with pytest.raises(AssertionError, match="the event loop stood for"):
        async with heartbeat(LIMIT):
            await asyncio.to_thread(match)


async def test_a_thread_that_lets_the_loop_go_on_is_not_told() -> None:
    async with heartbeat(LIMIT) as heart:
        await asyncio.to_thread(work, 2 * LIMIT)
    assert heart.beats > 1


async def test_a_loop_that_only_waits_for_the_processor_is_not_told() -> None:
    async with heartbeat(LIMIT):
        time.sleep(2 * LIMIT)  # noqa: ASYNC251 - to the loop it is what a loaded machine is


async def test_what_its_thread_waits_for_a_processor_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others work meanwhile, threads of the same process among them."""
    monkeypatch.setattr("support.heartbeat._queued", time.monotonic)  # all of the time
    async with heartbeat(LIMIT):
        await asyncio.to_thread(match)


async def test_an_error_inside_is_the_one_that_is_raised() -> None:
    async def lives() -> None:
        async with heartbeat(LIMIT):
            work(2 * LIMIT)
            raise KeyError

    with pytest.raises(KeyError):
        await lives()


async def test_as_a_fixture_it_beats_beside_the_test(beating: Heart) -> None:
    async with asyncio.timeout(30):  # on a loaded machine two beats take longer than twice as long as one
        while beating.beats < 2:  # noqa: ASYNC110 - a heart has no event
            await asyncio.sleep(0.01)
