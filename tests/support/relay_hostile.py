"""Run as a process: one relay between a hostile client and a hostile API; prints what became of it as JSON.

Arguments: what the client sends (`plain`, or a JSON text that is repeated), what the API answers (`plain`, or a text likewise),
and how often that is packed.
Peak memory is the process's own, so both sides make their bytes piece by piece.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import httpx

from agent.relay import Budget, Prices, Relay
from agent.relay.app import LARGEST_REQUEST
from support.heartbeat import Heart
from support.memory import peak

MODEL: Final = "claude-sonnet-5"
FLOOD: Final = 5 << 30
"""Bytes that a hostile API has to say."""
HEAD: Final = f'{{"model":"{MODEL}","messages":['.encode()
TAIL: Final = b"1]}"
ANSWER: Final = b'{"type":"message","usage":{"input_tokens":3,"output_tokens":4}}'


class Flood(httpx.AsyncByteStream):
    """What the API answers."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._unit == "plain":
            yield ANSWER
            return
        first, _, rest = self._unit.partition("|")
        yield first.encode()
        piece = rest.encode() * (65536 // len(rest))
        while self.sent < FLOOD:
            self.sent += len(piece)
            yield piece


BOMB: Final = 500 << 20
"""Bytes of an answer that is packed, before that: more than the process may take."""


def packed(times: int) -> bytes:
    """A long answer; twice packed it is some kilobytes."""
    body = io.BytesIO()
    with gzip.GzipFile(fileobj=body, mode="wb", compresslevel=1) as file:
        for _ in range(BOMB >> 20):
            file.write(b" " * (1 << 20))
    whole = body.getvalue()
    for _ in range(times - 1):
        whole = gzip.compress(whole)
    return whole


async def main(sent: str, answered: str, times: str) -> None:
    """One request and its answer."""
    flood = Flood(answered)
    bomb = packed(int(times)) if int(times) else b""

    async def api(request: httpx.Request) -> httpx.Response:
        await request.aread()
        kind = "application/json" if answered.startswith(("plain", "{")) else "text/event-stream"
        if bomb:
            coding = ", ".join(["gzip"] * int(times))
            return httpx.Response(
                200, headers={"content-type": kind, "content-encoding": coding}, content=_pieces(bomb)
            )
        return httpx.Response(200, headers={"content-type": kind}, stream=flood)

    with tempfile.TemporaryDirectory() as folder:
        relay = Relay(
            api="http://api.test",
            key="secret",
            models=(MODEL,),
            prices=Prices(input=1, output=1, cache_read=1, cache_write=1),
            budget=Budget(tokens=10**9, turns=9, usd=10**6),
            record=Path(folder) / "usage",
            transport=httpx.MockTransport(api),
        )
        async with relay.serving(Path(folder) / "s"):
            before = peak()
            heart = Heart()
            status, size = await ask(Path(folder) / "s", sent)
            heart.look()
            heart.stop()
    found = {
        "status": status,
        "size": size,
        "sent": flood.sent,
        "before": int(before),
        "peak": int(peak()),
        "stood": heart.longest,
        "tokens": relay.usage.tokens,
        "unfit": relay.unfit,
    }
    sys.stdout.write(json.dumps(found))


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), 65536):
        yield body[at : at + 65536]


async def ask(socket: Path, unit: str) -> tuple[int, int]:
    """Status and size of the answer."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    word = unit.encode()
    count = 0 if unit == "plain" else (LARGEST_REQUEST - len(HEAD) - len(TAIL)) // len(word)
    size = len(HEAD) + count * len(word) + len(TAIL)
    writer.write(f"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\n\r\n".encode() + HEAD)
    step = max(1, 65536 // len(word))
    while count > 0:
        writer.write(word * min(step, count))
        await writer.drain()
        count -= step
    writer.write(TAIL)
    status = int((await reader.readline()).split()[1])
    got, last = 0, b""
    while data := await reader.read(1 << 16):
        got += len(data)
        last = (last + data)[-7:]  # however it comes in pieces
        if last == b"\r\n0\r\n\r\n" or (got < 1 << 16 and status != 200):
            break
    writer.close()
    return status, got


asyncio.run(main(*sys.argv[1:]))
