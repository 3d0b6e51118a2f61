from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import fresh_clone
from support.boards import embedded_board, openproject
from support.fleet import Fleet
from support.worlds import world

EMBEDDED = "embedded"
OPENPROJECT = pytest.param("openproject", marks=pytest.mark.openproject)


@pytest.fixture(params=[EMBEDDED, OPENPROJECT])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    """An empty project on each server."""
    board = embedded_board(tmp_path / "board") if request.param == EMBEDDED else openproject()
    project = "shop" if request.param == EMBEDDED else world(board).empty_project()
    fleet = Fleet(board, project, tmp_path)
    yield fleet
    board.close()
    assert fleet.boxed_judge or fresh_clone.failing(fleet.remote.path, tmp_path) == []


@pytest.fixture
def small_fleet(tmp_path: Path) -> Iterator[Fleet]:
    """An empty project on the embedded board, for what does not depend on the server."""
    board = embedded_board(tmp_path / "board")
    fleet = Fleet(board, "shop", tmp_path)
    yield fleet
    board.close()
    assert fleet.boxed_judge or fresh_clone.failing(fleet.remote.path, tmp_path) == [], (
        "what was pushed passes for whoever clones it"
    )
