"""One Chromium and one served board for all tests of a worker; each test makes the tickets that it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import busy_fleet
from support.boards import missing
from support.browser import Browser, chromium
from support.needs import needs
from support.page_world import World

AXE = Path(__file__).resolve().parents[2] / "build" / "axe" / "4.14.1" / "axe.min.js"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(needs("chromium", "chromedriver"))


@pytest.fixture(scope="session")
def one_chromium() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def second_chromium() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("board") / "board"
    served = World(folder, busy_fleet.fill(folder).tokens)
    served.start()
    yield served
    served.close()


@pytest.fixture
def expected() -> list[str]:
    """What the console may say in this test: a browser calls every refused request an error there."""
    return []


@pytest.fixture
def tidied(world: World) -> Iterator[World]:
    """The board; what a test made on it goes with the test, after its browsers."""
    yield world
    world.tidy()


@pytest.fixture
def page(one_chromium: Browser, tidied: World, expected: list[str]) -> Iterator[Browser]:
    """A browser in which nobody is signed in; afterwards its console must be silent, and nothing have left the origin."""
    yield from _clean(one_chromium, tidied, expected)


@pytest.fixture
def other(second_chromium: Browser, tidied: World, expected: list[str]) -> Iterator[Browser]:
    """A second browser, somebody else's."""
    yield from _clean(second_chromium, tidied, expected)


def _clean(browser: Browser, world: World, expected: list[str]) -> Iterator[Browser]:
    browser.fresh(world.url)
    yield browser
    problems = [one for one in browser.problems() if not any(known in one for known in expected)]
    foreign = browser.foreign(world.url)
    browser.open("about:blank")
    assert problems == []
    assert foreign == []


@pytest.fixture
def axe() -> Callable[[Browser], list[str]]:
    """What axe-core finds serious or critical in what is seen."""
    if not AXE.exists():
        missing(f"{AXE} is missing: .ci/axe fetches it")
    source = AXE.read_text(encoding="utf-8")

    def judge(browser: Browser) -> list[str]:
        browser.js(source)
        found = browser.wait_js(
            "axe.run(document).then((result) => arguments[arguments.length - 1](result.violations));"
        )
        return [
            f"{one['id']} ({one['impact']}): {node['html'][:200]} {node['failureSummary'][:300]}"
            for one in found
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    return judge
