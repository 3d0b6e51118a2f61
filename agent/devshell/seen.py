"""What a run sees of the store: the closures of the shells that it was given."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from agent.devshell.broker import HasShells
from agent.devshell.flake import Flake, Saved
from agent.errors import PodTrouble


class SeenShells:
    """Shells whose closure is seen by the run before it has them.

    Args:
        shells: makes and keeps them.
        closure: the names in the store of all that an environment needs.
        show: shows them to the run, and to what of it runs already.
        folder: ours; for closures that were asked for once. What a store path needs never changes.
    """

    def __init__(
        self,
        shells: HasShells,
        *,
        closure: Callable[[Path], Awaitable[tuple[str, ...]]],
        show: Callable[[tuple[str, ...]], Awaitable[None]],
        folder: Path,
    ) -> None:
        self._shells = shells
        self._closure = closure
        self._show = show
        self._folder = folder
        self._seen: set[Path] = set()

    async def get(self, flake: Flake, shell: str = "default", *, timeout: float) -> Saved:  # noqa: ASYNC109 - the runner's
        """See `Shells.get`."""
        saved = await self._shells.get(flake, shell, timeout=timeout)
        if saved.environment not in self._seen:
            await self._show(await self._names(saved.environment))
            self._seen.add(saved.environment)
        return saved

    async def _names(self, environment: Path) -> tuple[str, ...]:
        file = self._folder / environment.name
        with contextlib.suppress(OSError):
            return tuple(file.read_text("utf-8").splitlines())
        names = await self._closure(environment)
        new = file.with_name(f".{file.name}.new")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for old in self._folder.iterdir():
                if not (environment.parent / old.name).exists():
                    old.unlink(missing_ok=True)
            new.write_text("".join(f"{name}\n" for name in names), "utf-8")
            new.replace(file)
        except OSError as error:
            raise PodTrouble(f"what a development shell needs cannot be noted: {error.strerror} ({file})") from error
        return names
