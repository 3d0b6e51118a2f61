"""An application on a Unix socket, with the process behind each connection as its client.

Of uvicorn it takes the protocol and not the server, which would look every 100 ms whether it should stop, and handle
signals that are the daemon's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import uvicorn
from loguru import logger
from msgspec import Struct
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from agent.errors import ConfigurationError, PodTrouble
from agent.http1 import CHUNK, Bounded
from agent.relay.peers import connected

LONGEST_PATH: Final = 107
"""Bytes: the kernel has room for 108, and the last one is 0."""
MOST_CONNECTIONS: Final = 64
"""At once, of all that do not own the way to the model; the sandbox must not use up the descriptors of the pod,"""
MOST_OF_OWNER: Final = 16
"""and so many more of the one that does: whatever others hold, there is room for it."""
LONGEST_HEAD: Final = 1 << 16
"""Bytes of a request's line and headers."""
_KEPT_ALIVE: Final = 86_400
"""Seconds. A connection that is closed from here could cross the client's next request on its way."""


class _Reports(logging.Handler):
    """What the protocol reports is ours to log."""

    def emit(self, record: logging.LogRecord) -> None:
        cancelled = record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError)
        level = "ERROR" if record.exc_info and not cancelled else "DEBUG"
        logger.opt(exception=None if cancelled else record.exc_info).log(
            level, "relay: {}", record.getMessage().strip()
        )


_reports = logging.Logger("agent.relay")  # noqa: LOG001 - outside the tree: no handler of the root prints it
_reports.setLevel(logging.WARNING)
_reports.addHandler(_Reports())


class Guests(Struct, frozen=True):
    """Who comes.

    Attributes:
        own: whether a process, by its id, owns the way to the model.
        turned_away: called when one that does not was one too many.
    """

    own: Callable[[int], bool]
    turned_away: Callable[[], None]


class _Connection(Bounded):
    """HTTP/1.1 by h11, strict in what it takes; its `client` is ("pid", the process id)."""

    def __init__(self, *args: Any, guests: Guests, room: memoryview) -> None:
        super().__init__(*args, longest_head=LONGEST_HEAD, room=room)
        self._guests = guests
        self._owns = False
        self.logger = _reports
        self.access_log = False

    @property
    def is_known(self) -> bool:
        """It owns the way to the model."""
        return self._owns

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note who it is; one connection too many is closed unheard."""
        super().connection_made(transport)
        pid = connected(transport.get_extra_info("socket"))
        self.client = ("pid", pid)
        self._owns = self.conn.takes_chunks = self._guests.own(pid)
        alike = sum(isinstance(one, _Connection) and one.is_known == self._owns for one in self.connections)
        if alike > (MOST_OF_OWNER if self._owns else MOST_CONNECTIONS):
            if not self._owns:
                self._guests.turned_away()
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """However it ended, no timer keeps it."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, path: Path, guests: Guests) -> AsyncIterator[None]:
    """Serve an application on a Unix socket for this user alone, until the block ends; then at once no longer.

    Requests that are not answered at the end are cancelled. Neither the socket nor a task is left behind.

    Raises:
        ConfigurationError: the path is too long for a socket.
        PodTrouble: there is no room for a socket at this path.
    """
    config = uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # they would let a request say who it is
        date_header=False,
        server_header=False,
        timeout_keep_alive=_KEPT_ALIVE,
    )
    config.load()
    state = ServerState()
    loop, room = asyncio.get_running_loop(), memoryview(bytearray(CHUNK))
    with _bound(path) as listener:
        server = await loop.create_unix_server(
            lambda: _Connection(config, state, {}, loop, guests=guests, room=room), sock=listener
        )
        try:
            yield
        finally:
            server.close()
            await _end(state)
            await server.wait_closed()


async def _end(state: ServerState) -> None:
    tasks = list(state.tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for connection in list(state.connections):
        connection.transport.abort()
    await asyncio.sleep(0)  # the connections are told in the loop's next round


@contextlib.contextmanager
def _bound(path: Path) -> Iterator[socket.socket]:
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ConfigurationError(
            f"the path {path} has {len(os.fsencode(path))} bytes, and a socket's at most {LONGEST_PATH}: "
            "choose a shorter `state` folder"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            if path.is_socket():
                path.unlink()
            listener.bind(str(path))
            path.chmod(0o600)  # nobody can connect before it listens
            born = path.stat()
        except OSError as error:
            raise PodTrouble(f"there can be no socket at {path}: {error.strerror or error}") from error
        try:
            yield listener
        finally:
            with contextlib.suppress(OSError):
                found = path.lstat()
                if (found.st_dev, found.st_ino) == (born.st_dev, born.st_ino):
                    path.unlink()
