"""The page of `agent demo`: live while the pods work, and there to be looked at when they are done."""

import signal
from pathlib import Path

from support.browser import Browser
from support.demo import LINK, STAYS, assert_shows_everything, read_until, start, with_claude

COLUMNS = """
return Object.fromEntries([...document.querySelectorAll('#board .card')].map(
  (card) => [card.dataset.id, Number(card.closest('[data-drop]').dataset.drop)]));
"""
KNOWN = """
const done = arguments[arguments.length - 1];
fetch('/page/board').then((answer) => answer.json()).then(({cards}) => done(
  Object.fromEntries(cards.map((card) => [String(card.id), card.status]))));
"""


def test_the_page_shows_the_demo_as_it_happens_and_when_it_is_over(one_chromium: Browser, tmp_path: Path) -> None:
    """With the real Claude Code: it is the only demo of `make test` that has it, so the end is looked at too."""
    process = start(tmp_path, "--keep", *with_claude())
    try:
        screen = read_until(process, "/#token=")
        found = LINK.search(screen)
        assert found
        one_chromium.fresh(found[1])
        one_chromium.open(found[0])
        assert one_chromium.sees(".card .claim", text="pod-"), "a pod at work"
        began = one_chromium.js(COLUMNS)
        assert_shows_everything(screen + read_until(process, STAYS))
        known = one_chromium.wait_js(KNOWN)
        one_chromium.until(lambda: one_chromium.js(COLUMNS) == known, "every card where the board has it, unasked")
        assert sum(status != began.get(id_) for id_, status in known.items()) > 5, "much has happened meanwhile"
        assert one_chromium.problems() == []
        assert one_chromium.foreign(found[1]) == []
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        one_chromium.open("about:blank")
