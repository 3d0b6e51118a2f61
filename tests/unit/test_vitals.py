"""What watches every test: a loop that stands and a process that grows are told to the test that made them do so."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time

import pytest

from support.vitals import vital_signs, watched

pytestmark = pytest.mark.unwatched("its loops stand and its processes grow on purpose")
STANDS = """
import asyncio, time
async def stand():
    end = time.thread_time() + 0.3
    while time.thread_time() < end: pass
asyncio.run(stand())
"""
GROWS = "bytearray(300 << 20)"


def work(seconds: float = 0.3) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_a_loop_of_the_test_itself_is_watched() -> None:
    async def stands() -> None:
        await asyncio.sleep(0)
        work()

    with pytest.raises(AssertionError, match=r"^the event loop stood for 0\.[0-9]+ s"), vital_signs():
        asyncio.run(stands())


def test_a_loop_that_goes_on_in_another_thread_is_watched() -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    done = threading.Event()

    def serve() -> None:
        with vital_signs():
            loop.call_soon_threadsafe(work)
            loop.call_soon_threadsafe(loop.call_later, 0.05, done.set)
            done.wait(10)

    thread.start()
    try:
        with pytest.raises(AssertionError, match="the event loop stood"):
            serve()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_what_works_beside_a_loop_does_not_make_it_stand() -> None:
    with vital_signs():
        asyncio.run(asyncio.to_thread(work))
        work()


def test_memory_that_is_let_go_again_counts_for_its_test_and_for_no_later_one() -> None:
    with pytest.raises(AssertionError, match="MiB were taken"), vital_signs():
        bytearray(300 << 20)
    with vital_signs():
        bytearray(100 << 20)


def test_a_command_of_ours_tells_the_test_that_started_it() -> None:
    with (
        pytest.raises(AssertionError, match=r"^`-c .*: the event loop stood") as told,
        vital_signs(),
    ):
        subprocess.run([sys.executable, "-c", STANDS + GROWS], env={**os.environ, **watched()}, check=True)
    assert "MiB were taken" in str(told.value)
    with vital_signs():  # and nobody else
        pass


def test_what_a_command_starts_has_nothing_of_it() -> None:
    code = "import os; print(sorted(name for name in os.environ if name in ('PYTHONPATH', 'TEST_VITALS')))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **watched()}, check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"
