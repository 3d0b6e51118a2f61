"""The client against boards that misbehave, over real HTTP; time is fake, so every pause is asserted and none is waited."""

import asyncio
import base64
import gzip
import json
import re
import socket
import struct
import traceback
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from loguru import logger
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from agent.board.client import Board
from agent.board.exchange import ATTEMPTS, LONGEST_WAIT, MOST_REDIRECTS
from agent.board.query import none_of, one_of
from agent.board.wire import Fields, Malformed
from agent.errors import BoardError, ConfigurationError, Conflict, Ignored, NotFound, Refused, Unreachable
from agent.model import BoardText, Changes, Draft, Principal
from support.fake_clock import FakeClock, FixedRandomness
from support.values import item

TOKEN = "opapi-5ec4e75ec4e7"
SECRETS = (TOKEN, base64.b64encode(f"apikey:{TOKEN}".encode()).decode())
FIELDS = Fields("customField95", "customField96")
URN = "urn:openproject-org:api:v3:errors:"
HAL = "application/hal+json; charset=utf-8"
STATUSES = {"total": 1, "_embedded": {"elements": [{"id": 1, "name": "New"}]}}

Answer = Response | Callable[[Request], Response]
Ask = Callable[[], Awaitable[object]]


def links(**numbers: int) -> dict[str, Any]:
    paths = {"project": "projects", "type": "types", "status": "statuses", "assignee": "users"}
    return {name: {"href": f"/api/v3/{paths[name]}/{number}"} for name, number in numbers.items()}


def ticket(number: int = 42, **changes: Any) -> dict[str, Any]:
    plain = {
        "id": number,
        "lockVersion": 4,
        "subject": "Buy",
        "customField95": "pod-a",
        "customField96": "t",
        "_links": links(project=31, type=11, status=2, assignee=51),
    }
    return {**plain, **changes}


def ok(body: Any, status: int = 200, **headers: str) -> Response:
    return Response(json.dumps(body), status, {"Content-Type": HAL, **headers})


def refusal(status: int, identifier: str = "X", message: Any = "no", attribute: str = "", **headers: str) -> Response:
    details = {"_embedded": {"details": {"attribute": attribute}}} if attribute else {}
    return ok({"_type": "Error", "errorIdentifier": URN + identifier, "message": message, **details}, status, **headers)


class Script:
    """Answers in order, the last one again and again; what was asked is kept."""

    def __init__(self, server: HTTPServer, *answers: Answer) -> None:
        self.seen: list[Request] = []
        self._answers = list(answers)
        server.expect_request(re.compile(".*")).respond_with_handler(self)

    def __call__(self, request: Request) -> Response:
        request.get_data()
        self.seen.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer if isinstance(answer, Response) else answer(request)

    @property
    def paths(self) -> list[str]:
        return [one.path for one in self.seen]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def board(httpserver: HTTPServer, clock: FakeClock) -> AsyncIterator[Board]:
    async with connected(httpserver.url_for("/"), clock) as one:
        yield one


@asynccontextmanager
async def connected(url: str, clock: FakeClock, *, patience: float = 10.0) -> AsyncIterator[Board]:
    async with Board(url, TOKEN, clock=clock, randomness=FixedRandomness()) as one:
        one.fields = FIELDS
        one._api._client.timeout = httpx.Timeout(patience)
        yield one


READ = item(42, lock_version=4)


async def claim(board: Board) -> object:
    return await board.patch(READ, Changes(status=2, assignee=51, pod="pod-a", run="t"), "claim")


async def say(board: Board) -> None:
    await board.comment(42, BoardText("Hello"), "say")


async def ask_for_help(board: Board) -> object:
    return await board.create(
        Draft(project=31, type=16, subject=BoardText("S"), description=BoardText("D"), parent=42), "Spike", notify=True
    )


async def form(board: Board) -> object:
    return await board.allowed_statuses(READ, "form")


WRITES = [claim, say, ask_for_help, form]
every_write = pytest.mark.parametrize("write", WRITES, ids=lambda one: one.__name__)


# -- busy boards -----------------------------------------------------------------------------------------------------


async def test_retry_after_is_honoured_then_cleared(httpserver: HTTPServer, board: Board, clock: FakeClock) -> None:
    """I-61: elsewhere the back-off never cleared."""
    script = Script(httpserver, refusal(429, **{"Retry-After": "7"}), ok(STATUSES), refusal(503), ok(STATUSES))
    await board.statuses()
    assert len(script.seen) == 2
    assert 7 <= clock.slept[0] <= 7.5
    await board.statuses()
    assert len(script.seen) == 4
    assert len(clock.slept) == 2
    assert clock.slept[1] <= 1, "an own pause, not the one asked for in another time"


