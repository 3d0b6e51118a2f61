"""Boards that are served with their page."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.boards import Board, embedded_board
from support.page import Visitor


@pytest.fixture(scope="module")
def shared_board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """One for all tests of a module: they do not mind each other."""
    running = embedded_board(tmp_path_factory.mktemp("board"))
    yield running
    running.close()


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    running = embedded_board(tmp_path)
    yield running
    running.close()


@pytest.fixture
def visit() -> Iterator[Callable[..., Visitor]]:
    """Sign somebody in."""
    visitors: list[Visitor] = []

    def made(board: Board, account: str = "human") -> Visitor:
        visitors.append(Visitor(board.url, board.tokens[account]))
        return visitors[-1]

    yield made
    for one in visitors:
        one.close()
