"""What a board takes from whom it does not know, and what from whom it does: connections, heads, bodies, time, log."""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import json
import socket
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from agent import server
from agent.board.client import Board as PodsBoard
from agent.board.query import one_of
from agent.board.wire import Fields
from agent.cli import board_log
from agent.clock import SystemClock, SystemRandomness
from agent.model import WorkPackage
from agent.server import connections, intake, store, web
from agent.server.attributes import LONGEST_FIELD, LONGEST_TEXT
from agent.server.errors import ApiError
from support.besiegers import BODY, PARTS, head
from support.boards import Board, embedded_board
from support.commands import operate
from support.siege import besieged, fortress, request_times

SOON = 10.0


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """One for all: whoever comes in one test is gone in the next."""
    running = embedded_board(tmp_path_factory.mktemp("board"))
    yield running
    running.close()


@contextmanager
def connected(board: Board) -> Iterator[socket.socket]:
    host, _, port = urlsplit(board.url).netloc.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=SOON) as connection:
        yield connection


def heard(connection: socket.socket) -> bytes:
    """All that is said until the other side hangs up."""
    found = b""
    try:
        while some := connection.recv(1 << 16):
            found += some
    except ConnectionResetError:
        pass
    return found


def taken(connection: socket.socket, most: int, pause: float) -> int:
    """How much can be sent until the other side hangs up."""
    sent = 0
    with suppress(OSError):
        while sent < most:
            threading.Event().wait(pause)
            sent += connection.send(bytes(1 if pause else 1 << 16))
    return sent


def bearer(board: Board) -> str:
    return f"authorization: Bearer {board.tokens['agent']}"


JSON = "content-type: application/json"
UPLOAD = "content-type: multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/v3/work_packages", 401),
        ("PATCH", "/api/v3/work_packages/1", 401),
        ("POST", "/api/v3/work_packages/1/attachments", 401),
        ("POST", "/api/v3/render/markdown", 401),
        ("DELETE", "/api/v3/work_packages/1", 401),
        ("GET", "/api/v3/work_packages", 401),
        ("POST", "/api/v3/nothing", 401),
        ("HEAD", "/api/v3", 406),
        ("POST", "/page/sign-out", 204),
        ("POST", "/page/nothing", 404),
        ("GET", "/", 200),
    ],
)
def test_a_stranger_is_answered_before_the_body_and_the_rest_is_not_read(
    board: Board, method: str, path: str, status: int
) -> None:
    with connected(board) as connection:
        connection.sendall(head(method, path, JSON, f"content-length: {BODY}", "expect: 100-continue"))
        answer = heard(connection)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"connection: close" in answer.lower()


def test_a_body_that_does_not_say_its_length_is_taken_from_nobody(board: Board) -> None:
    """Each chunk costs the loop what a line of a head does: of one byte, 64 KiB of them are a quarter of a second."""
    for lines in ([], [bearer(board)]):
        with connected(board) as connection:
            connection.sendall(head("POST", "/api/v3/work_packages", JSON, "transfer-encoding: chunked", *lines))
            connection.sendall(b"1\r\n \r\n" * 1_000)
            answer = heard(connection)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"send `Content-Length`" in answer


def test_what_a_stranger_sends_after_its_answer_is_forgotten_and_soon_refused(board: Board) -> None:
    with connected(board) as connection:
        connection.sendall(head("POST", "/api/v3/work_packages", JSON, f"content-length: {BODY}"))
        assert taken(connection, BODY, 0) < BODY // 4


def test_a_small_body_with_a_wrong_token_gets_its_answer(board: Board) -> None:
    with httpx.Client(base_url=board.url) as client:
        for size in (10, 10_000, 300_000):
            answer = client.post("/api/v3/work_packages", json={"subject": "x" * size}, auth=("apikey", "wrong"))
            assert answer.json()["errorIdentifier"].endswith(":Unauthenticated")


