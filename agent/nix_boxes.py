"""Nix for the repositories of a pod: which store each of them has, in which boxes Nix runs, and what a run sees of a store.

Inside, where Nix obeys a repository, there is no network. Outside, where it fetches, no code of a repository runs; yet what
it fetches is named by a repository, so it has a box too: the network, the store, and what it needs to reach a cache.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from agent.devshell.client import NixClient
from agent.devshell.client_options import HOST_STORE, alone, configuration, private_store, store_of
from agent.devshell.client_steps import Seen
from agent.devshell.nix import Nix
from agent.devshell.stores import Stores, stores_of
from agent.errors import PodTrouble
from agent.programs.runner import Finished, Job, Runner
from agent.sandbox.jail import Jail, Limits
from agent.sandbox.sandbox import Sandbox
from agent.sandbox.view import Shelf, View
from agent.settings import Ambient, Settings
from agent.texts.evidence import Redact

_FILES: Final = ("NIX_CONF_DIR", "NIX_SSL_CERT_FILE", "SSH_AUTH_SOCK", "SSL_CERT_FILE")
_VARIABLES: Final = (*_FILES, "NIX_REMOTE", "NIX_USER_CONF_FILES")
"""What Nix may need to know of the host besides NIX_CONFIG, some of it paths; nothing of it is secret."""
_SETTINGS: Final = ("netrc-file", "ssl-cert-file")
_NETWORK: Final = ("nix", "resolv.conf", "ssh/ssh_config", "ssh/ssh_config.d", "ssh/ssh_known_hosts")
"""What of /etc a Nix that fetches reads, besides what every program sees of it."""
_CACHES: Final = ("substituters", "extra-substituters", "trusted-substituters", "extra-trusted-substituters")
_NEEDED: Final = ("/bin/sh", "/usr/bin/env", "/run/current-system")
"""What of the host may lie in its Nix store and be needed by every program, the first one first."""


class NixBoxes:
    """Nix for each repository.

    Args:
        settings: sandbox and Nix.
        ambient: what processes of ours inherit.
        runner: what starts processes.
        redact: takes out of Nix's words what must not be shown.
    """

    def __init__(self, settings: Settings, ambient: Ambient, runner: Runner, redact: Redact) -> None:
        self._settings = settings
        self._runner = runner
        self._redact = redact
        self._folder = Path(settings.state).absolute()
        self._path = ambient.children.get("PATH", "/usr/bin:/bin")
        self._variables = {name: ambient.children[name] for name in _VARIABLES if name in ambient.children}
        self._boxed = settings.sandbox.kind == "bubblewrap"
        self.options = settings.nix.settings if self._boxed else self._unboxed(settings.nix.settings)
        self._host: list[tuple[str, ...]] = []
        self._nix: dict[tuple[str, Path], Nix] = {}

    def _unboxed(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """The settings of Nix where no box can have a store at /nix: it is the host's, or one whose paths begin elsewhere."""
        store = store_of(given)
        if alone(given, self._program()) and store.daemon:  # we are not root, and there is none
            return {**given, **private_store(self._folder / "stores" / "unboxed")}
        return {**given, "store": store.uri}

    def stores(self, project: str) -> Stores:
        """The stores of a repository; none of its folders is made.

        Raises:
            ConfigurationError: the settings name a store that cannot be used.
        """
        return stores_of(self.options, self._own(project), self._program())

    def refuse_the_hosts(self, project: str) -> None:
        """Without a daemon, the Nix that obeys a repository writes to its store itself.

        Raises:
            PodTrouble: it would be the host's.
        """
        store = self.stores(project).builds
        if not store.daemon and not store.own and store.folder == HOST_STORE:
            raise PodTrouble(
                f"Nix works without its daemon here, so what a repository builds could change programs of this host in "
                f"{HOST_STORE}: start the daemon, or give the pod a store of its own, `[nix.settings] store = …`"
            )

    def refuse_hidden(self, project: str, programs: Iterable[Path]) -> None:
        """Where each repository has a store of its own, that lies in the place of the host's, of which no run sees anything.

        Args:
            project: the repository.
            programs: of this host, which a run needs.

        Raises:
            PodTrouble: something that a run needs is in the host's.
        """
        needed = [("`sandbox.readable` names", Path(path)) for path in self._settings.sandbox.readable]
        needed += [("a run needs", path) for path in programs]
        if self.stores(project).builds.own:
            for what, path in needed:
                if _paths_in_store((path,)):
                    raise PodTrouble(
                        f"{what} {path}, which lies in {HOST_STORE}; Nix has no daemon here, so each repository has a store of "
                        "its own in that place: start the daemon, or install the program elsewhere"
                    )

    @property
    def limits(self) -> Limits:
        """What a box may use now, of a run as of Nix."""
        limits = Limits(disk=self._settings.sandbox.disk, processes=self._settings.sandbox.processes)
        return limits.within(shutil.disk_usage(self._folder).free)

    def client(self, project: str, git: tuple[Path, ...] = ()) -> NixClient:
        """Evaluates and builds the shells of a repository; `git` as of `NixClient`."""
        folder = self._folder / "nix" / project
        return NixClient(
            jail=self._jail,
            fetch=_Late(lambda: self._outer(project, folder / "fetch")),
            folder=folder,
            own=self._own(project),
            env=self._env(),
            options=self.options,
            redact=self._redact,
            allowed_inputs=self._settings.nix.inputs,
            git=git,
            boxed=self._boxed,
        )

    def nix(self, project: str, roots: Path) -> Nix:
        """What is asked about no repository, and keeps store paths of this one by links in `roots`; one for all runs."""
        if known := self._nix.get((project, roots)):
            return known
        home = self._folder / "nix" / project / "home"
        options = {**self.options, "store": self.stores(project).fetched.uri}
        env = {**self._env(), "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
        made = Nix(
            runner=_Late(lambda: self._outer(project, home, roots)),
            folder=home,
            env={**env, "NIX_CONFIG": configuration(options)},
            redact=self._redact,
            stores=lambda: self.client(project).stores().all,
        )
        self._nix[project, roots] = made
        return made

    # -- what a run sees -------------------------------------------------------------------------------------------

    async def view(self, project: str, programs: Iterable[Path]) -> View:
        """What a run sees of stores, as yet without a shell: of its own one nothing, of the host's what programs need.

        Args:
            project: the repository.
            programs: of this host, which the run needs.

        Raises:
            PodTrouble: the host's store cannot be asked.
        """
        store = self.stores(project).builds
        view = View([Shelf(store.real, store.folder)])
        if store.own:
            return view  # see `refuse_hidden`; what PATH names there besides is not found
        first, others = _paths_in_store(_NEEDED[:1]), _paths_in_store(self._needed(programs))
        if first or others:
            client, host = self.client(project), store_of({})
            number = 0
            if store.folder != HOST_STORE:
                view, number = View([*view.shelves, Shelf(HOST_STORE, HOST_STORE)]), 1
            if not self._host:
                self._host = [await client.closure(*some, store=host) if some else () for some in (first, others)]
            early, late = self._host
            await view.show(number, early, early=True)
            await view.show(number, late)
        return view

    def _needed(self, programs: Iterable[Path]) -> Iterator[Path]:
        yield from map(Path, _NEEDED)
        yield from map(Path, filter(None, self._path.split(":")))
        yield from map(Path, self._settings.sandbox.readable)
        yield from programs

    # -- the boxes -------------------------------------------------------------------------------------------------

    def _jail(
        self,
        *,
        readable: tuple[Path, ...],
        writable: tuple[Path, ...],
        elsewhere: tuple[tuple[Path, Path], ...] = (),
        seen: Seen | None = None,
    ) -> Runner:
        """A sandbox for one step of Nix; its home, the last of the writable, is no other's."""
        if not self._boxed:
            return self._runner
        jail = Jail(
            writable=writable,
            readable=(*readable, *self._itself()),
            elsewhere=elsewhere,
            tmp=writable[-1] / "tmp",
        )
        view = View([Shelf(seen.real, seen.place)], shown=seen.names) if seen else None
        return Sandbox(runner=self._runner, jail=jail, limits=self.limits, view=view)

    def _outer(self, project: str, home: Path, *writable: Path) -> Runner:
        """A sandbox for a Nix that fetches, which runs no code of a repository."""
        if not self._boxed:
            return self._runner
        stores = self.client(project).stores().all  # which makes their folders
        jail = Jail(
            writable=(*(path for store in stores for path in store.writable), *writable, home),
            readable=(*(path for store in stores for path in store.readable), *self._itself(), *self._reached()),
            tmp=home / "tmp",
            network=True,
        )
        return Sandbox(runner=self._runner, jail=jail, limits=self.limits)

    def _itself(self) -> tuple[Path, ...]:
        """The host's store, where Nix itself lies in it."""
        return (HOST_STORE,) if Path(self._program()).is_relative_to(HOST_STORE) else ()

    def _reached(self) -> tuple[Path, ...]:
        """What Nix reads to reach a cache or a forge; of it, what there is."""
        words = [self._variables.get(name, "") for name in _FILES]
        words += self._variables.get("NIX_USER_CONF_FILES", "").split(":")
        words += [self.options.get(name, "") for name in _SETTINGS]
        words += [place for name in _CACHES for place in _folders_of(self.options.get(name, ""))]
        words += self._settings.sandbox.readable
        paths = [Path("/etc") / name for name in _NETWORK] + [Path(word) for word in words if word.startswith("/")]
        return tuple(dict.fromkeys(path for path in paths if path.exists()))

    def _program(self) -> str:
        found = shutil.which("nix", path=self._path)
        return os.path.realpath(found) if found else ""

    def _env(self) -> dict[str, str]:
        return {"PATH": self._path, **self._variables}

    def _own(self, project: str) -> Path:
        return self._folder / "stores" / project


class _Late:
    """A runner that is made when it is needed: the folders that it binds are there by then."""

    def __init__(self, make: Callable[[], Runner]) -> None:
        self._make = make

    async def run(self, job: Job) -> Finished:
        """See `Runner.run`."""
        return await (await asyncio.to_thread(self._make)).run(job)


def _paths_in_store(paths: Iterable[Path | str]) -> tuple[Path, ...]:
    """The paths of the host's store, whole, that these lie in and lead into: an environment's `bin` may be a link itself."""
    found: dict[Path, None] = {}
    for path in paths:
        for parts in (Path(path).parts, Path(os.path.realpath(path)).parts):
            if parts[:3] == HOST_STORE.parts and len(parts) > len(HOST_STORE.parts):
                found[HOST_STORE / parts[3]] = None
    return tuple(found)


def _folders_of(caches: str) -> Iterator[str]:
    """The folders of caches that are some of this host."""
    for cache in caches.split():
        yield cache.removeprefix("file://").partition("?")[0]