async def test_whoever_is_told_to_come_back_much_later_does_not_come_back_earlier(
    httpserver: HTTPServer, board: Board, clock: FakeClock
) -> None:
    script = Script(httpserver, refusal(429, **{"Retry-After": str(int(LONGEST_WAIT) + 1)}))
    asks: list[Ask] = [board.statuses, lambda: claim(board)]
    for ask in asks:
        with pytest.raises(Unreachable) as busy:
            await ask()
        assert busy.value.status == 429
    assert len(script.seen) == 2
    assert clock.slept == []


@pytest.mark.parametrize("header", ["", "soon", "-5", "1.5", "٣", "Wed, 25 Nov 2026 08:00:00 GMT"])
async def test_a_retry_after_that_is_no_number_of_seconds_is_passed_over(
    httpserver: HTTPServer, board: Board, clock: FakeClock, header: str
) -> None:
    Script(httpserver, refusal(503, **{"Retry-After": header.encode().decode("latin-1")}), ok(STATUSES))
    await board.statuses()
    assert len(clock.slept) == 1
    assert 0 <= clock.slept[0] <= 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504, 507, 520, 522])
async def test_by_id_outage_does_not_fan_out(
    httpserver: HTTPServer, board: Board, clock: FakeClock, status: int
) -> None:
    """I-62: one read is sent a bounded number of times, with growing pauses, and then counts as unanswered."""
    script = Script(httpserver, refusal(status, "InternalServerError"))
    with pytest.raises(Unreachable) as outage:
        await board.work_package(42, "the candidate")
    assert outage.value.status == status
    assert outage.value.identifier == "InternalServerError"
    assert script.paths == ["/api/v3/work_packages/42"] * ATTEMPTS
    assert len(clock.slept) == ATTEMPTS - 1
    assert all(0 <= pause <= 0.5 * 2**number for number, pause in enumerate(clock.slept, start=1))


async def test_a_read_that_succeeds_at_last_is_as_good_as_one_at_once(httpserver: HTTPServer, board: Board) -> None:
    script = Script(httpserver, refusal(500), refusal(502), refusal(429), ok(ticket()))
    assert (await board.work_package(42, "x")).subject == "Buy"
    assert len(script.seen) == ATTEMPTS


@every_write
@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504])
async def test_a_write_is_never_repeated_on_a_silence(
    httpserver: HTTPServer, board: Board, clock: FakeClock, status: int, write: Callable[[Board], Any]
) -> None:
    script = Script(httpserver, refusal(status))
    with pytest.raises(Unreachable):
        await write(board)
    assert len(script.seen) == 1
    assert clock.slept == []


async def test_a_write_is_repeated_on_429_alone_with_the_same_body(
    httpserver: HTTPServer, board: Board, clock: FakeClock
) -> None:
    turned_away = refusal(429, **{"Retry-After": "2"})
    script = Script(httpserver, turned_away, turned_away, ok(ticket()))
    await claim(board)
    assert len(script.seen) == 3
    assert len({one.get_data() for one in script.seen}) == 1
    assert all(2 <= pause <= 2.5 for pause in clock.slept)


async def test_a_write_that_is_turned_away_for_ever_gives_up(
    httpserver: HTTPServer, board: Board, clock: FakeClock
) -> None:
    script = Script(httpserver, refusal(429))
    with pytest.raises(Unreachable):
        await say(board)
    assert len(script.seen) == ATTEMPTS
    assert len(clock.slept) == ATTEMPTS - 1


async def test_a_write_that_is_turned_away_and_then_not_answered_is_not_sent_again(
    httpserver: HTTPServer, board: Board
) -> None:
    script = Script(httpserver, refusal(429), refusal(503), ok(ticket()))
    with pytest.raises(Unreachable):
        await claim(board)
    assert len(script.seen) == 2


