"""Folders that were in the hands of programs of others, taken away whatever they hold.

`shutil.rmtree` gives up on a folder that is closed to its owner (module caches are), and breaks in a tree that is deeper
than Python's stack. Here a folder within a folder is opened up and moved to the top first, so that nothing is ever deep.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_folder(folder: Path) -> None:
    """Remove a folder and all in it; a symlink in its place is removed itself. Nobody may work in it any more.

    Raises:
        OSError: something cannot be removed.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISDIR(folder.lstat().st_mode):
            folder.unlink()
            return
        _empty(folder)
        folder.rmdir()


def _empty(folder: Path) -> None:
    folder.chmod(stat.S_IRWXU)
    top = os.open(folder, _FOLDER)
    try:
        prefix, number = secrets.token_hex(8), 0
        todo = [""]
        while todo:
            name = todo.pop()
            here = os.open(name, _FOLDER, dir_fd=top) if name else os.dup(top)
            try:
                for entry in _entries(here):
                    if entry.is_dir(follow_symlinks=False):
                        number += 1
                        moved = f"{prefix}-{number}"
                        os.chmod(entry.name, stat.S_IRWXU, dir_fd=here)
                        os.rename(entry.name, moved, src_dir_fd=here, dst_dir_fd=top)
                        todo.append(moved)
                    else:
                        os.unlink(entry.name, dir_fd=here)
            finally:
                os.close(here)
            if name:
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)


def _entries(place: int) -> list[os.DirEntry[str]]:
    with os.scandir(place) as entries:
        return list(entries)


@asynccontextmanager
async def folder_for_others(place: Path, prefix: str) -> AsyncIterator[Path]:
    """A folder that programs of others may fill as they like; it goes with the block, as far as it can.

    Raises:
        OSError: it cannot be made.
    """
    folder = Path(tempfile.mkdtemp(dir=place, prefix=prefix))
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            await asyncio.to_thread(remove_folder, folder)  # it may hold a million files
