"""Where a run's programs live: the repository's development shell, inside the sandbox, and one socket that leads out.

Everything lies at the same path inside as outside. What a run may change: its worktree, its own home and temporary files.
What it may read: the host's programs, the Nix store, its repository's git directory, its own shells. What it can reach:
the relay, which asks the model's API and makes development shells for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import platform
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from agent.devshell import shim
from agent.devshell.broker import Broker, HasShells
from agent.devshell.client import NixClient
from agent.devshell.enter import DevShell
from agent.devshell.flake import Copy, Flake
from agent.devshell.seen import SeenShells
from agent.devshell.shells import Shells
from agent.errors import PodTrouble
from agent.git.tree import Tree
from agent.nix_boxes import NixBoxes
from agent.private import refuse_shown
from agent.programs.claude_folder import ClaudeFolder
from agent.programs.command import environment, make_folders
from agent.programs.removal import remove_folder
from agent.programs.runner import Runner
from agent.relay import DEARER, Budget, Prices, Relay, Usage, spent
from agent.sandbox.check import check
from agent.sandbox.closed import library
from agent.sandbox.jail import Jail
from agent.sandbox.sandbox import Sandbox
from agent.sandbox.view import View
from agent.settings import Ambient, Settings
from agent.texts.evidence import Redact

_LONGEST_PLACE: Final = 80
"""Bytes of a path below which there may be a socket: the kernel takes 107."""
_CHECKS: Final = ".checks"
"""Behind the run id: the home of its checks."""
_SHELLS: Final = "shells"
"""In a run's own folder outside: the scripts of its shells."""
_UNUSED_KEY: Final = "unused"
"""For a relay that passes nothing on."""


class Room(Struct, frozen=True, kw_only=True):
    """What one run works in.

    Attributes:
        runner: enters the development shell, inside the sandbox.
        env: the whole environment of a program in it.
        home: its HOME.
        socket: leads to the relay.
        relay: counts what the model costs.
        broker: makes shells for the model; None where it gets none.
        preload: the library that closes the coder to what it starts; None outside a sandbox.
    """

    runner: Runner
    env: Mapping[str, str]
    home: Path
    socket: Path
    relay: Relay
    broker: Broker | None
    preload: Path | None

    @property
    def trouble(self) -> str:
        """What kept the relay or the broker from its work: the pod's fault, whatever the program made of it."""
        return self.relay.trouble or (self.broker.trouble if self.broker else "")