# -- broken connections ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def raw(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any],
) -> AsyncIterator[tuple[str, list[int]]]:
    """A server below HTTP; the list grows by one with every request."""
    seen: list[int] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            seen.append(len(head))
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Never answers; returns when the client has gone."""
    while await reader.read(1000):
        pass


async def cut_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"total": 1,')
    await writer.drain()


async def no_http(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP\r\n")
    await writer.drain()


async def no_gzip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain")
    await writer.drain()


@pytest.mark.parametrize("serve", [reset, silent, cut_off, no_http, no_gzip], ids=lambda one: one.__name__)
async def test_a_read_over_a_broken_connection_is_repeated_within_the_bound(
    clock: FakeClock, serve: Callable[..., Any]
) -> None:
    async with raw(serve) as (url, seen), connected(url, clock, patience=0.1) as board:
        with pytest.raises(Unreachable) as outage:
            await board.statuses()
    assert outage.value.status == 0
    assert len(seen) == ATTEMPTS
    assert len(clock.slept) == ATTEMPTS - 1


@every_write
@pytest.mark.parametrize("serve", [reset, silent, cut_off, no_http, no_gzip], ids=lambda one: one.__name__)
async def test_a_write_over_a_broken_connection_is_sent_once(
    clock: FakeClock, serve: Callable[..., Any], write: Callable[[Board], Any]
) -> None:
    """I-10: after an unknown reply nobody but the protocol knows what to do."""
    async with raw(serve) as (url, seen), connected(url, clock, patience=0.1) as board:
        with pytest.raises(Unreachable):
            await write(board)
    assert len(seen) == 1
    assert clock.slept == []


async def test_a_host_that_refuses_connections_is_unreachable_and_named(clock: FakeClock) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with connected(url, clock) as board:
            with pytest.raises(Unreachable, match=re.escape(f"The board at {url} did not answer (who am I): Connect")):
                await board.me()
    assert len(clock.slept) == ATTEMPTS - 1


@pytest.mark.parametrize("url", ["http://board.example:port", "http://[::1", "http://board.example\n"])
def test_what_is_no_address_is_the_settings_fault(clock: FakeClock, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"board\.url is no address of a board"):
        Board(url, TOKEN, clock=clock, randomness=FixedRandomness())


async def test_a_question_too_long_for_any_address_is_no_silence(board: Board, clock: FakeClock) -> None:
    with pytest.raises(BoardError, match=r"The board cannot be asked \(x\): URL too long") as refused:
        await board.count([none_of("id", range(100_000))], "x")
    assert not isinstance(refused.value, Unreachable)
    assert clock.slept == []


# -- redirects -------------------------------------------------------------------------------------------------------


def board_over(transport: httpx.AsyncBaseTransport) -> Board:
    return Board("http://board.example", TOKEN, transport=transport, clock=FakeClock(), randomness=FixedRandomness())


@pytest.fixture
def elsewhere() -> Iterator[HTTPServer]:
    """Another origin: the same host, another port."""
    with HTTPServer(port=0) as server:
        yield server


async def test_a_redirect_on_the_same_origin_keeps_the_credentials(httpserver: HTTPServer, board: Board) -> None:
    script = Script(
        httpserver,
        Response("Moved", 308, {"Location": "/api/v3/relations?filters=x", "Content-Type": "text/plain"}),
        ok({"total": 0, "_embedded": {"elements": []}}),
    )
    assert await board.activities(42, "x") == []
    assert script.paths == ["/api/v3/work_packages/42/activities", "/api/v3/relations"]
    for request in script.seen:
        assert request.authorization is not None
        assert (request.authorization.username, request.authorization.password) == ("apikey", TOKEN)


@pytest.mark.parametrize("call", [Board.statuses, claim, say])
async def test_a_redirect_to_another_origin_is_told_and_asked_nothing(
    httpserver: HTTPServer, elsewhere: HTTPServer, board: Board, call: Callable[[Board], Any]
) -> None:
    """T10: it never got the token, but what was written, and its answers were taken for the board's."""
    Script(httpserver, Response("", 308, {"Location": elsewhere.url_for("/api/v3/statuses")}))
    there = Script(elsewhere, ok({"total": 0, "_embedded": {"elements": []}}))
    with pytest.raises(BoardError, match=rf"is now at {elsewhere.url_for('/')}: set board.url") as error:
        await call(board)
    assert not isinstance(error.value, Unreachable), "nobody asks again"
    assert there.seen == []


@pytest.mark.parametrize(
    "place",
    [
        "http://127.0.0.1:99999/", "http://127.0.0.1:0/", "https://127.0.0.1/", "http://0x7f.1:%d/", "http://127.1:%d/", "ftp://127.0.0.1:%d/",
        "http://user@board.example/?token=1#x", "//127.0.0.1:99999/", "http://[::1]:%d/", "file:///etc/passwd", "http://localhost.:%d/",
    ],
)  # fmt: skip
async def test_a_redirect_to_an_odd_place_is_a_sentence(httpserver: HTTPServer, board: Board, place: str) -> None:
    """A port beyond all ports ended the pod with a traceback."""
    Script(httpserver, Response("", 302, {"Location": place.replace("%d", str(httpserver.port))}))
    with pytest.raises(BoardError) as error:
        await board.statuses()
    assert "token" not in str(error.value)


