"""What all commands share: their options, a pod assembled from its settings, and errors turned into words."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from typing import Annotated, Any, Final, TextIO

import msgspec
import typer
from loguru import logger

from agent import logs
from agent import settings as settings_module
from agent.clock import SystemClock, SystemRandomness
from agent.errors import AgentError, ConfigurationError, NotFound, Refused, Unreachable
from agent.operate.screen import wrapped
from agent.operate.station import Station
from agent.programs.processes import Processes
from agent.settings import Ambient
from agent.texts import outlet
from agent.texts.outlet import terminal

NAME: Final = "agent: "
"""Whose words follow on standard error."""

FAILED: Final = 1
USAGE: Final = 2

WIDEST: Final = 120
"""Longer lines are harder to read."""

_STYLES: Final[dict[str, dict[str, Any]]] = {
    "good": {"fg": "green"},
    "bad": {"fg": "red"},
    "warn": {"fg": "yellow"},
    "dim": {"dim": True},
    "strong": {"bold": True},
}

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config", metavar="FILE", help="The settings; else $AGENT_CONFIG, else ./agent.toml.", show_default=False
    ),
]
PodOption = Annotated[
    str | None,
    typer.Option("--pod", metavar="NAME", help="This pod's name; else $AGENT_POD, else the settings'."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script; the log goes to standard error.")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Log every request with purpose and duration; tracebacks.")
]


def station(
    config: str | None, pod: str | None, *, verbose: bool, level: str = "WARNING", whole: bool = True
) -> Station:
    """Read settings and secrets, and set the log up so that it shows none of them.

    Args:
        config: `--config`.
        pod: `--pod`.
        verbose: log every request.
        level: what is logged otherwise.
        whole: whether a secret that is missing is an error, or something to tell.

    Raises:
        ConfigurationError: a setting or a secret is wrong or missing.
    """
    ambient = settings_module.ambient()
    set_log_up(ambient, verbose=verbose, level=level)
    settings = settings_module.load(config, pod)
    credentials = settings_module.credentials(settings, whole=whole)
    secrets = [one.reveal() for one in credentials.secrets()]
    set_log_up(ambient, verbose=verbose, level=level, secrets=secrets)
    for warning in credentials.warnings:
        logger.warning("{}", warning)
    return Station(
        settings=settings,
        credentials=credentials,
        ambient=ambient,
        clock=SystemClock(),
        randomness=SystemRandomness(),
        runner=Processes(),
    )


def set_log_up(
    ambient: Ambient, *, verbose: bool, level: str, secrets: list[str] | None = None, stream: TextIO | None = None
) -> None:
    """The log on standard error, or on a stream that leads there."""
    logs.configure(
        level="DEBUG" if verbose else level,
        pretty=ambient.colour and sys.stderr.isatty(),
        journal=ambient.journal,
        secrets=secrets or (),
        stream=stream,
    )


@contextlib.contextmanager
def told(*, verbose: bool = False) -> Iterator[None]:
    """The one place where an error becomes words and an exit code.

    Args:
        verbose: show the traceback too.
    """
    try:
        yield
    except AgentError as error:
        if verbose:
            logger.opt(exception=error).debug("where it happened")
        for line in words(error, width() if sys.stderr.isatty() else None):
            typer.echo(line, err=True)
        raise typer.Exit(exit_code(error)) from None


def words(error: AgentError, width: int | None = None) -> list[str]:
    """What happened, and what to do next where the message does not say so itself; unbroken without a width."""
    said = [*(terminal(str(error)).splitlines() or [type(error).__name__]), next_step(error)]
    lines = [part for line in said if line for part in ([line] if width is None else wrapped(line, width - len(NAME)))]
    return [f"{'' if number else NAME:<{len(NAME)}}{line}" for number, line in enumerate(lines)]


def next_step(error: AgentError) -> str:
    """What a person does about it, where the kind of error says so."""
    match error:
        case Refused(status=401):
            return "Make a token on the board (My account → Access tokens) and put it where board.token_file says."
        case Refused(status=403):
            return "Give this account a role with that permission; `agent doctor` names what a pod needs."
        case Unreachable():
            return "Is board.url right, and is the board up? `agent doctor` looks at all that a pod needs."
        case NotFound():
            return "Either it does not exist, or this account may not see it."
        case _:
            return ""


def exit_code(error: AgentError) -> int:
    """2 when a person has to mend a setting or an argument, else 1."""
    return USAGE if isinstance(error, ConfigurationError) else FAILED


def print_json(value: Any) -> None:
    """One JSON document on one line, at once."""
    typer.echo(outlet.json_line(msgspec.json.encode(value).decode()))
    sys.stdout.flush()


def print_lines(lines: list[str]) -> None:
    """Lines for people."""
    typer.echo("\n".join(lines))


def colourful() -> bool:
    """Whether standard output is a terminal that likes colour."""
    return sys.stdout.isatty() and settings_module.ambient().colour


def paint(text: str, kind: str) -> str:
    """Colour for a terminal."""
    return typer.style(text, **_STYLES[kind]) if colourful() else text


def width() -> int:
    """Columns of the terminal; 80 where there is none."""
    return min(shutil.get_terminal_size((80, 24)).columns, WIDEST)
