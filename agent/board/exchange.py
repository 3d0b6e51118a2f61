"""One request to the board and its answer, over httpx.

Reads are repeated within a bound when the board is busy or silent; writes never are, but for 429, because only the
protocol knows whether a repetition is safe. No answer takes for ever, and none fills the memory.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import httpx
import tenacity
from loguru import logger

from agent.board import query, wire
from agent.board.wire import Malformed
from agent.clock import Clock, Randomness
from agent.errors import BoardError, ConfigurationError, Conflict, NotFound, Refused, TooLarge, Unreachable
from agent.network import PACKED, Curbed, Network, packing, plain

ATTEMPTS: Final = 4
"""How often a read is sent before the board counts as unreachable."""

LONGEST_WAIT: Final = 60.0
"""Seconds. Whoever is asked to come back later than that (`Retry-After`) does not wait within one request."""

LONGEST_ANSWER: Final = 180.0
"""Seconds for one request in all: each byte of a slow answer starts the network's own time-outs again."""

LARGEST_ANSWER: Final = wire.LARGEST
"""Bytes of one answer, unpacked."""

MOST_REDIRECTS: Final = 5
"""One after the other; a board that is moved needs one."""

_LONG: Final = 1 << 20
"""Bytes of a document that takes its time: some ten milliseconds."""

_LONGEST_WORD: Final = 300
"""Characters."""

_PATIENCE: Final = httpx.Timeout(60.0, connect=10.0)
_READ: Final = ("content-encoding", "location", "retry-after")
"""The headers of an answer that are looked at."""
_BUSY: Final = frozenset({408, 425, 429})


class _Busy(Unreachable):
    """An answer that invites a repetition; `retry_after` in seconds, None where the board did not say."""

    retry_after: float | None = None


