"""T1, T10: whatever bytes come as the answer of a board or of the model's API, the pod's loop goes on and keeps nothing of them."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from agent.board import exchange
from agent.board.client import Board
from agent.board.exchange import Exchange as BoardExchange
from agent.errors import BoardError, PodTrouble
from agent.git.mirror import Mirror
from agent.git.repo import Repository
from agent.programs.processes import Processes
from agent.relay import upstream
from agent.relay.exchange import Exchange as RelayExchange
from agent.relay.meter import Budget, Prices
from agent.relay.record import Record
from agent.relay.refusal import Refusal
from agent.relay.upstream import Question, Upstream, probe
from agent.texts.evidence import redactor
from support.fake_clock import FakeClock, FixedRandomness
from support.heartbeat import Heart

PATH: Final = os.environ["PATH"]
OK: Final = b"HTTP/1.1 200 OK\r\n"
EVENTS: Final = b"content-type: text/event-stream\r\n"
GZIP: Final = b"content-encoding: gzip\r\n"


def chunked(chunk: bytes, times: int) -> bytes:
    return OK + EVENTS + b"transfer-encoding: chunked\r\n\r\n" + (b"%x\r\n%s\r\n" % (len(chunk), chunk)) * times


def headers(line: bytes, status: bytes = OK) -> bytes:
    return status + line * (90_000 // len(line)) + b"content-length: 2\r\n\r\n{}"


ANSWERS: Final = {
    "cookies": headers(b"Set-Cookie: a=1\r\n"),
    "headers without end": headers(b"a:b\r\n"),
    "one header many times": headers(b"retry-after: 1\r\n"),
    "packed as often as can be": OK + b"content-encoding: " + b"gzip," * 18_000 + b"\r\ncontent-length: 2\r\n\r\n{}",
    "a length of 5,000 digits": OK + b"content-length: " + b"9" * 5_000 + b"\r\n\r\n{}",
    "not yet, and not yet": b"HTTP/1.1 100 \r\n\r\n" * 8_000,
    "hints that never end": (b"HTTP/1.1 103 \r\n" + b"a:b\r\n" * 12_000 + b"\r\n") * 3,
    "another protocol": b"HTTP/1.1 101 x\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n" + b"x" * 100,
    "a reason without end": headers(b"a: b\r\n", b"HTTP/1.1 400 " + b"r" * 5_000 + b"\r\n"),
    "chunks of a byte": chunked(b"\n", 25_000) + b"0\r\n\r\n",
    "chunks with words of their own": OK + b"transfer-encoding: chunked\r\n\r\n" + (b"1;%s\r\n\n\r\n" % (b"x" * 200)) * 2_000 + b"0\r\n\r\n",
    "trailers": chunked(b"a", 1) + b"0\r\n" + b"a:b\r\n" * 15_000 + b"\r\n",
    "much in little": OK + EVENTS + GZIP + b"\r\n" + gzip.compress(bytes(64 << 20)),
    "ends of lines": OK + EVENTS + GZIP + b"\r\n" + gzip.compress(b"event: x\n" + b"\n" * (3 << 18)),
    "a place without end": headers(b"a: b\r\n", b"HTTP/1.1 302 x\r\nlocation: /%s\r\n" % (b"../" * 5_000)),
    "a host without end": headers(b"a: b\r\n", "HTTP/1.1 302 x\r\nlocation: http://{}/\r\n".format("ä." * 5_000).encode()),
}  # fmt: skip


class Server:
    """Answers each request with the same bytes, whatever it is."""

    def __init__(self, answer: bytes) -> None:
        self.heads: list[bytes] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                self.heads.append(connection.recv(1 << 20))
                connection.sendall(self._answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 16):
                    pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    found = Server(ANSWERS[request.param])
    yield found
    found.close()


async def of_the_board(url: str, times: int = 1) -> None:
    board = BoardExchange(url, "token", transport=None, clock=FakeClock(), randomness=FixedRandomness())
    try:
        for _ in range(times):
            with contextlib.suppress(BoardError):
                await board.read("users/me", "a test")
    finally:
        await board.close()


async def of_the_api(url: str, folder: Path, times: int = 1) -> None:
    prices = Prices(input=1, output=1, cache_read=1, cache_write=1)
    record = Record(folder / "usage", prices, Budget(tokens=10**9, turns=100, usd=100))

    async def send(_: object) -> None:
        """To a client that takes all of it at once."""

    async with Upstream(url, "key") as upstream:
        for _ in range(times):
            await record.begin()
            with contextlib.suppress(Refusal):
                await RelayExchange(upstream, record, b"key", send).run(Question("", (), b"{}"))


@pytest.mark.parametrize("server", ANSWERS, indirect=True)
async def test_no_answer_of_a_board_holds_the_loop(server: Server, beating: Heart) -> None:
    async with asyncio.timeout(30):
        await of_the_board(server.url)
    assert beating.beats


@pytest.mark.parametrize("server", ANSWERS, indirect=True)
async def test_no_answer_of_the_models_api_holds_the_loop(server: Server, tmp_path: Path, beating: Heart) -> None:
    async with asyncio.timeout(30):
        await of_the_api(server.url, tmp_path)
        with contextlib.suppress(PodTrouble):
            await probe(server.url, "key")
    assert beating.beats


async def ask_the_board(url: str, _: Path) -> None:
    board = BoardExchange(url, "token", transport=None, clock=FakeClock(), randomness=FixedRandomness())
    try:
        await board.read("users/me", "a test")
    finally:
        await board.close()


async def ask_the_api(url: str, _: Path) -> None:
    await probe(url, "key")


async def ask_the_remote(url: str, folder: Path) -> None:
    runner = Processes(grace=0.3)
    mirror = Mirror(
        url=f"{url}/shop.git", base="main", folder=folder, runner=runner, redact=redactor(), timeout=1.0, path=PATH
    )
    await Repository(mirror).preflight()


ASKED: Final[dict[Callable[[str, Path], Awaitable[None]], str]] = {
    ask_the_board: r"The board at \S+ did not answer \(a test\): TimeoutError",
    ask_the_api: r"the model's API at \S+ does not answer \(TimeoutError\): check the network and `model.api`",
    ask_the_remote: r"the repository \S+ cannot be used: it did not answer within 1 s; it is tried again later",
}
DRIPS: Final = {
    "a status": (b"HTTP/1.1 2", b"0"),
    "a head": (OK, b"a: b\r\n"),
    "a body": (OK + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n\n\r\n"),
}


@pytest.mark.parametrize(
    ("ask", "drip"), [(ask, one) for ask in ASKED for one in DRIPS if (ask, one) != (ask_the_api, "a body")]
)
async def test_whoever_answers_byte_by_byte_for_ever_keeps_nobody_for_ever(
    ask: Callable[[str, Path], Awaitable[None]], drip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte starts the network's own time-outs again: what a pod asks before it claims has a time in all."""
    monkeypatch.setattr(exchange, "LONGEST_ANSWER", 0.3)
    monkeypatch.setattr(upstream, "LONGEST_PROBE", 0.3)
    begun, one = DRIPS[drip]

    answering: set[asyncio.Task[None] | None] = set()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(asyncio.current_task())
        with contextlib.suppress(OSError):
            writer.write(begun)
            while True:  # until whoever asked is gone
                writer.write(one)
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()

    async with asyncio.timeout(30), await asyncio.start_server(answer, "127.0.0.1", 0) as serving:
        url = f"http://127.0.0.1:{serving.sockets[0].getsockname()[1]}"
        with pytest.raises((BoardError, PodTrouble), match=ASKED[ask]):
            await ask(url, tmp_path)
        await asyncio.gather(*filter(None, answering))
    assert answering


