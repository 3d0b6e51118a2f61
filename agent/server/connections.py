"""Who is connected: how many, for how long, and what is held for whom before the board knows who it is.

    stranger ──a request with a token or a session──► known: from there on nobody's coming drives it out

Of strangers there are at most `MOST_STRANGERS`: whoever came first goes first, so that the newest, who may be about to say who
they are, always find room. Addresses play no part: behind a proxy all have one. A body stays in the network until the
application asks for it, which it does when it knows who sends it. Strangers that were answered and still did not say who they
are, and ask on, wait for each other: one of them is let in each turn of the loop, so that together they weigh like one who is known.
"""

import asyncio
import contextlib
from typing import Any, cast

from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import RequestResponseCycle
from uvicorn.server import ServerState

from agent.http1 import CHUNK, Bounded

LONGEST_HEAD = 32 << 10
"""Bytes of a request's line and its headers; a query may have 10 KiB."""
MOST_STRANGERS = 256
MOST_OF_ACCOUNT = 512
"""The pods of a fleet may share one account."""
HEADER_SECONDS = 10.0
"""For the head of a request, from its first byte or from the connection's beginning; of a stranger for the body too."""
IDLE_SECONDS = 60.0
"""Of silence: between two requests, in the middle of a body, while somebody does not read."""
BODY_SECONDS = 600.0
"""For a whole body."""
LINGER_SECONDS = 30.0
"""For the rest of a request that is answered already: it is taken from the network and forgotten at once,"""
LONGEST_LINGER = 128 << 20
"""so many bytes of it: most programs read an answer only when all that they have to say is said."""
LINGER_SECONDS_OF_STRANGER = 2.0
LONGEST_LINGER_OF_STRANGER = 256 << 10
_STATE = "connection"


