"""Trees that nobody needs any more: out of the way at once, taken away when there is time.

A run may have left millions of files in one, and folders that are closed to us; nobody waits until they are gone. Nor are they
taken away at once: ext4 without a journal looks at every inode that was freed within the last minute whenever a file is made
(measured: 3,000 files took 2 seconds in place of 0.14), and what comes next after a tree is done with is to make another.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import stat
import threading
from pathlib import Path
from typing import Final

from loguru import logger

from agent.programs.removal import remove_folder

PAUSE: Final = 60.0
"""Seconds that trees wait: by then a model is at work, as a rule."""
LAST: Final = 5.0
"""Seconds that the end of a process waits for it: a run may leave what takes minutes, and a service has two to end."""


class Trash:
    """Takes trees away.

    Args:
        folder: where they wait, on the file system that they are on; what a killed process left in it goes, too.
        pause: see `PAUSE`.
        last: see `LAST`.
    """

    def __init__(self, folder: Path, *, pause: float = PAUSE, last: float = LAST) -> None:
        self._folder = folder
        self._pause = pause
        self._last = last
        self._stopped = threading.Event()
        self._closed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def put(self, *paths: Path) -> None:
        """They are gone from their places when this returns; that one is not there is fine.

        Raises:
            OSError: one cannot be moved.
        """
        if await asyncio.to_thread(self._moved, paths) and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._empty(), name=f"trash in {self._folder}")

    async def close(self) -> None:
        """Take away what there is time for; the rest goes with a later process, as after a kill."""
        self._closed.set()
        if self._task is not None:
            ended, _ = await asyncio.wait((self._task,), timeout=self._last)
            if not ended:
                self._stopped.set()
                await asyncio.wait((self._task,))

    def _moved(self, paths: tuple[Path, ...]) -> bool:
        """Whether there is something to take away."""
        moved = False
        for path in paths:
            if path.is_symlink() or not path.is_dir():
                path.unlink(missing_ok=True)
                continue
            self._folder.mkdir(parents=True, exist_ok=True)
            path.chmod(stat.S_IRWXU)  # what is closed to its owner cannot be moved
            path.rename(self._folder / secrets.token_hex(8))
            moved = True
        return moved

    async def _empty(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pause):
                await self._closed.wait()
        seen: set[str] = set()
        while new := set(await asyncio.to_thread(os.listdir, self._folder)) - seen:
            for name in new:
                try:
                    await asyncio.to_thread(remove_folder, self._folder / name, self._stopped)
                except InterruptedError:
                    return
                except OSError as failed:
                    logger.warning("{} cannot be taken away: {}", self._folder / name, failed)
            seen |= new
