"""A fleet of real pods under fire, for a bounded time: everything is done, and nothing twice (`make soak` for longer)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.boards import openproject
from support.fleet import Fleet
from support.soak import PODS, Soak, board_process
from support.worlds import world

PATIENCE = 240.0
"""Seconds after which what is not done yet counts as stuck, on the slowest machine."""


def soaked(soak: Soak, tickets: int, every: float, kills_s: float) -> str:
    """Works off so many tickets under fire; the figures."""
    soak.fill(tickets)
    started = time.monotonic()
    finished = soak.work_off(until=started + PATIENCE, kills_until=started + kills_s, every=every)
    seconds = time.monotonic() - started
    assert soak.violations() == []
    assert finished
    assert soak.kills >= 3
    return f"{seconds:.0f} s, {soak.figures()}"


def test_eight_pods_under_fire_do_everything_once(tmp_path: Path, measured: Callable[[str], None]) -> None:
    """I-15, I-17, I-28, I-38."""
    with board_process(tmp_path / "board") as board:
        figures = soaked(Soak(Fleet(board, "shop", tmp_path)), tickets=12, every=1.5, kills_s=15)
    measured(f"soak: {PODS} pods on the embedded board: {figures}")


@pytest.mark.proof
@pytest.mark.openproject
def test_four_pods_under_fire_do_everything_once_on_openproject(
    tmp_path: Path, measured: Callable[[str], None]
) -> None:
    board = openproject()
    fleet = Fleet(board, world(board).empty_project(), tmp_path)
    figures = soaked(Soak(fleet, pods=4), tickets=8, every=4, kills_s=60)
    measured(f"soak: 4 pods on OpenProject: {figures}")
    board.close()
