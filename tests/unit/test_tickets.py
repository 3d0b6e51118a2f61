"""T5: a closing word followed by whatever names a ticket closes none, in a commit's message and on a forge."""

from __future__ import annotations

import html
import re

import pytest

from agent.texts import outlet
from agent.texts.tickets import CLOSING, parted

CLOSES = r"(?i:\b(?:" + "|".join(sorted(CLOSING)) + r"))"
PATTERNS = {
    "GitHub, Gitea": CLOSES + r"\s*:?\s+(?:[\w.-]+/[\w.-]+)?(?i:#|gh-)\d+",
    "GitLab": r"(?i)\b(?:clos(?:e[sd]?|ing)|fix(?:e[sd]|ing)?|resolv(?:e[sd]?|ing)|implement(?:s|ed|ing)?):? +(?:issues? +)?(?:#|GL-)\d+",
    "GitLab's own number, wherever it stands": r"(?i)\bGL-\d+",
    "Jira, YouTrack, Linear, Plane": CLOSES + r"[^\w]*(?:issues? +)?[^\w]*[A-Za-z][A-Za-z0-9_]+-\w*\d+",
    "Shortcut": CLOSES + r"\W*(?i:sc-|ch)\d+",
    "Phabricator": CLOSES + r"\s+T\d+",
    "Trac": CLOSES + r"\s*.?\s*(?:#|(?:ticket|issue|bug)[: ]?)[0-9]+",
    "Debian": r"(?i)closes:\s*(?:bug)?\#?\s?\d+",
    "Bugzilla": CLOSES + r"\W*(?i:bug)s?\s*(?:no\.?)?\s*#?\s*\d+",
    "Tuleap": CLOSES + r"\s+(?:(?:art|story|bug|task)\s+)?#\d+",
    "several": CLOSES + r".*?(?:,|and) *[A-Z][A-Z0-9_]+-\d+",
}
"""How trackers find what to close, by their manuals and sources."""
NAMES = (
    "#7", "acme/shop#7", "GH-7", "gh-7", "GL-7", "gl-7", "SHOP-7", "shop-7", "A2B-7", "A_B-7", "CU-7a1", "sc-7", "[sc-7]", "[ch7]", "ch7", "T7", "t7",
    "ticket:7", "ticket 7", "issue:7", "bug 7", "bug7", "Bug#7", "bugs 7, 8", "AB#7", "OP#7", "**SHOP-7**", "`SHOP-7`", "(SHOP-7)", "task #7", "story 7",
    "SHOP-7, SHOP-8", "SHOP-7 and SHOP-8", "SHOP-7 (SHOP-8), issue SHOP-9", "issues  issue   GL-7", "no. 7", "[#7]",
)  # fmt: skip
JOINTS = (" ", ": ", "     ", "\t", "\n", ":", " issue ", " issues    ", "\u00a0", " - ", " \u200b", "\n\n> ")
WORDS = ("Closes", "fix", "FIXED", "resolving", "Finishes", "delivers", "reopen", "Implements", "wontfix")


def closed(text: str) -> dict[str, str]:
    return {name: found[0] for name, pattern in PATTERNS.items() if (found := re.search(pattern, text))}


def test_the_patterns_find_what_they_are_for() -> None:
    assert set().union(*(closed(f"Closes{joint}{name}") for joint in (" ", ": ") for name in NAMES)) == set(PATTERNS)


@pytest.mark.parametrize("word", WORDS)
def test_no_closing_word_closes_anything(word: str) -> None:
    for name in NAMES:
        for joint in JOINTS:
            written = outlet.commit("x", f"Did it, {word}{joint}{name} at last.", {})
            assert closed(written) == {}, written


def test_no_closing_word_closes_anything_on_a_forge_or_in_a_subject() -> None:
    for name in NAMES:
        for joint in JOINTS[:6]:
            text = f"Did it, Closes{joint}{name} at last."
            for written in (outlet.forge(text), outlet.commit(text, "", {}), outlet.message(text)):
                assert closed(html.unescape(written)) == {}, written


def test_what_closes_nothing_stays_as_it_is() -> None:
    for text in (
        "Fixed 3 tests and 2 bugs; version 1.2-3 of 2026-12-01 at 12:30:45.",
        "Fix the UTF-8 door of Python3, close to SHOP-7.",
        "Closes the door. T7 is another, and so is issue 7.",
        "prefix sc-7, unresolved ticket",
    ):
        assert parted(text, " ", bare="- ") == text
        assert outlet.commit("x", text, {}) == f"x\n\n> {text}\n"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Finishes [sc-7]", "Finishes [sc- 7]"),
        ("Fixes T7, T8", "Fixes T 7, T 8"),
        ("Closes ticket:7", "Closes ticket: 7"),
        ("Closes: bug 7", "Closes: bug - 7"),
        ("Closes    GL-7", "Closes GL- 7"),
        ("see gh-7 and GL-7", "see gh- 7 and GL- 7"),
        ("[skip" + 60 * " " + "ci]", "(skip ci)"),
        ("--skip-CI ***no_ci*** skip-checks: true", "-- skip-CI *** no_ci*** skip- checks: true"),
        (":gitea: at 12:30:45", ": gitea: at 12:30:45"),
        ("see www.evil.example/?d=x, a@-b.example", "see www. evil.example/?d=x, a@ -b.example"),
    ],
)
def test_what_a_commit_says_then(text: str, written: str) -> None:
    assert outlet.commit(text, "", {}) == f"{written}\n"
