"""What `agent doctor` and `agent config keys` look like."""

from __future__ import annotations

import pytest

from agent.operate.findings import fail, ok, too_old, unknown, warn
from agent.operate.screen import findings, keys
from agent.settings import describe


@pytest.mark.parametrize(
    ("program", "said", "old"),
    [
        ("git", "git version 2.30.0", True),
        ("git", "git version 1.9", True),
        ("git", "git version 2.40.0", False),
        ("git", "git version 2.47.3 (Apple Git-1)", False),
        ("git", "git version 3.0.rc1", False),
        ("git", "git version unknown", False),
        ("git", "", False),
        ("nix", "nix (Nix) 2.26.3", False),
    ],
)
def test_a_git_that_is_too_old_is_known_by_its_own_words(program: str, said: str, *, old: bool) -> None:
    assert too_old(program, said) == old


FOUND = [
    ok("board", "it answers"),
    fail("type", "there is no type “Spike”", "create it, and switch it on in every project of the fleet that has one"),
    warn("sandbox", "none"),
    unknown("workflow", "Bug: New → In progress not checked, no Bug exists in “New”"),
]


def test_each_finding_is_one_line_with_the_way_to_mend_it() -> None:
    assert findings(FOUND, None) == [
        "ok    board     it answers",
        "FAIL  type      there is no type “Spike” — create it, and switch it on in every project of the fleet that has one",
        "warn  sandbox   none",
        "??    workflow  Bug: New → In progress not checked, no Bug exists in “New”",
        "",
        "1 to mend before a pod can work here. Besides: 1 to know, 1 not checked.",
    ]


def test_on_a_terminal_long_lines_are_broken_below_their_text() -> None:
    lines = findings(FOUND, 60)
    assert lines[1] == "FAIL  type      there is no type “Spike” — create it, and"
    assert lines[2] == "                switch it on in every project of the fleet"
    assert max(map(len, lines[:-1])) <= 60


def test_without_a_failure_a_pod_can_work() -> None:
    assert findings([ok("board", "it answers")])[-1] == "A pod can work here."


def test_every_setting_is_shown_with_its_meaning_its_values_and_its_default() -> None:
    found = [("board.url", "the address of the board", "http:// or https://", "(must be set)")]
    assert keys(found) == [
        "Settings by their TOML keys; `*` stands for the identifier of a project on the",
        "board.",
        "",
        "board.url",
        "  The address of the board.",
        "  Allowed: http:// or https://",
        "  Default: (must be set)",
    ]
    lines = keys(describe(), 80)
    assert {key for key, *_ in describe()} <= set(lines)
    assert max(map(len, lines)) <= 80
