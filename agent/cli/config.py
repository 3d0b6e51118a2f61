"""`agent config …`: the settings file, looked at on its own, and all that it may hold."""

from __future__ import annotations

from typing import Annotated

import typer

from agent import settings
from agent.cli.common import JsonOption, paint, print_json, print_lines, told, width
from agent.operate import screen

app = typer.Typer(no_args_is_help=True, help="The settings file: judge one, or see all that can be set.")


@app.command(epilog="Example: agent config check /etc/agent/agent.toml")
def check(
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="Else $AGENT_CONFIG, else ./agent.toml.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Judge a settings file, without credentials and without the network."""
    with told():
        found = settings.check(file)
        if as_json:
            print_json(found)
            return
        projects = ", ".join(sorted(found.repositories)) or "none"
        typer.echo(f"The settings are in order: board {found.board.url}, projects: {projects}.")


@app.command(epilog="Example: agent config keys")
def keys(as_json: JsonOption = False) -> None:
    """All that can be set: what it means, what it may be, and what it is where nothing is set."""
    found = settings.describe()
    if as_json:
        print_json([dict(zip(("key", "meaning", "allowed", "default"), one, strict=True)) for one in found])
    else:
        print_lines(screen.keys(found, width(), paint))
