"""The saved shells of a pod: what was made once is entered again without Nix, by whoever has the same.

Three steps, and what each saves. A checkout that git has just made of a commit, and that nobody was in, is known by the
commit: not even a copy is needed. To copy the checkout says which tree it is; a tree that is a commit's and was evaluated
before leads to its shell in every run. To evaluate says which derivation it is, and nothing of that is kept where the
checkout differed from its commit: not for the next run, not for another. To realise is what is expensive, and is saved by
the derivation. Within a run nothing of it happens as long as the files that usually decide are as they were.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from agent.clock import Clock, SystemClock
from agent.devshell.entries import Entries
from agent.devshell.flake import Client, Evaluated, Flake, Saved
from agent.devshell.key import Look, Surroundings, commit_key, derivation_key, host_system, key_of, look, tree_key
from agent.devshell.nix import Nix
from agent.devshell.saved import sanitised
from agent.errors import PodTrouble, TicketFailure
from agent.texts.markup import spoken

TRIES: Final = 3
"""Evaluations of a flake that changes while it is evaluated; the last one is used by its caller alone."""
DAYS: Final = 30.0
ENTRIES: Final = 50
"""What is kept of the shells that nobody enters."""
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Shells:
    """Development shells of one run, by what makes them.

    Args:
        client: copies, evaluates and builds what is not known.
        folder: for the saved shells of all runs; see `Entries`.
        nix: answers for its version, and keeps store paths.
        shown: where the run finds the scripts of its shells; those of others are not in it. None where it may see them all.
        options: the settings of Nix that differ from the host's; they are part of every key.
        allowed: the flake inputs that are taken; see `tree_key`.
        system: which of `devShells.<system>`; the host's if none is given.
        scope: whose shells these are, for instance the repository: see `Surroundings`.
        days: an entry that nobody entered for that long is removed.
        entries: how many entries remain at most; those entered last.
        clock: the host's if none is given.
    """

    def __init__(
        self,
        client: Client,
        folder: Path,
        *,
        nix: Nix,
        shown: Path | None = None,
        options: Mapping[str, str] = _NOTHING,
        allowed: Sequence[str] = (),
        system: str = "",
        scope: str = "",
        days: float = DAYS,
        entries: int = ENTRIES,
        clock: Clock | None = None,
    ) -> None:
        self._client = client
        self._entries = Entries(folder)
        self._nix = nix
        self._shown = shown
        self._options = dict(options)
        self._allowed = tuple(allowed)
        self._system = system or host_system()
        self._scope = scope
        self._days = days
        self._most = entries
        self._clock = clock or SystemClock()
        self._known: dict[str, str] = {}
        """What this run found out: the derivation's key, by the key of files and of trees."""

    async def get(self, flake: Flake, shell: str = "default", *, timeout: float) -> Saved:  # noqa: ASYNC109 - the runner's
        """The shell of the flake as its files are now: the saved one, or a new one.

        Args:
            flake: the checkout and its files.
            shell: the name below `devShells.<system>`.
            timeout: seconds in all, for somebody else's evaluation of the same shell too.

        Raises:
            ShellRefused: it asks for something that is not given here.
            TicketFailure: it does not evaluate, does not build, or not in time.
            PodTrouble: Nix, its store or a cache is the trouble.
        """
        time = _Time(self._clock, timeout)
        for left in reversed(range(TRIES)):
            around = await self._surroundings(shell)
            seen = await asyncio.to_thread(look, flake)
            files = await asyncio.to_thread(key_of, seen.facts, around)
            if saved := self._entries.find(self._known.get(files, "")):
                return self._handed(saved)
            try:
                key, saved = await self._made(flake, shell, around, time)
            except TicketFailure:
                if left and time.left and await self._changed(flake, seen):
                    continue  # half of an edit does not evaluate
                raise
            changed = await self._changed(flake, seen)
            if not changed:
                self._known[files] = key
            if not (changed and left):
                return self._handed(saved)
        raise AssertionError("unreachable")

    async def key(self, flake: Flake, shell: str = "default") -> str:
        """The key of the flake's shell within this run, as its files are now.

        Raises:
            ShellRefused: its files are too large.
            PodTrouble: there is no Nix.
        """
        around = await self._surroundings(shell)
        return await asyncio.to_thread(lambda: key_of(look(flake).facts, around))

    def prune(self) -> int:
        """Remove what nobody entered for long, what is too much, and what killed processes left; how many entries."""
        return self._entries.prune(now=self._clock.now().timestamp(), days=self._days, most=self._most)

    async def _surroundings(self, shell: str) -> Surroundings:
        version = await self._nix.version()
        return Surroundings(shell=shell, system=self._system, version=version, options=self._options, scope=self._scope)

    async def _changed(self, flake: Flake, seen: Look) -> bool:
        return await asyncio.to_thread(look, flake) != seen

    async def _made(self, flake: Flake, shell: str, around: Surroundings, time: _Time) -> tuple[str, Saved]:
        """The derivation's key and its shell, for the checkout as it is at the moment of the copy."""
        commit = commit_key(flake.commit, self._allowed, around) if flake.commit else ""
        led = self._entries.of_tree(commit) if commit else ""
        if saved := self._entries.find(led):
            return led, saved
        copy = await self._client.copy(flake, timeout=time.left)
        tree = tree_key(copy.hash, self._allowed, around)
        async with self._alone(tree, time):
            known = self._known.get(tree) or (self._entries.of_tree(tree) if copy.committed else "")
            if saved := self._entries.find(known):
                if commit and copy.committed:
                    self._entries.lead(commit, known)
                return known, saved
            evaluated = await self._client.evaluate(copy, shell, timeout=time.left)
            key = derivation_key(evaluated.drv, around)
            async with self._alone(key, time):
                saved = self._entries.find(key) or await self._realised(key, evaluated, time)
                await self._keep_inputs(key, evaluated)
            self._known[tree] = key
            if copy.committed:
                for one in filter(None, (tree, commit)):
                    self._entries.lead(one, key)
        self.prune()
        return key, saved

    async def _realised(self, key: str, evaluated: Evaluated, time: _Time) -> Saved:
        """Make and keep; what fails leaves nothing that keeps a path in the store for nobody."""
        self._entries.clear(key)
        try:
            made = await self._client.realise(evaluated.drv, timeout=time.left)
            script = await asyncio.to_thread(sanitised, made.script)
            await self._nix.keep((made.environment,), self._entries.environment(key))
            await self._keep_inputs(key, evaluated)
            return self._entries.save(key, script, made.environment)
        except BaseException:
            self._entries.clear(key)
            raise

    async def _keep_inputs(self, key: str, evaluated: Evaluated) -> None:
        """So that the next evaluation fetches none; one shell can be made from one input or another."""
        if not self._entries.kept(key).issuperset(evaluated.inputs):
            await self._nix.keep(evaluated.inputs, self._entries.inputs(key))

    def _handed(self, saved: Saved) -> Saved:
        """The shell with its script where the run can read it."""
        if self._shown is None:
            return saved
        script = self._shown / saved.script.name
        if not script.exists():
            new = script.with_suffix(".new")
            try:
                self._shown.mkdir(exist_ok=True)
                new.write_bytes(saved.script.read_bytes())
                new.rename(script)
            except OSError as error:
                raise PodTrouble(f"the development shell cannot be handed to its run: {error.strerror}") from error
        return Saved(script, saved.environment)

    @contextlib.asynccontextmanager
    async def _alone(self, key: str, time: _Time) -> AsyncIterator[None]:
        """Hold the lock of a key; asked again and again instead of waited for, so that the event loop goes on."""
        pause = 0.01
        while True:
            with self._entries.lock(key) as mine:
                if mine:
                    yield
                    return
            if not time.left:
                raise TicketFailure(
                    f"the development shell was not entered in time: another run was still making it after {spoken(time.limit)}"
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.25)


class _Time:
    """What is left of a limit, in seconds; never less than none."""

    def __init__(self, clock: Clock, limit: float) -> None:
        self._clock = clock
        self._end = clock.monotonic() + limit
        self.limit = limit

    @property
    def left(self) -> float:
        return max(0.0, self._end - self._clock.monotonic())
