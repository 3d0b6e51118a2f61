"""`agent cycle` and `agent run`: the commands that work."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

import typer
from loguru import logger

from agent import daemon
from agent import settings as settings_module
from agent.board import catalog as catalogs
from agent.cli.common import (
    FAILED,
    ConfigOption,
    JsonOption,
    PodOption,
    VerboseOption,
    colourful,
    print_json,
    station,
    told,
    width,
)
from agent.cycle import Result
from agent.daemon import Pass
from agent.ending import Ending
from agent.errors import AgentError, BoardError, ConfigurationError
from agent.operate import screen
from agent.operate.station import Station
from agent.pod import Pod, names
from agent.programs.survivors import kill_children
from agent.texts import claim_token
from agent.texts.markup import one_line
from agent.texts.outlet import terminal
from agent.watchdog import Watchdog

STALE: Final = frozenset({400, 404, 422})
"""Answers after which the cached discovery is not trusted any more (DESIGN, section 2)."""

LINE: Final = 160
"""Characters of a text of others on the screen."""

_COLOURS: Final = {Ending.DONE: "green", Ending.FAILED: "red", Ending.INTERRUPTED: "red"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: agent cycle --pod pod-a -v")(cycle)
    app.command(epilog="Example: agent run --until-idle --for 1h")(run)


def cycle(
    *, config: ConfigOption = None, pod: PodOption = None, as_json: JsonOption = False, verbose: VerboseOption = False
) -> None:
    """One pass: take the best work package that is available, and carry it to its end.

    Exit code 0: something was done, or there is nothing to do. 1: the pass failed. 2: usage or configuration.
    """
    _work(config, pod, as_json=as_json, verbose=verbose, for_s=daemon.ONE_PASS)


def run(
    *,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when there is nothing left to do.")] = False,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="End after 1h, 90m, … — between two tickets.")
    ] = None,
    config: ConfigOption = None,
    pod: PodOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Pass after pass: work follows work at once, else after a jittered pause of about a minute.

    The first SIGTERM or SIGINT stops in order: the model's processes end, the claim is kept and taken over by the next
    start. A second one ends everything at once.
    """
    seconds = None
    if for_ is not None:
        seconds = claim_token.parse_duration(for_)
        if seconds is None:
            raise typer.BadParameter("write it like 45s, 90m or 1h30m", param_hint="--for")
    _work(config, pod, as_json=as_json, verbose=verbose, for_s=seconds, until_idle=until_idle)


def _work(
    config: str | None,
    pod: str | None,
    *,
    as_json: bool,
    verbose: bool,
    for_s: float | None,
    until_idle: bool = False,
) -> None:
    unit = settings_module.taken_unit()
    with told(verbose=verbose):
        log_only = as_json or settings_module.ambient().journal
        here = station(config, pod, verbose=verbose, level="INFO" if log_only else "WARNING")
        progress = Progress(here.settings.pod, silent=log_only, as_json=as_json)
        watchdog = Watchdog(unit.address, unit.watchdog)
        with here.folder.lock(), watchdog.watching():
            last = asyncio.run(_passes(here, progress, watchdog, for_s=for_s, until_idle=until_idle))
        if last is Pass.TROUBLE:
            raise typer.Exit(FAILED)


async def _passes(
    here: Station, progress: Progress, watchdog: Watchdog, *, for_s: float | None, until_idle: bool
) -> Pass:
    stop = asyncio.Event()
    async with daemon.fed(watchdog):
        with daemon.stop_on_signals(stop, kill_children):
            return await daemon.run(
                Passes(here, progress), here.clock, here.randomness, stop=stop, until_idle=until_idle, for_s=for_s
            )


class Passes:
    """One pass at each call.

    Each opens the pod anew: what the state folder remembers (discovery among it) makes that cheap, and neither a stale
    discovery nor a broken connection outlives a pass.

    Args:
        here: what a pod is made of.
        progress: the screen.
    """

    def __init__(self, here: Station, progress: Progress) -> None:
        self._here = here
        self._progress = progress
        self._first = True

    async def __call__(self) -> Pass:
        """Run a pass and show what it did; an error that a later pass may not meet is trouble, and its log line.

        Raises:
            ConfigurationError: a person must mend something before any pass can work.
        """
        try:
            async with self._here.open() as pod:
                if self._first:
                    warn(pod)
                    self._first = False
                result = await pod.cycle(self._progress.say).run()
                if pod.protocol.doubtful:
                    self._here.folder.drop_catalog()
        except ConfigurationError:
            self._here.folder.drop_catalog()  # it may be mended on the board already
            raise
        except AgentError as error:
            if isinstance(error, BoardError) and error.status in STALE:
                self._here.folder.drop_catalog()
            logger.bind(action="pass_failed").error("{}", error)
            logger.opt(exception=error).debug("where it happened")
            result = Result(outcome=Pass.TROUBLE, reason=str(error))
        self._progress.show(result)
        return result.outcome


def warn(pod: Pod) -> None:
    """What an operator should know at each start."""
    gates = pod.settings.board.types.gates
    if gates and not pod.fleet.gates:
        logger.warning(
            "The board has no gate type ({}): nothing is ever held back by a phase. "
            "Set board.types.gates, to [] if that is meant.",
            ", ".join(gates),
        )
    for line in catalogs.by_name(names(pod.settings.board), pod.catalog):
        logger.warning("{}", line)


class Progress:
    """What people see of passes: lines on standard output, or one JSON object for each pass.

    Args:
        pod: whose passes.
        silent: the log tells it all.
        as_json: print objects.
    """

    def __init__(self, pod: str, *, silent: bool, as_json: bool) -> None:
        self._pod = pod
        self._silent = silent
        self._as_json = as_json
        self._colour = colourful()

    def say(self, line: str) -> None:
        """One step of the work."""
        if not self._silent:
            room = width() - len(self._pod) - 2 if self._colour else LINE
            self._print(screen.fit(line, room))

    def show(self, result: Result) -> None:
        """How the pass ended. Trouble stands in the log already."""
        if self._as_json:
            print_json(result)
        elif not self._silent:
            for line, colour in outcome(result):
                self._print(line, colour)

    def _print(self, words: str, colour: str = "") -> None:
        line = terminal(words)
        if not self._colour:
            typer.echo(f"{self._pod}: {line}")
            return
        shown = typer.style(line, fg=colour) if colour else line
        typer.echo(f"{typer.style(self._pod, dim=True)}  {shown}")


def outcome(result: Result) -> list[tuple[str, str]]:
    """What a pass did, as lines with their colours."""
    if result.outcome is Pass.NOTHING:
        return [("nothing to do", "")]
    if result.ticket is None:
        return []
    where = f"#{result.ticket} on rung {result.rung:d} ({screen.RUNG_WORDS[result.rung]})"
    end = result.end
    if end is None:
        return [(f"{where}: given back", "")]
    details = [
        f"{end.branch} {end.commit[:7]}".strip(),
        one_line(end.reason, LINE),
        f"Spike #{end.spike}" if end.spike else "",
    ]
    words = " · ".join(filter(None, [end.kind, *details]))
    return [(f"{where}: {words}", _COLOURS.get(end.kind, "yellow"))]
