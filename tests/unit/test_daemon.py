import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable

import pytest

from agent.daemon import JITTER, ONE_PASS, PAUSE_S, Pass, fed, run, stop_on_signals
from agent.errors import ConfigurationError
from agent.watchdog import Watchdog
from support.fake_clock import FakeClock, FixedRandomness

Script = Iterable[Pass | Exception]


class Passes:
    """A cycle that ends as it is told, pass for pass; then it asks for a stop."""

    def __init__(self, script: Script, stop: asyncio.Event, clock: FakeClock, takes: float = 0.0) -> None:
        self.started = 0
        self._script = iter(script)
        self._stop, self._clock, self._takes = stop, clock, takes

    async def __call__(self) -> Pass:
        self.started += 1
        self._clock.advance(self._takes)
        outcome = next(self._script, None)
        if outcome is None:
            self._stop.set()
            await asyncio.sleep(3600)
        if isinstance(outcome, Exception):
            raise outcome
        assert outcome is not None
        return outcome


async def ran(
    *script: Pass | Exception, takes: float = 0.0, until_idle: bool = False, for_s: float | None = None
) -> tuple[Pass, int, list[float]]:
    stop, clock = asyncio.Event(), FakeClock()
    passes = Passes(script, stop, clock, takes)
    last = await run(passes, clock, FixedRandomness(), stop=stop, until_idle=until_idle, for_s=for_s)
    return last, passes.started, clock.slept


async def test_work_follows_work_without_a_pause() -> None:
    last, started, slept = await ran(Pass.WORKED, Pass.WORKED, Pass.NOTHING, until_idle=True)
    assert (last, started, slept) == (Pass.NOTHING, 3, [])


async def test_until_idle_ends_with_trouble_as_trouble() -> None:
    assert await ran(Pass.WORKED, Pass.TROUBLE, until_idle=True) == (Pass.TROUBLE, 2, [])


async def test_without_a_limit_it_pauses_and_goes_on() -> None:
    last, started, slept = await ran(Pass.NOTHING, Pass.TROUBLE, Pass.NOTHING, Pass.WORKED)
    assert (last, started, len(slept)) == (Pass.WORKED, 5, 3)
    assert all(PAUSE_S * (1 - JITTER) <= pause <= PAUSE_S * (1 + JITTER) for pause in slept)
    assert len(set(slept)) == 3, "jittered"


async def test_time_limit_ends_between_two_tickets_and_cuts_none() -> None:
    assert await ran(*[Pass.WORKED] * 9, takes=1000, for_s=3600) == (Pass.WORKED, 4, [])


async def test_pause_beyond_the_time_limit_is_not_begun() -> None:
    assert await ran(Pass.NOTHING, Pass.NOTHING, for_s=PAUSE_S * (1 - JITTER)) == (Pass.NOTHING, 1, [])


async def test_time_without_end_is_only_one_limit_of_two() -> None:
    assert await ran(Pass.WORKED, Pass.NOTHING, until_idle=True, for_s=3600) == (Pass.NOTHING, 2, [])


@pytest.mark.parametrize("outcome", list(Pass))
async def test_one_pass_is_one_however_it_ends(outcome: Pass) -> None:
    assert await ran(outcome, Pass.WORKED, for_s=ONE_PASS) == (outcome, 1, [])


@pytest.mark.parametrize("error", [ConfigurationError("no such status"), ValueError("a bug")])
async def test_what_a_person_must_mend_ends_the_daemon(error: Exception) -> None:
    """I-64: the daemon exits when its checks fail."""
    with pytest.raises(type(error), match=str(error)):
        await ran(error, Pass.WORKED)


async def test_stop_before_the_first_pass_is_not_lost() -> None:
    stop, clock = asyncio.Event(), FakeClock()
    stop.set()
    passes = Passes([Pass.WORKED], stop, clock)
    assert await run(passes, clock, FixedRandomness(), stop=stop) is Pass.NOTHING
    assert passes.started == 0


