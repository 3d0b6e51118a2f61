"""The command line: builds every adapter, and is the only place where an error becomes words and an exit code."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def root() -> None:
    """A fleet of coding agents with no dispatcher."""


def main() -> None:
    """The entry point of the command `agent`."""
    app()