def test_of_strangers_the_oldest_goes_first_and_never_one_that_has_signed_in(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_STRANGERS", 4)
    known = http.client.HTTPConnection(urlsplit(board.url).netloc, timeout=SOON)
    ask = {"authorization": bearer(board).partition(": ")[2]}

    def who() -> str:
        known.request("GET", "/api/v3/users/me", headers=ask)
        return str(json.loads(known.getresponse().read())["login"])

    assert who() == "agent"
    kept = known.sock
    strangers = [connected(board) for _ in range(7)]
    opened = [one.__enter__() for one in strangers]
    try:
        for one in opened[:3]:
            assert heard(one) == b""
        opened[3].sendall(head("GET", "/api/v3"))
        assert opened[3].recv(12) == b"HTTP/1.1 401"
        assert who() == "agent"
        assert known.sock is kept
    finally:
        for stranger in strangers:
            stranger.__exit__(None, None, None)
        known.close()


def test_a_page_that_is_signed_in_is_no_stranger(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_STRANGERS", 1)
    with httpx.Client(base_url=board.url) as client, connected(board) as first, connected(board):
        assert heard(first) == b""
        assert client.post("/page/sign-in", json={"token": board.tokens["agent"]}).status_code == 204
        assert client.get("/page/session").json()["user"]["name"] == "Coding Agent"
        with connected(board) as third, connected(board):
            assert heard(third) == b""
            with client.stream("GET", "/page/events") as stream:
                assert next(stream.iter_text()).startswith("retry")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.5)
    monkeypatch.setattr(connections, "IDLE_SECONDS", 1.0)
    monkeypatch.setattr(connections, "BODY_SECONDS", 4.0)


SILENT = b""
HALF_A_HEAD = b"GET / HTTP/1.1\r\nhost: "
HALF_A_TOKEN = head("POST", "/page/sign-in", JSON, "content-length: 4000") + b'{"token": "'


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("begun", [SILENT, HALF_A_HEAD, HALF_A_TOKEN])
def test_a_stranger_who_dribbles_or_is_silent_is_left_soon(board: Board, begun: bytes) -> None:
    with connected(board) as connection:
        since = time.monotonic()
        connection.sendall(begun)
        connection.settimeout(0.1)
        while time.monotonic() < since + SOON:
            try:
                if begun:
                    connection.sendall(b"x")
                if connection.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    assert 0.4 < time.monotonic() - since < 5


@pytest.mark.usefixtures("hasty")
def test_between_two_requests_nobody_may_be_silent_for_long(board: Board) -> None:
    with connected(board) as connection:
        connection.sendall(head("GET", "/api/v3/users/me", bearer(board)))
        since = time.monotonic()
        assert heard(connection).startswith(b"HTTP/1.1 200")
    assert 0.9 < time.monotonic() - since < 5


@pytest.mark.usefixtures("hasty")
def test_whoever_is_known_may_send_slowly_but_not_for_ever(board: Board) -> None:
    written = json.dumps({"comment": {"raw": "slow"}}).encode()
    item = board.client("agent").post("/projects/shop/work_packages", json={"subject": "A"}).json()["id"]
    request = head(
        "POST", f"/api/v3/work_packages/{item}/activities", JSON, bearer(board), f"content-length: {len(written)}"
    )
    with connected(board) as connection:
        connection.sendall(request)
        for byte in range(0, len(written), 5):
            threading.Event().wait(0.3)
            connection.sendall(written[byte : byte + 5])
        assert connection.recv(12) == b"HTTP/1.1 201"
    since = time.monotonic()
    with connected(board) as connection:
        connection.sendall(request)
        assert heard(connection) == b""
    assert 0.9 < time.monotonic() - since < 5
    since = time.monotonic()
    with connected(board) as connection:
        connection.sendall(head("POST", "/api/v3/work_packages", JSON, bearer(board), "content-length: 1000"))
        assert taken(connection, 100, 0.2) < 100
    assert 3 < time.monotonic() - since < 8


@pytest.mark.usefixtures("hasty")
def test_whoever_does_not_read_is_left(board: Board) -> None:
    client = board.client("agent")
    for _ in range(20):
        client.post("/projects/shop/work_packages", json={"subject": "A", "description": {"raw": "x" * 100_000}})
    with connected(board) as connection:
        connection.sendall(head("GET", "/api/v3/work_packages", bearer(board)) * 10)
        threading.Event().wait(3)
        assert len(heard(connection)) < 30_000_000


@pytest.mark.usefixtures("hasty")
def test_a_stream_of_somebody_who_is_signed_in_goes_on(board: Board) -> None:
    with httpx.Client(base_url=board.url, timeout=SOON) as client:
        client.post("/page/sign-in", json={"token": board.tokens["human"]})
        with client.stream("GET", "/page/events") as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("retry")
            threading.Event().wait(2.5)
            board.client("agent").post("/projects/shop/work_packages", json={"subject": "news"})
            assert any("news" in line for line in lines if line.startswith("data"))


@pytest.mark.parametrize(
    "lines",
    [["x: " + "y" * (1 << 20)], ["a:"] * 8000, ["cookie: " + "a=b;" * 20_000]],
    ids=["a long line", "many lines", "many cookies"],
)
def test_a_head_is_read_so_far_and_no_further(board: Board, lines: list[str]) -> None:
    with connected(board) as connection:
        try:
            connection.sendall(head("GET", "/api/v3/users/me", bearer(board), *lines))
        except OSError:
            return  # it hung up
        assert heard(connection)[:12] in (b"HTTP/1.1 400", b"")


def test_an_upgrade_is_no_way_past_the_door(board: Board) -> None:
    with connected(board) as connection:
        upgrade = ("connection: upgrade", "upgrade: websocket", "sec-websocket-key: eA==", "sec-websocket-version: 13")
        connection.sendall(head("GET", "/api/v3/users/me", *upgrade))
        assert connection.recv(12) == b"HTTP/1.1 401"


def test_nonsense_in_the_middle_of_a_body_leaves_no_trace(board: Board, caplog: pytest.LogCaptureFixture) -> None:
    chunked = "transfer-encoding: chunked"
    for lines in ([chunked], [chunked, bearer(board)]):
        with connected(board) as connection:
            connection.sendall(head("POST", "/api/v3/work_packages", JSON, *lines) + b"1\r\na\r\nno size\r\n")
            assert heard(connection)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 401", b"")
    with connected(board) as connection:
        connection.sendall(b"\x1b[31m\r\n\r\n")
        assert heard(connection).startswith(b"HTTP/1.1 400")
    with connected(board) as connection:
        connection.sendall(HALF_A_TOKEN)
    with connected(board) as connection:
        connection.sendall(head("POST", "/api/v3/work_packages", JSON, bearer(board), "content-length: 9") + b"{")
    assert board.client().get("/users/me").status_code == 200
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errorIdentifier"].rpartition(":")[2]


def test_a_body_is_bounded_by_what_it_is_for(board: Board) -> None:
    client = board.client("agent")
    item = client.post("/projects/shop/work_packages", json={"subject": "A"}).json()
    for content in (b"{}," * (BODY // 3), b"[" * intake.LONGEST_JSON + b" "):
        answer = client.post("/work_packages", content=content, headers={"content-type": "application/json"})
        assert refused(answer) == (413, "InvalidRequestBody")
        assert str(intake.LONGEST_JSON) in answer.json()["message"]
    text = client.post("/render/plain", content=b"x" * (BODY // 8), headers={"content-type": "text/plain"})
    assert refused(text) == (413, "InvalidRequestBody")
    metadata = (None, json.dumps({"fileName": "a"}))
    limit = client.get("/configuration").json()["maximumAttachmentFileSize"]

    def upload(content: bytes) -> httpx.Response:
        files: dict[str, Any] = {"metadata": metadata, "file": ("a", content)}
        return client.post(f"/work_packages/{item['id']}/attachments", files=files)

    assert upload(b"x" * limit).status_code == 201
    assert refused(upload(b"x" * (limit + 1))) == (422, "PropertyConstraintViolation")
    assert refused(upload(b"x" * (limit + (1 << 20)))) == (413, "InvalidRequestBody")


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 101 + b"]" * 101,
        b'{"a":' * 101 + b"1" + b"}" * 101,
        b"[" * 500_000,
        b'{"subject":' + b"9" * 900_000 + b"}",
    ],
    ids=["lists", "objects", "open lists", "a long number"],
)
def test_json_that_is_too_deep_or_too_long_a_number_is_400_or_none_of_the_property(
    board: Board, content: bytes
) -> None:
    headers = {"content-type": "application/json"}
    answer = board.client("agent").post("/projects/shop/work_packages", content=content, headers=headers)
    assert answer.status_code in (400, 201)
    assert answer.status_code == 400 or b"9999" not in answer.content


def test_parameters_that_are_packed_do_not_grow_without_end(board: Board) -> None:
    packed = base64.b64encode(zlib.compress(b'{"filters":"' + b"{}," * 2_000_000 + b'"}', 9)).decode()
    answer = board.client("agent").get("/work_packages", params={"eprops": packed})
    assert refused(answer) == (400, "BadRequest")
    assert "too long" in answer.json()["message"]


def test_the_log_lets_a_burst_pass_and_counts_the_rest() -> None:
    now, written = [0.0], io.StringIO()
    log = board_log.Bounded(written, lambda: now[0])
    for number in range(100_000):
        log.write(f"{number:099}\n")
    assert len(written.getvalue()) <= board_log.BURST
    now[0] += 10
    log.write("y" * 10 * board_log.LONGEST)
    now[0] += 100
    log.write("the last\n")
    assert written.getvalue().endswith("entries of this log were left out: there were too many\nthe last\n")
    assert len(written.getvalue()) <= board_log.BURST + 110 * board_log.RATE


async def test_strangers_who_ask_on_and_on_have_one_turn_together() -> None:
    """A hundred of them that do not wait for their answers had a hundred turns between two of somebody who is known."""
    answered: list[str] = []

    async def app(scope: Any, _: Any, send: Any) -> None:
        if scope["path"] == "/known":
            connections.belongs_to(scope, 1)
        await asyncio.sleep(0)
        answered.append(scope["path"])
        await send({"type": "http.response.start", "status": 204, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def ask(path: str, times: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode() * times)
        return reader, writer

    config = uvicorn.Config(
        app, http="h11", ws="none", lifespan="off", log_config=None, access_log=False, timeout_keep_alive=60
    )
    config.load()
    loop, crowd, state = asyncio.get_running_loop(), connections.Crowd(), ServerState()
    serving = await loop.create_server(
        lambda: connections.Connection(config, state, {}, loop, crowd=crowd), "127.0.0.1", 0
    )
    port = serving.sockets[0].getsockname()[1]
    opened = [await ask("/known", 1)]
    try:
        await opened[0][0].readuntil(b"\r\n\r\n")
        opened += [await ask("/stranger", 300) for _ in range(100)]
        while len(answered) < 300:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0)
        for _ in range(5):
            before = len(answered)
            opened[0][1].write(b"GET /known HTTP/1.1\r\nhost: x\r\n\r\n")
            await opened[0][0].readuntil(b"\r\n\r\n")
            assert len(answered) - before < 20
        while len(answered) < 3_000:  # noqa: ASYNC110 - and they go on
            await asyncio.sleep(0)
    finally:
        for _, writer in opened:
            writer.transport.abort()
        serving.close()
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        await serving.wait_closed()


def test_strangers_do_not_keep_the_others_from_a_real_board(tmp_path: Path, measured: Callable[[str], None]) -> None:
    """The smaller brother of tests/proof/test_board_siege.py: every part that strangers play, for some seconds."""
    with fortress(tmp_path) as fort:
        with besieged(fort, 20 * len(PARTS), 5) as done:
            took = request_times(fort, 40, 0.05)
        assert len(done) == len(PARTS)
        assert fort.peak_mib <= 200
        assert fort.log.stat().st_size <= 1 << 20
        assert max(took) < SOON
        measured(
            f"board: {sum(done.values())} connections of strangers, the longest of {len(took)} requests {max(took) * 1000:.0f} ms"
        )


def test_nobody_s_comments_alone_make_an_answer_that_others_wait_for(tmp_path: Path) -> None:
    """T1, T8: forty comments of 1.9 MB by a Reader took 5 s of everybody's at each look, and 600 MB."""
    board = embedded_board(tmp_path)
    try:
        human, reader = board.client("human"), board.client("reader")
        item = human.post("/projects/shop/work_packages", json={"subject": "Crowded"}).json()["id"]
        path = f"/work_packages/{item}/activities"

        def says(client: httpx.Client, text: str) -> httpx.Response:
            return client.post(path, json={"comment": {"raw": text}})

        assert refused(says(reader, "x" * (LONGEST_TEXT + 1))) == (413, "InvalidRequestBody")
        longer = {"subject": "Too much", "description": {"raw": "x" * (LONGEST_TEXT + 1)}}
        assert refused(human.post("/projects/shop/work_packages", json=longer)) == (413, "InvalidRequestBody")
        taken = [says(reader, "x" * LONGEST_TEXT).status_code for _ in range(2)]
        assert taken == [201, 413], "each counts for what surrounds it, too"
        last = reader.get(path).json()["_embedded"]["elements"][-1]
        assert reader.patch(f"/activities/{last['id']}", json={"comment": "y" * LONGEST_TEXT}).status_code == 200
        assert says(human, "Somebody else may go on.").status_code == 201
    finally:
        board.close()


def test_empty_files_are_no_way_to_fill_the_board(tmp_path: Path) -> None:
    """T8: they weighed nothing, were kept without end, and each comment kept the names of all of them once more."""
    board = embedded_board(tmp_path)
    try:
        human, reader = board.client("human"), board.client("reader")
        item = human.post("/projects/shop/work_packages", json={"subject": "Full"}).json()["id"]
        path = f"/work_packages/{item}"

        def attach(number: int) -> httpx.Response:
            described = json.dumps({"fileName": f"{number:04}" + "ä" * 251})
            return human.post(f"{path}/attachments", files={"metadata": (None, described), "file": ("a.txt", b"")})

        taken = [attach(number) for number in range(101)]
        assert [one.status_code for one in taken] == [201] * 100 + [413]
        assert "at most 100 files" in taken[-1].text
        said = Counter(
            reader.post(f"{path}/activities", json={"comment": {"raw": f"c{number}"}}).status_code
            for number in range(90)
        )
        assert said == {201: 81, 413: 9}, "the names count for each comment"
        assert human.post(f"{path}/activities", json={"comment": {"raw": "Somebody else"}}).status_code == 201
    finally:
        board.close()


def test_a_comment_keeps_nothing_of_a_long_description_and_of_no_field_there_is_a_long_text(tmp_path: Path) -> None:
    """T8: a hundred comments of three letters below one were 560 MB of the file, 700 MiB, and 2 s of everybody's each."""
    board = embedded_board(tmp_path)
    try:
        human = board.client("human")
        long = {"subject": "Long", "description": {"raw": "\N{GRINNING FACE}" * 150_000}}
        item = human.post("/projects/shop/work_packages", json=long).json()
        path = f"/work_packages/{item['id']}"
        size = (tmp_path / "board.sqlite3").stat().st_size
        said = [human.post(f"{path}/activities", json={"comment": {"raw": f"c{n}"}}).json() for n in range(40)]
        assert [one["version"] for one in said] == list(range(1, 41)), "the first one is what made it, too"
        assert (tmp_path / "board.sqlite3").stat().st_size - size < 1 << 20
        shorter = {"lockVersion": 0, "description": {"raw": "sha256:"}}
        assert human.patch(path, json=shorter).status_code == 200
        told = human.get(f"{path}/activities").json()["_embedded"]["elements"]
        changed = [any("Description" in one["raw"] for one in activity["details"]) for activity in told]
        assert changed == [True, *[False] * 38, True]
        field = {"lockVersion": 1, board.pod: "p" * (LONGEST_FIELD + 1)}
        assert refused(human.patch(path, json=field)) == (413, "InvalidRequestBody")
        old = json.dumps("an earlier version's journal has all of it")
        operate(
            board,
            f"UPDATE journals SET data = json_set(data, '$.description', json('{old.replace(chr(39), chr(39) * 2)}'))",
            "UPDATE work_packages SET description = 'an earlier version''s journal has all of it'",
        )
        assert human.patch(path, json={"lockVersion": 1, "subject": "Short"}).status_code == 200
        last = human.get(f"{path}/activities").json()["_embedded"]["elements"][-1]
        assert not any("Description" in one["raw"] for one in last["details"])
    finally:
        board.close()


def test_a_page_of_long_texts_is_refused_and_a_pod_reads_them_one_by_one(tmp_path: Path) -> None:
    """T8: twenty descriptions of a megabyte were one answer of 152 MiB, for which everybody waited 3 s."""
    board = embedded_board(tmp_path)
    try:
        human = board.client("human")
        body = {"subject": "Long", "description": {"raw": '"' * 250_000}}
        made = [human.post("/projects/shop/work_packages", json=body).json()["id"] for _ in range(3)]
        assert refused(human.get("/work_packages", params={"pageSize": "-1"})) == (413, "InvalidRequestBody")
        assert human.get("/work_packages", params={"pageSize": "2", "filters": "[]"}).status_code == 200
        longest = {"subject": "Longest", "description": {"raw": "x" * LONGEST_TEXT}}
        made.append(human.post("/projects/shop/work_packages", json=longest).json()["id"])

        async def read() -> list[WorkPackage]:
            clock, randomness = SystemClock(), SystemRandomness()
            async with PodsBoard(board.url, board.tokens["agent"], clock=clock, randomness=randomness) as pods:
                pods.fields = Fields(board.pod, board.run)
                return await pods.work_packages([one_of("id", made)], "long ones")

        assert sorted(one.id for one in asyncio.run(read())) == sorted(made)
    finally:
        board.close()


def test_no_circle_of_parents_is_closed_over_what_is_hidden(board: Board) -> None:
    """T8: the next write to one of them would have held the board for ever."""
    admin, human = board.client("admin"), board.client("human")

    def made(project: str, parent: int | None = None) -> int:
        links = {"parent": {"href": f"/api/v3/work_packages/{parent}"}} if parent else {}
        answer = admin.post(f"/projects/{project}/work_packages", json={"subject": "In line", "_links": links})
        return int(answer.json()["id"])

    top = made("shop")
    bottom = made("shop", made("vault", top))
    body = {"lockVersion": 0, "_links": {"parent": {"href": f"/api/v3/work_packages/{bottom}"}}}
    body["lockVersion"] = human.get(f"/work_packages/{top}").json()["lockVersion"]
    assert human.patch(f"/work_packages/{top}", json=body).status_code == 422
    assert human.get(f"/work_packages/{top}").json()["_links"]["parent"]["href"] is None


def test_what_is_said_again_of_an_order_costs_nothing(board: Board, caplog: pytest.LogCaptureFixture) -> None:
    """T1, T8: one question with 1,900 criteria stood the board for 91 s."""
    client = board.client("human")
    for number in range(3):
        client.post("/projects/shop/work_packages", json={"subject": f"Number {number}"})
    many = [["assignee", "asc"], ["status", "desc"]] * 1200

    def ids(criteria: list[list[str]]) -> list[int]:
        asked = {"sortBy": json.dumps(criteria), "filters": "[]"}
        eprops = base64.b64encode(zlib.compress(json.dumps(asked).encode())).decode()
        answer = client.get("/work_packages", params={"eprops": eprops})
        assert answer.status_code == 200, "SQLite takes 2,000 terms"
        return [one["id"] for one in answer.json()["_embedded"]["elements"]]

    assert ids(many) == ids(many[:2])
    assert not caplog.records


def test_a_question_that_takes_too_long_is_refused_and_nobody_waits_for_it(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = board.client("human")
    monkeypatch.setattr(store, "_STEPS", 1)
    monkeypatch.setattr(web, "LONGEST_LOOK", -1.0)
    answer = client.get("/work_packages")
    assert (answer.status_code, "ask for less at once" in answer.json()["message"]) == (400, True)
    monkeypatch.undo()
    assert client.get("/work_packages").status_code == 200


def test_what_sqlite_works_at_for_too_long_is_stopped_and_the_next_is_answered(tmp_path: Path) -> None:
    server.create(tmp_path)
    board = store.Store(tmp_path)
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    with pytest.raises(ApiError) as caught, board.transaction(write=False, seconds=0.1) as db:
        db.value(endless)
    assert "more than 0.1 s" in caught.value.document("en")["message"]
    with board.transaction(write=True, seconds=0.1) as db:
        assert db.value("SELECT 1") == 1
    board.close()
