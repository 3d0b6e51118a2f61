"""`agent demo`: assembles board, repository, pods and human, and takes them all down again."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from agent import settings
from agent.demo import board, project
from agent.demo.coder import Coder, Model, coder
from agent.demo.folders import remove
from agent.demo.hands import Hands
from agent.demo.pods import Pods
from agent.demo.screen import Screen
from agent.demo.story import Story
from agent.demo.trouble import DemoError, NotHere
from agent.errors import PodTrouble
from agent.programs.processes import Processes
from agent.sandbox.check import check
from agent.texts.outlet import terminal

FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130
PROGRAMS: Final = ("git", "nix")


class Kind(enum.StrEnum):
    """The boards that the demo can play on."""

    EMBEDDED = "embedded"
    OPENPROJECT = "openproject"


def demo(
    *,
    kind: Annotated[
        Kind,
        typer.Option(
            "--board", help="The embedded board, or a real OpenProject: the given one, else one booted (as root)."
        ),
    ] = Kind.EMBEDDED,
    model: Annotated[
        Model,
        typer.Option(
            "--model",
            help="Who codes: a script, or Claude Code, with a script behind its API unless $ANTHROPIC_API_KEY is set.",
        ),
    ] = Model.SCRIPTED,
    claude: Annotated[
        str, typer.Option("--claude", metavar="PROGRAM", help="Claude Code, a name or a path.")
    ] = "claude",
    key: Annotated[str, typer.Option(envvar="ANTHROPIC_API_KEY", hidden=True)] = "",
    keep: Annotated[bool, typer.Option("--keep", help="Leave the board running at the end, until Ctrl-C.")] = False,
    given: Annotated[
        Path | None,
        typer.Option(
            "--openproject",
            envvar="AGENT_DEMO_OPENPROJECT",
            metavar="BOARD.JSON",
            help="The board.json of a running OpenProject.",
            show_default=False,
        ),
    ] = None,
    place: Annotated[
        str | None,
        typer.Option("--project", metavar="NAME", help="The empty project of that OpenProject.", show_default=False),
    ] = None,
) -> None:
    """Watch two pods work on a small backlog, with real commits in a real git repository, in about half a minute.

    Everything lives in a folder of its own and goes with it. Exit code 0: all came out as it should; 1: it did not; 2:
    something that it needs is not here.
    """
    screen = Screen()
    screen.line("agent demo: two pods, one backlog, and nobody who dispatches.")
    env = settings.ambient().children
    folder = Path(tempfile.mkdtemp(prefix="agent-demo-"))
    opened = board.openproject(given, place, env) if kind is Kind.OPENPROJECT else board.embedded(folder, env)
    try:
        with _signals(), coder(model, claude, key) as who:
            screen.line(f"The coding model is {who.title}.")
            if kind is Kind.OPENPROJECT and given is None:
                screen.line("Booting an OpenProject takes half a minute.")
            wrong = _play(screen, folder, opened, env, who, keep=keep)
    except NotHere as error:
        remove(folder)
        typer.echo(f"agent: {terminal(str(error))}", err=True)
        raise typer.Exit(USAGE) from None
    except DemoError as error:
        wrong = [str(error)]
    except KeyboardInterrupt:
        remove(folder)
        screen.line("\nStopped; nothing is left running.")
        raise typer.Exit(INTERRUPTED) from None
    if wrong:
        for one in wrong:
            typer.echo(f"agent: {terminal(one)}", err=True)
        typer.echo(f"       The logs are in {folder}.", err=True)
        raise typer.Exit(FAILED)
    remove(folder)


def _play(
    screen: Screen,
    folder: Path,
    opened: contextlib.AbstractContextManager[board.Stage],
    env: Mapping[str, str],
    who: Coder,
    *,
    keep: bool,
) -> list[str]:
    for program in PROGRAMS:
        if shutil.which(program, path=env.get("PATH")) is None:
            raise NotHere(f"The program `{program}` is missing. `make demo` names the packages that the demo needs.")
    boxed = _sandbox(screen, env)
    repository = project.Repository(folder / "shop.git", env["PATH"])
    repository.make()
    with opened as stage, Hands(stage.url, stage.tokens[board.HUMAN], stage.project) as hands:
        screen.line(f"The {stage.kind}: {stage.url}, {len(stage.ids)} tickets in project {stage.project}.")
        if stage.page:
            screen.line(f"Watch it in a browser: {stage.page}")
        pods = Pods(folder, stage, repository.folder, env, who, sandbox=boxed)
        try:
            with screen:
                wrong = Story(stage, pods, hands, repository, screen, longest_s=who.longest_s).play()
        finally:
            pods.stop()
        if wrong and not who.scripted:
            screen.headline("A real model goes its own way; beside the script's:")
            for one in wrong:
                screen.line(f"  {one}")
            wrong = []
        if wrong:
            return wrong
        screen.headline(f"All as it should be, after {screen.seconds:.0f} s.")
        if keep:
            _wait(screen, stage, folder, repository)
        else:
            gone = "The repository is" if stage.stays else "Board and repository are"
            screen.line(f"{gone} removed now; `agent demo --keep` lets you look.")
    return wrong


def _sandbox(screen: Screen, env: Mapping[str, str]) -> str:
    """Whether this machine lets us make one, as many containers do not; a pod in earnest would refuse to work there."""
    try:
        asyncio.run(check(Processes(), env))
    except PodTrouble as trouble:
        screen.line("The model and the checks run without a sandbox here, which a pod does only if told to:")
        screen.more(str(trouble))
        return "none"
    screen.line("The model and the checks run in a sandbox (bubblewrap), without a network.")
    return "bubblewrap"


def _wait(screen: Screen, stage: board.Stage, folder: Path, repository: project.Repository) -> None:
    """Until Ctrl-C, which is a good end here."""
    screen.line(f"The board:      {stage.url}")
    if stage.page:
        screen.line(f"  its page:     {stage.page}")
    screen.line(f"  its API:      user apikey, password in {folder / 'human-token'}")
    screen.line(f"The repository: git clone {repository.folder}")
    screen.line("They stay until you press Ctrl-C.")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
    screen.line("\nStopped; nothing is left running.")


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the demo as Ctrl-C does; a second one does not hurry the end, which takes seconds."""
    ending = False

    def end(_: int, __: object) -> None:
        nonlocal ending
        if not ending:
            ending = True
            raise KeyboardInterrupt

    before = {one: signal.signal(one, end) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
