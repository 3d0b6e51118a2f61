"""`agent explain`, `status`, `doctor` and `release`: what operators look at, and the one thing they do by hand."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Final

import typer

from agent.cli.common import (
    FAILED,
    ConfigOption,
    JsonOption,
    PodOption,
    VerboseOption,
    paint,
    print_json,
    print_lines,
    station,
    told,
    width,
)
from agent.operate import release as releasing
from agent.operate import screen
from agent.operate import status as statuses
from agent.operate.doctor import Doctor
from agent.operate.explain import Explainer, Explanation, Overview
from agent.operate.findings import Kind
from agent.operate.station import Station

OPERATOR: Final = "operator"
"""The name under which a claim is given back by hand: no pod's, since the claim may be any pod's."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Examples: agent explain · agent explain 42 --json")(explain)
    app.command(epilog="Example: agent status --json")(status)
    app.command(epilog="Example: agent doctor --config agent.toml")(doctor)
    app.command(epilog="Examples: agent release 42 · agent release --pod pod-b")(release)


def explain(
    ticket: Annotated[
        int | None, typer.Argument(metavar="ID", help="One work package; else the whole board.", show_default=False)
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


def status(
    *, config: ConfigOption = None, pod: PodOption = None, as_json: JsonOption = False, verbose: VerboseOption = False
) -> None:
    """The pods and what they hold, open Spikes, and what waits for nobody. Changes nothing."""
    with told(verbose=verbose):
        found = asyncio.run(_status(station(config, pod, verbose=verbose)))
        if as_json:
            print_json(found)
        else:
            print_lines(screen.status(found, width(), paint))


async def _status(here: Station) -> statuses.Status:
    async with here.open(look_only=True) as pod:
        return await statuses.look(pod)


def doctor(
    *, config: ConfigOption = None, pod: PodOption = None, as_json: JsonOption = False, verbose: VerboseOption = False
) -> None:
    """Look at all that a pod needs: the board, the repositories, this host. Each line is ok, or says how to mend it.

    Exit code 0 when nothing has to be mended. The one thing it writes is a claim ref of its own, which it deletes again.
    """
    with told(verbose=verbose):
        here = station(config, pod, verbose=verbose, level="CRITICAL", whole=False)
        found = asyncio.run(Doctor(here).examine())
        if as_json:
            print_json(found)
        else:
            print_lines(screen.findings(found, width() if sys.stdout.isatty() else None, paint))
        if any(one.kind is Kind.FAIL for one in found):
            raise typer.Exit(FAILED)


def release(
    ticket: Annotated[
        int | None, typer.Argument(metavar="ID", help="The claimed work package.", show_default=False)
    ] = None,
    *,
    pod: Annotated[
        str | None,
        typer.Option(
            "--pod", metavar="NAME", help="Give back all that this pod holds. (Elsewhere --pod says who you are.)"
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Give back a claim, whoever holds it: for a pod that is gone, or gone wrong.

    Only what is the claim's goes back; what a person has set meanwhile stays. Any account of the fleet may do it.
    """
    if (ticket is None) == (pod is None):
        raise typer.BadParameter("name one work package, or one pod with --pod", param_hint="ID")
    with told(verbose=verbose):
        found = asyncio.run(_release(station(config, OPERATOR, verbose=verbose), ticket, pod or ""))
        if as_json:
            print_json(found)
        else:
            print_lines(screen.released(found, width()) or [f"{pod} holds nothing."])


async def _release(here: Station, ticket: int | None, name: str) -> list[releasing.Released]:
    async with here.open(look_only=True) as pod:
        if ticket is None:
            return await releasing.release_pod(pod.protocol, name)
        return [await releasing.release_ticket(pod.protocol, ticket)]
