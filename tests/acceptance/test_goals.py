"""The goals of the scan (DESIGN, section 2): requests asserted, the board's time printed beside a page of 100 in full."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import sweep
from agent.daemon import Pass
from support.backlogs import into_embedded
from support.boards import Board, embedded_board, openproject
from support.crowds import big
from support.fleet import Fleet
from support.pods import Requests, opened
from support.worlds import whole_world

Measured = Callable[[str], None]


def page_of_full(board: Board) -> float:
    """Seconds for a page of 100 full work packages, warm."""
    client = board.client("agent")
    query = "/work_packages?filters=[]&pageSize=100"
    client.get(query)
    return client.get(query).elapsed.total_seconds()


async def assert_idle_is_cheap(fleet: Fleet, note: Measured, name: str) -> None:
    requests = Requests()
    async with opened(fleet.pod("pod-idle"), transport=requests) as pod:
        requests.sent.clear()
        result = await pod.cycle(lambda _: None).run()
        assert result.outcome is Pass.NOTHING
        assert len(requests.sent) <= 4
        note(f"idle pass, {name}: {len(requests.sent)} requests, {requests.seconds:.2f} s")
        requests.sent.clear()
        await sweep.sweep(pod.protocol, 60.0)
        assert len(requests.sent) == 1


async def assert_claim_is_cheap(fleet: Fleet, note: Measured, name: str) -> None:
    requests = Requests()
    async with opened(fleet.pod("pod-busy"), transport=requests) as pod:
        requests.sent.clear()
        result = await pod.cycle(lambda _: None).run()
        assert result.ticket is not None
        assert result.rung == 5
        sent = requests.until_comment_on(result.ticket)
        assert len(sent) <= 18, [(method, path) for method, path, _ in sent]
        seconds, page = sum(took for _, _, took in sent), page_of_full(fleet.board)
        note(f"claim with its Epic, {name}: {len(sent)} requests, {seconds:.2f} s; a page of 100: {page:.2f} s")


@pytest.mark.parametrize("size", [100, 20_000])
async def test_goals_on_the_embedded_board(size: int, tmp_path: Path, measured: Measured) -> None:
    board = embedded_board(tmp_path / "board")
    await asyncio.to_thread(into_embedded, tmp_path / "board", big("large", size))
    try:
        await assert_idle_is_cheap(Fleet(board, "shop", tmp_path / "idle"), measured, f"embedded, {size}")
        await assert_claim_is_cheap(Fleet(board, "large", tmp_path / "busy"), measured, f"embedded, {size}")
    finally:
        board.close()


@pytest.mark.openproject
@pytest.mark.proof
async def test_goals_on_openproject(tmp_path: Path, measured: Measured) -> None:
    board = openproject()
    made = await asyncio.to_thread(whole_world, board)
    try:
        await assert_idle_is_cheap(
            Fleet(board, made.empty_project(), tmp_path / "idle"), measured, "OpenProject, 10,000"
        )
        await assert_claim_is_cheap(
            Fleet(board, f"{made.mark}-big", tmp_path / "busy"), measured, "OpenProject, 10,000"
        )
    finally:
        board.close()
