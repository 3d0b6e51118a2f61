"""Strangers who do what they can to a board that knows none of them: `python -m support.besiegers HOST PORT CONNECTIONS SECONDS`.

Each connection plays one part, and when it is thrown out it comes back and plays it again, until the time is over. Loopback only.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

BODY = 64 << 20
PATIENCE = 0.5
Part = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: board", *lines, "", ""]).encode()


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def half_a_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET /api/v3 HTTP/1.1\r\nhost: board\r\nx-slow: ")
    await dribble(reader, writer)


async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while not reader.at_eof():
        writer.write(b"x")
        await writer.drain()
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(1 << 16), PATIENCE)


async def large_body(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(head("POST", "/api/v3/work_packages", "content-type: application/json", f"content-length: {BODY}"))
    for _i in range(BODY >> 16):
        writer.write(b"{}," * ((1 << 16) // 3) + b" ")
        await writer.drain()


async def large_body_to_the_page(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(head("POST", "/page/sign-in", "content-type: application/json", f"content-length: {BODY}"))
    for _i in range(BODY >> 16):
        writer.write(b"x" * (1 << 16))
        await writer.drain()


async def endless_chunks(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    kind = "content-type: multipart/form-data; boundary=x"
    writer.write(head("POST", "/api/v3/work_packages/1/attachments", kind, "transfer-encoding: chunked"))
    while True:
        writer.write(b"1\r\na\r\n" * 1000)
        await writer.drain()


async def broken_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(head("POST", "/api/v3/work_packages", "transfer-encoding: chunked") + b"1\r\na\r\nno size\r\n")
    await reader.read()


async def expects(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(head("POST", "/api/v3/work_packages", "expect: 100-continue", f"content-length: {BODY}"))
    assert b" 100 " not in await reader.read()


async def slow_sign_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(head("POST", "/page/sign-in", "content-type: application/json", "content-length: 4000"))
    await dribble(reader, writer)


async def long_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(head("GET", "/" + "x" * (1 << 20)))
    await reader.read()


async def many_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(head("GET", "/api/v3", *["a:"] * 8000))
    await reader.read()


async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(head("GET", "/api/v3", "connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13"))
    await reader.read()


async def pipeline(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for _i in range(1000):
        writer.write(head("GET", "/page/assets/columns.js") * 10)
        await writer.drain()


async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x1b[31m\x00\xff\r\n<6>forged line\r\n\r\n")
    await reader.read()


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(head("POST", "/page/sign-in", "content-type: application/json", "content-length: 4000") + b'{"tok')
    await asyncio.sleep(PATIENCE)
    writer.transport.abort()


async def paths(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(head("GET", "/api/v3/%1b[31m%0a<6>forged", "authorization: Basic !!!", "cookie: agent_session_=x"))
    await reader.read(1000)


PARTS: tuple[Part, ...] = (
    silent, half_a_head, large_body, large_body_to_the_page, endless_chunks, broken_chunks, expects, slow_sign_in, long_head,
    many_headers, upgrade, pipeline, nonsense, hang_up, paths,
)  # fmt: skip


async def _play(host: str, port: int, part: Part, end: float, count: Counter[str]) -> None:
    while time.monotonic() < end:
        writer = None
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            reader, writer = await asyncio.open_connection(host, port)
            count[part.__name__] += 1
            await asyncio.wait_for(part(reader, writer), max(0.1, end - time.monotonic()))
        if writer is not None:
            writer.transport.abort()
        await asyncio.sleep(PATIENCE)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def besiege(host: str, port: int, connections: int, seconds: float) -> Counter[str]:
    assert ipaddress.ip_address(host).is_loopback
    count: Counter[str] = Counter()
    end = time.monotonic() + seconds
    say("ready")
    async with asyncio.TaskGroup() as group:
        for number in range(connections):
            group.create_task(_play(host, port, PARTS[number % len(PARTS)], end, count))
    return count


if __name__ == "__main__":
    found = asyncio.run(besiege(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
    say(json.dumps(found))
