"""The demo's last judgement: it is content only with what it should have seen, and it shows it within 80 columns."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import pytest
from rich.console import Console

from agent.demo import outcome
from agent.demo.hands import Said, Ticket
from agent.demo.outcome import Row
from agent.demo.pods import Pass, Seen
from agent.demo.screen import WIDTH, Screen

RUN = "7f9c0000-0000-4000-8000-000000000000"


def ticket(number: int, kind: str = "Task", status: str = "In testing", run: str = "") -> Ticket:
    return Ticket(id=number, subject="Postage", type=kind, status=status, pod="", run=run, parent=None, ancestors=())


def seen(reason: str, detail: str = "because") -> Seen:
    return Seen(reason=reason, ticket=1, detail=detail, pod="pod-a", when="at the start")


def row(rung: int, number: int = 1, commit: str = "a3f9c12") -> Row:
    return Row(ticket=number, subject="Postage", rung=rung, pod="pod-a", commit=commit, result="In testing")


@dataclass
class Ended:
    """A demo that went as it should; a test spoils one thing."""

    rows: list[Row] = field(default_factory=lambda: [row(rung) for rung in outcome.WANTED_RUNGS])
    seen: list[Seen] = field(
        default_factory=lambda: [
            *(seen(one) for one in ("blocked", "gated", "spiked", "routed")),
            seen("Epic", "Epic #2 is owned by pod-b"),
        ]
    )
    board: dict[int, Ticket] = field(
        default_factory=lambda: {1: ticket(1), 2: ticket(2, "Epic"), 3: ticket(3, "Spike", "Closed")}
    )

    def wrong(self) -> list[str]:
        return list(outcome.wrong(self.rows, self.seen, self.board))


def test_a_demo_that_went_as_it_should_has_nothing_wrong() -> None:
    assert Ended().wrong() == []


@pytest.mark.parametrize("rung", outcome.WANTED_RUNGS)
def test_a_rung_that_did_not_occur_is_named(rung: int) -> None:
    ended = Ended()
    ended.rows = [one for one in ended.rows if one.rung != rung]
    assert any(f"Rung {rung}" in one for one in ended.wrong())


@pytest.mark.parametrize("reason", outcome.WANTED_REASONS)
def test_a_reason_that_no_pod_gave_is_named(reason: str) -> None:
    ended = Ended()
    ended.seen = [one for one in ended.seen if one.reason != reason]
    assert any(f"“{reason}”" in one for one in ended.wrong())


def test_an_epic_that_is_only_routed_is_not_taken_for_owned() -> None:
    ended = Ended()
    ended.seen[-1] = seen("Epic", "Epic #2 is routed to pod-b")
    assert ended.wrong() == ["No pod gave the reason “Epic”."]


@pytest.mark.parametrize(
    ("spoiled", "word"),
    [
        (ticket(1, status="In progress"), "#1 Postage is In progress, not done"),
        (ticket(1, run="a token @"), "still claimed"),
        (ticket(2, "Epic", "New"), "#2 Postage is New, not done"),
        (ticket(3, "Spike", "New"), "Spike #3 is New, not closed"),
        (ticket(4), "No pod reported a commit for #4"),
    ],
)
def test_a_ticket_that_is_not_at_its_end_is_named(spoiled: Ticket, word: str) -> None:
    ended = Ended()
    ended.board[spoiled.id] = spoiled
    assert len(ended.wrong()) == 1
    assert word in ended.wrong()[0]


def test_without_a_spike_the_demo_has_not_shown_what_it_promised() -> None:
    ended = Ended()
    del ended.board[3]
    assert ended.wrong() == ["No Spike was created."]


def test_a_release_is_read_in_the_epics_trail_with_the_pod_that_had_taken_it() -> None:
    said = [
        Said("Epic taken by pod `pod-b`", RUN, "epic_taken"),
        Said("Please hurry"),
        Said("Released: nothing left to do in this Epic", RUN, "epic_released"),
    ]
    assert [(one.rung, one.pod, one.result) for one in outcome.releases(ticket(2, "Epic"), said)] == [
        (3, "pod-b", "In testing")
    ]


def test_an_epic_given_back_with_its_bug_is_no_third_rung() -> None:
    said = [
        Said("Epic taken by pod `pod-b`", RUN, "epic_taken"),
        Said("Released: it was taken for a bug only", RUN, "epic_released"),
    ]
    assert list(outcome.releases(ticket(2, "Epic"), said)) == []


def test_a_failed_run_shows_its_spike_and_a_good_one_the_boards_status() -> None:
    common = {"pod": "pod-a", "ticket": 1, "rung": 5, "branch": "agent/1-postage", "reason": ""}
    done = Pass(**common, kind="done", commit="a3f9c12", spike=None)  # type: ignore[arg-type]
    failed = Pass(**common, kind="failed", commit="", spike=3)  # type: ignore[arg-type]
    assert [one.result for one in outcome.rows([failed, done], {1: ticket(1)})] == ["Spike #3", "In testing"]


def test_the_tables_fit_into_80_columns_and_survive_square_brackets() -> None:
    screen = Screen()
    text = io.StringIO()
    screen.console = Console(file=text, width=WIDTH, highlight=False)
    long = Row(
        ticket=1234, subject="[red]An order of [great] length", rung=5, pod="pod-a",
        branch="agent/failed/1234-7f9c0000", commit="a3f9c12" * 5, result="In testing",
    )  # fmt: skip
    screen.table([long])
    screen.reasons([seen("blocked", "waits for #17 (through its ancestor #15), which is a long story")])
    screen.event("pod-b", "x" * 200, "green")
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert "#1234 [red]An orde… 5 Epic task pod-a agent/failed/1234-7" in text.getvalue()
