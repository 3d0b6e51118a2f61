"""The bodies of requests: who sends one is known before it is read, it is bounded, and what is large waits on the disk, not in memory."""

import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeAlias

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import ApiError, DiskFull
from .store import is_full

LONGEST_JSON = 2 << 20
"""Bytes of a body that becomes objects in memory: they may be twenty times as large."""
OVERHEAD = 64 << 10
"""What an upload may have beside its file."""
_IN_MEMORY = 64 << 10

Raw: TypeAlias = bytes | mmap.mmap


class Gone(Exception):
    """Whoever sent it hung up in the middle: there is nobody to answer."""


@contextmanager
def spool(board: Path) -> Iterator[IO[bytes]]:
    """Where a body is put while it comes in: from a certain size on a file without a name, beside the board's."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(board)) as file:
        yield file


async def take(request: Request, file: IO[bytes], longest: int) -> None:
    """Put the body into a file.

    Raises:
        ApiError: 413, it is longer, and the rest is not read; 507, there is no room for it.
        Gone: it ended too early.
    """
    announced = request.headers.get("content-length", "")
    size = longest + 1 if len(announced) > len(str(longest)) else int(announced or "0")
    try:
        if size <= longest:
            size = 0
            async for chunk in request.stream():
                size += len(chunk)
                if size > longest:
                    break
                file.write(chunk)
            file.flush()
    except ClientDisconnect:
        raise Gone from None
    except OSError as error:
        if is_full(error):
            raise DiskFull from error
        raise
    if size > longest:
        raise ApiError(413, "InvalidRequestBody", "body_too_large", {"bytes": str(longest)})


def content(file: IO[bytes]) -> Raw:
    """All of it, without a copy of what is on the disk."""
    size = file.tell()
    file.seek(0)
    if size <= _IN_MEMORY:
        return file.read()
    return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)


def has_body(scope: Scope) -> bool:
    """Whether something follows the head of a request."""
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip(b"0") != b""


class Courtesy:
    """Says `connection: close` with an answer that is given before the end of its request: the rest of that is not read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application around the application."""
        unread = scope["type"] == "http" and has_body(scope)

        async def heard() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and bool(message.get("more_body"))
            return message

        async def said(message: Message) -> None:
            if unread and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await self._app(scope, heard, said)
