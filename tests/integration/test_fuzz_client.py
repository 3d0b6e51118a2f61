"""Whatever a board answers, a call ends in a value of its type or in a BoardError with a sentence, and soon."""

from __future__ import annotations

import asyncio
import itertools
import json
import typing
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.board import client, exchange
from agent.board.client import Board
from agent.board.query import one_of
from agent.board.wire import Fields, Malformed
from agent.errors import BoardError, TooLarge, Unreachable
from agent.model import BoardText, Changes, Draft
from support.boards import Board as Running
from support.boards import embedded_board
from support.fake_clock import FakeClock, FixedRandomness
from support.fleet import Fleet
from support.values import item
from support.wrong_answers import SPOILS, Answer, Recorder, Spoil, Wrong


def spike(here: Running, parent: int) -> Draft:
    return Draft(
        project=here.projects["shop"],
        type=here.types["Spike"],
        subject=BoardText("S"),
        description=BoardText("D"),
        parent=parent,
    )


LONGEST = 30.0
"""Seconds after which a call over a board in memory counts as hanging."""
LONGEST_SENTENCE = 1_000

Call = Callable[[Board, Running, int], Awaitable[Any]]
CALLS: Mapping[str, Call] = {
    "work_package": lambda board, _, n: board.work_package(n, "x"),
    "work_packages": lambda board, _, n: board.work_packages([one_of("id", [n])], "x", size=2),
    "rows": lambda board, _, n: board.rows([one_of("id", [n])], "x"),
    "rows_of": lambda board, _, n: board.rows_of([n], "x"),
    "sample": lambda board, _, _n: board.sample([], 2, "x"),
    "count": lambda board, _, _n: board.count([], "x"),
    "groups": lambda board, _, _n: board.groups([], "priority", "x"),
    "allowed_statuses": lambda board, _, n: board.allowed_statuses(item(n, lock_version=0), "x"),
    "patch": lambda board, here, n: board.patch(
        item(n, lock_version=0), Changes(status=here.statuses["In progress"], pod="pod-a", run="t"), "x"
    ),
    "create": lambda board, here, n: board.create(spike(here, n), "x", notify=False),
    "comment": lambda board, _, n: board.comment(n, BoardText("Hello"), "x"),
    "creation_refusals": lambda board, here, n: board.creation_refusals(spike(here, n), "x"),
    "abilities": lambda board, _, n: board.abilities(n, "x"),
    "activities": lambda board, _, n: board.activities(n, "x"),
    "relations": lambda board, _, n: board.relations([n], "x"),
    "me": lambda board, _, _n: board.me(),
    "statuses": lambda board, _, _n: board.statuses(),
    "types": lambda board, _, _n: board.types(),
    "priorities": lambda board, _, _n: board.priorities(),
    "project": lambda board, _, _n: board.project("shop"),
    "project_types": lambda board, here, _n: board.project_types(here.projects["shop"]),
    "assignable": lambda board, here, _n: board.assignable(here.projects["shop"]),
    "members": lambda board, here, _n: board.members(here.projects["shop"]),
    "schema_fields": lambda board, here, _n: board.schema_fields(
        [(here.projects["shop"], here.types["Task"])], Fields("Agent pod", "Agent run")
    ),
}


class World:
    """A board that is well, a ticket on it, and what it answers to each call."""

    def __init__(self, folder: Path) -> None:
        self.running = embedded_board(folder / "board")
        fleet = Fleet(self.running, "shop", folder)
        self.ticket = fleet.add("Buy")
        fleet.relate(fleet.add("First"), "blocks", self.ticket)
        self.token = self.running.tokens["agent"]
        self.good = {name: asyncio.run(self._record(call)) for name, call in CALLS.items()}

    async def _record(self, call: Call) -> Sequence[Answer]:
        recorder = Recorder()
        async with self.client(recorder) as board:
            await call(board, self.running, self.ticket)
        return recorder.heard

    def client(self, transport: Any) -> Board:
        board = Board(
            self.running.url, self.token, transport=transport, clock=FakeClock(), randomness=FixedRandomness()
        )
        board.fields = Fields(self.running.pod, self.running.run)
        return board


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.running.close()


