"""The scan against whole boards: it chooses what the pure ladder chooses, and no crowd hides an available ticket."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from agent import choose, server
from agent.board.catalog import Catalog, fleet
from agent.board.client import Board as Client
from agent.board.discovery import discover
from agent.board.query import one_of
from agent.choose import Choice, Rung
from agent.model import Fleet, Relation, WorkPackage
from agent.scan import LATER, Scan
from agent.texts import claim_token
from support.backlogs import Backlog, into_embedded
from support.boards import Board
from support.crowds import AVAILABLE, CROWDS, crowd, mixed
from support.fake_clock import FakeClock, FixedRandomness
from support.pods import Requests
from support.random_boards import MINE, random_backlog
from support.values import names
from support.worlds import ASKED_IN_FULL, SAMPLES, SIZE, World, whole_world, world

pytestmark = pytest.mark.unwatched("the board and who asks it are one task, which never waits")

POD = "pod-a"
SEEDS = 30
"""How many of the random boards `make test` has."""
AGENT2 = '[[users]]\nlogin = "agent2"\nname = "Second Agent"\nprojects = []\n'


class Asker:
    """A client with its requests counted, and the fleet as this board sees it."""

    def __init__(self, client: Client, requests: Requests, catalog: Catalog) -> None:
        self.client = client
        self.requests = requests
        self.catalog = catalog

    def fleet(self) -> Fleet:
        return fleet(names(), self.catalog, pod=POD)


@asynccontextmanager
async def asker(
    url: str, token: str, project: str, inner: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[Asker]:
    requests = Requests(inner)
    async with Client(url, token, clock=FakeClock(), randomness=FixedRandomness(1), transport=requests) as client:
        found = await discover(client, names(), [project])
        client.fields = found.fields
        requests.sent.clear()
        yield Asker(client, requests, found)


@asynccontextmanager
async def embedded(folder: Path, backlog: Backlog) -> AsyncIterator[tuple[Asker, dict[str, int]]]:
    accounts = server.create(folder)
    server.import_backlog(folder, AGENT2)
    ids = into_embedded(folder, backlog)
    inside = httpx.ASGITransport(server.app(folder))
    async with asker("http://board", accounts.tokens["agent"], backlog.projects[0], inside) as made:
        yield made, ids


async def reachable(_: int) -> bool:
    return True


async def chosen_by_scan(asked: Asker, fleet_now: Fleet) -> Choice:
    """The cycle's walk, without its effects."""
    client = asked.client
    kinds = one_of("type", fleet_now.executable | fleet_now.epics)
    active = one_of("status", [fleet_now.active])
    mine = await client.work_packages([one_of(client.fields.pod, [POD]), active, kinds], "mine")
    for item in mine:
        if (
            item.type in fleet_now.executable
            and choose.is_mine(item, fleet_now)
            and choose.is_fleet_assigned(item, fleet_now)
        ):
            return Choice(Rung.FINISH, item.id)
    epics = tuple(one.id for one in mine if one.type in fleet_now.epics and choose.is_mine(one, fleet_now))
    scan = Scan(client, fleet_now, epics, reachable)
    found = await scan.next((Rung.CONTINUE_EPIC,)) if epics else None
    if found is not None:
        return Choice(found.rung, found.ticket.id)
    scan.own((), fleet_now.mine)
    found = await scan.next(LATER)
    return Choice(found.rung, found.ticket.id, epics) if found else Choice(Rung.NOTHING, None, epics)


async def whole(client: Client, project: int) -> tuple[list[WorkPackage], list[Relation]]:
    items = await client.work_packages([one_of("project", [project])], "everything")
    return items, await client.relations([one.id for one in items], "every relation") if items else []


async def assert_same_choice(asked: Asker) -> Choice:
    """Which Epics rung 3 gives up is decided by the cycle over all of mine, so the board must show them all to both."""
    items, relations = await whole(asked.client, asked.catalog.projects[0].project.id)
    mine = frozenset(key for one in items if one.run == MINE and (key := claim_token.key(one.id, one.run)))
    fleet_now = replace(asked.fleet(), mine=mine)
    expected = choose.ladder(items, relations, fleet_now)
    got = await chosen_by_scan(asked, fleet_now)
    assert (got.rung, got.ticket) == (expected.rung, expected.ticket)
    return expected


@pytest.mark.parametrize(
    "seed", [one if one < SEEDS else pytest.param(one, marks=pytest.mark.proof) for one in range(60)]
)
async def test_scan_chooses_what_the_ladder_chooses_over_the_whole_board(seed: int, tmp_path: Path) -> None:
    backlog = random_backlog(random.Random(seed), "p", 60)
    async with embedded(tmp_path, backlog) as (asked, _):
        await assert_same_choice(asked)


@pytest.mark.openproject
@pytest.mark.parametrize(
    "number", [pytest.param(one, marks=pytest.mark.proof if one > 1 else ()) for one in range(SAMPLES)]
)
async def test_scan_chooses_what_the_ladder_chooses_on_openproject(number: int, openproject_board: Board) -> None:
    made = world(openproject_board)
    async with asker(openproject_board.url, openproject_board.tokens["agent"], made.sample(number)) as asked:
        await assert_same_choice(asked)