class Rooms:
    """Makes rooms.

    Args:
        settings: sandbox, model and Nix.
        ambient: what processes of ours inherit.
        runner: what starts processes.
        key: for the model's API; empty where no model of ours asks it.
        redact: takes out of programs' words what must not be shown.
    """

    def __init__(self, settings: Settings, ambient: Ambient, runner: Runner, key: str, redact: Redact) -> None:
        self._settings = settings
        self._ambient = ambient
        self._runner = runner
        self._key = key
        self._redact = redact
        self._folder = Path(settings.state).absolute()
        self._path = ambient.children.get("PATH", "/usr/bin:/bin")
        self._boxed = settings.sandbox.kind == "bubblewrap"
        self._nix = NixBoxes(settings, ambient, runner, redact)
        self._proved = False

    async def check(self) -> None:
        """Prove once that Nix and the sandbox work here.

        Raises:
            PodTrouble: they do not, and what to do.
        """
        if not self._proved:
            if self._boxed:
                refuse_shown(self._settings, self._ambient)
                self._nix.refuse_the_hosts(self._any)
                self._nix.refuse_hidden(self._any, self._program())
                await check(self._runner, {"PATH": self._path})
            await self._nix.client(self._any).check()
            self._proved = True

    @property
    def _any(self) -> str:
        """A repository whose stores stand for all."""
        return min(self._settings.repositories, default="any")

    @property
    def own_stores(self) -> bool:
        """Whether each repository gets a store of its own, since there is no other on this host."""
        return self._nix.stores(self._any).builds.own

    @asynccontextmanager
    async def open(self, workspace: Tree, run: str, *, asks: bool = True) -> AsyncIterator[Room]:
        """The room of a run; what is in its home stays until `forget`.

        Args:
            workspace: the worktree, or the checkout to verify.
            run: the run id.
            asks: whether a model lives in it. The checks of a repository have none to ask, and a new home each time: in
                its own a model could leave what makes them pass.
        """
        home = self._folder / "homes" / (run if asks else f"{run}{_CHECKS}")
        if not asks:
            await asyncio.to_thread(remove_folder, home)  # its checks may have left a million files
        with _short_folder() as place:
            socket = place / "out.sock"
            env = environment(path=self._path, home=home, run=run)
            make_folders(env)
            patterns = self._patterns(workspace)

            async def flake() -> Flake:
                made_of = workspace.made_of()  # before the files: whoever was let in meanwhile has asked before
                files = await workspace.flake_files(patterns)
                return Flake(folder=workspace.path, files=files, commit=made_of)

            python, standard = shim.interpreter()
            programs = (*self._program(), standard)
            view = await self._nix.view(workspace.project, programs) if self._boxed else None
            shells = self._shells(workspace, patterns, place / _SHELLS, view)
            broker = self._broker(flake, shells) if self._brokers() else None
            if broker:
                shim.install(place, python, socket)
            relay = self._relay(run, broker, asks=asks)
            inner = before = self._runner
            if view:
                jail = await self._jail(workspace, home, view, place, *programs, asks=asks)
                inner, before = (
                    self._sandbox(one, view, closed=asks) for one in (jail, before_the_coder(jail, home, socket))
                )
            async with relay.serving(socket):
                yield Room(
                    runner=DevShell(
                        runner=inner,
                        shells=shells,
                        flake=flake,
                        redact=self._redact,
                        begun=workspace.begun,
                        first=place if broker else None,
                        before=before,
                    ),
                    env=env,
                    home=home,
                    socket=socket,
                    relay=relay,
                    broker=broker,
                    preload=_closing(place) if self._boxed and asks else None,
                )

    def spent(self, run: str) -> Usage | None:
        """What the model has used in all tries of a run; None where nothing was counted."""
        return spent(self._record(run))

    async def forget(self, run: str) -> None:
        """The run is over: its home and its usage go."""
        await asyncio.to_thread(self._forget, run)

    def _forget(self, run: str) -> None:
        self._record(run).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            for name in (f"{run}{_CHECKS}", run):  # that one last: `tidy` goes by it
                remove_folder(self._folder / "homes" / name)

    async def tidy(self, living: Collection[str]) -> None:
        """Forget every run that is not among the living: its process was killed before it could."""
        homes = self._folder / "homes"
        for folder in homes.iterdir() if homes.is_dir() else ():
            run = folder.name.removesuffix(_CHECKS)
            if run not in living:
                await self.forget(run)

    # -- the parts -------------------------------------------------------------------------------------------------

    def _broker(self, flake: Callable[[], Awaitable[Flake]], shells: HasShells) -> Broker:
        """Its answers come before the model's command, which waits for them, is ended for its silence."""
        patience = 0.7 * self._settings.execution.idle
        return Broker(flake=flake, shells=shells, redact=self._redact, timeout=patience)

    def _brokers(self) -> bool:
        return self._boxed and self._settings.sandbox.nix == "broker"

    def _patterns(self, workspace: Tree) -> tuple[str, ...]:
        repository = self._settings.repositories.get(workspace.project)
        return repository.shell_files if repository else ()

    async def _jail(self, workspace: Tree, home: Path, view: View, *shown: Path, asks: bool) -> Jail:
        git = await workspace.jail_paths()
        more = (*shown, *map(Path, self._settings.sandbox.readable))
        visible = (Path("/usr"), *(shelf.seen for shelf in view.shelves))
        coders = ClaudeFolder.below(home) if asks and self._settings.model.kind == "claude" else None
        return Jail(
            writable=(workspace.path, home, *(coders.writable if coders else ())),
            readable=(
                *git.readable,
                *(one for one in more if not any(one.is_relative_to(place) for place in visible)),
            ),
            instead=git.instead,
            nested=(*git.nested, *((coders.path,) if coders else ())),
            tmp=home / "tmp",
        )

    def _sandbox(self, jail: Jail, view: View, *, closed: bool) -> Runner:
        return Sandbox(runner=self._runner, jail=jail, limits=self._nix.limits, view=view, closed=closed)

    def _program(self) -> Iterator[Path]:
        """Claude Code."""
        found = shutil.which(self._settings.model.program, path=self._path)
        if self._settings.model.kind == "claude" and found:
            yield Path(found).resolve()

    def _shells(self, workspace: Tree, patterns: tuple[str, ...], shown: Path, view: View | None) -> HasShells:
        """The shells of a run, which sees of the store what is in them."""
        project = workspace.project
        folder = self._folder / "shells" / project
        folder.mkdir(parents=True, exist_ok=True)
        client = self._nix.client(project, workspace.ties)
        shells = Shells(
            _Shown(client, workspace, patterns),
            folder,
            nix=self._nix.nix(project, folder),
            shown=shown,
            options=self._nix.options,
            allowed=self._settings.nix.inputs,
            scope=project,
        )
        if view is None:
            return shells
        closures = self._folder / "closures" / project
        return SeenShells(shells, closure=client.closure, show=functools.partial(view.show, 0), folder=closures)

    def _record(self, run: str) -> Path:
        return self._folder / "usage" / f"{run}.json"

    def _relay(self, run: str, broker: Broker | None, *, asks: bool) -> Relay:
        model = self._settings.model
        prices = model.prices
        self._record(run).parent.mkdir(parents=True, exist_ok=True)
        return Relay(
            api=model.api,
            key=self._key or _UNUSED_KEY,
            models=(model.name,) if asks and model.kind == "claude" else (),  # a program of another kind asks nobody
            prices=Prices(
                input=prices.input,
                output=prices.output,
                cache_read=prices.cache_read,
                cache_write=prices.cache_write,
            ),
            priced={one: getattr(prices, one) for one in DEARER},
            more_keys=model.request_keys,
            budget=Budget(tokens=model.max_tokens, turns=model.max_turns, usd=model.max_usd),
            record=self._record(run),
            nix=broker,
        )


