"""One set of rules, two servers: each test runs against the embedded board and against a real OpenProject."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.boards import Board, embedded_board
from support.contract_world import World
from support.worlds import filled_openproject

SERVERS = ("embedded", "openproject")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """No commit of ours changes the real server: what all the cases of a rule find there is for `make proof`.

    The embedded board, which has to answer alike, has every case in `make test`.
    """
    told = set[tuple[Path, str]]()
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("alike"):
            if item.callspec.params["board"] != "openproject":
                continue
            rule = (item.path, item.originalname)
            if rule in told:
                item.add_marker(pytest.mark.proof)
            told.add(rule)


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