EXTRA = {
    # What a crowd costs beyond the empty board: found in the judgement of its first ticket, asked for all the others, and
    # the list once more. Containers and people's Spikes cannot be asked for by any filter: they are read in full.
    "routed": 3, "taken": 3, "gated": 3, "owned": 3, "held": 3, "spiked": 3,
    "blocked": 6, "blocked-above": 6, "spiked-by-a-person": 12, "containers": 12,
}  # fmt: skip


WHOLE = ("routed", "gated", "blocked", "spiked", *ASKED_IN_FULL)
"""A filter of each kind: who is asked for, what lies above, ids that block, ids that are Spikes."""


@pytest.mark.parametrize(
    "reason", [one if one in WHOLE else pytest.param(one, marks=pytest.mark.proof) for one in CROWDS]
)
async def test_a_thousand_unavailable_tickets_hide_nothing(reason: str, tmp_path: Path) -> None:
    async with embedded(tmp_path / "alone", crowd(reason, "p", 0)) as (asked, ids):
        alone = await Scan(asked.client, asked.fleet(), (), reachable).next()
        assert alone is not None
        assert alone.ticket.id == ids[f"p-{AVAILABLE}"]
        fewest = len(asked.requests.sent)
    async with embedded(tmp_path / "crowd", crowd(reason, "p", SIZE)) as (asked, ids):
        found = await Scan(asked.client, asked.fleet(), (), reachable).next()
        assert found is not None
        assert found.ticket.id == ids[f"p-{AVAILABLE}"]
        assert len(asked.requests.sent) - fewest <= EXTRA[reason]


async def test_a_thousand_tickets_unavailable_for_all_reasons_hide_nothing(tmp_path: Path) -> None:
    async with embedded(tmp_path, mixed("p", SIZE)) as (asked, ids):
        found = await Scan(asked.client, asked.fleet(), (), reachable).next()
        assert found is not None
        assert found.ticket.id == ids[f"p-{AVAILABLE}"]
        assert len(asked.requests.sent) <= 8 + 3 * len(CROWDS)


@pytest.mark.openproject
@pytest.mark.proof
@pytest.mark.parametrize("reason", [*CROWDS, "mixed"])
async def test_a_thousand_unavailable_tickets_hide_nothing_on_openproject(
    reason: str, openproject_board: Board, measured: Callable[[str], None]
) -> None:
    made = whole_world(openproject_board)
    await assert_nothing_hidden(openproject_board, made, made.crowd(reason), reason, measured)


@pytest.mark.openproject
@pytest.mark.parametrize("reason", [*ASKED_IN_FULL, "mixed"])
async def test_hundreds_of_unavailable_tickets_hide_nothing_on_openproject(
    reason: str, openproject_board: Board, measured: Callable[[str], None]
) -> None:
    made = world(openproject_board)
    await assert_nothing_hidden(openproject_board, made, made.few(reason), reason, measured)


async def assert_nothing_hidden(
    board: Board, made: World, project: str, reason: str, measured: Callable[[str], None]
) -> None:
    async with asker(board.url, board.tokens["agent"], project) as asked:
        found = await Scan(asked.client, asked.fleet(), (), reachable).next()
        assert found is not None
        assert found.ticket.id == made.ids[f"{project}-{AVAILABLE}"]
        requests, seconds = len(asked.requests.sent), asked.requests.seconds
        measured(f"scan, {project.partition('-')[2]}: {requests} requests, {seconds:.2f} s of OpenProject")
        assert requests <= 8 + (3 * len(CROWDS) if reason == "mixed" else EXTRA[reason])


async def test_a_vanished_exclusion_is_read_again_and_never_taken_for_nothing(tmp_path: Path) -> None:
    """A 400 does not name the id that is gone (reference, section 2.3)."""
    async with embedded(tmp_path, crowd("held", "p", 3)) as (asked, ids):
        scan = Scan(asked.client, asked.fleet(), (), reachable)
        assert await scan.survey() is not None
        with contextlib.closing(sqlite3.connect(tmp_path / "board.sqlite3")) as db, db:
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("DELETE FROM work_packages WHERE parent_id = ?", [ids["p-epic"]])
            db.execute("DELETE FROM work_packages WHERE id = ?", [ids["p-epic"]])
        found = await scan.next()
        assert found is not None
        assert found.ticket.id == ids[f"p-{AVAILABLE}"]


async def test_an_unreachable_repository_hides_only_its_own_tickets(tmp_path: Path) -> None:
    async with embedded(tmp_path, crowd("routed", "p", 0)) as (asked, _):

        async def silent(_: int) -> bool:
            return False

        scan = Scan(asked.client, asked.fleet(), (), silent)
        assert await scan.next() is None
        assert scan.fleet.unreachable == asked.fleet().projects


async def test_nothing_ready_costs_one_request(tmp_path: Path) -> None:
    """I-60: an idle poll is bounded, whatever the size of the board."""
    nothing = crowd("routed", "p", 0)
    closed = Backlog(nothing.projects, tuple(replace(one, status="Closed") for one in nothing.work_packages))
    async with embedded(tmp_path, closed) as (asked, _):
        assert await Scan(asked.client, asked.fleet(), (), reachable).next() is None
        assert len(asked.requests.sent) == 1
