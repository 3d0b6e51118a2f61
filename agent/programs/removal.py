"""Folders that were in the hands of programs of others, taken away whatever they hold.

`shutil.rmtree` gives up on a folder that is closed to its owner (module caches are), and breaks in a tree that is deeper
than Python's stack. Here a folder within a folder is opened up and moved to the top first, so that nothing is ever deep.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import stat
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_folder(folder: Path, stopped: threading.Event | None = None) -> None:
    """Remove a folder and all in it; a symlink in its place is removed itself. Nobody may work in it any more.

    Args:
        folder: which.
        stopped: once it is set, the rest stays.

    Raises:
        InterruptedError: the rest stays.
        OSError: something cannot be removed.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISDIR(folder.lstat().st_mode):
            folder.unlink()
            return
        _empty(folder, stopped or threading.Event())
        folder.rmdir()


def _empty(folder: Path, stopped: threading.Event) -> None:
    folder.chmod(stat.S_IRWXU)
    top = os.open(folder, _FOLDER)
    try:
        prefix = secrets.token_hex(8)
        moved = _clear(top, top, prefix, 0, stopped)
        emptied = 0
        while emptied < moved:
            emptied += 1
            name = f"{prefix}-{emptied}"
            here = os.open(name, _FOLDER, dir_fd=top)
            try:
                moved = _clear(here, top, prefix, moved, stopped)
            finally:
                os.close(here)
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)


def _clear(here: int, top: int, prefix: str, moved: int, stopped: threading.Event) -> int:
    """Remove the files of a folder and move its folders to the top, numbered from `moved` on; returns the last number.

    One after the other while they are listed, and listed again until there are none: there may be millions.
    """
    found = True
    while found:
        found = False
        with os.scandir(here) as entries:
            for entry in entries:
                if entry.name.startswith(prefix):
                    continue
                found = True
                if stopped.is_set():
                    raise InterruptedError
                if entry.is_dir(follow_symlinks=False):
                    moved += 1
                    os.chmod(entry.name, stat.S_IRWXU, dir_fd=here)
                    os.rename(entry.name, f"{prefix}-{moved}", src_dir_fd=here, dst_dir_fd=top)
                else:
                    os.unlink(entry.name, dir_fd=here)
    return moved


def behind(step: Callable[[], None]) -> None:
    """Do what nobody needs to wait for in a thread; the end of the loop waits (`asyncio.run`), a kill does not.

    A folder that is removed costs a file system without a journal some milliseconds, and a ticket leaves a hundred.
    """
    _ = asyncio.get_running_loop().run_in_executor(None, step)


def ensure_open(folder: Path) -> None:
    """A folder exists and is open to us, whatever a program of others has made of its mode; who may see it is not changed.

    Raises:
        OSError: it cannot be.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=stat.S_IRWXU)
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        folder.chmod(mode | stat.S_IRWXU)


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


@asynccontextmanager
async def held_folder(place: Path, prefix: str) -> AsyncIterator[Path]:
    """As `folder_for_others`; and what was left of such folders by processes that were killed goes first.

    A lock that goes with its process tells which those are: in a file beside each folder, which is there before it. Nobody
    waits until the folder is gone (`behind`): no other has its name.

    Raises:
        OSError: it cannot be made.
    """
    await asyncio.to_thread(_remove_unheld, place, prefix)
    folder = place / f"{prefix}{secrets.token_hex(8)}"
    lock = place / f"{folder.name}.lock"
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        behind(lambda: _let_go(folder, lock, handle))


def _let_go(folder: Path, lock: Path, handle: int) -> None:
    try:
        with contextlib.suppress(OSError):
            remove_folder(folder)
            lock.unlink()
    finally:
        os.close(handle)


def _remove_unheld(place: Path, prefix: str) -> None:
    for lock in place.glob(f"{prefix}*.lock"):
        with contextlib.suppress(OSError):
            handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_folder(lock.with_suffix(""))
                lock.unlink()
            finally:
                os.close(handle)
