"""The relay as an ASGI application: one way to the Messages API, for one process, one request at a time."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping
from typing import Any, Final

from loguru import logger
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from agent.errors import AgentError
from agent.relay.exchange import Exchange
from agent.relay.peers import Owner
from agent.relay.record import Record
from agent.relay.refusal import Refusal
from agent.relay.request import Malformed, Unfit, judge
from agent.relay.upstream import Question, Upstream

LARGEST_REQUEST: Final = 32 << 20
"""Bytes of a request to the model: the API takes no larger one."""
LARGEST_QUESTION: Final = 1 << 20
"""Bytes of a request to the broker."""
GRACE: Final = 2.0
"""Seconds that a request waits for its predecessor: a client that gave one up may ask again at once."""
FORWARDED: Final = (b"anthropic-version", b"anthropic-beta")
"""The headers of a request that the API gets; what the body is, the relay says itself: it has judged it as that."""
QUERIES: Final = ("", "beta=true")
"""What the tried programs ask with. A gateway may look for a model or a beta there, and nobody has priced those."""

Develop = Callable[[bytes], Awaitable[tuple[int, Mapping[str, Any]]]]
"""The Nix broker: from the body of a request to the status and the document of an answer. It bounds itself."""


class App:
    """The relay of one session.

    Args:
        upstream: the API.
        key: what never goes back.
        models: the names that may be asked for.
        priced: what else may be asked for, and how many times the plain price it costs (`request.DEARER`).
        more_keys: what a request may hold at its top beside what is known (`request.KNOWN`).
        record: what was used, and whether the run may go on.
        owner: who may ask the model.
        nix: the broker, if there is one; every process of the sandbox may ask it.

    Attributes:
        stranger: why the last request to the model came from a process that may not; empty if it did not.
        unfit: why the last one was not what the API may be asked; likewise.
        crowded: whether processes that may not ask have taken all connections that there are for them since the last one.
        answered: whether the API has answered the last one that was passed on.
    """

    def __init__(
        self,
        upstream: Upstream,
        *,
        key: str,
        models: Collection[str],
        priced: Mapping[str, float],
        more_keys: Collection[str],
        record: Record,
        owner: Owner,
        nix: Develop | None,
    ) -> None:
        self._upstream = upstream
        self._key = key.encode("ascii")
        self._models = tuple(models)
        self._judge = functools.partial(judge, models=tuple(models), priced=priced, more_keys=tuple(more_keys))
        self._record = record
        self._owner = owner
        self._nix = nix
        self._turn = asyncio.Lock()
        self.stranger = self.unfit = ""
        self.crowded = self.answered = False

    def crowd(self) -> None:
        """There is no connection left for others."""
        self.crowded = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what is refused is refused in a sentence."""
        try:
            await self._route(scope, receive, send)
        except Refusal as refusal:
            logger.debug("relay {}: refused with {}, {}", scope["method"], refusal.status, refusal.sentence)
            await refusal.response()(scope, receive, send)
        except ClientDisconnect:
            logger.debug("relay {}: the client went away", scope["method"])

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The path as it was sent: nothing is decoded, joined or resolved, so there is no second spelling of one.
        path = scope["raw_path"]
        if path == b"/v1/messages":
            answer = self._messages
        elif path == b"/nix/develop" and self._nix is not None:
            answer = self._develop
        else:
            raise Refusal(404, "the relay has no such endpoint: it passes on POST /v1/messages alone")
        if scope["method"] != "POST":
            raise Refusal(405, "the relay takes POST alone")
        await answer(Request(scope, receive), send)

    async def _messages(self, request: Request, send: Send) -> None:
        # Where nothing may be asked, `judge` says so to all.
        if self._models and (sentence := self._owner.refuses(request.client.port if request.client else 0)):
            self.stranger = sentence
            raise Refusal(403, sentence)
        async with self._alone():
            question, factor = await self._question(request)
            if sentence := await self._record.begin(factor):
                raise Refusal(403, sentence)
            self.stranger = self.unfit = ""
            self.crowded = self.answered = False
            exchange = Exchange(self._upstream, self._record, self._key, send)
            try:
                await _while_there(request, exchange.run(question))
            finally:
                self.answered = exchange.answered

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """One request at a time, its body included: so neither the budget nor the memory can be overrun side by side."""
        try:
            await asyncio.wait_for(self._turn.acquire(), GRACE)
        except TimeoutError:
            raise Refusal(
                403, "the model is asked one thing at a time, and the one before is not answered yet"
            ) from None
        try:
            yield
        finally:
            self._turn.release()

    async def _question(self, request: Request) -> tuple[Question, float]:
        query = request.scope["query_string"].decode("latin-1")
        if query not in QUERIES:
            raise Refusal(400, f"the query is none of a known program: {' or '.join(map(repr, QUERIES))}")
        body = await _body(request, LARGEST_REQUEST)
        betas = [one.strip() for line in request.headers.getlist("anthropic-beta") for one in line.split(",")]
        try:  # in a thread, since it may be large
            factor = await asyncio.to_thread(self._judge, body, betas=betas)
        except Malformed as malformed:
            raise Refusal(400, str(malformed)) from None
        except Unfit as unfit:
            self.unfit = str(unfit)
            raise Refusal(403, str(unfit)) from None
        headers = tuple((name, value) for name, value in request.headers.raw if name in FORWARDED)
        return Question(query, headers, body), factor

    async def _develop(self, request: Request, send: Send) -> None:
        body = await _body(request, LARGEST_QUESTION)
        await _while_there(request, self._evaluate(body, request, send))

    async def _evaluate(self, body: bytes, request: Request, send: Send) -> None:
        assert self._nix is not None  # noqa: S101 - there is no route otherwise
        try:
            status, document = await self._nix(body)
        except AgentError as error:
            raise Refusal(503, str(error)) from error
        await JSONResponse(document, status)(request.scope, request.receive, send)


async def _body(request: Request, limit: int) -> bytes:
    """The whole body.

    Raises:
        Refusal: it is too large.
        ClientDisconnect: it breaks off.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise Refusal(413, f"the request is larger than {limit >> 20} MiB")
    return bytes(body)


async def _while_there(request: Request, work: Coroutine[Any, Any, None]) -> None:
    """Do the work while the client is there, and drop it when it goes.

    Raises:
        ClientDisconnect: it went.
    """
    working = asyncio.create_task(work, name="relay request")
    leaving = asyncio.create_task(_gone(request), name="relay client")
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
    if working.cancelled():
        raise ClientDisconnect
    working.result()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
