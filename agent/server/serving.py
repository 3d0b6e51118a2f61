"""The board as a process: listens, says where, stops gracefully."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from .web import Site, build

LONGEST_REQUEST_LINE = 1 << 18


class _Server(uvicorn.Server):
    """uvicorn that says when it accepts connections and leaves signals to whoever started it."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

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
    config = uvicorn.Config(
        build(folder, site=site),
        date_header=False,  # OpenProject sends none either (reference section 1.4)
        server_header=False,
        log_config=None,
        access_log=False,
        lifespan="off",
        h11_max_incomplete_event_size=LONGEST_REQUEST_LINE,
        timeout_graceful_shutdown=5,
    )
    with _listening(host, port) as listener:
        server = _Server(config, lambda: on_listening(_url(host, listener)))
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
