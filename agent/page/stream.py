"""Server-sent events: what changes on the board, told to everybody who listens, each as far as they may see it."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import Any, Final

import msgspec
from loguru import logger
from starlette.types import Receive, Scope, Send

from agent.page.live import Live, Snapshot
from agent.server.sessions import Session

BEAT: Final = 0.5
"""Seconds from one look whether the file has changed to the next."""
HEARTBEAT: Final = 15.0
"""Seconds of silence after which a comment says that the stream is alive."""
PATIENCE: Final = 1.0
"""Seconds for the last words."""
START: Final = b"retry: 1000\n\n"
STILL_HERE: Final = b": still here\n\n"


class Hub:
    """Who listens. While somebody does, the file is watched."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self._streams: set[EventStream] = set()
        self._watching: asyncio.Task[None] | None = None
        self._stopped = False

    def of(self, user: int) -> int:
        """How many streams somebody has."""
        return sum(stream.session.viewer.id == user for stream in self._streams)

    def stop(self) -> None:
        """End every stream."""
        self._stopped = True
        if self._watching is not None:
            self._watching.cancel()
        for stream in self._streams:
            stream.end()

    def join(self, stream: EventStream) -> None:
        """Somebody more."""
        self._streams.add(stream)
        if self._stopped:
            stream.end()
        elif self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch(), name="watch the board")

    def leave(self, stream: EventStream) -> None:
        """Somebody less."""
        self._streams.discard(stream)

    async def check(self) -> None:
        """Tell those whose session has ended."""
        if not self._streams:
            return
        alive = await self.live.alive()
        for stream in self._streams:
            if stream.session.digest not in alive:
                stream.wake()

    async def _watch(self) -> None:
        told = None
        while self._streams:
            try:
                if await self.live.changed():
                    await self.check()
                    await self.live.latest()
                # Whoever asked for it: a stream that has just come, or a page.
                if self.live.present is not told:
                    told = self.live.present
                    for stream in self._streams:
                        stream.wake()
            except Exception as error:  # noqa: BLE001 - a disk that is full for a moment must not end it
                logger.opt(exception=error).error("the page cannot read the board")
                await asyncio.sleep(1.0)
            await asyncio.sleep(BEAT)


class EventStream:
    """One browser's stream, as the answer to its request.

    Args:
        hub: where it joins.
        cookie: of the session that it goes with.
        session: likewise.
        version: what the browser has; it goes on from there.
    """

    def __init__(self, hub: Hub, cookie: str, session: Session, version: str) -> None:
        self.session = session
        self._hub = hub
        self._cookie = cookie
        self._news = asyncio.Event()
        self._end = asyncio.Event()
        self._version = version
        self._told = hub.live.versions.find(version, session.viewer.id)

    def wake(self) -> None:
        """There may be something to tell."""
        self._news.set()

    def end(self) -> None:
        """Tell nothing more."""
        self._end.set()

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until the browser goes, the session ends or the server stops."""
        self._hub.join(self)
        tasks = [
            asyncio.create_task(self._write(send)),
            asyncio.create_task(_gone(receive)),
            asyncio.create_task(self._end.wait()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.leave(self)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if tasks[0] in done and not tasks[0].cancelled():
            tasks[0].result()
        # Who does not read does not read the end either.
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await send({"type": "http.response.body", "body": b""})

    async def _write(self, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await _more(send, START)
        time = asyncio.get_running_loop().time
        said = time()
        now = await self._hub.live.latest()
        while True:
            self._news.clear()
            now = self._hub.live.present or now
            event, goes_on = await self._hub.live.desk.do(partial(self._event, now))
            # News that are none for this browser do not count: it waits for a word as if there had been none.
            if event or time() >= said + HEARTBEAT:
                await _more(send, event or STILL_HERE)
                said = time()
            if not goes_on:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(said + HEARTBEAT):
                    await self._news.wait()

    def _event(self, now: Snapshot) -> tuple[bytes, bool]:
        """What is to be sent now, and whether anything may follow."""
        live = self._hub.live
        view = live.view_of(self._cookie, now)
        if view is None:
            return _event("signed-out"), False
        before, self._told = self._told, live.told(view, now)
        name, data, body = "reset", {}, b"reset"
        if before is not None and live.leads_on(before, self._told):
            delta = live.delta(before.number, now, view)
            if not delta.changed and not delta.gone and before.rest == self._told.rest:
                live.versions.keep(self._version, self._told)
                return b"", True
            name, data, body = "board", msgspec.to_builtins(delta), msgspec.json.encode(delta)
        self._version = live.versions.name(view.viewer.id, self._version.encode(), body)
        live.versions.keep(self._version, self._told)
        return _event(name, data and {"version": self._version, **data}, self._version), True


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _more(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


def _event(name: str, data: Any = None, id_: str = "") -> bytes:
    # JSON holds no line break outside a text, and in a text it is escaped.
    head = f"id: {id_}\nevent: {name}\ndata: " if id_ else f"event: {name}\ndata: "
    return head.encode() + msgspec.json.encode({} if data is None else data) + b"\n\n"
