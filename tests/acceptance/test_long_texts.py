"""T1, T6: however much others write on a ticket or around it, that is the ticket's trouble: the pod goes on with the next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.board import exchange
from agent.choose import Reason
from agent.daemon import Pass
from agent.ending import Ending
from agent.operate.explain import Explainer
from support.fleet import Fleet, wait_until
from support.pods import opened

MOST = 1 << 20
"""Bytes of an answer here, so that a test need not write 32 MiB."""
LONG = "x " * 150_000
"""Several are too long together; the board sends each twice, as it was written and as HTML."""
ENDLESS = "x " * 350_000
"""Too long alone."""


@pytest.fixture(autouse=True)
def small_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "LARGEST_ANSWER", MOST)


def comments(fleet: Fleet, ticket: int) -> None:
    for _ in range(4):
        fleet.say(ticket, LONG, account="reader")


def comments_on_a_spike(fleet: Fleet, ticket: int) -> None:
    spike = fleet.add("Which?", kind="Spike", parent=ticket, text="Blue.")
    comments(fleet, spike)
    fleet.change(spike, status="Closed")


def answered_spikes(fleet: Fleet, ticket: int) -> None:
    for _ in range(4):
        fleet.change(fleet.add("Which?", kind="Spike", parent=ticket, text=LONG), status="Closed")


def children(fleet: Fleet, ticket: int) -> None:
    for _ in range(4):
        fleet.change(fleet.add("Below", parent=ticket, text=LONG), status="On hold")


def an_endless_child(fleet: Fleet, ticket: int) -> None:
    fleet.change(fleet.add("Below", kind="Spike", parent=ticket, text=ENDLESS), status="Closed")


def an_endless_text(fleet: Fleet, ticket: int) -> None:
    fleet.change(ticket, text=ENDLESS)


def an_endless_blocker(fleet: Fleet, ticket: int) -> None:
    blocker = fleet.add("Before", text=ENDLESS)
    fleet.change(blocker, status="Closed")
    fleet.relate(blocker, "blocks", ticket)


@pytest.mark.parametrize(
    ("write", "end"),
    [
        (comments, Ending.FAILED),
        (comments_on_a_spike, Ending.FAILED),
        (answered_spikes, Ending.DONE),
        (children, Reason.CONTAINER),
        (an_endless_child, Reason.TOO_LONG),
        (an_endless_text, Reason.TOO_LONG),
        (an_endless_blocker, Reason.BLOCKED),
    ],
)
async def test_what_is_too_long_to_be_read_holds_its_own_ticket_back_and_no_other(
    small_fleet: Fleet, write: Callable[[Fleet, int], None], end: Ending | Reason
) -> None:
    """Ten comments of a Reader, or twelve children with long texts: each pod backed off, with no ticket done by anybody."""
    fleet = small_fleet
    ticket = fleet.add("Fix the thing", priority="High")
    write(fleet, ticket)
    other = fleet.add("Another thing")
    async with opened(fleet.pod()) as pod:
        passes = [await pod.cycle(lambda _: None).run() for _ in range(2)]
        met = {kept.reason: [one.id for one in kept.first] for kept in (await Explainer(pod).overview()).reasons}
    assert {one.outcome for one in passes} <= {Pass.WORKED, Pass.NOTHING}
    assert fleet.status(other) == "In testing"
    ends = {one.ticket: one.end.kind for one in passes if one.end is not None}
    assert ends.get(ticket) == (end if isinstance(end, Ending) else None)
    if isinstance(end, Reason):
        assert met[end] == [ticket]
    if end is Ending.FAILED:
        (spike,) = (one for one in fleet.children(ticket) if fleet.status(one) == "New")
        assert "too long to be read" in fleet.get(spike)["description"]["raw"]


async def test_a_run_that_was_killed_before_they_came_is_taken_over_and_ends(
    small_fleet: Fleet, tmp_path: Path
) -> None:
    """What the first try said cannot be read any more."""
    fleet, gate = small_fleet, tmp_path / "gate"
    ticket = fleet.add("Fix the thing", priority="High")
    working = fleet.start(fleet.pod(script={"gates": str(gate)}))
    wait_until(Path(f"{gate}.waiting").exists)
    working.kill()
    working.wait()
    comments(fleet, ticket)
    other = fleet.add("Another thing")
    async with opened(fleet.pod()) as pod:
        ends = [(await pod.cycle(lambda _: None).run()).end for _ in range(2)]
    assert [one and one.kind for one in ends] == [Ending.FAILED, Ending.DONE]
    assert fleet.status(other) == "In testing"


async def test_explain_says_so_of_one_ticket(small_fleet: Fleet) -> None:
    ticket = small_fleet.add("Fix the thing")
    an_endless_child(small_fleet, ticket)
    async with opened(small_fleet.pod()) as pod:
        (why,) = (await Explainer(pod).ticket(ticket)).reasons
    assert (why.reason, f"#{ticket}" in why.detail) == (Reason.TOO_LONG, True)
