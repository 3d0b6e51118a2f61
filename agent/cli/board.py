"""`agent board …`: the embedded board, an OpenProject-compatible server for a laptop, a test or a small team."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from agent import daemon, server
from agent import settings as settings_module
from agent.cli import board_log
from agent.cli.board_log import Bounded
from agent.cli.common import JsonOption, print_json, print_lines, set_log_up, told
from agent.errors import ConfigurationError
from agent.page.app import Page

app = typer.Typer(
    no_args_is_help=True, help="The embedded board: OpenProject's API on SQLite, for a laptop or a small team."
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Where the board is kept.", show_default=False)]


@app.command(epilog="Example: agent board init board")
def init(folder: Folder, as_json: JsonOption = False) -> None:
    """Make a board with the accounts admin, agent and human. Their tokens are shown once and kept nowhere."""
    with told(), _server_errors():
        made = server.create(folder)
        if as_json:
            print_json(made)
            return
        print_lines(
            [
                f"A board was made in {folder}. These tokens are shown once and kept nowhere:",
                *_listed(made.tokens),
                f"Next: agent board import {folder} BACKLOG.toml, then agent board serve {folder}",
            ]
        )


@app.command("import", epilog="Example: agent board import board backlog.toml")
def import_(
    folder: Folder,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A backlog in TOML; agent/demo/backlog.toml is one to copy.", show_default=False
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Put a backlog on a board: users, projects, work packages and their relations, all of it or nothing."""
    with told(), _server_errors():
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"The backlog {file} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"The backlog {file} holds no text.") from error
        made = server.import_backlog(folder, text)
        if as_json:
            print_json(made)
            return
        lines = [f"Imported: {len(made.projects)} project(s), {len(made.work_packages)} work package(s)."]
        if made.tokens:
            lines += ["The tokens of new users are shown once and kept nowhere:", *_listed(made.tokens)]
        print_lines(lines)


@app.command(epilog="Example: agent board serve board --listen 127.0.0.1:8000")
def serve(
    folder: Folder,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")
    ] = "127.0.0.1:8000",
    as_json: JsonOption = False,
) -> None:
    """Serve a board until SIGTERM or SIGINT. With --json the first line is {"url": …}, once it listens."""
    host, port = _address(listen)

    def listening(url: str) -> None:
        if as_json:
            print_json({"url": url})
        else:
            typer.echo(
                f"The board listens on {url}: open it in a browser and sign in with a token. Stop it with Ctrl-C."
            )

    with told(), _server_errors():
        set_log_up(settings_module.ambient(), verbose=False, level="INFO", stream=Bounded(sys.stderr))
        board_log.listen()
        try:
            asyncio.run(_serve(folder, host, port, listening))
        except OSError as error:
            raise ConfigurationError(f"The board cannot listen on {listen}: {error.strerror or error}.") from error


@app.command(epilog="Example: agent board backup board board-2026-12-01.tar")
def backup(
    folder: Folder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The tar file to write.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Back a board up, also while it is served: its database as it is at one moment, and its attachments.

    `tar -xf FILE -C DIR` makes a board of it again.
    """
    with told(), _server_errors():
        server.backup(folder, file)
        if as_json:
            print_json({"file": str(file), "bytes": file.stat().st_size})
            return
        print_lines([f"The board in {folder} is backed up in {file}.", f"To have it back: tar -xf {file} -C DIR"])


async def _serve(folder: Path, host: str, port: int, listening: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    with daemon.stop_on_signals(stop), contextlib.closing(Page(folder)) as page:
        serving = asyncio.ensure_future(server.serve(folder, host, port, listening, page))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


def _address(listen: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]*)):(\d{1,5})", listen)
    if match is None or int(match[3]) > 65535:  # noqa: PLR2004 - the last port
        raise typer.BadParameter("write it like 127.0.0.1:8000 or [::1]:8000", param_hint="--listen")
    return match[1] or match[2] or "127.0.0.1", int(match[3])


def _listed(tokens: Mapping[str, str]) -> list[str]:
    width = max(map(len, tokens))
    return [f"  {login:<{width}}  {token}" for login, token in tokens.items()]


@contextlib.contextmanager
def _server_errors() -> Iterator[None]:
    """The server shares nothing with the agent, its errors neither."""
    try:
        yield
    except server.ServerError as error:
        raise ConfigurationError(str(error)) from error