async def stopped_while(cycle: Callable[[], Awaitable[Pass]], begun: asyncio.Event) -> Pass:
    stop = asyncio.Event()
    running = asyncio.create_task(run(cycle, FakeClock(), FixedRandomness(), stop=stop))
    await begun.wait()
    stop.set()
    return await asyncio.wait_for(running, 5)


async def test_stop_lets_the_pass_finish_its_clean_up() -> None:
    """I-26: outcome writes are shielded from cancellation."""
    begun, written = asyncio.Event(), []

    async def write() -> None:
        await asyncio.sleep(0.02)
        written.append("report")

    async def cycle() -> Pass:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.shield(write())
        return Pass.WORKED

    assert await stopped_while(cycle, begun) is Pass.NOTHING
    assert written == ["report"]


async def test_pass_that_ends_well_after_the_request_still_counts() -> None:
    begun = asyncio.Event()

    async def cycle() -> Pass:
        begun.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return Pass.WORKED
        return Pass.NOTHING

    assert await stopped_while(cycle, begun) is Pass.WORKED


async def test_stop_ends_a_pause_at_once() -> None:
    begun, stop = asyncio.Event(), asyncio.Event()

    class Endless(FakeClock):
        async def sleep(self, seconds: float) -> None:
            del seconds
            begun.set()
            await asyncio.sleep(3600)

    async def cycle() -> Pass:
        return Pass.NOTHING

    running = asyncio.create_task(run(cycle, Endless(), FixedRandomness(), stop=stop))
    await begun.wait()
    stop.set()
    assert await asyncio.wait_for(running, 5) is Pass.NOTHING


async def test_broken_clock_is_not_hidden() -> None:
    class Broken(FakeClock):
        async def sleep(self, seconds: float) -> None:
            raise OSError(seconds)

    async def cycle() -> Pass:
        return Pass.NOTHING

    with pytest.raises(OSError, match=r"\d"):
        await run(cycle, Broken(), FixedRandomness(), stop=asyncio.Event())


async def test_cancelled_daemon_ends_its_pass_first() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def cycle() -> Pass:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()
        return Pass.WORKED

    running = asyncio.create_task(run(cycle, FakeClock(), FixedRandomness(), stop=asyncio.Event()))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended.is_set()


async def test_pass_that_cancels_itself_is_a_mistake_and_no_stop() -> None:
    async def cycle() -> Pass:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await run(cycle, FakeClock(), FixedRandomness(), stop=asyncio.Event())


@pytest.mark.parametrize("received", [signal.SIGTERM, signal.SIGINT])
async def test_first_signal_asks_and_a_second_of_either_kind_is_the_end(
    received: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[object] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    stop, before = asyncio.Event(), signal.getsignal(received)
    with stop_on_signals(stop, lambda: ended.append("at once")):
        os.kill(os.getpid(), received)
        await asyncio.wait_for(stop.wait(), 5)
        assert ended == []
        os.kill(os.getpid(), signal.SIGTERM)
        assert ended == ["at once", 128 + signal.SIGTERM]
    assert signal.getsignal(received) == before


async def test_the_watchdog_is_fed_as_long_as_the_loop_goes_on() -> None:
    class Counted(Watchdog):
        beats = 0
        pause = 0.001

        def __init__(self) -> None:
            """Nobody waits for its beats."""

        def beat(self) -> None:
            self.beats += 1

    dog = Counted()
    async with fed(dog):
        await asyncio.sleep(0.05)
        before = dog.beats
        time.sleep(0.02)  # noqa: ASYNC251 - the loop stands
        assert dog.beats == before > 2
    await asyncio.sleep(0.01)
    after = dog.beats
    await asyncio.sleep(0.01)
    assert dog.beats == after


async def test_without_a_signal_nothing_is_left_behind() -> None:
    stop = asyncio.Event()
    with stop_on_signals(stop):
        pass
    assert not stop.is_set()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
