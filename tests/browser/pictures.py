"""Writes tests/browser/screenshots anew: a busy fleet's board, wide, in the dark and on a phone; the demo's (`make screenshots`)."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from support import busy_fleet
from support.browser import Browser, chromium
from support.demo import LINK, read_until, start
from support.page_world import World

TARGET = Path(__file__).parent / "screenshots"
SETTLED = 0.8
"""Seconds until animations have come to rest."""


def main() -> None:
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        busy = busy_fleet.fill(Path(folder) / "board")
        world = World(Path(folder) / "board", busy.tokens)
        world.start()
        try:
            _take(browser, world, busy.ids)
        finally:
            world.close()
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        _take_demo(browser, Path(folder))


def _take_demo(browser: Browser, folder: Path) -> None:
    """While a pod works and a Spike waits: the person of the demo answers it within seconds."""
    process = start(folder, "--keep")
    try:
        found = LINK.search(read_until(process, "/#token="))
        assert found
        browser.size(1600, 920)
        browser.theme("light")
        browser.open(found[0])
        browser.one("#questions a")
        browser.one(".card .claim")
        _save(browser, "demo")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def _take(browser: Browser, world: World, ids: Mapping[str, int]) -> None:
    world.sign_in(browser)
    ticket = ids["Undo a booking"]
    browser.size(1600, 920)
    browser.theme("light")
    _shot(browser, f"{world.url}/#wp={ticket}", "wide")
    browser.theme("dark")
    _shot(browser, f"{world.url}/?lanes=epic", "dark")
    browser.theme("light")
    browser.size(390, 844, phone=True)
    _shot(browser, world.url, "phone")


def _shot(browser: Browser, url: str, name: str) -> None:
    browser.open(url)
    browser.one(".card")
    time.sleep(SETTLED)
    _save(browser, name)


def _save(browser: Browser, name: str) -> None:
    file = TARGET / f"{name}.png"
    browser.driver.save_screenshot(str(file))
    sys.stdout.write(f"{file.relative_to(Path.cwd())}: {file.stat().st_size // 1000} kB\n")


if __name__ == "__main__":
    main()
