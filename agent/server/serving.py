"""The board as a process: listens, says where, stops gracefully."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import cast

import uvicorn

from .connections import IDLE_SECONDS, Connection, Crowd
from .web import Site, build

ACCEPTED_AT_ONCE = 32
"""Connections, before those that are there have their turn."""
WAITING = 4096
"""Connections that the kernel holds until then."""
_TICKS = 10
"""Of uvicorn's, a second."""


class _Server(uvicorn.Server):
    """uvicorn that says when it accepts connections, ends those that take too long and leaves signals to whoever started it."""

    def __init__(self, config: uvicorn.Config, crowd: Crowd, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._crowd = crowd
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            # asyncio takes one number for both.
            listener.listen(WAITING)
        self._on_started()

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS == 0:
            self._crowd.sweep(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    folder: Path, host: str, port: int, on_listening: Callable[[str], None], site: Site | None = None
) -> None:
    """Serve the board in a folder until cancelled. Port 0 takes a free one; the url is told once connections are accepted.

    Args:
        folder: where the board is kept.
        host: where to listen.
        port: likewise.
        on_listening: gets the url.
        site: what to serve beside the API; it is stopped at the end.
    """
    crowd = Crowd()
    config = uvicorn.Config(
        build(folder, site=site),
        http=cast("type[asyncio.Protocol]", partial(Connection, crowd=crowd)),
        ws="none",
        backlog=ACCEPTED_AT_ONCE,
        timeout_keep_alive=int(IDLE_SECONDS),
        date_header=False,  # OpenProject sends none either (reference section 1.4)
        server_header=False,
        log_config=None,
        log_level="error",  # what strangers send wrongly is worth no line
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=5,
    )
    with _listening(host, port) as listener:
        server = _Server(config, crowd, lambda: on_listening(_url(host, listener)))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await asyncio.shield(serving)
        finally:
            if site is not None:
                site.stop()
            server.should_exit = True
            await asyncio.shield(serving)


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's algorithm off only where the protocol is named; with it each answer waits 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        yield listener


def _url(host: str, listener: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"