class Exchange:
    """Sends requests in the name of one account; arguments as of `Board`.

    Raises:
        ConfigurationError: the url is none.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        transport: httpx.AsyncBaseTransport | None,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._url = url
        self._clock = clock
        self._randomness = randomness
        try:
            address = httpx.URL(f"{self._url}/api/v3/")
        except httpx.InvalidURL as error:
            raise ConfigurationError(f"board.url is no address of a board: {error}") from error
        self._client = httpx.AsyncClient(
            base_url=address,
            auth=httpx.BasicAuth("apikey", token),
            headers={"Accept": "application/hal+json, application/json", "Accept-Encoding": "gzip"},
            timeout=_PATIENCE,
            follow_redirects=False,  # it reads what each of them says, without a bound, before it looks where it leads
            transport=Curbed(transport or Network(), _READ),
            trust_env=False,
        )

    def _stays(self, place: httpx.URL) -> None:
        """A redirect is followed within the board's own origin, or from http to https there; as git's is.

        Another origin would get what is written, and what it answers would be taken for the board's.
        """
        board = self._client.base_url
        secured = (board.scheme, place.scheme, board.port, place.port) == ("http", "https", None, None)
        if place.host != board.host or not (secured or (place.scheme, place.port) == (board.scheme, board.port)):
            origin = place.copy_with(userinfo=b"", path="/", query=None, fragment=None)
            raise BoardError(f"The board at {self._url} is now at {_cut(origin)}: set board.url, if that is the board")

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def read(self, path: str, purpose: str, parameters: dict[str, str] | None = None) -> Any:
        """The document at a path below /api/v3; None for an empty one."""
        target = f"{path}?{query.query_string(parameters)}" if parameters else path
        return await self._repeated(partial(self._send, "GET", target, None, purpose), lambda _: True)

    async def write(self, method: str, path: str, body: Any, purpose: str, *, notify: bool | None = None) -> Any:
        """The answer to a write; see the module for when it is repeated."""
        target = path if notify is None else f"{path}?notify={'true' if notify else 'false'}"
        return await self._repeated(partial(self._send, method, target, body, purpose), _turned_away)

    async def _repeated(self, send: Callable[[], Awaitable[Any]], again: Callable[[_Busy], bool]) -> Any:
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            retry=tenacity.retry_if_exception(
                lambda error: isinstance(error, _Busy) and (error.retry_after or 0) <= LONGEST_WAIT and again(error)
            ),
            wait=self._pause,
            sleep=self._clock.sleep,
            reraise=True,
        )
        return await retrying(send)

    def _pause(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, _Busy) else None
        if asked is not None:
            return asked + self._randomness.uniform(0.0, 0.5)
        return self._randomness.uniform(0.0, min(LONGEST_WAIT, 0.5 * 2.0**state.attempt_number))

    async def _send(self, method: str, target: str, body: Any, purpose: str) -> Any:
        sent = None if body is None else wire.dump(body)
        started = self._clock.monotonic()
        try:
            async with asyncio.timeout(LONGEST_ANSWER):
                answer, content = await self._exchange(method, target, sent, purpose)
        except (httpx.InvalidURL, UnicodeError) as error:  # the latter is a host name that a redirect leads to
            raise BoardError(f"The board cannot be asked ({purpose}): {error}") from error
        except (httpx.RequestError, TimeoutError) as error:
            logger.debug("board {} {} for {}: {!r}", method, target.partition("?")[0], purpose, error)
            raise _Busy(f"The board at {self._url} did not answer ({purpose}): {_word(error)}") from error
        took = 1000 * (self._clock.monotonic() - started)
        logger.debug(
            "board {} {} for {}: {} in {:.0f} ms", method, target.partition("?")[0], purpose, answer.status_code, took
        )
        if answer.is_success:
            return await _parsed(content) if content else None
        raise self._error(answer, content, purpose)

    async def _exchange(
        self, method: str, target: str, sent: bytes | None, purpose: str
    ) -> tuple[httpx.Response, bytearray]:
        """The answer with its whole body, within bounds; what a redirect says besides where it leads is not read."""
        headers = {"Content-Type": "application/json"}
        known = {"purpose": purpose}  # for a transport that tells what it carries
        asked = self._client.build_request(method, target, content=sent, headers=headers, extensions=known)
        for _ in range(MOST_REDIRECTS + 1):
            async with contextlib.aclosing(await self._client.send(asked, stream=True)) as answer:
                if answer.next_request is None:
                    return answer, await self._body(answer, purpose)
            asked = answer.next_request
            self._stays(asked.url)
            if asked.method != method:
                raise Refused(
                    f"{self._url} redirects to {_cut(asked.url.copy_with(query=None))}, which loses what was to be "
                    f"written ({purpose}): set the address of the board itself",
                    status=answer.status_code,
                )
        raise Unreachable(f"The board at {self._url} redirects in a circle ({purpose})")

    async def _body(self, answer: httpx.Response, purpose: str) -> bytearray:
        if (packed := packing(answer)) not in ("", PACKED):
            raise Malformed(f"The board's answer is packed as “{packed[:40]}”, which was not asked for ({purpose})")
        body = bytearray()
        async for piece in plain(answer):
            body += piece
            if len(body) > LARGEST_ANSWER:
                raise TooLarge(f"The board's answer is larger than {LARGEST_ANSWER >> 20} MiB ({purpose})")
        return body

    def _error(self, answer: httpx.Response, content: bytearray, purpose: str) -> BoardError:
        message, identifier, attribute = wire.error(content)
        code = answer.status_code
        words = f"The board answered {code} to “{purpose}”: {message or _cut(answer.reason_phrase) or 'no words'}"
        kind = {404: NotFound, 409: Conflict}.get(code, Refused)
        if answer.is_server_error or code in _BUSY:
            busy = _Busy(words, status=code, identifier=identifier, attribute=attribute)
            busy.retry_after = _retry_after(answer.headers.get("Retry-After", ""))
            return busy
        return kind(words, status=code, identifier=identifier, attribute=attribute)


async def _parsed(content: bytearray) -> Any:
    """The document; the loop has a turn before and behind a long one, since what is made of it takes its time, too."""
    long = len(content) > _LONG
    if long:
        await asyncio.sleep(0)
    document = wire.parse(content)
    if long:
        await asyncio.sleep(0)
    return document


def _turned_away(error: _Busy) -> bool:
    """429 means that nothing was done: the one case in which a write may be repeated blindly."""
    return error.status == httpx.codes.TOO_MANY_REQUESTS


def _retry_after(header: str) -> float | None:
    """Seconds; the date form is passed over, since a board without a clock of its own cannot mean it well."""
    return float(header) if header.isascii() and header.isdigit() else None


def _word(error: Exception) -> str:
    return _cut(f"{type(error).__name__} {error}".strip())


def _cut(said: object) -> str:
    """What HTTP itself says may be as long as all of an answer's head."""
    return str(said)[:_LONGEST_WORD]
