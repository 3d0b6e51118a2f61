"""What `agent explain` looks like, and that no reason is without words."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from agent.choose import Reason, Rung, Why
from agent.operate.explain import Example, Explanation, Kept, Overview
from agent.operate.screen import REASON_WORDS, RUNG_WORDS, columns, explanation, fit, overview, wrapped

SEEN = Overview(pod="pod-a", rung=Rung.BUG, ticket=42, subject="Fix the price", epic=7, ready=1234)
ONE = Explanation(ticket=42, subject="Fix the price", type="Bug", status="New", priority="High", pod="pod-a")


def test_every_rung_and_every_reason_has_words_and_a_remedy() -> None:
    assert set(RUNG_WORDS) == set(Rung)
    assert set(REASON_WORDS) == set(Reason)
    assert all(meaning and remedy.endswith(".") for meaning, remedy in REASON_WORDS.values())


def test_the_choice_comes_first_then_each_reason_with_its_tickets() -> None:
    seen = Overview(
        pod="pod-a",
        rung=Rung.BUG,
        ticket=42,
        subject="Fix the price",
        epic=7,
        ready=1234,
        reasons=(
            Kept(Reason.ROUTED, 2, (Example(8, "For b"), Example(115, "For c"))),
            Kept(Reason.BLOCKED, 1200, (Example(9, "Waits", "waits for #8"),), at_least=True),
        ),
        notes=("The repository is away.",),
    )
    assert overview(seen) == [
        "pod-a would take #42 Fix the price",
        "  (rung 4, a bug, in Epic #7)",
        "",
        "Ready on the whole board: 1,234 executable tickets.",
        "What keeps tickets from this pod, and the first of them; one ticket may have",
        "several reasons:",
        "",
        "routed: 2 — routed to another pod",
        "    #8  For b",
        "  #115  For c",
        "",
        "blocked: at least 1,200 — something incomplete holds them back",
        "  #9  Waits — waits for #8",
        "",
        "The repository is away.",
    ]


@pytest.mark.parametrize(
    ("subject", "detail", "line"),
    [
        ("Large", "it has a child that is no Spike (#15)", "  #9  Large — it has a child that is no Spike (#15)"),
        (
            "A long subject that needs a line of its own, or most of it",
            "it has a child that is no Spike (#15)",
            "  #9  A long subject that needs a line of its… — it has a child that is no Spi…",
        ),
    ],
)
def test_a_short_subject_leaves_its_room_to_the_particulars(subject: str, detail: str, line: str) -> None:
    kept = Kept(Reason.CONTAINER, 1, (Example(9, subject, detail),))
    assert overview(Overview(pod="p", rung=Rung.NOTHING, ready=1, reasons=(kept,)))[-1] == line
    assert len(line) <= 80


def test_a_pod_with_nothing_to_do_says_so() -> None:
    seen = Overview(pod="pod-a", rung=Rung.NOTHING, releases=(7,))
    assert overview(seen) == [
        "pod-a would first release its Epic #7: nothing in it is available.",
        "pod-a would take nothing now.",
        "",
        "Not one executable ticket is ready.",
    ]


def test_unfinished_work_is_finished_not_taken() -> None:
    seen = Overview(pod="pod-a", rung=Rung.FINISH, ticket=42, subject="Fix the price")
    assert overview(seen)[:2] == ["pod-a would finish #42 Fix the price", "  (rung 1, my work in progress)"]


def test_one_ticket_names_each_reason_and_what_to_do() -> None:
    seen = Explanation(
        ticket=42,
        subject="Fix the price",
        type="Bug",
        status="New",
        priority="High",
        pod="pod-a",
        reasons=(Why(Reason.GATED, "Phase 2 (#7) is not active", 7), Why(Reason.BLOCKED, "waits for #8")),
    )
    assert explanation(seen) == [
        "#42 Fix the price",
        "Bug · New · High",
        "",
        "pod-a does not take it:",
        "  gated    Phase 2 (#7) is not active.",
        "           Set the gate to the active status.",
        "  blocked  Waits for #8.",
        "           Finish what it waits for, or remove the relation.",
    ]


def test_a_ticket_that_this_pod_holds_is_gone_on_with() -> None:
    seen = Explanation(
        ticket=42, subject="S", type="Bug", status="In progress", priority="High", pod="pod-a",
        claimed="this pod since then", rung=Rung.FINISH, next=42,
    )  # fmt: skip
    assert explanation(seen)[3:] == [
        "Claimed by this pod since then.",
        "",
        "pod-a goes on with it (rung 1, my work in progress).",
    ]


@pytest.mark.parametrize(
    ("before", "coming", "said"),
    [
        (0, 42, "Available on rung 4 (a bug): pod-a would take it now."),
        (1, 40, "Available on rung 4 (a bug), but for pod-a another one comes before it; it would"),
        (3, 40, "Available on rung 4 (a bug), but for pod-a up to 3 others come before it; it"),
    ],
)
def test_an_available_ticket_says_what_comes_before_it(before: int, coming: int, said: str) -> None:
    seen = Explanation(
        ticket=42, subject="S", type="Bug", status="New", priority="High", pod="pod-a",
        rung=Rung.BUG, before=before, next=coming,
    )  # fmt: skip
    assert explanation(seen)[3] == said


@given(st.text(), st.integers(1, 200))
def test_text_of_others_fits_on_its_line_and_cannot_move_the_cursor(text: str, width: int) -> None:
    line = fit(text, width)
    assert cell_len(line) <= width
    assert not any(character in line for character in "\n\r\t\x1b\x00")


@given(st.text(), st.text(), st.integers(40, 120))
@example("", "0" * 50, 59)
def test_no_subject_breaks_the_overview(subject: str, detail: str, width: int) -> None:
    kept = Kept(Reason.ROUTED, 1, (Example(8, subject, detail),))
    for line in overview(Overview(pod="p", rung=Rung.BUG, ticket=1, subject=subject, ready=1, reasons=(kept,)), width):
        assert cell_len(line) <= max(width, 70)
        assert "\x1b" not in line
        assert "\n" not in line


@given(st.text(), st.integers(10, 100))
def test_wrapping_loses_no_word(text: str, width: int) -> None:
    lines = wrapped(text, width, "  ")
    assert all(len(line.split()) == 1 or cell_len(line) <= width for line in lines)
    assert " ".join(" ".join(lines).split()) == " ".join(wrapped(text, 10**6)).strip()


def test_columns_are_aligned_and_the_last_takes_what_is_left() -> None:
    assert columns([("#1", "pod-a", "x" * 50), ("#22", "b", "short")], 30) == [
        "  #1   pod-a  xxxxxxxxxxxxxxx…",
        "  #22  b      short",
    ]
    assert columns([], 80) == []
