"""`agent explain`, `status`, `doctor` and `release`: what operators look at, and the one thing they do by hand."""

from __future__ import annotations

import asyncio
import shutil
from typing import Annotated, Any, Final

import typer

from agent import screen
from agent.cli.common import (
    ConfigOption,
    JsonOption,
    PodOption,
    Station,
    VerboseOption,
    colourful,
    print_json,
    print_lines,
    station,
    told,
)
from agent.explain import Explainer, Explanation, Overview

WIDEST: Final = 120
"""Longer lines are harder to read."""

_STYLES: Final[dict[str, dict[str, Any]]] = {
    "good": {"fg": "green"},
    "bad": {"fg": "red"},
    "warn": {"fg": "yellow"},
    "dim": {"dim": True},
    "strong": {"bold": True},
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Examples: agent explain · agent explain 42 --json")(explain)


def width() -> int:
    """Columns of the terminal; 80 where there is none."""
    return min(shutil.get_terminal_size((80, 24)).columns, WIDEST)


def paint(text: str, kind: str) -> str:
    """Colour for a terminal."""
    return typer.style(text, **_STYLES[kind]) if colourful() else text


def explain(
    ticket: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="One work package; else the whole board.", show_default=False)
    ] = None,
    *,
    config: ConfigOption = None,
    pod: PodOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """The choice that this pod would make now, and why it leaves the rest; or why nobody takes one ticket.

    Changes nothing: no claim, no comment, not even the state folder.
    """
    with told(verbose=verbose):
        found = asyncio.run(_explain(station(config, pod, verbose=verbose), ticket))
        if as_json:
            print_json(found)
        elif isinstance(found, Overview):
            print_lines(screen.overview(found, width(), paint))
        else:
            print_lines(screen.explanation(found, width(), paint))


async def _explain(here: Station, ticket: int | None) -> Overview | Explanation:
    async with here.open(look_only=True) as pod:
        explainer = Explainer(pod)
        return await (explainer.overview() if ticket is None else explainer.ticket(ticket))
