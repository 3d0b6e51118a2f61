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
    board.close(wait=False)
    pushed_is_proven(fleet)


@pytest.fixture
def small_fleet(tmp_path: Path) -> Iterator[Fleet]:
    """An empty project on the embedded board, for what does not depend on the server."""
    board = embedded_board(tmp_path / "board")
    fleet = Fleet(board, "shop", tmp_path)
    yield fleet
    board.close(wait=False)
    pushed_is_proven(fleet)


@pytest.fixture(scope="module")
def _standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("standing")
    board = embedded_board(folder / "board")
    fleet = Fleet(board, "shop", folder)
    yield fleet
    board.close(wait=False)
    pushed_is_proven(fleet)


@pytest.fixture
def standing_fleet(_standing: Fleet) -> Iterator[Fleet]:
    """One fleet for the tests of a file, whose pod enters the shell that it knows: half of the time of a ticket in the box.

    It is for tests that leave the base alone and whose runs end with a verdict. Their tickets are closed after each.
    """
    yield _standing
    for ticket in _standing.open_tickets():
        _standing.change(ticket, status="Closed")


def pushed_is_proven(fleet: Fleet) -> None:
    """What a world pushed passes for whoever clones it, by its work alone; one whose checks ask about our sandbox cannot."""
    assert fleet.boxed_judge or fresh_clone.wrong(fleet.remote.path, fleet.folder) == []
