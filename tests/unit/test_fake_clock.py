"""The stand-ins have a suite of their own: what other tests lean on must not be wishful."""

import asyncio
import re

from agent.clock import Clock, Randomness
from agent.texts.claim_token import RUN_ID, new
from support.fake_clock import START, FakeClock, FixedRandomness


async def test_only_sleep_moves_the_fake_time() -> None:
    clock = FakeClock()
    real: Clock = clock
    assert real.monotonic() == 1000.0
    await real.sleep(90)
    await real.sleep(-1)
    assert real.monotonic() == 1090.0
    assert (real.now() - START).total_seconds() == 90
    assert clock.slept == [90, -1]


async def test_a_fake_sleep_lets_other_tasks_run() -> None:
    clock, seen = FakeClock(), list[str]()

    async def note(name: str) -> None:
        for _ in range(2):
            seen.append(name)
            await clock.sleep(1)

    await asyncio.gather(note("a"), note("b"))
    assert seen == ["a", "b", "a", "b"]


def test_a_fake_reboot_starts_the_count_again_under_another_id() -> None:
    clock = FakeClock()
    before = clock.boot_id()
    clock.reboot(away=30)
    assert clock.boot_id() != before
    assert clock.monotonic() == 0
    assert (clock.now() - START).total_seconds() == 30


def test_chance_repeats_itself_for_one_seed_and_fits_into_a_token() -> None:
    chance: Randomness = FixedRandomness(7)
    drawn = chance.uuid(), chance.nonce(), chance.uniform(1, 2)
    again = FixedRandomness(7)
    assert drawn == (again.uuid(), again.nonce(), again.uniform(1, 2))
    assert drawn != (FixedRandomness(8).uuid(), FixedRandomness(8).nonce(), FixedRandomness(8).uniform(1, 2))
    assert re.fullmatch(RUN_ID, drawn[0])
    assert 1 <= drawn[2] <= 2
    new(run=drawn[0], nonce=drawn[1], pod="a", lifetime_s=1, now=START)
