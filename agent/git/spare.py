"""Checkouts that git makes before they are needed, while a model or checks are at work: a large one takes seconds.

Whoever takes one has git bring it to the commit that is wanted, by the difference. It is then what git would have made of
that commit anew: git alone was ever in it, no box shows it, and none outlives the process that made it. Where the rules
differ by which git writes files (`.gitattributes`), files that did not change would be written another way too, so there
it is not taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

from loguru import logger
from msgspec import Struct

from agent.errors import PodTrouble
from agent.git.folder import remove
from agent.git.mirror import Mirror

_RULES: Final = ":(top,glob)**/.gitattributes"
_SECOND: Final = 10**9


class _Spare(Struct, frozen=True):
    """A checkout of a commit, and git's index of it."""

    commit: str
    tree: Path
    index: Path


class Spares:
    """The spare checkouts of one repository.

    Args:
        mirror: of the repository.
        most: how many there are at once.
    """

    def __init__(self, mirror: Mirror, most: int) -> None:
        self._mirror = mirror
        self._most = most
        self._wanted = 0
        self._folder = mirror.folder / "spare"
        self._cleared = False
        self._commit = ""
        self._ready: list[_Spare] = []
        self._task: asyncio.Task[None] | None = None

    def of(self, commit: str) -> None:
        """From now on, they are made of this commit."""
        self._commit = commit

    def prepare(self, count: int) -> None:
        """Begin to make what is missing of this many; call it when a run waits for its own programs and not for us."""
        self._wanted = min(count, self._most)
        if len(self._ready) < self._wanted and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._prepare(), name=f"spare checkouts of {self._mirror.place}")

    async def prepared(self) -> None:
        """Wait until none is missing, or no more can be made."""
        if self._task is not None:
            await asyncio.wait((self._task,))

    async def close(self) -> None:
        """No more are made; what is under way ends before this returns."""
        if self._task is not None:
            self._task.cancel()
            await self.prepared()

    async def _prepare(self) -> None:
        try:
            if not self._cleared:
                await asyncio.to_thread(remove, self._folder)  # what a killed pod left
                self._cleared = True
            while len(self._ready) < self._wanted and self._has_room():
                self._ready.append(await self._made(self._commit))
        except (PodTrouble, OSError) as failed:  # a checkout is made when it is needed, then
            logger.info("no spare checkout of {}: {}", self._mirror.place, failed)

    def _has_room(self) -> bool:
        """Whether what a run may fill stays free."""
        disk = os.statvfs(self._mirror.folder)
        return disk.f_bavail * disk.f_frsize > self._mirror.disk

    async def _made(self, commit: str) -> _Spare:
        name = secrets.token_hex(4)
        spare = _Spare(commit, self._folder / name, self._folder / f"{name}.index")
        try:
            await asyncio.to_thread(spare.tree.mkdir, parents=True)
            env = {"GIT_INDEX_FILE": str(spare.index)}
            await self._mirror.local("read-tree", "--reset", "-u", commit, tree=spare.tree, env=env, idle=True)
            _trusted(spare.index)
        except BaseException:
            await self._dropped(spare)
            raise
        return spare

    async def take(self, folder: Path, commit: str) -> Path | None:
        """Put one in the place of `folder`, for git to reset to `commit`.

        Returns:
            Git's index of it, to be put where git looks for it; None if there is none.
        """
        while self._ready:
            spare = self._ready.pop()
            if await self._same_rules(spare.commit, commit) and await asyncio.to_thread(_moved, spare, folder):
                return spare.index
            await self._dropped(spare)
        return None

    async def _same_rules(self, one: str, other: str) -> bool:
        if one == other:
            return True
        done = await self._mirror.local("diff-tree", "-r", "--quiet", one, other, "--", _RULES, ok=(0, 1, 128))
        return done.returncode == 0

    async def _dropped(self, spare: _Spare) -> None:
        for path in (spare.tree, spare.index):
            await asyncio.to_thread(remove, path)


def _moved(spare: _Spare, folder: Path) -> bool:
    """Whether it was still there to be moved."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in folder.iterdir():
        remove(one)
    with contextlib.suppress(FileNotFoundError):
        spare.tree.rename(folder)
        return spare.index.exists()
    return False


def _trusted(index: Path) -> None:
    """Git reads each file again that is as young as its index, in whole seconds: it may have been changed since. None was."""
    later = index.stat().st_mtime_ns + _SECOND
    os.utime(index, ns=(later, later))
