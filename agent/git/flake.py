"""The files of a worktree that decide about its development shell; Nix sees only those that the index names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

from agent.git import odd
from agent.git.folder import remove
from agent.git.worktree import Worktree


class FlakeFiles:
    """Lists them, and shows the new ones to Nix; both while a model works there.

    It may put a repository in the place of a file meanwhile, and git would look into that. So the names that git notes are
    those of files of ours: Nix looks in the worktree what there is by these names.

    Args:
        worktree: where they are.
    """

    def __init__(self, worktree: Worktree) -> None:
        self._worktree = worktree
        self._showing = asyncio.Lock()

    async def files(self, patterns: Sequence[str]) -> tuple[str, ...]:
        """See `Workspace.flake_files`."""
        return (await self._sorted(patterns))[0]

    async def show(self, patterns: Sequence[str]) -> None:
        """See `Workspace.show_to_nix`."""
        async with self._showing:  # a model may ask for two shells at once
            _, new = await self._sorted(patterns)
            if new:
                await self._worktree.unlock()
                folder = self._worktree.mirror.folder / "names"
                await asyncio.to_thread(_lay_out, folder, new)
                await self._worktree.add("--intent-to-add", paths=new, folder=folder)
                await asyncio.to_thread(remove, folder)

    async def _sorted(self, patterns: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        words = ("ls-files", "-z", "-s", "-t", "--cached", "--others", "--exclude-standard")
        raw = (await self._worktree.git(*words)).stdout
        return await asyncio.to_thread(odd.flake_files, raw, tuple(patterns))  # a million names take seconds


def _lay_out(folder: Path, names: Iterable[str]) -> None:
    remove(folder)
    for name in names:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