async def test_a_redirect_from_http_to_https_is_followed() -> None:
    seen: list[httpx.Request] = []

    def proxy(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if request.url.scheme == "http":
            return httpx.Response(308, headers={"Location": str(request.url.copy_with(scheme="https"))})
        return httpx.Response(200, json={"total": 0, "_embedded": {"elements": []}})

    async with board_over(httpx.MockTransport(proxy)) as board:
        assert await board.statuses() == []
    assert [one.url.scheme for one in seen] == ["http", "https"]
    assert all(one.headers["authorization"] for one in seen)


@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_that_keeps_the_method_keeps_the_write(
    httpserver: HTTPServer, board: Board, status: int
) -> None:
    script = Script(httpserver, Response("", status, {"Location": "/moved"}), ok(ticket()))
    await claim(board)
    assert [one.method for one in script.seen] == ["PATCH", "PATCH"]
    assert script.seen[0].get_data() == script.seen[1].get_data() != b""


@pytest.mark.parametrize(("status", "write"), [(301, say), (302, say), (303, say), (302, claim), (303, ask_for_help)])
async def test_a_redirect_that_turns_a_write_into_a_read_is_no_success(
    httpserver: HTTPServer, board: Board, status: int, write: Callable[[Board], Any]
) -> None:
    """A proxy that sends http to https this way would swallow every comment."""
    script = Script(httpserver, Response("", status, {"Location": "/moved?secret=1"}), ok(ticket()))
    with pytest.raises(Refused, match="loses what was to be written") as refused:
        await write(board)
    assert refused.value.status == status
    assert "secret=1" not in str(refused.value)
    assert len(script.seen) == 1, "what it says there is no answer to the write"


async def test_a_circle_of_redirects_ends_and_is_not_walked_again(
    httpserver: HTTPServer, board: Board, clock: FakeClock
) -> None:
    script = Script(httpserver, Response("", 302, {"Location": "/api/v3/statuses"}))
    with pytest.raises(Unreachable, match=r"redirects in a circle \(statuses\)"):
        await board.statuses()
    assert len(script.seen) == MOST_REDIRECTS + 1
    assert clock.slept == []


@pytest.mark.parametrize("place", ["/api/v3/statuses", "https://elsewhere.example/"])
async def test_what_a_redirect_says_is_not_read(place: str) -> None:
    """T10: 492 bytes, packed twice, were 4.4 GiB: unpacked whole, before it was looked at where they lead."""
    read: list[bytes] = []

    class Long(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            read.append(b"")
            yield b"a"

    headers = {"location": place, "content-encoding": "gzip, gzip"}
    moved = httpx.MockTransport(lambda _: httpx.Response(302, headers=headers, stream=Long()))
    async with board_over(moved) as board:
        with pytest.raises(BoardError):
            await board.statuses()
    assert read == []


@pytest.mark.parametrize("head", [{}, {"location": "http://" + "é" * 20_000}, {"location": f"http://a{'.b' * 9_000}/"}])
async def test_the_words_of_http_itself_are_cut(head: dict[str, str]) -> None:
    """A reason phrase or an address may be as long as all of an answer's head, and stood in the log and on the terminal."""
    long = {"reason_phrase": b"r" * 90_000}
    wordy = httpx.MockTransport(lambda _: httpx.Response(302, headers=head, extensions=long))
    async with board_over(wordy) as board:
        with pytest.raises(BoardError) as error:
            await board.statuses()
    assert len(str(error.value)) < 500


async def test_a_login_page_is_no_answer(httpserver: HTTPServer, board: Board) -> None:
    Script(
        httpserver,
        Response("", 302, {"Location": "/login"}),
        Response("<html>Sign in</html>", 200, {"Content-Type": "text/html"}),
    )
    with pytest.raises(Malformed, match="not JSON"):
        await board.statuses()


# -- pages -----------------------------------------------------------------------------------------------------------


def collection(numbers: Sequence[int], total: int, **more: Any) -> Response:
    elements = [{"id": one, "name": f"N{one}", **ticket(one)} for one in numbers]
    return ok({"total": total, "count": len(elements), **more, "_embedded": {"elements": elements}})


def paged(request: Request, everything: Sequence[int], most: int) -> Response:
    """The way OpenProject does it: a page number, and a size that is cut without a word."""
    size, page = min(int(request.args["pageSize"]), most), int(request.args["offset"])
    return collection(everything[(page - 1) * size : page * size], len(everything), pageSize=size, offset=page)


@pytest.mark.parametrize(("most", "requests"), [(1000, 1), (250, 1), (249, 2), (100, 3), (30, 9)])
async def test_a_page_size_cut_in_silence_cuts_off_nothing(
    httpserver: HTTPServer, board: Board, most: int, requests: int
) -> None:
    everything = range(1, 251)
    script = Script(httpserver, lambda request: paged(request, everything, most))
    rows = await board.rows([], "rows")
    assert [one.id for one in rows] == list(everything)
    assert len(script.seen) == requests
    assert [one.args["offset"] for one in script.seen] == [str(1 + page) for page in range(requests)]
    assert {one.args["pageSize"] for one in script.seen} == {"1000"}
    assert {one.args["filters"] for one in script.seen} == {"[]"}, "without filters the board lists open ones only"


async def test_full_work_packages_are_read_in_small_pages_in_one_order(httpserver: HTTPServer, board: Board) -> None:
    script = Script(httpserver, lambda request: paged(request, range(1, 251), 1000))
    assert len(await board.work_packages([one_of("id", [1])], "full")) == 250
    assert [one.args["pageSize"] for one in script.seen] == ["100", "100", "100"]
    assert {one.args["sortBy"] for one in script.seen} == {'[["id","asc"]]'}


async def test_short_pages_are_not_the_end(httpserver: HTTPServer, board: Board) -> None:
    """The page says 1000 and holds 100, as a board does that leaves out what it cannot show."""
    answers = [collection(range(first, first + 100), 250, pageSize=1000) for first in (1, 101)]
    script = Script(httpserver, *answers, collection(range(201, 251), 250, pageSize=1000))
    assert len(await board.rows([], "rows")) == 250
    assert len(script.seen) == 3


async def test_a_list_that_shrinks_meanwhile_ends_with_an_empty_page(httpserver: HTTPServer, board: Board) -> None:
    pages = [collection([1, 2], 4, pageSize=2), collection([4], 4, pageSize=2), collection([], 4, pageSize=2)]
    script = Script(httpserver, *pages)
    assert [one.id for one in await board.rows([], "rows")] == [1, 2, 4]
    assert len(script.seen) == 3


async def test_a_list_that_moves_meanwhile_shows_nothing_twice(httpserver: HTTPServer, board: Board) -> None:
    Script(httpserver, collection([1, 2, 3], 5, pageSize=3), collection([3, 4, 5], 5, pageSize=3))
    assert [one.id for one in await board.rows([], "rows")] == [1, 2, 3, 4, 5]


async def test_a_collection_that_is_not_paged_is_asked_for_once(httpserver: HTTPServer, board: Board) -> None:
    """A client that loops until a short page hangs here (reference, 1.6)."""
    script = Script(httpserver, collection(range(1, 1501), 1500))
    assert len(await board.rows([], "rows")) == 1500
    assert len(await board.statuses()) == 1500
    assert len(await board.members(31)) == 1500
    assert len(script.seen) == 3


async def test_a_collection_that_is_paged_against_expectation_is_read_to_its_end(
    httpserver: HTTPServer, board: Board
) -> None:
    script = Script(
        httpserver, collection(range(1, 21), 45, pageSize=20), lambda request: paged(request, range(1, 46), 1000)
    )
    assert [one.id for one in await board.assignable(31)] == list(range(1, 46))
    assert len(script.seen) == 2


async def test_a_page_that_repeats_itself_is_an_error_and_no_endless_loop(httpserver: HTTPServer, board: Board) -> None:
    """I-59: elsewhere partial data closed items that were not finished."""
    script = Script(httpserver, collection([1, 2, 3], 9, pageSize=3))
    with pytest.raises(Malformed, match=r"repeats a page \(rows\): 3 of 9 were shown"):
        await board.rows([], "rows")
    assert len(script.seen) == 2


async def test_the_next_page_is_asked_for_only_when_the_first_did_not_do(httpserver: HTTPServer, board: Board) -> None:
    script = Script(httpserver, lambda request: paged(request, range(1, 251), 100))
    assert [one.id for one in await board.rows([], "rows", first_page=True)] == list(range(1, 101))
    assert len(script.seen) == 1


async def test_more_ids_than_a_question_has_room_for_are_asked_in_portions(
    httpserver: HTTPServer, board: Board
) -> None:
    script = Script(httpserver, lambda _: collection([], 0, pageSize=1000))
    assert await board.relations(range(4_000), "x") == []
    assert len(script.seen) == 3


@pytest.mark.parametrize(
    "body", [{}, {"total": 3}, {"_embedded": {}}, {"total": 3, "_embedded": {"elements": None}}, []]
)
async def test_failed_read_is_never_treated_as_empty(httpserver: HTTPServer, board: Board, body: Any) -> None:
    """I-59."""
    Script(httpserver, ok(body))
    reads: list[Ask] = [
        lambda: board.rows([], "x"),
        lambda: board.work_packages([], "x"),
        lambda: board.groups([], "status", "x"),
        lambda: board.relations([42], "x"),
        lambda: board.activities(42, "x"),
        board.statuses,
    ]
    for read in reads:
        with pytest.raises(Malformed):
            await read()


# -- addresses, accounts, queries ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["", "/", "/api/v3", "/api/v3/", "/openproject", "/openproject/", "/openproject/api/v3"]
)
async def test_an_install_under_a_sub_path_is_asked_below_it(
    httpserver: HTTPServer, clock: FakeClock, path: str
) -> None:
    script = Script(httpserver, ok(STATUSES), ok(ticket()))
    async with connected(httpserver.url_for("/").rstrip("/") + path, clock) as board:
        await board.statuses()
        await claim(board)
    prefix = "/openproject" if "openproject" in path else ""
    assert script.paths == [f"{prefix}/api/v3/statuses", f"{prefix}/api/v3/work_packages/42"]
    assert board.url == httpserver.url_for("/").rstrip("/") + prefix


async def test_nobody_is_not_taken_for_somebody(httpserver: HTTPServer, board: Board) -> None:
    """Where login is not required, a token that got lost on the way is answered with 200."""
    me = {"_type": "User", "id": 69, "name": "Coding Agent", "login": "agent"}
    Script(httpserver, ok({"id": 2, "name": "Anonymous"}), ok({"id": 2, "name": "Anonym", "login": ""}), ok(me))
    for _ in range(2):
        with pytest.raises(Refused, match="takes the token for nobody's") as refused:
            await board.me()
        assert refused.value.status == 401
    assert await board.me() == Principal("users", 69, "Coding Agent")


async def test_every_request_carries_the_account_and_asks_for_json(httpserver: HTTPServer, board: Board) -> None:
    script = Script(httpserver, ok(ticket()))
    await board.work_package(42, "x")
    await claim(board)
    await say(board)
    await ask_for_help(board)
    for request in script.seen:
        assert request.authorization is not None
        assert (request.authorization.username, request.authorization.password) == ("apikey", TOKEN)
        assert request.headers["Accept"] == "application/hal+json, application/json"
        assert request.headers["Content-Type"] == "application/json"
    assert [one.query_string for one in script.seen] == [b"", b"notify=false", b"notify=false", b"notify=true"]


async def test_a_huge_list_of_ids_switches_to_eprops_and_says_the_same(httpserver: HTTPServer, board: Board) -> None:
    script = Script(httpserver, lambda _: collection([], 0, pageSize=1000))
    few, many = range(10_000, 10_050), range(10_000, 11_500)
    await board.rows([none_of("id", few)], "x", sort=[("dueDate", "asc")])
    await board.rows([none_of("id", many)], "x", sort=[("dueDate", "asc")])
    await board.relations(many, "x")
    plain, packed, involved = script.seen
    assert "eprops" not in plain.args
    asked = []
    for request in (packed, involved):
        assert list(request.args) == ["eprops"]
        assert len(request.query_string) < 10_000
        asked.append(json.loads(zlib.decompress(base64.b64decode(request.args["eprops"], validate=True))))
    rows, relations = asked
    assert rows == {**plain.args.to_dict(), "filters": rows["filters"]}
    [condition] = json.loads(rows["filters"])
    assert condition == {"id": {"operator": "!", "values": [str(one) for one in many]}}
    [condition] = json.loads(relations["filters"])
    assert condition == {"involved": {"operator": "=", "values": [str(one) for one in many]}}


async def test_odd_texts_in_a_filter_arrive_as_they_are(httpserver: HTTPServer, board: Board) -> None:
    script = Script(httpserver, ok({"total": 0, "groups": []}))
    await board.groups([one_of("customField95", ["a&b=c", "ü 😀", '"', "#%+"])], "customField95", "x")
    [condition] = json.loads(parse_qs(script.seen[0].query_string.decode())["filters"][0])
    assert condition["customField95"]["values"] == sorted(["a&b=c", "ü 😀", '"', "#%+"])


# -- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Refused), (401, Refused), (403, Refused), (404, NotFound), (406, Refused), (409, Conflict), (415, Refused)],
)
async def test_a_refusal_is_told_by_its_code_and_asked_once(
    httpserver: HTTPServer, board: Board, status: int, kind: type[BoardError]
) -> None:
    script = Script(httpserver, refusal(status, "Something", attribute="status"))
    asks: list[Ask] = [lambda: board.work_package(42, "x"), lambda: claim(board)]
    for ask in asks:
        with pytest.raises(BoardError) as refused:
            await ask()
        assert type(refused.value) is kind
        assert (refused.value.status, refused.value.identifier) == (status, "Something")
    assert len(script.seen) == 2


