"""Nix for the repository's own code: without a network, inside a jail, and held to what the fleet gives.

The order is the security. The checkout is copied into the repository's own store first, and everything later is about that
copy, so an edit in between changes nothing. Its lock file is read here, without Nix. What it pins and the store lacks is fetched by an
expression of ours, outside; the repository's code is evaluated inside, where nothing can be reached, and yields the path of
a derivation. What would have to be built for it is read from the store and judged; only then is anything built: by a
daemon in the daemon's sandbox, or, where there is none, each derivation in a jail and a store of its own.
"""

from __future__ import annotations

import asyncio
import platform
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from agent.devshell.apart import Apart
from agent.devshell.client_failures import (
    build_failed,
    evaluation_failed,
    fetch_failed,
    host_failed,
    unreachable,
)
from agent.devshell.client_options import Store
from agent.devshell.client_read import derivation_in, derivations_in, followed, lock_of
from agent.devshell.client_steps import CONTROLLED, Inside, Jailed, Steps, Time
from agent.devshell.closure import Derivation, Plan, objection, plan, shell_objection, store_path, wanted
from agent.devshell.flake import Copy, Evaluated, Flake, Realised, ShellRefused
from agent.devshell.inputs import DEFAULT_ALLOWED, Input, locked_inputs
from agent.devshell.origins import Origins, quoted
from agent.devshell.proved import Proof
from agent.devshell.stores import Stores
from agent.errors import AgentError, PodTrouble, TicketFailure
from agent.programs.runner import Finished, Runner
from agent.texts.bounded import LINE, Unreadable, Whole, from_json
from agent.texts.evidence import Redact
from agent.texts.markup import one_line

_NAME: Final = Whole(
    "client: the name of a shell", r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}", sees="what a model asks for", longest=LINE
)
_LARGEST: Final = 1 << 20
"""Bytes of Nix's answer in JSON."""
_SHOWN: Final = 20
"""Names of shells that are listed where the one asked for is missing."""
_EVALUATE: Final = """\
let
  flake = builtins.getFlake %(url)s;
  shells = flake.devShells.%(system)s or { };
  packages = flake.packages.%(system)s or { };
  old = if %(name)s == "default" then flake.devShell.%(system)s or null else null;
  found = shells.%(name)s or (if old != null then old else packages.%(name)s or null);
in
if found == null then { names = builtins.attrNames shells; } else { drv = found.drvPath; }
"""
"""What `nix develop` looks for, in its order; where it is in vain, what there is."""
_T = TypeVar("_T")


class _Locked(Struct, frozen=True):
    rev: str = ""


class _Prefetched(Struct):
    """What `nix flake prefetch --json` prints; a checkout that differs from its commit is locked without a `rev`."""

    path: str = msgspec.field(name="storePath")
    hash: str
    locked: _Locked = _Locked()


class _Answer(Struct, frozen=True):
    drv: str = ""
    names: tuple[str, ...] = ()


