"""How a Nix is started: inside, in a jail made for one step, or outside, with the host's network and nobody's code but ours."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from agent.devshell.client_options import Store, fetching, jailed
from agent.devshell.stores import Stores, stores_of
from agent.errors import PodTrouble
from agent.programs.removal import held_folder
from agent.programs.runner import Finished, Job, Runner, missing

OUTPUT: Final = 32 << 20
"""Bytes of each stream of a Nix that are kept."""
CONTROLLED: Final = 60.0
"""Seconds for something of ours by which a host is tried; it takes none."""


class Seen(Struct, frozen=True):
    """Some entries of a folder, read-only at another place: in a folder that lies `elsewhere`, beside what is written there.

    Attributes:
        real: where they are on this host.
        place: where they are seen.
        names: of the entries.
    """

    real: Path
    place: Path
    names: tuple[str, ...]


class Jailed(Protocol):
    """Makes a runner whose processes see the host's programs, these paths and no network."""

    def __call__(
        self,
        *,
        readable: tuple[Path, ...],
        writable: tuple[Path, ...],
        elsewhere: tuple[tuple[Path, Path], ...] = (),
        seen: Seen | None = None,
    ) -> Runner:
        """A jail for one step; what is /tmp inside is no other's. `elsewhere`: writable, at another path inside."""
        ...


class Time:
    """What is left of it, for several processes one after the other."""

    def __init__(self, seconds: float) -> None:
        self.left = max(0.0, seconds)

    def spend(self, done: Finished) -> Finished:
        """Take off what a process took."""
        self.left = max(0.0, self.left - done.duration)
        return done


class Inside:
    """Nix in one jail.

    Attributes:
        home: its home, which is gone with the jail.
    """

    def __init__(self, runner: Runner, job: Job, options: Mapping[str, str], store: Store) -> None:
        self.home = job.cwd
        self._runner = runner
        self._job = job
        self._options = options
        self._store = store

    async def run(self, *words: str, time: Time, uris: tuple[str, ...] = ()) -> Finished:
        """One command; `uris` are the beginnings of addresses that pinned inputs have."""
        return await self._started((*self._job.argv, *words), time, uris=uris)

    async def script(
        self, text: str, *words: str, time: Time, stdin: bytes = b"", output: int | None = None
    ) -> Finished:
        """Several commands, for a shell to which `$0` is Nix, and `$0-store` is nix-store; `output`: bytes that are kept of it."""
        return await self._started(("/bin/sh", "-efc", text, *self._job.argv, *words), time, stdin=stdin, output=output)

    async def _started(
        self,
        argv: tuple[str, ...],
        time: Time,
        *,
        uris: tuple[str, ...] = (),
        stdin: bytes = b"",
        output: int | None = None,
    ) -> Finished:
        env = {**self._job.env, "NIX_CONFIG": jailed(self._options, self._store, uris)}
        job = Job(argv=argv, cwd=self.home, env=env, stdin=stdin, timeout=time.left, output_limit=output or OUTPUT)
        return time.spend(await self._runner.run(job))


class Steps:
    """Starts Nix.

    Args:
        jail: for everything that obeys the repository.
        fetch: starts processes with the host's network.
        folder: ours, for the homes of Nix.
        own: for the repository's own store.
        env: PATH, and what else every process gets.
        options: the operator's settings of Nix.
    """

    def __init__(
        self,
        *,
        jail: Jailed,
        fetch: Runner,
        folder: Path,
        own: Path,
        env: Mapping[str, str],
        options: Mapping[str, str],
    ) -> None:
        self._jail = jail
        self._fetch = fetch
        self._folder = folder.absolute()
        self._own = own
        self._env = dict(env)
        self._options = dict(options)

    def stores(self) -> Stores:
        """The stores, their folders made.

        Raises:
            PodTrouble: they cannot be made, or there is no Nix.
        """
        stores = stores_of(self._options, self._own, self._program())
        for store in stores.all:
            for path in store.writable:
                _made(path)
            for path in store.readable:
                if not path.is_dir():
                    raise PodTrouble(
                        f"Nix's daemon is not there ({path} is missing): start it, or set `[nix.settings] store`"
                    )
        return stores

    @contextlib.asynccontextmanager
    async def inside(
        self, name: str, store: Store, *others: Store, readable: tuple[Path, ...] = (), seen: Seen | None = None
    ) -> AsyncIterator[Inside]:
        """One jail, with a home that no other shares: a builder in it cannot prepare the next evaluation.

        Raises:
            PodTrouble: there is no Nix, or no folder can be made.
        """
        program = self._program()
        _made(self._folder)
        async with held_folder(self._folder, f"{name}-") as home:
            conf = home / "conf"  # empty: the host's files have its tokens and hooks
            conf.mkdir()
            env = {**self._env, **_home(home), "NIX_CONF_DIR": str(conf), "NIX_USER_CONF_FILES": os.devnull}
            stores = (store, *others)
            paths = (path for one in stores for path in one.readable)
            folders = (path for one in stores for path in one.writable)
            runner = self._jail(
                readable=(*paths, *readable),
                writable=(*folders, home),
                elsewhere=store.elsewhere,
                **({"seen": seen} if seen else {}),
            )
            yield Inside(runner, Job(argv=(program,), cwd=home, env=env), self._options, store)

    @contextlib.asynccontextmanager
    async def scratch(self) -> AsyncIterator[Path]:
        """A folder for a store that one build fills.

        Raises:
            PodTrouble: it cannot be made.
        """
        _made(self._folder)
        async with held_folder(self._folder, "scratch-") as folder:
            yield folder

    async def outside(self, *words: str, store: Store, time: Time, stdin: str = "") -> Finished:
        """One command with the host's network, for this store.

        Raises:
            PodTrouble: there is no Nix, or no folder can be made.
        """
        home = self._folder / "fetch"
        _made(home)
        env = {**self._env, **_home(home), "NIX_CONFIG": fetching(self._options, store)}
        job = Job(
            argv=(self._program(), *words),
            cwd=home,
            env=env,
            stdin=stdin.encode(),
            timeout=time.left,
            output_limit=OUTPUT,
            error_limit=OUTPUT,  # a dry run tells its plan there
        )
        return time.spend(await self._fetch.run(job))

    def _program(self) -> str:
        found = shutil.which("nix", path=self._env.get("PATH", ""))
        if found is None:
            raise missing("nix")
        return os.path.realpath(found)  # on NixOS a chain of links that need not exist in the jail


def _home(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "XDG_CONFIG_HOME": str(home / "config")}


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    except OSError as error:
        raise PodTrouble(f"the folder {folder} cannot be made: {error.strerror}") from error
