"""The watch: what a person does to a running ticket stops the work, though it would never end by itself."""

from __future__ import annotations

import asyncio

import pytest

from agent.choose import Rung
from agent.claim.taking import Taken, take
from agent.errors import Superseded
from agent.scan import Candidate, read_around
from agent.watch import watched
from support.fake_clock import FakeClock
from support.fleet import Fleet
from support.pods import opened


@pytest.mark.parametrize(
    ("hand", "why"),
    [("route", "routed to pod-b"), ("take", "assignee"), ("hold", "status"), ("spike", "Spike"), ("nothing", "")],
)
async def test_work_is_stopped_when_a_person_changes_the_ticket(small_fleet: Fleet, hand: str, why: str) -> None:
    fleet = small_fleet
    ticket = fleet.add("Be watched")
    async with opened(fleet.pod(), clock=FakeClock()) as pod:
        found = await pod.board.work_package(ticket, "the ticket")
        claimed = await take(pod.protocol, Candidate(Rung.STANDALONE, found, await read_around(pod.board, found), None))
        assert isinstance(claimed, Taken)
        if hand == "nothing":
            assert await watched(pod.protocol, claimed.claim, asyncio.sleep(0.2, "done")) == "done"
            return
        changes = {"route": {"pod": "pod-b"}, "take": {"assignee": "human"}, "hold": {"status": "On hold"}}
        if hand == "spike":
            fleet.add("How?", kind="Spike", parent=ticket)
        else:
            fleet.change(ticket, **changes[hand])
        work = asyncio.ensure_future(asyncio.Event().wait())

        async def endless() -> None:
            await work

        with pytest.raises(Superseded, match=why):
            await asyncio.wait_for(watched(pod.protocol, claimed.claim, endless()), 30)
        assert work.cancelled()