class _Shown:
    """A client for one worktree, whose new files Nix gets to see first."""

    def __init__(self, client: NixClient, workspace: Tree, patterns: tuple[str, ...]) -> None:
        self._client = client
        self._workspace = workspace
        self._patterns = patterns
        self.evaluate = client.evaluate
        self.realise = client.realise

    async def copy(self, flake: Flake, *, timeout: float) -> Copy:  # noqa: ASYNC109 - the runner's
        """See `Client.copy`."""
        if not flake.commit:  # else none is new
            await self._workspace.show_to_nix(self._patterns)
        return await self._client.copy(flake, timeout=timeout)


def before_the_coder(jail: Jail, home: Path, socket: Path) -> Jail:
    """Where its shell is entered: without the relay, and where no hook can write where the coder does."""
    closed = ClaudeFolder.below(home).writable
    return replace(
        jail,
        writable=tuple(one for one in jail.writable if one not in closed),
        instead=(*jail.instead, (Path(os.devnull), socket)),
    )


@contextlib.contextmanager
def _short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket, wherever temporary files go: $TMPDIR may be long."""
    usual = tempfile.gettempdir()
    place = usual if len(os.fsencode(usual)) <= _LONGEST_PLACE else "/tmp"  # noqa: S108 - a folder of our own is made in it
    try:
        folder = tempfile.TemporaryDirectory(dir=place, prefix="agent-", ignore_cleanup_errors=True)
    except OSError as error:
        raise PodTrouble(f"no folder can be made in {place}: {error.strerror}") from error
    with folder as name:
        yield Path(name)


def _closing(place: Path) -> Path:
    """The library that closes a process to others, in a folder that the sandbox shows."""
    file = place / "closed.so"
    file.write_bytes(library(platform.machine()))
    return file
