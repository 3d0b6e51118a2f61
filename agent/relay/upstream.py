"""The Messages API as the relay asks it, and as the preflight looks whether it is there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final, Self

import httpx
from msgspec import Struct

from agent.errors import ConfigurationError, PodTrouble
from agent.network import Curbed, Network

PATIENCE: Final = httpx.Timeout(600.0, connect=10.0, pool=10.0)
"""Seconds. A model may think for minutes without a word."""
SHORT_PATIENCE: Final = httpx.Timeout(20.0, connect=10.0)
LONGEST_PROBE: Final = 45.0
"""Seconds for the preflight's question in all: each byte of a slow answer starts the network's own time-outs again."""
VERSION: Final = "2023-06-01"

RETURNED: Final = ("content-type", "request-id", "retry-after", "x-should-retry")
"""The headers of an answer that the client gets; the others but for its packing are not looked at."""

NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""Errors after which the API has not seen the request."""


class Question(Struct, frozen=True):
    """A request to the model, as it is passed on."""

    query: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Upstream:
    """The API under one address with one key, which appears in its requests alone.

    Args:
        api: its address, with a path if any; a trailing `/v1` is understood.
        key: the key.
        transport: the network, replaceable at its lowest edge; also the way to a proxy, since the environment's is not read.
        patience: how long it may be silent.

    Raises:
        ConfigurationError: the address or the key cannot be one.
    """

    def __init__(
        self,
        api: str,
        key: str,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        patience: httpx.Timeout | None = None,
    ) -> None:
        self._base = _address(api)
        self.host = httpx.URL(self._base).netloc.decode("ascii")
        self._client = httpx.AsyncClient(
            headers={"x-api-key": _checked(key), "accept-encoding": "identity", "user-agent": "agent-relay"},
            timeout=patience or PATIENCE,
            transport=Curbed(transport or Network(trust_env=False), (*RETURNED, "content-encoding")),
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        """The API, its connections closed at the end of the block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    @contextlib.asynccontextmanager
    async def messages(self, question: Question) -> AsyncIterator[httpx.Response]:
        """Send a request for an answer; the answer's body is read by the caller, as it comes.

        Raises:
            httpx.HTTPError: there was no answer.
        """
        url = f"{self._base}/v1/messages" + (f"?{question.query}" if question.query else "")
        headers = httpx.Headers([*question.headers, (b"content-type", b"application/json")])
        async with self._client.stream("POST", url, headers=headers, content=question.body) as answer:
            yield answer

    async def models(self) -> int:
        """The status with which it answers a question that costs nothing; what it says besides is not read.

        Raises:
            httpx.HTTPError: there was no answer.
        """
        url = f"{self._base}/v1/models?limit=1"
        async with self._client.stream("GET", url, headers={"anthropic-version": VERSION}) as answer:
            return answer.status_code


async def probe(api: str, key: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
    """Look whether the model's API is there and takes the key.

    A gateway need not have the list of models: that it answers is enough.

    Raises:
        PodTrouble: it is not, or does not, or has no time now.
        ConfigurationError: the address or the key cannot be one.
    """
    async with Upstream(api, key, transport=transport, patience=SHORT_PATIENCE) as upstream:
        where = f"the model's API at {upstream.host}"
        try:
            async with asyncio.timeout(LONGEST_PROBE):
                code = await upstream.models()
        except (httpx.HTTPError, TimeoutError) as error:
            raise PodTrouble(
                f"{where} does not answer ({type(error).__name__}): check the network and `model.api`"
            ) from None  # the error's request carries the key
    if hint := _hint(code):
        raise PodTrouble(f"{where} answers {code}: {hint}")


def _hint(code: int) -> str:
    known = {
        401: "it does not take the key; set another one",
        402: "the account cannot pay; see to its billing",
        403: "the key is not allowed to ask; check its permissions, and from where it may be used",
        408: "it is busy; it will be asked again later",
        429: "the account's rate limit is reached; it will be asked again later",
    }
    if httpx.codes.is_redirect(code):
        return "it is somewhere else; set `model.api` to the address of the API itself"
    if httpx.codes.is_server_error(code):
        return "it is in trouble itself; it will be asked again later"
    return known.get(code, "")


def _address(api: str) -> str:
    try:
        url = httpx.URL(api.strip())
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query or url.fragment:
        raise ConfigurationError(
            "model.api is no address of an API: it begins with http:// or https:// and has no user name, password or query"
        )
    return str(url).rstrip("/").removesuffix("/v1").rstrip("/")


def _checked(key: str) -> str:
    if not key or not key.isascii() or not key.isprintable() or key != key.strip():
        raise ConfigurationError("the model's API key is empty or holds characters that no key has: set another one")
    return key
