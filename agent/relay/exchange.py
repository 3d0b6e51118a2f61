"""One request passed on to the Messages API, and its answer back, counted on the way."""

from __future__ import annotations

import asyncio
from typing import Final

import httpx
from loguru import logger
from starlette.types import Send

from agent.relay.meter import Meter
from agent.relay.record import Record
from agent.relay.redact import Redacted
from agent.relay.refusal import Refusal
from agent.relay.upstream import NOT_SENT, Question, Upstream

RETURNED: Final = ("content-type", "request-id", "retry-after", "x-should-retry")
"""The headers of an answer that the client gets."""


async def exchange(upstream: Upstream, question: Question, record: Record, key: bytes, send: Send) -> None:
    """Pass a question on and its answer back, byte by byte as it comes.

    The turn has begun; what the answer counts is on disk before its last byte is passed on, also of an answer that
    breaks off or is cancelled. An answer that the API cuts ends without its end, so that the client sees it.

    Raises:
        Refusal: there is no answer to pass on.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    meter, hidden = Meter(), Redacted(key)
    outcome, taken, passing, whole = "cancelled", True, False, False
    try:
        async with upstream.messages(question) as answer:
            outcome, taken = str(answer.status_code), answer.is_success
            if answer.is_redirect:
                raise Refusal(502, "the model's API is at another address: the pod's setting `model.api` is wrong")
            await send(_start(answer, key))
            passing = True
            async for chunk in answer.aiter_bytes():
                meter.feed(chunk)
                if taken:
                    record.count(meter.seen)
                if text := hidden.feed(chunk):
                    await send({"type": "http.response.body", "body": text, "more_body": True})
        whole = True
    except httpx.HTTPError as error:
        taken = taken and not isinstance(error, NOT_SENT)
        outcome = f"{outcome if passing else 'no answer'}, {type(error).__name__}"
        if not passing:
            status = 504 if isinstance(error, httpx.TimeoutException) else 502
            raise Refusal(status, f"the model's API did not answer ({type(error).__name__})") from None
    finally:
        meter.close()
        if taken and (meter.begun or not meter.error):
            record.count(meter.seen)
        else:
            record.undo()
        took = 1000 * (loop.time() - started)
        logger.debug("relay messages: {} in {:.0f} ms, {} tokens", outcome, took, meter.seen.tokens)
    if whole:
        await send({"type": "http.response.body", "body": hidden.rest()})


def _start(answer: httpx.Response, key: bytes) -> dict[str, object]:
    headers = [
        (name.encode("ascii"), value.encode("latin-1", "replace").replace(key, b""))
        for name in RETURNED
        if (value := answer.headers.get(name))
    ]
    return {"type": "http.response.start", "status": answer.status_code, "headers": headers}