async def test_localised_messages_do_not_matter(httpserver: HTTPServer, board: Board) -> None:
    words = "Die Ressource konnte wegen parallelen Zugriffs nicht aktualisiert werden."
    workflow = "Status ist nicht gültig, da für die Rolle des Benutzers kein gültiger Übergang vorhanden ist."
    Script(
        httpserver,
        refusal(409, "UpdateConflict", words),
        refusal(422, "PropertyConstraintViolation", workflow, "status"),
    )
    with pytest.raises(Conflict, match=re.escape(words)):
        await claim(board)
    with pytest.raises(Refused) as refused:
        await claim(board)
    assert (refused.value.identifier, refused.value.attribute) == ("PropertyConstraintViolation", "status")


async def test_an_error_in_plain_text_labelled_as_json_is_shown_as_it_is(httpserver: HTTPServer, board: Board) -> None:
    text = "The provided content-type 'text/plain' is not supported."
    Script(httpserver, Response(text, 415, {"Content-Type": HAL}))
    with pytest.raises(Refused, match=re.escape(f"The board answered 415 to “say”: {text}")):
        await say(board)


async def test_an_empty_400_has_at_least_its_name(httpserver: HTTPServer, board: Board) -> None:
    """What the web server says to a query that is too long."""
    Script(httpserver, Response("", 400))
    with pytest.raises(Refused, match=r"(?i)The board answered 400 to “x”: bad request"):
        await board.rows([], "x")