class Crowd:
    """All connections of one server, each group in the order of its coming."""

    def __init__(self) -> None:
        self.room = memoryview(bytearray(CHUNK))
        self.strangers: dict[Connection, None] = {}
        self.known: dict[int, dict[Connection, None]] = {}
        self._waiting: dict[Connection, None] = {}
        self._letting_in = False

    def came(self, connection: "Connection") -> None:
        """Somebody more, of whom nothing is known."""
        self.strangers[connection] = None
        _bound(self.strangers, MOST_STRANGERS)

    def knows(self, connection: "Connection", account: int) -> None:
        """It is this account's."""
        if connection in self.strangers:
            del self.strangers[connection]
            self.known.setdefault(account, {})[connection] = None
            _bound(self.known[account], MOST_OF_ACCOUNT)

    def left(self, connection: "Connection", account: int | None) -> None:
        """Somebody less."""
        self.strangers.pop(connection, None)
        self._waiting.pop(connection, None)
        if account in self.known:
            self.known[account].pop(connection, None)
            if not self.known[account]:
                del self.known[account]

    def waits(self, connection: "Connection") -> None:
        """A stranger asks once more."""
        self._waiting[connection] = None
        if not self._letting_in:
            self._letting_in = True
            connection.loop.call_soon(self._let_in, connection.loop)

    def _let_in(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting:
            connection = next(iter(self._waiting))
            del self._waiting[connection]
            connection.go_on()
        self._letting_in = bool(self._waiting)
        if self._letting_in:
            loop.call_soon(self._let_in, loop)

    def sweep(self, now: float) -> None:
        """End those whose time is over."""
        for some in (self.strangers, *self.known.values()):
            for connection in [one for one in some if one.deadline < now]:
                connection.end()


def _bound(some: "dict[Connection, None]", most: int) -> None:
    while len(some) > most:
        oldest = next(iter(some))
        del some[oldest]
        oldest.end()


class Connection(Bounded):
    """A connection with a deadline for whatever is waited for.

    Args:
        config: uvicorn's.
        server_state: likewise.
        app_state: what every request's scope holds; it gets this connection too.
        crowd: where it is counted.
        _loop: its event loop.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        crowd: Crowd,
    ) -> None:
        state = {**app_state, _STATE: self}
        super().__init__(config, server_state, state, _loop, longest_head=LONGEST_HEAD, room=crowd.room)
        self._crowd = crowd
        self._forgotten = 0
        self._body_until = 0.0
        self.parting = False
        self.account: int | None = None
        self.deadline = self.loop.time() + HEADER_SECONDS

    @property
    def is_known(self) -> bool:
        """Somebody has said, and proved, who it is."""
        return self.account is not None

    def belongs_to(self, account: int) -> None:
        """Somebody has proved who it is."""
        if self.account is None:
            self.account = account
            self._crowd.knows(self, account)
            self._wait()

    def end(self) -> None:
        """At once, whatever was going on."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it."""
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", _Parting(transport, self))
        self._crowd.came(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._crowd.left(self, self.account)
        super().connection_lost(exc)

    def came(self, data: bytes) -> None:
        """Some bytes came."""
        if self.parting:
            self._forgotten += len(data)
            if self._forgotten > (LONGEST_LINGER if self.is_known else LONGEST_LINGER_OF_STRANGER):
                self.end()
            return
        if not self._answering and not self._head.has_begun:
            self.deadline = self.loop.time() + HEADER_SECONDS
        super().came(data)

    def handle_events(self) -> None:
        """What has come so far. Of a new request no more than its head is taken, until the application asks for the rest."""
        if not self.is_known and self._cycle is not None and not self._answering and not self.parting:
            self.flow.pause_reading()
            self._crowd.waits(self)
        else:
            self._take()

    def go_on(self) -> None:
        """It is its turn."""
        if not self.transport.is_closing():
            self.flow.resume_reading()
            self._take()

    def _take(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._body_until = self.loop.time() + BODY_SECONDS
            if self.cycle.more_body and not self.parting:
                self.flow.pause_reading()
        self._wait()

    def send_400_response(self, msg: str) -> None:
        """Nonsense. What was being answered is answered no more: nobody could tell where it ends."""
        if self._answering:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.end()
                return
        super().send_400_response(msg)

    def pause_writing(self) -> None:
        """Somebody does not read as fast as is written."""
        super().pause_writing()
        self.deadline = self.loop.time() + IDLE_SECONDS

    def resume_writing(self) -> None:
        """Somebody has read on."""
        super().resume_writing()
        self._wait()

    def on_response_complete(self) -> None:
        """The next request, or the end."""
        if not self.parting:
            self.deadline = self.loop.time() + IDLE_SECONDS
        super().on_response_complete()

    def shutdown(self) -> None:
        """The server stops."""
        if self.parting:
            self.end()
        else:
            super().shutdown()

    def part(self) -> bool:
        """Whether an answer is complete before its request: then the rest of that is let go by for a moment."""
        cycle = self._cycle
        if self.parting or cycle is None or not cycle.more_body:
            return False
        self.parting = True
        linger = LINGER_SECONDS if self.is_known else LINGER_SECONDS_OF_STRANGER
        self.deadline = self.loop.time() + linger
        return True

    @property
    def _cycle(self) -> RequestResponseCycle | None:
        """The last request with its answer; none before the first."""
        return self.cycle

    @property
    def _answering(self) -> bool:
        cycle = self._cycle
        return cycle is not None and not cycle.response_complete

    def _wait(self) -> None:
        """Within a request: for its body, else for the board itself, which takes its time for those whom it knows."""
        if self.parting or not self._answering or self.flow.write_paused:
            return
        now = self.loop.time()
        if not self.is_known:
            self.deadline = min(self.deadline, now + HEADER_SECONDS) if self.cycle.more_body else now + IDLE_SECONDS
        else:
            self.deadline = min(now + IDLE_SECONDS, self._body_until) if self.cycle.more_body else float("inf")


class _Parting:
    """A transport that does not slam the door.

    Closed in the middle of a request it says that nothing more will come, and lets what the other side still sends go by, or the
    answer could be lost with the connection (RFC 9112, section 9.6).
    """

    def __init__(self, transport: asyncio.Transport, connection: Connection) -> None:
        self._transport = transport
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._connection.parting or self._transport.is_closing()

    def close(self) -> None:
        """In order."""
        if self.is_closing() or not self._connection.part():
            self._transport.close()
            return
        self._connection.flow.resume_reading()
        with contextlib.suppress(OSError, RuntimeError):  # the other side has gone
            self._transport.write_eof()


def belongs_to(scope: Scope, account: int) -> None:
    """The connection of this request is this account's; from any thread."""
    connection = scope.get("state", {}).get(_STATE)
    if connection is None or connection.account is not None:
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # a thread that answers for the loop
        connection.loop.call_soon_threadsafe(connection.belongs_to, account)
    else:
        connection.belongs_to(account)