class NixClient:
    """Evaluates and builds the shells of checkouts.

    Args:
        jail: for everything that obeys the repository.
        fetch: starts processes with the host's network; no code of a repository gets there.
        folder: ours, for the homes of Nix; the model cannot write there.
        own: for the repository's own store; below `folder` if none is given.
        env: PATH, and what else every process gets; nothing secret.
        options: the operator's settings of Nix, `store` among them.
        allowed_inputs: see `locked_inputs`.
        redact: takes out of Nix's words what must not be shown.
        git: folders that a checkout's `.git` refers to.
        system: which of `devShells.<system>`; the host's if none is given.
        boxed: whether `jail` makes any; without one, a builder can write to whatever we can.
    """

    def __init__(
        self,
        *,
        jail: Jailed,
        fetch: Runner,
        folder: Path,
        env: Mapping[str, str],
        options: Mapping[str, str],
        redact: Redact,
        allowed_inputs: Sequence[str] = DEFAULT_ALLOWED,
        git: Sequence[Path] = (),
        system: str = "",
        own: Path | None = None,
        boxed: bool = True,
    ) -> None:
        place = (own or folder / "own").absolute()
        self._steps = Steps(jail=jail, fetch=fetch, folder=folder, own=place, env=env, options=options)
        self._apart = Apart(self._steps, redact)
        self._origins = Origins(self._steps, folder, allowed_inputs, redact)
        self._boxed = boxed
        self._redact = redact
        self._allowed = tuple(allowed_inputs)
        self._git = tuple(git)
        self._system = system or f"{platform.machine()}-{platform.system().lower()}"
        self._proof = Proof(self._steps, redact, self._system)

    def stores(self) -> Stores:
        """The stores of the repository, their folders made.

        Raises:
            PodTrouble: they cannot be made, or there is no Nix.
        """
        return self._steps.stores()

    async def check(self) -> None:
        """See `Proof.check`."""
        await self._proof.check()

    async def copy(self, flake: Flake, *, timeout: float) -> Copy:  # noqa: ASYNC109 - the runner's
        """See `Client.copy`."""
        store = (await self._proof.stores()).sources
        async with self._steps.inside("copy", store, readable=(flake.folder, *self._git)) as nix:
            url = f"git+file://{quote(str(flake.folder))}"
            done = await nix.run("flake", "prefetch", "--json", url, time=Time(timeout))
            if not done.ok:
                raise await _blamed(nix, evaluation_failed(done, self._redact, str(flake.folder)))
        found = _decoded(done, _Prefetched)
        if not store_path(found.path, str(store.folder)):
            raise PodTrouble(f"Nix copied the repository to {one_line(found.path)}, which is no place in its store")
        return Copy(found.path, found.hash, committed=bool(found.locked.rev))

    async def evaluate(self, copy: Copy, shell: str, *, timeout: float) -> Evaluated:  # noqa: ASYNC109 - the runner's
        """See `Client.evaluate`. The checkout is not in this jail: nothing but the copy can be read."""
        if not _NAME.match(shell):
            raise ShellRefused(f"`{one_line(shell, 60)}` is no name of a development shell: ask for `.#NAME`")
        time, stores = Time(timeout), await self._proof.stores()
        store = stores.sources
        async with self._steps.inside("evaluate", store) as nix:
            inputs = locked_inputs(lock_of(store, copy.path), self._allowed)
            await self._origins.have(nix, stores, inputs, time)
            drv = await self._derivation(nix, store, (copy, inputs), shell, time)
        sources = dict.fromkeys(one.path(str(store.folder)) for one in inputs)
        return Evaluated(drv, tuple(map(store.here, sources)))

    async def realise(self, drv: str, *, timeout: float) -> Realised:  # noqa: ASYNC109 - the runner's
        """See `Client.realise`."""
        time, stores = Time(timeout), await self._proof.stores()
        await self._handed(stores, drv, time)
        shell = await asyncio.to_thread(derivation_in, stores.sources, drv)
        planned = await self._ready(stores, shell, time)
        if stores.builds.daemon or not self._boxed:
            return await self._built(stores.builds, drv, time)
        for one in planned:
            await self._apart.build(stores.builds, one, await asyncio.to_thread(_inputs, stores, one), time)
        inputs = await asyncio.to_thread(_inputs, stores, shell)
        await self._apart.environment(stores.builds, shell, inputs, time)
        return await self._built(stores.builds, drv, time, "--max-jobs", "0")

    async def closure(self, *paths: Path, store: Store | None = None) -> tuple[str, ...]:
        """The names in the store of all that these paths need, themselves among them; by where they are on this host.

        Raises:
            PodTrouble: the store has lost one of them, or cannot be asked.
        """
        store = store or (await asyncio.to_thread(self._steps.stores)).fetched
        async with self._steps.inside("closure", store) as nix:
            done = await nix.run("path-info", "--recursive", *map(store.called, paths), time=Time(60))
        names = [line.removeprefix(f"{store.folder}/") for line in done.stdout.decode("utf-8", "replace").splitlines()]
        if not done.ok or not all(store_path(f"{store.folder}/{name}", str(store.folder)) for name in names):
            raise host_failed(done, self._redact)
        return tuple(names)

    async def _handed(self, stores: Stores, drv: str, time: Time) -> None:
        """The derivation, with all that it is made of, is where it is built."""
        sources, builds = stores.sources, stores.builds
        if builds.own:
            return
        async with self._steps.inside("hand", sources, builds) as nix:
            words = ("copy", "--no-check-sigs", "--from", sources.uri, "--to", builds.uri, drv)
            done = await nix.run(*words, time=time)
        if not done.ok:
            raise build_failed(done, self._redact)

    async def _derivation(
        self, nix: Inside, store: Store, pinned: tuple[Copy, tuple[Input, ...]], shell: str, time: Time
    ) -> str:
        copy, inputs = pinned
        words = {"url": quoted(_url(copy)), "system": quoted(self._system), "name": quoted(shell)}
        uris = tuple(sorted({one.scheme for one in inputs}))
        done = await nix.run("eval", "--json", "--expr", _EVALUATE % words, time=time, uris=uris)
        if not done.ok:
            raise await _blamed(nix, evaluation_failed(done, self._redact, str(store.here(copy.path)), copy.path))
        answer = _decoded(done, _Answer)
        if not answer.drv:
            some = ", ".join(f"`{one_line(name, 40)}`" for name in answer.names[:_SHOWN]) or "none"
            raise ShellRefused(
                f"`flake.nix` has no development shell `devShells.{self._system}.{shell}` (there are: {some}): "
                "add it, or ask for another one"
            )
        if not store_path(answer.drv, str(store.folder), ".drv"):
            raise ShellRefused(f"the development shell `{shell}` of `flake.nix` is no derivation: make it one")
        return answer.drv

    async def _ready(self, stores: Stores, drv: Derivation, time: Time) -> Sequence[Derivation]:
        """Judge what has to be built for a shell, and take what trusted caches have of the rest.

        Returns:
            What is going to be built, in this order.
        """
        if sentence := await asyncio.to_thread(shell_objection, drv):
            raise ShellRefused(self._redact(sentence))
        if not drv.inputs:
            return ()
        asked = wanted(drv.inputs.items())
        store = stores.fetched
        words = ("build", "--dry-run", "--no-link", "--stdin")
        done = await self._steps.outside(*words, store=store, time=time, stdin=asked)
        if not done.ok:
            raise build_failed(done, self._redact)
        try:
            needs = await asyncio.to_thread(plan, done.stderr.decode("utf-8", "replace"), str(store.folder))
        except ValueError as error:
            raise PodTrouble(f"what Nix would build cannot be read: {one_line(str(error))}") from error
        builds, sentence = await asyncio.to_thread(_judged, stores.sources, needs.built)
        if sentence:
            raise unreachable(done, self._redact) or ShellRefused(self._redact(sentence))
        await self._origins.judge(stores, (drv, *builds), needs.fetched, time)
        await self._taken(store, needs, time)
        return builds

    async def _taken(self, store: Store, needs: Plan, time: Time) -> None:
        """Take from trusted caches; paths, not derivations: what a cache does not give after all is not built instead."""
        if needs.unknown:
            raise PodTrouble(f"the Nix store has lost {', '.join(needs.unknown[:3])}: it may be collecting garbage")
        if needs.fetched:
            paths = "\n".join(needs.fetched)
            done = await self._steps.outside("build", "--no-link", "--stdin", store=store, time=time, stdin=paths)
            if not done.ok:
                raise fetch_failed(done, self._redact, "a package of the development shell")

    async def _built(self, store: Store, drv: str, time: Time, *more: str) -> Realised:
        """Build what was judged, if that is not done; a builder in the jail has neither checkout nor saved shells in it."""
        async with self._steps.inside("build", store) as nix:
            profile = nix.home / "profile"
            done = await nix.run("print-dev-env", *more, "--profile", str(profile), drv, time=time)
            if not done.ok:
                raise build_failed(done, self._redact)
            if done.dropped:
                raise ShellRefused("the script of the development shell is too large to be kept: make it smaller")
            environment = followed(profile)
        if not store_path(environment, str(store.folder)):
            raise PodTrouble(f"`nix print-dev-env` left no environment, but {one_line(environment) or 'nothing'}")
        return Realised(done.stdout, store.here(environment))