async def test_a_message_that_is_a_list_becomes_a_sentence(httpserver: HTTPServer, board: Board) -> None:
    Script(httpserver, refusal(400, "InvalidQuery", ["one filter", "another filter"]))
    with pytest.raises(Refused, match="one filter; another filter"):
        await board.rows([], "x")


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ({key: value for key, value in ticket().items() if key != "customField96"}, "run field"),
        (ticket(customField96=None), "run field"),
        (ticket(customField95=None, customField96="u"), "pod field, run field"),
        (ticket(_links=links(project=31, type=11, status=1)), "status, assignee"),
    ],
)
async def test_a_success_that_drops_what_was_written_is_none(
    httpserver: HTTPServer, board: Board, answer: Any, names: str
) -> None:
    """OpenProject ignores a field that the type lacks, without a word (reference, section 0, 17)."""
    Script(httpserver, ok(answer))
    with pytest.raises(Ignored, match=re.escape(f"did not write: {names}. Is the field on this type?")):
        await claim(board)


async def test_the_answer_to_a_write_brings_the_next_lock_version(httpserver: HTTPServer, board: Board) -> None:
    script = Script(httpserver, ok(ticket(lockVersion=9)))
    answer = await board.patch(READ, Changes(status=2), "x")
    assert answer.lock_version == 9
    assert json.loads(script.seen[0].get_data())["lockVersion"] == 4


