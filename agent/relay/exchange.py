"""One request passed on to the Messages API, and its answer back, counted on the way."""

from __future__ import annotations

import asyncio
import traceback
from typing import Final

import httpx
from loguru import logger
from starlette.types import Send

from agent.network import PACKED, packing, plain
from agent.relay.meter import Meter
from agent.relay.record import Record
from agent.relay.redact import Redacted
from agent.relay.refusal import Refusal
from agent.relay.upstream import NOT_SENT, RETURNED, Question, Upstream

LONGEST_ANSWER: Final = 32 << 20
"""Bytes of an answer that are passed on; the longest that a model can write, with its events, has a few."""


class TooLong(httpx.RemoteProtocolError):
    """The API goes on and on."""


class Exchange:
    """A turn that has begun: its answer goes back byte by byte, as it comes.

    What the answer counts is on disk before its last byte is passed on, also of one that breaks off or is cancelled.
    One that the API cuts ends without an end, so that the client sees it.

    Attributes:
        answered: whether all of an answer has come and been passed on.
    """

    def __init__(self, upstream: Upstream, record: Record, key: bytes, send: Send) -> None:
        self._upstream = upstream
        self._record = record
        self._key = key
        self._send = send
        self._meter = Meter()
        self._hidden = Redacted(key)
        self._taken = True
        """Whether it counts as a turn: the API did not turn it down."""
        self._passing = False
        """Whether the client has got a part of the answer, and can get no other one."""
        self._outcome = "no answer"
        self.answered = False

    async def run(self, question: Question) -> None:
        """Ask, and pass the answer on.

        Raises:
            Refusal: there is no answer to pass on.
        """
        started = asyncio.get_running_loop().time()
        try:
            failed = await self._attempt(question)
        finally:
            await self._settle(started)
        if failed and not self._passing:
            raise failed
        if not failed:
            self.answered = self._taken and not self._meter.error
            await self._send({"type": "http.response.body", "body": self._hidden.rest()})

    async def _attempt(self, question: Question) -> Refusal | None:
        """Pass on all but the end; what the client is told if that did not work."""
        try:
            async with self._upstream.messages(question) as answer:
                self._outcome, self._taken = str(answer.status_code), answer.is_success
                if answer.is_redirect:
                    return Refusal(502, "the model's API is at another address: the pod's setting `model.api` is wrong")
                if packing(answer) not in ("", PACKED):
                    return Refusal(502, "the model's API packs its answers in a way that was not asked for")
                await self._pass_on(answer)
        except httpx.HTTPError as error:
            word = type(error).__name__
            self._taken = self._taken and not isinstance(error, NOT_SENT)
            self._outcome += f", {word}"
            status = 504 if isinstance(error, httpx.TimeoutException) else 502
            return Refusal(status, f"the model's API did not answer ({word})")
        except Exception as error:  # noqa: BLE001 - whatever it is, what it quotes may hold the key
            self._outcome += f", {type(error).__name__}"
            trace = "".join(traceback.format_exception(error)).replace(self._key.decode("ascii"), "[redacted]")
            logger.error("relay: a request failed in a way that nobody foresaw\n{}", trace)
            return Refusal(500, "the relay itself failed; the pod's log tells how")
        return None

    async def _pass_on(self, answer: httpx.Response) -> None:
        headers = [
            (name.encode("ascii"), value.encode("latin-1", "replace").replace(self._key, b""))
            for name in RETURNED
            if (value := answer.headers.get(name))
        ]
        await self._send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        self._passing = True
        passed = 0
        async for chunk in plain(answer):
            passed += len(chunk)
            if passed > LONGEST_ANSWER:
                raise TooLong(f"an answer of more than {LONGEST_ANSWER >> 20} MiB")
            self._meter.feed(chunk)
            if self._taken:
                await self._record.count(self._meter.seen)
            if text := self._hidden.feed(chunk):
                await self._send({"type": "http.response.body", "body": text, "more_body": True})

    async def _settle(self, started: float) -> None:
        self._meter.close()
        if self._taken and (self._meter.begun or not self._meter.error):
            await self._record.count(self._meter.seen)
        else:
            await self._record.undo()
        took = 1000 * (asyncio.get_running_loop().time() - started)
        tokens = self._meter.seen.tokens
        logger.debug("relay messages: {} in {:.0f} ms, {} tokens", self._outcome, took, tokens)