def _judged(store: Store, paths: Sequence[str]) -> tuple[Sequence[Derivation], str]:
    """What would be built, and what speaks against it; what was only needed to judge it is not kept."""
    builds = []
    for one in derivations_in(store, paths):
        if sentence := objection(one):
            return (), sentence
        builds.append(replace(one, environment={}))
    return builds, ""


def _inputs(stores: Stores, one: Derivation) -> tuple[str, ...]:
    """Where the results lie that something is built from."""
    from_these = derivations_in(stores.sources, one.inputs)
    return tuple(from_.outputs[name].path for from_ in from_these for name in one.inputs[from_.path])


async def _blamed(nix: Inside, error: AgentError) -> AgentError:
    """Whose fault it is that a flake was not evaluated: it can say anything, so a host that is blamed is tried."""
    if not isinstance(error, PodTrouble):
        return error
    expression = f'builtins.toFile "agent-control" "{secrets.token_hex(8)}"'
    control = await nix.run("eval", "--expr", expression, time=Time(CONTROLLED))
    return TicketFailure(str(error)) if control.ok else error


def _url(copy: Copy) -> str:
    """A copy as a flake that is pinned by its content."""
    return f"path:{quote(copy.path)}?narHash={quote(copy.hash, safe='')}"


def _decoded(done: Finished, kind: type[_T]) -> _T:
    try:
        return from_json(done.stdout, kind, longest=_LARGEST)
    except Unreadable as error:
        raise TicketFailure(f"what Nix made of `flake.nix` cannot be read: {one_line(str(error))}") from error
