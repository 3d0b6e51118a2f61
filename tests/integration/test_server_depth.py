"""How deep work packages lie below each other, and how many follow each other, is bounded on the embedded board."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from agent.page import scene
from agent.server import scheduling
from agent.server.rules import DEEPEST
from support.boards import embedded_board
from support.contract_world import Document, World, refusal, violation

MOMENT = 0.25
"""Seconds for which one request may hold the board."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    board = embedded_board(tmp_path_factory.mktemp("board"))
    yield World(board)
    board.close()


def chain(world: World, length: int) -> list[Document]:
    line = [world.new("root")]
    while len(line) < length:
        line.append(world.new("below", links=world.under(line[-1])))
    return line


def test_nothing_lies_deeper_than_fifty_levels_whichever_way_it_came_there(world: World) -> None:
    line = chain(world, DEEPEST)
    body = {"subject": "too deep", "_links": world.under(line[-1])}
    assert refusal(world.create(body)) == violation("parent")
    assert "50 levels" in world.create(body).json()["message"]
    some = chain(world, 3)
    there = {"_links": world.under(line[-3])}
    assert refusal(world.patch(world.read(some[0]), there)) == violation("parent")
    assert world.patch(world.read(some[1]), there).status_code == 200
    before = time.monotonic()
    assert world.patch(world.read(line[-1]), {"dueDate": "2026-12-11"}).status_code == 200
    assert time.monotonic() - before < 4 * MOMENT, "it is 0.1 s where nobody else works"
    assert world.read(line[0])["dueDate"] == "2026-12-11", "those above move along"


def follow(world: World, line: list[Document]) -> None:
    for before, after in pairwise(line):
        to = {"to": {"href": before["_links"]["self"]["href"]}}
        path = f"/work_packages/{after['id']}/relations"
        assert world.post(path, {"type": "follows", "_links": to}).status_code == 201


def test_a_chain_that_is_too_long_is_not_moved_and_the_answer_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "MOST_MOVED", 10)
    line = [world.new("one of many", startDate="2026-12-07", dueDate="2026-12-07") for _ in range(12)]
    follow(world, line[1:])
    assert world.patch(world.read(line[1]), {"dueDate": "2026-12-09"}).status_code == 200
    assert world.read(line[-1])["startDate"] == "2026-12-23", "ten of them moved"
    follow(world, line[:2])
    before = world.read(line[-1])
    answer = world.patch(world.read(line[0]), {"dueDate": "2026-12-11"})
    assert refusal(answer) == violation("dueDate")
    assert "more than 10 other work packages" in answer.json()["message"]
    assert world.read(line[-1]) == before, "nothing has moved"


def test_the_page_names_all_that_lies_above_however_deep_an_older_board_is() -> None:
    rows = {number: {"parent_id": number - 1 if number > 1 else None} for number in range(1, 5_001)}
    known: dict[int, tuple[int, ...]] = {}
    assert scene._chain(5_000, rows, known) == tuple(range(1, 5_001))  # type: ignore[arg-type] # rows of a query
    assert known[3] == (1, 2, 3)
