"""Cycles over a board whose answers are spoilt: a pass fails in words, its state is whole, and the ticket is done once all the same."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer

from agent.clock import SystemClock
from agent.errors import BoardError, ConfigurationError
from agent.state import State
from agent.state_folder import StateFolder
from support.boards import embedded_board
from support.fleet import Fleet
from support.pods import opened
from support.wrong_answers import NO_ANSWER, Spoil, Spoiling

LONGEST_PASS = 60.0
SOUND_PASSES = 3


class Hasty(SystemClock):
    """Nobody waits for a board that is made to fail."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.05))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fuzz")
    board = embedded_board(folder / "board")
    yield Fleet(board, "shop", folder)
    board.close()


numbers = itertools.count()


@given(st.lists(st.none() | NO_ANSWER, min_size=1, max_size=60))
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_answers_are_spoilt_the_ticket_is_done_once(fleet: Fleet, spoils: list[Spoil | None]) -> None:
    ticket = fleet.add("Buy")
    config = fleet.pod(f"pod-{next(numbers)}")
    asyncio.run(spoilt_pass(config, spoils))
    state = StateFolder(config.parent / "state").load()
    assert msgspec.convert(msgspec.to_builtins(state), State) == state
    asyncio.run(sound_passes(config))
    assert fleet.status(ticket) == "In testing"
    assert fleet.run_of(ticket) is None
    assert fleet.children(ticket) == []
    lines = fleet.first_lines(ticket)
    for once in ("Claimed by", "Execution complete", "Pushed to"):
        assert [line.startswith(once) for line in lines].count(True) == 1, lines
    branch = next(one for one in fleet.branches() if one.startswith(f"agent/{ticket}-"))
    assert fleet.log(branch).count(f"Work-Package: #{ticket}\n") == 1


async def spoilt_pass(config: Path, spoils: list[Spoil | None]) -> None:
    transport = Spoiling(spoils)
    try:
        async with asyncio.timeout(LONGEST_PASS), opened(config, transport=transport, clock=Hasty()) as pod:
            await pod.cycle(lambda _: None).run()
    except (BoardError, ConfigurationError) as error:
        assert str(error).strip()  # noqa: PT017 - either is fine, nothing else is
        assert transport.spoilt


async def sound_passes(config: Path) -> None:
    for _ in range(SOUND_PASSES):
        async with opened(config, clock=Hasty()) as pod:
            await pod.cycle(lambda _: None).run()


@pytest.mark.parametrize("body", [b"<html>Log in</html>", b"[" * 5000, b'{"_embedded":{"elements":7},"name":"x"}'])
def test_a_board_that_talks_nonsense_is_a_failed_cycle(fleet: Fleet, httpserver: HTTPServer, body: bytes) -> None:
    config = fleet.pod("pod-nonsense")
    httpserver.expect_request(re.compile(".*")).respond_with_data(body)
    config.write_text(config.read_text().replace(fleet.board.url, httpserver.url_for("").rstrip("/")))
    done = fleet.agent("--config", str(config), command=("cycle",))
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    assert "The board's answer" in done.stderr
