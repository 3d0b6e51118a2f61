"""The network as the board's client and the relay use it: what of an answer reaches httpx, and how its body is unpacked.

httpx keeps every cookie that it is given, for ever, and looks through all of them at each request; it unpacks all at once
that came at once, a thousand times as much; and pieces that are there already are handed on without the loop getting a turn.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Collection
from typing import Final

import httpx

PACKED: Final = "gzip"
"""How an answer may be packed: once, since two layers make a gigabyte of a thousand bytes."""
LONGEST_HEAD: Final = 1 << 14
"""Bytes of the headers that are read: of an honest answer they have some hundred."""
_PIECE: Final = 1 << 16
"""Bytes that are unpacked at once, or handed on before the loop gets a turn."""
_EACH: Final = 1 << 10
"""What a piece weighs besides its bytes: it goes through a dozen hands."""
_GZIP: Final = 31
"""For zlib: the format of gzip, with its largest window."""


class Network(httpx.AsyncBaseTransport):
    """The real one. Certificates are loaded with the first https address, which takes longer than an idle pass else.

    Args:
        trust_env: whether the environment says whom to trust (`SSL_CERT_FILE`).
    """

    def __init__(self, *, trust_env: bool = True) -> None:
        self._trust_env = trust_env
        self._secured: httpx.AsyncHTTPTransport | None = None
        self._plain = httpx.AsyncHTTPTransport(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), trust_env=trust_env)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it."""
        if request.url.scheme == "http":
            return await self._plain.handle_async_request(request)
        if self._secured is None:
            self._secured = httpx.AsyncHTTPTransport(trust_env=self._trust_env)
        return await self._secured.handle_async_request(request)

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._plain.aclose()
        if self._secured is not None:
            await self._secured.aclose()


class Curbed(httpx.AsyncBaseTransport):
    """A transport whose answers hold the headers that somebody reads, and no others: no cookie is ever kept.

    Args:
        transport: the network.
        reads: the names of those headers.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, reads: Collection[str]) -> None:
        self._transport = transport
        self._reads = frozenset(name.encode("ascii") for name in reads)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it.

        Raises:
            httpx.HTTPError: there is no answer, or what is read of its head is too long.
        """
        answer = await self._transport.handle_async_request(request)
        assert isinstance(answer.stream, httpx.AsyncByteStream)  # noqa: S101 - what such a transport answers with
        head = [(name, value) for name, value in answer.headers.raw if name.lower() in self._reads]
        if sum(len(value) for _, value in head) > LONGEST_HEAD:
            await answer.stream.aclose()
            raise httpx.RemoteProtocolError(f"the head of the answer has more than {LONGEST_HEAD >> 10} KiB")
        return httpx.Response(
            answer.status_code, headers=head, stream=_Paced(answer.stream), extensions=answer.extensions
        )

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._transport.aclose()


class _Paced(httpx.AsyncByteStream):
    """A body between whose pieces the loop gets its turns, also where all of them are there already."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        weight = 0
        async for piece in self._stream:
            yield piece
            weight += len(piece) + _EACH
            if weight >= _PIECE:
                weight = 0
                await asyncio.sleep(0)

    async def aclose(self) -> None:
        await self._stream.aclose()


def packing(answer: httpx.Response) -> str:
    """How it is packed; empty if it is not."""
    coding = str(answer.headers.get("content-encoding", "")).strip().lower()
    return "" if coding == "identity" else coding


async def plain(answer: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it comes, unpacked piece by piece; for `packing` of "" and `PACKED`.

    Raises:
        httpx.HTTPError: it breaks off, or is not packed so.
    """
    unpacking = zlib.decompressobj(_GZIP) if packing(answer) else None
    async for chunk in answer.aiter_raw():
        if unpacking is None:
            yield chunk
            continue
        left = chunk
        while left and not unpacking.eof:
            try:
                piece = unpacking.decompress(left, _PIECE)
            except zlib.error as error:
                raise httpx.DecodingError(str(error)) from error
            left = unpacking.unconsumed_tail
            yield piece
            await asyncio.sleep(0)
    if unpacking is not None:
        yield unpacking.flush()
