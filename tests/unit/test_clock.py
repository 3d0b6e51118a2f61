import datetime as dt
import re

from agent.clock import Clock, Randomness, SystemClock, SystemRandomness
from agent.texts.claim_token import RUN_ID, new


async def test_sleep_lasts_as_long_as_the_boot_clock_says() -> None:
    clock: Clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0.02)
    assert clock.monotonic() - before >= 0.02
    await clock.sleep(0)
    await clock.sleep(-1)


def test_one_boot_has_one_id_and_now_is_utc() -> None:
    assert SystemClock().boot_id() == SystemClock().boot_id() != ""
    assert SystemClock().now().tzinfo is dt.UTC


def test_ids_fit_into_a_token_and_do_not_repeat() -> None:
    chance: Randomness = SystemRandomness()
    assert re.fullmatch(RUN_ID, chance.uuid())
    assert len({chance.nonce() for _ in range(1000)}) == 1000
    assert 1 <= chance.uniform(1, 2) <= 2
    new(run=chance.uuid(), nonce=chance.nonce(), pod="a", lifetime_s=1, now=SystemClock().now())