BROKEN = [b'{"id": 42, "lockVe', b"<html>OK</html>", b'{"id": 42}', b"[]", b"\xff"]


@pytest.mark.parametrize("body", BROKEN)
async def test_a_broken_answer_to_a_read_is_malformed_at_once(
    httpserver: HTTPServer, board: Board, clock: FakeClock, body: bytes
) -> None:
    script = Script(httpserver, Response(body, 200, {"Content-Type": HAL}))
    with pytest.raises(Malformed):
        await board.work_package(42, "x")
    assert len(script.seen) == 1
    assert clock.slept == []


@pytest.mark.parametrize("write", [claim, ask_for_help], ids=lambda one: one.__name__)
@pytest.mark.parametrize("body", [*BROKEN, b""])
async def test_a_broken_answer_to_a_write_settles_nothing(
    httpserver: HTTPServer, board: Board, body: bytes, write: Callable[[Board], Any]
) -> None:
    """It may have happened: for the protocol the same as no answer."""
    script = Script(httpserver, Response(body, 200, {"Content-Type": HAL}))
    with pytest.raises(Unreachable, match="settles nothing"):
        await write(board)
    assert len(script.seen) == 1


async def test_a_comment_needs_no_readable_answer_but_no_unreadable_one_either(
    httpserver: HTTPServer, board: Board
) -> None:
    Script(httpserver, Response("", 201), Response("<html>", 200))
    await say(board)
    with pytest.raises(Unreachable, match="settles nothing"):
        await say(board)


