"""Every test starts from a clean environment: no settings of ours, a neutral git."""

import functools
import gc
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Final

import httpx
import pytest
from httpx._transports import default as transports
from hypothesis import settings
from loguru import logger

from agent.programs.removal import remove_folder
from support.boards import Board
from support.heartbeat import Heart, heartbeat
from support.vitals import forget, vital_signs, watch_loops
from support.worlds import filled_openproject

settings.register_profile("no clock", deadline=None)
settings.register_profile("covered", deadline=None, max_examples=25)
settings.load_profile("no clock")  # what an example takes says more of the machine than of the code

transports.create_ssl_context = functools.cache(httpx.create_ssl_context)  # type: ignore[attr-defined]
"""Every client would read all certificates anew, for nothing: no board here speaks TLS, and some tests make dozens."""
watch_loops()
logger.remove()
"""Tests that read the log add their own sink; nothing is printed while the others run."""

_LONGEST: Final = 16
"""How many parts of a run are named with their share."""


def pytest_configure(config: pytest.Config) -> None:
    """Where coverage counts, each line takes three times as long: the unit suite's other run has all the examples."""
    if config.getoption("cov_source", default=None):
        settings.load_profile("covered")


def pytest_collectstart() -> None:
    """What is loaded and collected stays: looking for garbage in it takes a quarter of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What was collected stays until the end: no search for garbage walks over it in the midst of some test's loop."""
    gc.enable()
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AGENT_", "GIT_", "XDG_")) or name in ("STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture(autouse=True)
def alive(request: pytest.FixtureRequest) -> Iterator[None]:
    """No loop of ours stands and no process of ours grows out of bounds, in whatever test; it is over last of all."""
    if not request.node.get_closest_marker("unwatched"):
        with vital_signs():
            yield
        return
    yield
    forget()


@pytest.fixture(autouse=True, scope="session")
def all_were_alive() -> Iterator[None]:
    """What served many tests ends after the last of them."""
    yield
    with vital_signs():
        pass


@pytest.fixture
def nothing_deep_is_left(tmp_path: Path) -> Iterator[None]:
    """For tests that make folders deeper than Python's stack: pytest's own clean-up of earlier runs would end the run."""
    yield
    remove_folder(tmp_path)


@pytest.fixture
def openproject_board() -> Iterator[Board]:
    """The real OpenProject, booted once for the whole run."""
    board = filled_openproject()
    yield board
    board.close()


@pytest.fixture
async def beating() -> AsyncIterator[Heart]:
    """The test's event loop never stands longer than 250 ms. Ask for it last: what comes after is measured too."""
    async with heartbeat() as heart:
        yield heart


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Note a figure: all are printed at the end of the run."""

    def note(text: str) -> None:
        request.node.user_properties.append(("measured", text))

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How much of the contract was tried on each server, and the figures that were noted, whichever worker did it."""
    reports = [one for kind in ("passed", "failed", "error") for one in terminalreporter.getreports(kind)]
    contract = {one.nodeid for one in reports if "tests/contract/" in one.nodeid}
    if contract:
        halves = {server: sum(f"[{server}" in one for one in contract) for server in ("embedded", "openproject")}
        terminalreporter.section("contract tests: " + ", ".join(f"{count} on {name}" for name, count in halves.items()))
    noted = [text for one in reports if one.when == "call" for key, text in one.user_properties if key == "measured"]
    if noted:
        terminalreporter.section("measured")
        for text in sorted(noted):
            terminalreporter.line(text)
    _show_parts(terminalreporter)


def _show_parts(terminalreporter: pytest.TerminalReporter) -> None:
    """Where the time went, in seconds of all workers: what `make test` can lose first is what finds no faults there."""
    seconds = defaultdict[str, float](float)
    for one in chain.from_iterable(terminalreporter.stats.values()):
        if isinstance(one, pytest.TestReport):
            seconds[one.nodeid.partition("::")[0]] += one.duration
    terminalreporter.section(f"seconds by part, {sum(seconds.values()):.0f} in all")
    for part, spent in sorted(seconds.items(), key=itemgetter(1), reverse=True)[:_LONGEST]:
        terminalreporter.line(f"{spent:7.1f}  {part}")
