"""The saved shells of a pod: what was evaluated once for these contents is entered again without Nix."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from agent.clock import Clock, SystemClock
from agent.devshell.entries import Entries
from agent.devshell.flake import Client, Evaluated, Flake, Saved
from agent.devshell.key import Look, Surroundings, host_system, key_of, look
from agent.devshell.nix import Nix
from agent.devshell.saved import sanitised
from agent.errors import TicketFailure
from agent.texts.markup import spoken

TRIES: Final = 3
"""Evaluations of a flake that changes while it is evaluated; the last one is used by its caller alone."""
DAYS: Final = 30.0
ENTRIES: Final = 50
"""What is kept of the shells that nobody enters."""
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Shells:
    """Development shells by the contents that make them.

    Args:
        client: evaluates and builds on a miss.
        folder: for the saved shells; see `Entries`.
        nix: answers for its version, and keeps the inputs.
        options: the settings of Nix that differ from the host's; they are part of the key.
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
        options: Mapping[str, str] = _NOTHING,
        system: str = "",
        scope: str = "",
        days: float = DAYS,
        entries: int = ENTRIES,
        clock: Clock | None = None,
    ) -> None:
        self._client = client
        self._entries = Entries(folder)
        self._nix = nix
        self._options = dict(options)
        self._system = system or host_system()
        self._scope = scope
        self._days = days
        self._most = entries
        self._clock = clock or SystemClock()

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
        deadline = self._clock.monotonic() + timeout
        for _ in range(TRIES - 1):
            key, seen = await self._look(flake, shell)
            if saved := self._entries.find(key):
                return saved
            async with self._alone(key, deadline, timeout):
                saved = self._entries.find(key) or await self._made(key, flake, shell, deadline, seen)
            if saved:
                return saved
        # It changes faster than it is evaluated. What comes of it now is nobody else's, so no contents lead to it.
        key = f"once-{secrets.token_hex(20)}"
        async with self._alone(key, deadline, timeout):
            return self._saved(key, *await self._evaluated(key, flake, shell, deadline))

    async def key(self, flake: Flake, shell: str = "default") -> str:
        """The key of the flake's shell as its files are now.

        Raises:
            ShellRefused: its files are too large.
            PodTrouble: there is no Nix.
        """
        return (await self._look(flake, shell))[0]

    def prune(self) -> int:
        """Remove what nobody entered for long, what is too much, and what killed processes left; how many entries."""
        return self._entries.prune(now=self._clock.now().timestamp(), days=self._days, most=self._most)

    async def _look(self, flake: Flake, shell: str) -> tuple[str, Look]:
        version = await self._nix.version()
        seen = await asyncio.to_thread(look, flake)
        around = Surroundings(
            shell=shell, system=self._system, version=version, options=self._options, scope=self._scope
        )
        return key_of(seen.facts, around), seen

    async def _made(self, key: str, flake: Flake, shell: str, deadline: float, seen: Look) -> Saved | None:
        """Evaluate and save; None if the files are not any more what `seen` says, since then the key is not theirs."""
        try:
            script, made = await self._evaluated(key, flake, shell, deadline)
        except TicketFailure:
            if deadline > self._clock.monotonic() and await self._changed(flake, seen):
                return None  # half of an edit does not evaluate
            raise
        if await self._changed(flake, seen):
            self._entries.clear(key)
            return None
        return self._saved(key, script, made)

    async def _evaluated(self, key: str, flake: Flake, shell: str, deadline: float) -> tuple[bytes, Evaluated]:
        """Evaluate and keep; what fails leaves nothing that keeps a path in the store for nobody."""
        self._entries.clear(key)
        left = max(0.0, deadline - self._clock.monotonic())
        try:
            made = await self._client.evaluate(flake, shell, profile=self._entries.profile(key), timeout=left)
            script = sanitised(made.script)
            await self._nix.keep(made.inputs, self._entries.inputs(key))
        except BaseException:
            self._entries.clear(key)
            raise
        return script, made

    def _saved(self, key: str, script: bytes, made: Evaluated) -> Saved:
        saved = self._entries.save(key, script, made.environment)
        self.prune()
        return saved

    async def _changed(self, flake: Flake, seen: Look) -> bool:
        return await asyncio.to_thread(look, flake) != seen

    @contextlib.asynccontextmanager
    async def _alone(self, key: str, deadline: float, limit: float) -> AsyncIterator[None]:
        """Hold the lock of a key; asked again and again instead of waited for, so that the event loop goes on."""
        pause = 0.01
        while True:
            with self._entries.lock(key) as mine:
                if mine:
                    yield
                    return
            if self._clock.monotonic() >= deadline:
                raise TicketFailure(
                    f"the development shell was not entered in time: another run was still making it after {spoken(limit)}"
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.25)