async def test_gzip_is_understood_and_the_content_type_is_not_believed(httpserver: HTTPServer, board: Board) -> None:
    packed = gzip.compress(json.dumps(STATUSES).encode())
    script = Script(
        httpserver,
        Response(packed, 200, {"Content-Type": HAL, "Content-Encoding": "gzip"}),
        Response(json.dumps(STATUSES), 200, {"Content-Type": "text/plain"}),
        Response(json.dumps(STATUSES), 200, {"Content-Type": "application/json"}),
    )
    answers = [await board.statuses() for _ in range(3)]
    assert answers[0] == answers[1] == answers[2] != []
    assert "gzip" in script.seen[0].headers["Accept-Encoding"]


async def test_a_count_is_one_request_without_rows(httpserver: HTTPServer, board: Board) -> None:
    script = Script(httpserver, ok({"total": 10_048}))
    assert await board.count([one_of("status", [1])], "count") == 10_048
    assert script.seen[0].args.to_dict() == {
        "filters": '[{"status":{"operator":"=","values":["1"]}}]',
        "pageSize": "0",
        "select": "total",
    }


async def test_relations_come_in_one_order_each_once(httpserver: HTTPServer, board: Board) -> None:
    """The board lists the newest first, and a relation added meanwhile pushes one onto the next page."""

    def relations(*numbers: int) -> Response:
        ends = {"from": {"href": "/api/v3/work_packages/1"}, "to": {"href": "/api/v3/work_packages/2"}}
        elements = [{"id": one, "type": "blocks", "_links": ends} for one in numbers]
        return ok({"total": 3, "pageSize": 2, "_embedded": {"elements": elements}})

    Script(httpserver, relations(9, 8), relations(8, 7))
    assert [one.id for one in await board.relations([1], "x")] == [7, 8, 9]


async def test_a_form_tells_the_allowed_statuses(httpserver: HTTPServer, board: Board) -> None:
    allowed = {"allowedValues": [{"href": "/api/v3/statuses/1"}, {"href": "/api/v3/statuses/2"}]}
    script = Script(httpserver, ok({"_embedded": {"schema": {"status": {"_links": allowed}}}}))
    assert await board.allowed_statuses(READ, "x") == (1, 2)
    assert json.loads(script.seen[0].get_data()) == {"lockVersion": 4}
    assert script.seen[0].query_string == b""


# -- secrets ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def log() -> Iterator[list[str]]:
    """Everything that is logged, as loquacious as it gets."""
    lines: list[str] = []
    sink = logger.add(lines.append, level="TRACE", diagnose=True, backtrace=True, format="{message} {extra}")
    yield lines
    logger.remove(sink)


async def test_the_token_is_neither_logged_nor_told_by_any_error(
    httpserver: HTTPServer, elsewhere: HTTPServer, board: Board, clock: FakeClock, log: list[str]
) -> None:
    answers: list[Answer] = [
        ok(STATUSES),
        Response("<html>", 200),
        *(refusal(status) for status in (400, 401, 403, 404, 409, 422)),
        Response("", 302, {"Location": elsewhere.url_for("/x")}),
        Response("", 303, {"Location": "/x"}),
        refusal(500),
    ]
    Script(elsewhere, refusal(401))
    told = [repr(board), str(board)]
    for answer in answers:
        httpserver.clear()
        Script(httpserver, answer)
        told += [await failure(ask) for ask in (board.statuses, board.me, lambda: claim(board), lambda: say(board))]
    for serve in (reset, silent, cut_off, no_http, no_gzip):
        async with raw(serve) as (url, _), connected(url, clock, patience=0.05) as broken:
            told += [await failure(broken.statuses)]
    assert len(log) > 50
    assert sum(bool(one) for one in told) > 40
    for secret in SECRETS:
        assert not [text for text in (*told, *log) if secret in text]


async def failure(ask: Callable[[], Any]) -> str:
    """What a failure tells whoever asks it: text, representation, arguments, and the trace with all its causes."""
    try:
        await ask()
    except BoardError as error:
        return "\n".join(
            [str(error), repr(error), repr(error.args), repr(vars(error)), *traceback.format_exception(error)]
        )
    return ""


async def test_the_log_has_one_line_per_request_with_its_purpose_and_no_query(
    httpserver: HTTPServer, board: Board, log: list[str]
) -> None:
    Script(httpserver, refusal(503), ok({"total": 0, "groups": []}))
    await board.groups([one_of("customField95", ["hush"])], "status", "count what is ready")
    mine = [line for line in log if line.startswith("board ")]
    assert mine == [
        "board GET work_packages for count what is ready: 503 in 0 ms {}\n",
        "board GET work_packages for count what is ready: 200 in 0 ms {}\n",
    ]