CHANGE: Final = {"raw": "Status set to New", "html": "<strong>Status</strong> set to <i>New</i>"}
LONG: Final[dict[str, list[dict[str, Any]]]] = {
    "entries with many changes": [{"details": [CHANGE] * 50}] * 1_500,
    "one entry with very many": [{"details": [CHANGE] * 80_000}],
    "many comments": [{"details": [], "comment": {"raw": "words"}}] * 15_000,
}


@pytest.mark.parametrize("entries", LONG)
async def test_a_long_journal_is_read_in_turns(entries: str, beating: Heart) -> None:
    """T1: nobody need be hostile; all of it was made into values before the loop had a turn."""
    user = {"user": {"href": "/api/v3/users/7"}}
    elements = [{"id": number, "_links": user, **one} for number, one in enumerate(LONG[entries])]
    document = {"total": len(elements), "count": len(elements), "_embedded": {"elements": elements}}
    body = msgspec.json.encode(document)
    served = Server(OK + b"content-length: %d\r\n\r\n" % len(body) + body)
    board = Board(served.url, "token", clock=FakeClock(), randomness=FixedRandomness())
    beating.look()
    beating.longest, began = 0.0, time.thread_time()
    try:
        async with board:
            read = await board.activities(1, "a test")
    finally:
        served.close()
    await asyncio.sleep(0.01)
    if entries == "entries with many changes":  # of which the reading itself is the smaller part
        assert beating.longest < 0.5 * (time.thread_time() - began)
    assert len(read) == len(elements)
    assert max(len(one.changes) for one in read) == min(len(elements[0]["details"]), 2_000)


@pytest.mark.parametrize("server", ["cookies"], indirect=True)
async def test_cookies_are_neither_kept_nor_sent(server: Server, tmp_path: Path) -> None:
    """httpx keeps them for ever: after twelve answers each request had 256 KiB of them, and held the loop for as long."""
    async with asyncio.timeout(30):
        await of_the_board(server.url, 3)
        await of_the_api(server.url, tmp_path, 3)
    assert len(server.heads) == 6
    assert not any(b"\r\ncookie:" in head.lower() for head in server.heads)
