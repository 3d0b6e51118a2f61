"""A relay on a real Unix socket, before a Messages API that behaves as a test says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
from msgspec import Struct

from agent.relay import Budget, Prices, Relay

KEY = "sk-ant-api03-canary-5ec4e75ec4e7"
MODEL = "claude-sonnet-5"
PRICES = Prices(input=3.0, output=15.0, cache_read=0.3, cache_write=3.75)
PLENTY = Budget(tokens=2_000_000, turns=200, usd=20.0)
ASK = {"model": MODEL, "max_tokens": 100, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
BODY = json.dumps(ASK).encode()
VERDICT = {"type": "message", "content": [], "usage": {"input_tokens": 100, "output_tokens": 20}}


class Seen(Struct, frozen=True):
    """A request that reached the API."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


Measured = Callable[[str], None]
Turn = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""How the API answers one request; the connection is closed afterwards."""


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def message(pieces: int = 3, **usage: int) -> list[bytes]:
    """A whole answer as events: 100 tokens in and 20 out unless told otherwise."""
    counts = {"input_tokens": 100, "output_tokens": 20, **usage}
    return [
        event("message_start", message={"type": "message", "usage": {**counts, "output_tokens": 1}}),
        *(event("content_block_delta", delta={"text": f"piece {number}"}) for number in range(pieces)),
        event("message_delta", usage=counts),
        event("message_stop"),
    ]


def reply(status: int, body: Any = None, **headers: str) -> Turn:
    async def turn(writer: asyncio.StreamWriter) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"content-type": "application/json", **{key.replace("_", "-"): value for key, value in headers.items()}}
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in named.items())]
        writer.write("\r\n".join([*lines, f"content-length: {len(raw)}", "connection: close", "", ""]).encode() + raw)
        await writer.drain()

    return turn


def stream(events: Sequence[bytes], *, pause: float = 0.0, end: bool = True, silence: float = 0.0) -> Turn:
    """Events one after the other; then perhaps silence, and an end or a cut."""

    async def turn(writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nrequest-id: req_7\r\n"
            b"transfer-encoding: chunked\r\nconnection: close\r\nset-cookie: a=b\r\nx-secret: s\r\n\r\n"
        )
        for one in events:
            writer.write(b"%x\r\n%s\r\n" % (len(one), one))
            await writer.drain()
            await asyncio.sleep(pause)
        await asyncio.sleep(silence)
        if end:
            writer.write(b"0\r\n\r\n")
            await writer.drain()

    return turn


def hang(seconds: float) -> Turn:
    async def turn(_: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)

    return turn


class Api:
    """The API: it plays its turns in order, the last one again and again.

    Attributes:
        seen: what reached it.
        at_once: the greatest number of requests that were open side by side.
        left: how often the relay went away in the middle of an answer.
    """

    def __init__(self) -> None:
        self.turns: list[Turn] = [stream(message())]
        self.seen: list[Seen] = []
        self.open = self.at_once = self.left = 0
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
            size = next((int(value) for name, value in headers if name == "content-length"), 0)
            self.seen.append(Seen(first.split()[0], first.split()[1], headers, await reader.readexactly(size)))
            self.open += 1
            self.at_once = max(self.at_once, self.open)
            playing = asyncio.ensure_future((self.turns.pop(0) if len(self.turns) > 1 else self.turns[0])(writer))
            leaving = asyncio.ensure_future(reader.read())
            try:
                await asyncio.wait((playing, leaving), return_when=asyncio.FIRST_COMPLETED)
                self.left += not playing.done()
            finally:
                self.open -= 1
                for task in (playing, leaving):
                    task.cancel()
                await asyncio.gather(playing, leaving, return_exceptions=True)
        writer.close()


@contextlib.asynccontextmanager
async def messages_api() -> AsyncIterator[Api]:
    api = Api()
    server = await asyncio.start_server(api.answer, "127.0.0.1", 0, limit=1 << 20)
    api.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield api
    finally:
        server.close()


def relay_for(api: Api, folder: Path, /, **changes: Any) -> Relay:
    given: dict[str, Any] = {
        "api": api.url,
        "key": KEY,
        "models": (MODEL,),
        "prices": PRICES,
        "budget": PLENTY,
        "record": folder / "usage.json",
        **changes,
    }
    return Relay(**given)


@contextlib.asynccontextmanager
async def client_of(socket: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client as Claude Code is one: a dummy key, some headers of its own, one connection kept."""
    headers = {
        "x-api-key": "dummy",
        "authorization": "Bearer dummy",
        "cookie": "c=1",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "one,two",
        "user-agent": "claude-cli/2.1.330",
        "x-app": "cli",
        "x-forwarded-for": "1.2.3.4",
    }
    transport = httpx.AsyncHTTPTransport(uds=str(socket), verify=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://relay", headers=headers, timeout=20) as client:
        yield client


async def raw(socket: Path, data: bytes, *, wait: float = 3.0) -> bytes:
    """Everything that is answered to these bytes until the relay closes, or says no more."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    got = b""
    try:
        writer.write(data)
        await writer.drain()
        while chunk := await asyncio.wait_for(reader.read(65536), wait):
            got += chunk
            wait = 0.2
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return got


def post(target: str = "/v1/messages", *headers: str, body: bytes = BODY, method: str = "POST") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "host: api.anthropic.com", f"content-length: {len(body)}", *headers]
    if not any(header.startswith("connection") for header in headers):
        lines.append("connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def status(answer: bytes) -> int:
    return int(answer.split()[1]) if answer else 0


def report(measured: Measured, what: str, attempts: int, successes: int) -> None:
    assert attempts > 0
    measured(f"relay attacks: {what}: {attempts} attempts / {successes} successes")
    assert successes == 0
