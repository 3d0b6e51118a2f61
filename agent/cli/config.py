"""`agent config …`: the settings file, looked at on its own."""

from __future__ import annotations

from typing import Annotated

import typer

from agent import settings
from agent.cli.common import JsonOption, print_json, told

app = typer.Typer(no_args_is_help=True, help="The settings file.")


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
