"""What a sandbox uses: blocks on disk below its folders, and processes.

The folders are in the hands of a program that may want to hide what it wrote. So the walk follows no symlink, goes by
descriptors, since paths may be made longer than the kernel takes, adds files that were deleted and are still open, and says
where it was blind. Each entry counts for at least the inode that it takes.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from msgspec import Struct

INODE: Final = 512
"""Bytes that an entry counts for at least."""
DEEPEST: Final = 200
"""Folders within folders that are looked into; each holds a descriptor open."""
LINKED: Final = 100_000
"""Files with several names that are held by their numbers, so that they count once; of what is more each name has a share."""
_BLOCK: Final = 512
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Stopped(Exception):
    """The walk is not wanted any more."""


class Usage(Struct, frozen=True):
    """Blocks below some folders, in bytes; `blind` if there was something that could not be looked into."""

    disk: int = 0
    blind: bool = False


class Walk:
    """One walk over folders.

    Args:
        step: called for each folder; may raise `Stopped`.
    """

    def __init__(self, step: Callable[[], None] = lambda: None) -> None:
        self._step = step
        self._seen: set[tuple[int, int]] = set()
        self._disk = 0
        self._blind = False

    def over(self, folders: Iterable[Path], pids: Iterable[int] = ()) -> Usage:
        """Measure what lies below the folders, and what these processes hold open on the same file systems.

        Raises:
            Stopped: `step` did.
        """
        devices = set()
        for folder in folders:
            with contextlib.suppress(FileNotFoundError):
                devices.add(folder.stat().st_dev)
                self._folder(str(folder), None, 0)
        for pid in pids:
            self._step()
            self._held(pid, devices)
        return Usage(self._disk, self._blind)

    def _folder(self, name: str, parent: int | None, depth: int) -> None:
        self._step()
        if depth > DEEPEST:
            self._blind = True
            return
        try:
            place = os.open(name, _FOLDER, dir_fd=parent)
        except FileNotFoundError:
            return
        except OSError:  # closed to us, or not a folder any more
            self._blind = True
            return
        try:
            self._count(os.fstat(place))
            with os.scandir(place) as entries:
                for entry in entries:
                    self._entry(entry, place, depth)
        except OSError:  # pragma: no cover - the disk is in trouble
            self._blind = True
        finally:
            os.close(place)

    def _entry(self, entry: os.DirEntry[str], place: int, depth: int) -> None:
        try:
            if entry.is_dir(follow_symlinks=False):
                self._folder(entry.name, place, depth + 1)
            else:
                self._count(entry.stat(follow_symlinks=False))
        except FileNotFoundError:
            pass

    def _held(self, pid: int, devices: set[int]) -> None:
        folder = f"/proc/{pid}/fd"
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):  # noqa: PTH208 - thousands of names
                with contextlib.suppress(OSError):
                    found = os.stat(f"{folder}/{name}")  # noqa: PTH116 - likewise
                    if found.st_nlink == 0 and stat.S_ISREG(found.st_mode) and found.st_dev in devices:
                        self._count(found, shared=True)

    def _count(self, found: os.stat_result, *, shared: bool = False) -> None:
        share = 1
        if shared or (found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode)):
            if (found.st_dev, found.st_ino) in self._seen:
                return
            if len(self._seen) < LINKED:
                self._seen.add((found.st_dev, found.st_ino))
            else:
                share = max(found.st_nlink, 1)
        self._disk += max(found.st_blocks * _BLOCK, INODE) // share


def used(folders: Iterable[Path]) -> int:
    """Bytes in use on the file systems of these folders, each once, whoever wrote them, and inodes as a walk counts them: cheap to ask."""
    total = 0
    for place in {folder.stat().st_dev: folder for folder in folders if folder.exists()}.values():
        system = os.statvfs(place)
        total += (system.f_blocks - system.f_bfree) * system.f_frsize + (system.f_files - system.f_ffree) * INODE
    return total


def processes(namespace: int) -> list[int]:
    """Who lives in a PID namespace, by our own numbers for them."""
    names = os.listdir("/proc")  # noqa: PTH208 - pathlib builds an object for each of thousands
    return [int(name) for name in names if name.isdecimal() and namespace_of(int(name)) == namespace]


def namespace_of(pid: int) -> int:
    """The number of its PID namespace; 0 if it is gone, or none of ours."""
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino  # noqa: PTH116 - one system call, for each of thousands
    except OSError:
        return 0