def test_the_calls_are_all_that_the_client_has() -> None:
    public = {name for name, one in vars(Board).items() if not name.startswith("_") and callable(one)}
    assert set(CALLS) == public - {"row_pages"}  # `rows` reads them


@given(st.sampled_from(sorted(CALLS)), st.lists(st.none() | SPOILS, min_size=1, max_size=4))
@settings(max_examples=800, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_answer_becomes_a_value_or_a_board_error(world: World, name: str, spoils: list[Spoil | None]) -> None:
    asyncio.run(asyncio.wait_for(check(world, name, spoils), LONGEST))


async def check(world: World, name: str, spoils: Sequence[Spoil | None]) -> None:
    async with world.client(Wrong(world.good[name], spoils)) as board:
        try:
            value = await CALLS[name](board, world.running, world.ticket)
        except BoardError as error:
            words = str(error)
            words.encode()
            assert words.strip()
            assert len(words) <= LONGEST_SENTENCE
            assert world.token not in words
            return
    if name not in ("schema_fields", "comment"):  # whose keys are no JSON; which has no value
        expected = typing.get_type_hints(getattr(Board, name))["return"]
        assert msgspec.convert(msgspec.to_builtins(value), expected) == value


class Endless(httpx.AsyncByteStream):
    """A body without an end, in pieces of a size, with a pause between them."""

    def __init__(self, piece: bytes, pause: float) -> None:
        self._piece = piece
        self._pause = pause

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield self._piece
            await asyncio.sleep(self._pause)


@pytest.mark.parametrize("name", ["work_package", "rows", "patch", "comment"])
async def test_a_byte_now_and_then_is_no_answer(world: World, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(exchange, "LONGEST_ANSWER", 0.1)
    dripping = httpx.MockTransport(lambda _: httpx.Response(200, stream=Endless(b" ", 0.02)))
    async with world.client(dripping) as board:
        with pytest.raises(Unreachable, match="did not answer"):
            await asyncio.wait_for(CALLS[name](board, world.running, world.ticket), 5)


@pytest.mark.parametrize("name", ["work_package", "rows", "patch"])
async def test_an_answer_without_end_is_cut_off(world: World, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(exchange, "LARGEST_ANSWER", 8 << 20)
    bomb = zlib.compress(b" " * (1 << 20))
    packed = httpx.MockTransport(
        lambda _: httpx.Response(200, headers={"content-encoding": "deflate"}, stream=Endless(bomb[:-4], 0))
    )
    plain = httpx.MockTransport(lambda _: httpx.Response(200, stream=Endless(b" " * (1 << 20), 0)))
    for transport, error in ((plain, TooLarge), (packed, Malformed)):
        async with world.client(transport) as board:
            with pytest.raises(Unreachable if name == "patch" else error):
                await asyncio.wait_for(CALLS[name](board, world.running, world.ticket), 10)


async def test_a_list_that_always_shows_something_new_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MOST_PAGES", 30)
    whole = json.loads(world.good["rows"][0].body)
    numbers = itertools.count(1)

    def page(_: httpx.Request) -> httpx.Response:
        element = whole["_embedded"]["elements"][0] | {"id": next(numbers)}
        return httpx.Response(200, json={**whole, "total": 10**12, "_embedded": {"elements": [element]}})

    async with world.client(httpx.MockTransport(page)) as board:
        with pytest.raises(Malformed, match="has no end"):
            await board.rows([], "x")
    assert next(numbers) == 31


@pytest.mark.parametrize("place", ["http://xn--/", "http://[", "//\x7f", "http://a:b@c:999999/"])
async def test_a_redirect_to_no_address_is_a_sentence(world: World, place: str) -> None:
    lost = httpx.MockTransport(lambda _: httpx.Response(302, headers={"location": place}))
    async with world.client(lost) as board:
        with pytest.raises(BoardError):
            await board.me()
