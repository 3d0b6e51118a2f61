"""Where comes from what a flake names by a hash: a hash says what something is, not that who knows it may have it.

The host's store and caches hold other repositories' sources, and give what is asked for by its hash, which stands in every lock
file that pins it. So an input comes from its address, whatever lies near; what came from there is noted, and found in the
repository's own store from then on. Only what the operator has pinned word for word may come from elsewhere. What a
derivation fixes by a hash is the same path, and counts where it was fetched for that very derivation, or is the public's.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from agent.devshell.client_failures import build_failed, input_failed, unreachable
from agent.devshell.client_options import Store
from agent.devshell.client_read import derivations_in
from agent.devshell.client_steps import OUTPUT, Inside, Steps, Time
from agent.devshell.closure import Derivation, store_path
from agent.devshell.flake import ShellRefused
from agent.devshell.inputs import Input, vouched
from agent.devshell.stores import Stores
from agent.errors import PodTrouble, TicketFailure
from agent.programs.runner import Finished
from agent.texts.bounded import Unreadable, from_json
from agent.texts.evidence import Redact
from agent.texts.markup import one_line

PUBLIC: Final = "cache.nixos.org-1:"
"""How signatures begin of the cache that has nothing but what everybody may have; other caches sign whatever a host of theirs has."""
_ASK: Final = ("path-info", "--json", "--stdin")


class _Said(Struct, frozen=True):
    """What a store says of a path.

    Attributes:
        deriver: the derivation that it is the result of; None for what was added as it is.
        signatures: of whom it came from; they begin with a key's name.
    """

    deriver: str | None = None
    signatures: tuple[str, ...] = ()

    @property
    def public(self) -> bool:
        """Whether everybody may have it."""
        return any(one.startswith(PUBLIC) for one in self.signatures)


class Origins:
    """Fetches inputs, and judges what is fixed by a hash.

    Args:
        steps: starts Nix.
        folder: ours, for the notes of what was fetched from where; no box can write there.
        allowed: as of `locked_inputs`.
        redact: takes out of Nix's words what must not be shown.
    """

    def __init__(self, steps: Steps, folder: Path, allowed: Sequence[str], redact: Redact) -> None:
        self._steps = steps
        self._notes = folder.absolute() / "inputs"
        self._allowed = tuple(allowed)
        self._redact = redact

    async def have(self, nix: Inside, stores: Stores, inputs: Sequence[Input], time: Time) -> None:
        """Every input is in the repository's own store when this returns, and came from its address.

        Raises:
            TicketFailure: it cannot be had from there, or is not what the lock file says.
            PodTrouble: the address, or the host, does not answer.
        """
        store = stores.sources
        paths = [one.path(str(store.folder)) for one in inputs]
        known = [self._noted(one) or vouched(one, self._allowed) for one in inputs]
        if not paths or (all(known) and (await nix.run("path-info", *paths, time=time)).ok):
            return
        for one, path, may in zip(inputs, paths, known, strict=True):
            there = may and (await nix.run("path-info", path, time=time)).ok
            if not there and not (vouched(one, self._allowed) and await self._near(stores, path, time)):
                await self._fetched(store, one, path, time)

    async def _fetched(self, store: Store, one: Input, path: str, time: Time) -> None:
        """Fetch from the address alone: a Nix that is told the hash looks for it in stores and caches first."""
        told = {name: value for name, value in one.attributes.items() if name != "narHash"}
        attributes = quoted(msgspec.json.encode(told).decode())
        expression = f"(builtins.fetchTree (builtins.fromJSON {attributes})).outPath"
        done = await self._steps.outside("eval", "--impure", "--raw", "--expr", expression, store=store, time=time)
        what = f"the flake input `{one_line(one.name, 60)}` ({one_line(one.place)})"
        if not done.ok:
            raise input_failed(done, self._redact, what)
        found = done.stdout.decode("utf-8", "replace")
        if not store_path(found, str(store.folder)):
            raise PodTrouble(f"{what} came to lie at {one_line(found)}, which is no place in the store")
        if found != path:
            raise TicketFailure(
                f"{what} is not what `flake.lock` says (hash mismatch): restore the committed `flake.lock`"
            )
        note = self._note(one)
        try:
            note.parent.mkdir(parents=True, exist_ok=True)
            note.touch()
        except OSError as error:
            raise PodTrouble(f"{note.parent} cannot be written: {error.strerror}") from error

    def _noted(self, one: Input) -> bool:
        """Whether this very address was found to hold this very content, for this repository."""
        return self._note(one).exists()

    def _note(self, one: Input) -> Path:
        words = msgspec.json.encode(sorted(one.attributes.items()))
        return self._notes / hashlib.sha256(words).hexdigest()

    async def _near(self, stores: Stores, path: str, time: Time) -> bool:
        """Whether something could be had by its hash: from the store that builds, or from a cache."""
        store, builds = stores.sources, stores.builds
        words: tuple[str, ...] = ("build", "--no-link", path)
        if not builds.own and builds.here(path).exists():
            words = ("copy", "--no-check-sigs", "--from", builds.uri, "--to", store.uri, path)
        return (await self._steps.outside(*words, store=store, time=time)).ok

    async def judge(self, stores: Stores, made: Iterable[Derivation], fetched: Sequence[str], time: Time) -> None:
        """Judge what these are made from, before any of it is taken from a cache.

        Args:
            stores: of the repository.
            made: what is built, and the shell.
            fetched: what a cache has, and the store that builds has not.
            time: what is left of it.

        Raises:
            ShellRefused: something fixed by a hash is there for another reason than that it was fetched for this.
            PodTrouble: a cache does not answer, or the store.
        """
        fixed = await asyncio.to_thread(_fixed, stores.sources, made)
        far = sorted(set(fixed).intersection(fetched))
        near = sorted(set(fixed).difference(fetched))
        said = [*await self._of_caches(stores.fetched, far, time), *await self._of_the_store(stores.builds, near, time)]
        counting = {path for path, one in said if one.public or one.deriver in fixed.get(path, ())}
        for path in fixed:
            if path not in counting:
                raise ShellRefused(
                    f"the shell would use `{one_line(Path(path).name[33:], 80)}` by its hash, and what lies there was not "
                    "fetched for it: a new download cannot be made here; put the file into the repository, or end with "
                    "the verdict `stuck` and ask for it"
                )

    async def _of_caches(self, store: Store, paths: Sequence[str], time: Time) -> list[tuple[str, _Said]]:
        """What each cache says of each path: one content has one path, whichever of them gives it then."""
        if not paths:
            return []
        caches = await self._steps.outside("config", "show", "substituters", store=store, time=time)
        found: list[tuple[str, _Said]] = []
        for cache in caches.stdout.decode("utf-8", "replace").split():
            words = (*_ASK, "--store", cache)
            done = await self._steps.outside(*words, store=store, time=time, stdin="\n".join(paths))
            if not done.ok and (trouble := unreachable(done, self._redact)):
                raise trouble
            found += _said(done) if done.ok else []
        return found

    async def _of_the_store(self, store: Store, paths: Sequence[str], time: Time) -> list[tuple[str, _Said]]:
        if not paths:
            return []
        async with self._steps.inside("ask", store) as nix:
            done = await nix.script(f'exec "$0" {" ".join(_ASK)}', time=time, stdin="\n".join(paths).encode())
        if not done.ok:
            raise build_failed(done, self._redact)
        return _said(done)


def _said(done: Finished) -> list[tuple[str, _Said]]:
    try:
        found = from_json(done.stdout, dict[str, _Said | None], longest=OUTPUT)
    except Unreadable as error:
        raise PodTrouble(
            f"what Nix knows of its store cannot be read ({one_line(str(error))}): use another version (2.26 is known to work)"
        ) from error
    return [(path, one) for path, one in found.items() if one]


def _fixed(store: Store, made: Iterable[Derivation]) -> dict[str, set[str]]:
    """The results fixed by a hash that these are made from, and of which derivations each is the result."""
    found: dict[str, set[str]] = {}
    for drv in derivations_in(store, {path for one in made for path in one.inputs}):
        for output in drv.outputs.values():
            if output.digest:
                found.setdefault(output.path, set()).add(drv.path)
    return found


def quoted(text: str) -> str:
    """A text as Nix reads it back, and nothing else."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'
