"""Where a run's programs live: the repository's development shell, inside the sandbox, and one socket that leads out.

Everything lies at the same path inside as outside. What a run may change: its worktree, its own home and temporary files.
What it may read: the host's programs, the Nix store, its repository's git directory, its own shells. What it can reach:
the relay, which asks the model's API and makes development shells for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.devshell import shim
from agent.devshell.broker import Broker
from agent.devshell.client import NixClient
from agent.devshell.client_options import configuration, store_of
from agent.devshell.enter import DevShell
from agent.devshell.flake import Copy, Flake
from agent.devshell.nix import Nix
from agent.devshell.shells import Shells
from agent.errors import PodTrouble
from agent.git.tree import Tree
from agent.programs.command import environment, make_folders
from agent.programs.removal import remove_folder
from agent.programs.runner import Runner
from agent.relay import DEARER, Budget, Prices, Relay, Usage, spent
from agent.sandbox.check import check
from agent.sandbox.closed import library
from agent.sandbox.jail import Jail, Limits
from agent.sandbox.sandbox import Sandbox
from agent.settings import Ambient, Settings
from agent.texts.evidence import Redact

_NIX_VARIABLES: Final = ("NIX_REMOTE", "NIX_SSL_CERT_FILE", "SSL_CERT_FILE")
"""What Nix may need to know of the host besides NIX_CONFIG; nothing of it is secret."""
_NIX_STORE: Final = Path("/nix/store")
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
        self._runner = runner
        self._key = key
        self._redact = redact
        self._folder = Path(settings.state).absolute()
        self._path = ambient.children.get("PATH", "/usr/bin:/bin")
        self._nix_variables = {name: ambient.children[name] for name in _NIX_VARIABLES if name in ambient.children}
        self._boxed = settings.sandbox.kind == "bubblewrap"
        self._limits = Limits(disk=settings.sandbox.disk, processes=settings.sandbox.processes)
        self._nix = self._plain_nix()
        self._proved = False

    async def check(self) -> None:
        """Prove once that Nix and the sandbox work here.

        Raises:
            PodTrouble: they do not, and what to do.
        """
        if not self._proved:
            if self._boxed:
                self._refuse_missing()
                self._refuse_the_hosts_store()
                await check(self._runner, {"PATH": self._path})
            await self._client(()).check()
            self._proved = True

    def _refuse_missing(self) -> None:
        for path in self._settings.sandbox.readable:
            if not Path(path).exists():
                raise PodTrouble(f"`sandbox.readable` names {path}, which is not on this host: mend the setting")

    def _refuse_the_hosts_store(self) -> None:
        """Builders of a store without a daemon run in the jail of Nix, where all of that store can be written."""
        store = store_of(self._settings.nix.settings)
        if not store.daemon and store.folder == _NIX_STORE:
            raise PodTrouble(
                f"Nix works without its daemon here, so what a repository builds could change programs of this host in "
                f"{_NIX_STORE}: start the daemon, or give the pod a store of its own, `[nix.settings] store = …`"
            )

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
                return Flake(folder=workspace.path, files=await workspace.flake_files(patterns))

            shells = self._shells(workspace, patterns, place / _SHELLS)
            python, standard = shim.interpreter()
            broker = self._broker(flake, shells) if self._brokers() else None
            if broker:
                shim.install(place, python, socket)
            relay = self._relay(run, broker, asks=asks)
            inner = self._sandbox(workspace, home, place, standard, closed=asks) if self._boxed else self._runner
            async with relay.serving(socket):
                yield Room(
                    runner=DevShell(
                        runner=inner,
                        shells=shells,
                        flake=flake,
                        redact=self._redact,
                        first=place if broker else None,
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

    def forget(self, run: str) -> None:
        """The run is over: its home and its usage go."""
        self._record(run).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            for name in (f"{run}{_CHECKS}", run):  # that one last: `tidy` goes by it
                remove_folder(self._folder / "homes" / name)

    def tidy(self, living: Collection[str]) -> None:
        """Forget every run that is not among the living: its process was killed before it could."""
        homes = self._folder / "homes"
        for folder in homes.iterdir() if homes.is_dir() else ():
            run = folder.name.removesuffix(_CHECKS)
            if run not in living:
                self.forget(run)

    # -- the parts -------------------------------------------------------------------------------------------------

    def _broker(self, flake: Callable[[], Awaitable[Flake]], shells: Shells) -> Broker:
        """Its answers come before the model's command, which waits for them, is ended for its silence."""
        patience = 0.7 * self._settings.execution.idle
        return Broker(flake=flake, shells=shells, redact=self._redact, timeout=patience)

    def _brokers(self) -> bool:
        return self._boxed and self._settings.sandbox.nix == "broker"

    def _patterns(self, workspace: Tree) -> tuple[str, ...]:
        repository = self._settings.repositories.get(workspace.project)
        return repository.shell_files if repository else ()

    def _sandbox(self, workspace: Tree, home: Path, *shown: Path, closed: bool) -> Runner:
        readable, empty, nested = workspace.jail_paths()
        more = {_whole(one) for one in (*self._program(), *shown, *map(Path, self._settings.sandbox.readable))}
        visible = (Path("/usr"), self._store)
        jail = Jail(
            writable=(workspace.path, home),
            readable=(
                *readable,
                *(one for one in more if not any(one.is_relative_to(place) for place in visible)),
            ),
            empty=empty,
            nested=nested,
            tmp=home / "tmp",
            store=self._store,
        )
        return Sandbox(runner=self._runner, jail=jail, limits=self._limits, closed=closed)

    def _program(self) -> Iterator[Path]:
        """Claude Code."""
        found = shutil.which(self._settings.model.program, path=self._path)
        if self._settings.model.kind == "claude" and found:
            yield Path(found).resolve()

    @property
    def _store(self) -> Path:
        return store_of(self._settings.nix.settings).folder

    def _shells(self, workspace: Tree, patterns: tuple[str, ...], shown: Path) -> Shells:
        return Shells(
            _Shown(self._client(workspace.jail_paths()[0]), workspace, patterns),
            self._folder / "shells" / workspace.project,
            nix=self._nix,
            shown=shown,
            options=self._settings.nix.settings,
            allowed=self._settings.nix.inputs,
            scope=workspace.project,
        )

    def _client(self, git: tuple[Path, ...]) -> NixClient:
        return NixClient(
            jail=self._nix_jail,
            fetch=self._runner,
            folder=self._folder / "nix",
            env=self._nix_env(),
            options=self._settings.nix.settings,
            redact=self._redact,
            allowed_inputs=self._settings.nix.inputs,
            git=git,
        )

    def _nix_jail(self, *, readable: tuple[Path, ...], writable: tuple[Path, ...]) -> Runner:
        """A sandbox for one step of Nix; its home, the last of the writable, is no other's."""
        if not self._boxed:
            return self._runner
        jail = Jail(writable=writable, readable=readable, tmp=writable[-1] / "tmp", store=self._store)
        return Sandbox(runner=self._runner, jail=jail, limits=self._limits)

    def _plain_nix(self) -> Nix:
        options = configuration(self._settings.nix.settings)
        home = self._folder / "nix" / "home"
        env = {**self._nix_env(), "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "NIX_CONFIG": options}
        return Nix(runner=self._runner, folder=self._folder / "nix", env=env, redact=self._redact)

    def _nix_env(self) -> dict[str, str]:
        return {"PATH": self._path, **self._nix_variables}

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
        await self._workspace.show_to_nix(self._patterns)
        return await self._client.copy(flake, timeout=timeout)


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


def _whole(path: Path) -> Path:
    """A program of the host's Nix store needs others of it; a run with a store of its own does not see it else."""
    return _NIX_STORE if path.is_relative_to(_NIX_STORE) else path
