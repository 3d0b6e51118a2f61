"""The command line: thin commands over the modules that do the work; one module for each group of them.

`common` has the options, the assembly of a pod, and the only place where an error becomes words and an exit code.
"""

from __future__ import annotations

from typing import Annotated

import typer

from agent import __version__
from agent.cli import board, config, look, work
from agent.demo.command import demo

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `agent doctor`; see what would happen with `agent explain`.",
)
work.register(app)
look.register(app)
app.add_typer(board.app, name="board")
app.add_typer(config.app, name="config")
app.command(epilog="Example: agent demo --keep")(demo)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"agent {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """A fleet of coding agents with no dispatcher: the project board is the queue, the lock and the audit log."""


def main() -> None:
    """The entry point of the command `agent`."""
    app(prog_name="agent")
