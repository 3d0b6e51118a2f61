"""The files of a worktree that decide about its development shell; Nix sees only those that the index names."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from agent.git import odd
from agent.git.worktree import Worktree

TRIES: Final = 3
"""How often new files are shown to Nix, while the model may move them away."""


class FlakeFiles:
    """Lists them, and shows the new ones to Nix; both while a model works there.

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
            for left in reversed(range(TRIES)):
                _, new = await self._sorted(patterns)
                if not new:
                    return
                await self._worktree.unlock()
                done = await self._worktree.add("--intent-to-add", paths=new, ok=(0, 128) if left else (0,))
                if done.ok:  # else one of them is gone already
                    return

    async def _sorted(self, patterns: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        words = ("ls-files", "-z", "-s", "-t", "--cached", "--others", "--exclude-standard")
        raw = (await self._worktree.git(*words)).stdout
        return await asyncio.to_thread(odd.flake_files, raw, tuple(patterns))  # a million names take seconds
