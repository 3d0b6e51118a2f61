"""Files of a worktree where git does not reach: what it cannot remove, cannot read, and never sees.

The folder belongs to a model: a name may be a pipe that nobody writes to, a link to anywhere, a folder without rights.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from agent.programs.removal import remove_folder

_ENTER: Final = stat.S_IRWXU
RULES: Final = frozenset({".gitignore", ".gitattributes"})
"""Files that tell git what to do with others."""
_READ: Final = stat.S_IRUSR | stat.S_IWUSR
_AT_ONCE: Final = 10_000
"""Names that are held while they are removed."""


def read_plain(path: Path, limit: int = 1 << 20) -> bytes | None:
    """What a regular file holds, at most `limit` bytes; None for anything else, which is neither followed nor waited for."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read(limit)


def read_opened(path: Path, limit: int = 1 << 20) -> bytes | None:
    """The same of a file that may be closed to us; it is open afterwards."""
    _allow(path, _READ)
    return read_plain(path, limit)


def write_plain(path: Path, data: bytes) -> None:
    """Make a regular file of these bytes, whatever is there."""
    if path.is_symlink() or not path.is_file():
        remove(path)
    path.write_bytes(data)


def remove(path: Path) -> None:
    """Delete a file or folder whatever it holds, read-only folders too."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    remove_folder(path)


def open_up(path: Path) -> None:
    """Give ourselves the right to enter every folder below `path` and to read every file."""
    _allow(path, _ENTER)
    for entry in walk(path):
        _allow(Path(entry.path), _ENTER if entry.is_dir(follow_symlinks=False) else _READ)


def walk(top: Path) -> Iterator[os.DirEntry[str]]:
    """All that is below a folder, each folder before what is in it; there may be millions, or deeper ones than Python's stack.

    What is held is the names of folders that are still to be looked into, each once.
    """
    parts, waiting = [str(top)], [bytearray()]
    while waiting:
        for entry in entries("/".join(parts)):
            if entry.is_dir(follow_symlinks=False):
                waiting[-1] += os.fsencode(entry.name) + b"\0"
            yield entry
        while waiting and not waiting[-1]:
            waiting.pop()
            parts.pop()
        if waiting:
            start = waiting[-1].rfind(b"\0", 0, -1) + 1
            parts.append(os.fsdecode(bytes(waiting[-1][start:-1])))
            del waiting[-1][start:]
            waiting.append(bytearray())


def entries(folder: str) -> Iterator[os.DirEntry[str]]:
    """What is in a folder, which is opened if it is closed to us; nothing where the kernel does not take its path."""
    for _ in range(2):
        try:
            with os.scandir(folder) as found:
                yield from found
                return
        except PermissionError:
            with contextlib.suppress(OSError):
                _allow(Path(folder), _ENTER)
        except OSError:
            return


def let_in(folder: Path) -> None:
    """A folder that its owner closed to us is open again; anything else stays as it is."""
    if folder.is_dir():
        _allow(folder, _ENTER)


def _allow(path: Path, rights: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & rights != rights:
            path.chmod(stat.S_IMODE(mode) | rights)


def unblock(root: Path) -> None:
    """Remove what git would wait for without end: a pipe or the like where it reads its rules, or what a repository is."""
    for entry in walk(root):
        if not entry.is_dir(follow_symlinks=False) and not entry.is_symlink() and not entry.is_file():
            inner = "/.git/" in entry.path[len(str(root)) :]
            if inner or entry.name in RULES:
                remove(Path(entry.path))


def scrub(root: Path, folders: Iterable[str]) -> None:
    """Take out of folders that hold files of git what git never sees: pipes, sockets, and repositories made in them.

    Args:
        root: the worktree.
        folders: relative to it. All others are removed by git, or ignored as a whole.
    """
    for name in folders:
        _allow(root / name, _ENTER)
        left = True
        while left:
            with os.scandir(root / name) as entries:
                strange = list(itertools.islice((one.path for one in entries if _unseen(one, top=not name)), _AT_ONCE))
            for path in strange:
                remove(Path(path))
            left = len(strange) == _AT_ONCE


def _unseen(entry: os.DirEntry[str], *, top: bool) -> bool:
    if entry.name == ".git":
        return not top
    return not (entry.is_symlink() or entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False))
