"""What a board is made of, asked over real HTTP."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from agent.board.catalog import fleet, missing
from agent.board.client import Board
from agent.board.discovery import discover
from agent.board.wire import Fields
from agent.errors import ConfigurationError, Refused
from agent.model import Principal
from agent.operate.doctor_words import words
from agent.operate.findings import Kind
from support.fake_clock import FakeClock, FixedRandomness
from support.values import names

NAMES = names(bugs=("Bug",), tasks=("Task",), done=("Closed",))
TYPES = {1: "Task", 2: "Bug", 3: "Epic", 4: "Spike", 5: "Milestone"}
PEOPLE = [
    {"_type": "User", "id": 71, "name": "Hanna Human"},
    {"_type": "Group", "id": 80, "name": "Crew"},
    {"_type": "User", "id": 69, "name": "Coding Agent"},
]


def collection(elements: list[Any]) -> dict[str, Any]:
    return {"_type": "Collection", "total": len(elements), "count": len(elements), "_embedded": {"elements": elements}}


def schema(project: int, kind: int, **fields: str) -> dict[str, Any]:
    entries = {key: {"name": name.replace("_", " "), "type": "String"} for key, name in fields.items()}
    return {**entries, "_links": {"self": {"href": f"/api/v3/work_packages/schemas/{project}-{kind}"}}}


@pytest.fixture
def pages() -> dict[str, Any]:
    """What a small board says to each path below /api/v3; a test may change it before it asks."""
    kinds = [{"id": one, "name": name} for one, name in TYPES.items()]
    both = {"customField5": "Agent_pod", "customField6": "Agent_run"}
    return {
        "users/me": {"_type": "User", "id": 69, "name": "Coding Agent", "login": "agent"},
        "statuses": collection(
            [
                {"id": 11, "name": "New"},
                {"id": 12, "name": "In progress"},
                {"id": 13, "name": "Closed", "isClosed": True},
            ]
        ),
        "types": collection(kinds),
        "priorities": collection([{"id": 21, "name": "Low", "position": 1}, {"id": 22, "name": "High", "position": 2}]),
        "projects/shop": {"id": 31, "identifier": "shop", "name": "Web shop"},
        "projects/31/types": collection(kinds),
        "projects/31/available_assignees": collection(PEOPLE),
        "projects/blog": {"id": 32, "identifier": "blog", "name": "Blog"},
        "projects/32/types": collection(kinds[:1]),
        "projects/32/available_assignees": collection(PEOPLE[:1]),
        "work_packages/schemas": collection(
            [
                schema(31, 1, **both),
                schema(31, 2, **both),
                schema(31, 3, **both),
                schema(32, 1, customField5="Agent_pod"),
            ]
        ),
    }


@pytest.fixture
async def board(httpserver: HTTPServer, pages: dict[str, Any]) -> AsyncIterator[Board]:
    def answer(request: Request) -> Response:
        body = pages[request.path.removeprefix("/api/v3/")]
        if isinstance(body, int):
            return Response(json.dumps({"errorIdentifier": "urn:x:NotFound", "message": "no"}), body)
        return Response(json.dumps(body), 200, {"Content-Type": "application/hal+json; charset=utf-8"})

    httpserver.expect_request(re.compile("/api/v3/.*")).respond_with_handler(answer)
    async with Board(httpserver.url_for("/"), "t", clock=FakeClock(), randomness=FixedRandomness()) as one:
        yield one


async def test_a_board_is_discovered_once_whole(board: Board, httpserver: HTTPServer) -> None:
    catalog = await discover(board, NAMES, ["shop", "blog"])
    assert missing(NAMES, catalog) == []
    assert catalog.fields == Fields("customField5", "customField6")
    assert [one.project.identifier for one in catalog.projects] == ["blog", "shop"]
    assert {one.name for one in catalog.people} == {"Coding Agent", "Hanna Human", "Crew"}
    who = fleet(NAMES, catalog, pod="pod-a")
    assert (who.me, who.ready, who.active, who.done, who.priorities) == (69, 11, 12, (13,), (22, 21))
    assert who.fieldless == {(32, 1)}
    assert who.unassignable == {32}
    assert who.spikeless == {32}
    assert len(httpserver.log) == 4 + 2 * 3 + 1


async def test_only_the_pairs_that_the_fleet_works_with_are_asked_for_fields(
    board: Board, httpserver: HTTPServer
) -> None:
    await discover(board, NAMES, ["shop", "blog"])
    [(request, _)] = [one for one in httpserver.log if one[0].path.endswith("/schemas")]
    [condition] = json.loads(request.args["filters"])
    assert condition == {"id": {"operator": "=", "values": ["31-1", "31-2", "31-3", "32-1"]}}


async def test_a_project_that_the_board_calls_otherwise_is_a_mistake_of_the_settings(
    board: Board, pages: dict[str, Any]
) -> None:
    """By its id it was found, and then the pod ended with a traceback."""
    pages["projects/31"] = pages["projects/shop"]
    with pytest.raises(ConfigurationError, match=r"calls the project 31 `shop`: write `\[repositories\.shop\]`"):
        await discover(board, NAMES, ["31"])


async def test_a_project_that_is_gone_or_hidden_is_left_out(board: Board, pages: dict[str, Any]) -> None:
    pages["projects/shop"] = 404
    catalog = await discover(board, NAMES, ["shop", "blog"])
    assert [one.project.id for one in catalog.projects] == [32]
    assert {one.name for one in catalog.people} == {"Coding Agent", "Hanna Human"}


async def test_without_any_project_the_own_account_is_still_known(
    board: Board, pages: dict[str, Any], httpserver: HTTPServer
) -> None:
    pages["projects/shop"] = 404
    catalog = await discover(board, NAMES, ["shop"])
    assert catalog.projects == ()
    assert catalog.people == (Principal("users", 69, "Coding Agent"),)
    assert catalog.fields == Fields()
    assert not [one for one in httpserver.log if one[0].path.endswith("/schemas")], "an empty list cannot be asked for"


async def test_a_refusal_ends_the_discovery(board: Board, pages: dict[str, Any]) -> None:
    pages["projects/31/types"] = 403
    with pytest.raises(Refused, match="types of a project"):
        await discover(board, NAMES, ["shop"])


async def test_whoever_may_not_ask_for_assignees_is_none(board: Board, pages: dict[str, Any]) -> None:
    """OpenProject answers 403 to an account that may not be one itself."""
    pages["projects/31/available_assignees"] = 403
    (facts,) = (await discover(board, NAMES, ["shop"])).projects
    assert facts.assignable == frozenset()
    assert not facts.listed


async def test_who_counts_is_known_without_a_request_more(board: Board, httpserver: HTTPServer) -> None:
    """T13: ids of people and integrations cost nothing; only a name that no possible assignee has is looked for."""
    ids = names(bugs=("Bug",), tasks=("Task",), done=("Closed",), people=("72",), integrations=("73",))
    catalog = await discover(board, ids, ["shop", "blog"])
    assert len(httpserver.log) == 4 + 2 * 3 + 1
    who = fleet(ids, catalog, pod="pod-a")
    assert [user for user in range(60, 90) if who.counts(user, 31)] == [71, 72]
    assert not who.counts(80, 31), "a group speaks by its members"


async def test_where_the_list_cannot_be_read_only_the_people_of_the_settings_count(
    board: Board, pages: dict[str, Any]
) -> None:
    pages["projects/31/available_assignees"] = 403
    asked = names(bugs=("Bug",), tasks=("Task",), done=("Closed",), people=("72",))
    catalog = await discover(board, asked, ["shop"])
    who = fleet(asked, catalog, pod="pod-a")
    assert [user for user in range(60, 90) if who.counts(user, 31)] == [72]
    assert [(one.kind, one.text, one.remedy) for one in words(asked, catalog)] == [
        (
            Kind.FAIL,
            (
                "shop: who may be assigned cannot be read, so only user 72: the words of these, and of nobody else, "
                "reach a prompt"
            ),
            "give Coding Agent a role in shop that may add or edit work packages",
        )
    ]


async def test_a_name_that_no_possible_assignee_has_is_looked_for_among_the_members(
    board: Board, pages: dict[str, Any]
) -> None:
    member = {"_type": "User", "id": 72, "name": "Rita Reader"}
    pages["principals"] = collection([*PEOPLE, member])
    asked = names(bugs=("Bug",), tasks=("Task",), done=("Closed",), people=("Rita Reader",))
    catalog = await discover(board, asked, ["shop"])
    assert fleet(asked, catalog, pod="pod-a").counts(72, 31)
    assert "board.people names “Rita Reader”: people can change their names, write the id 72" in [
        one.text for one in words(asked, catalog)
    ]
