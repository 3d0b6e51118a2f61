"""One set of rules, two servers: each test runs against the embedded board and against a real OpenProject."""

from collections.abc import Iterator

import pytest

from support.boards import Board, embedded_board
from support.contract_world import World
from support.worlds import filled_openproject

SERVERS = ("embedded", "openproject")


@pytest.fixture(scope="session", params=["embedded", pytest.param("openproject", marks=pytest.mark.openproject)])
def board(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    running = (
        filled_openproject() if request.param == "openproject" else embedded_board(tmp_path_factory.mktemp("board"))
    )
    yield running
    running.close()


@pytest.fixture
def world(board: Board) -> World:
    return World(board)
