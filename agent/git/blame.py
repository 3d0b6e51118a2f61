"""Whose fault it is that git failed: after a model ran, what git cannot do with its files is the ticket's, and names the path.

The pod's is only what no other run could be spared: a full disk, a host out of files, a git that is missing. Whether the disk
is full is asked of the host, never of git's words: a model chooses the names in them.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.errors import PodTrouble, TicketFailure
from agent.git.refs import names
from agent.programs.runner import Finished

LEAST: Final = 64 << 20
"""Bytes that are free at least, or the host's disk is full."""
LEAST_FILES: Final = 1000
"""Files that can be made at least."""
LONGEST: Final = 200
"""Characters of a path that are shown."""
_OURS: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM))
"""What the kernel says of a host that is in trouble."""
_TOO_LONG: Final = b"File name too long"
_CUT: Final = 3500
"""Bytes of a warning that git may have cut: it writes no more than 4096."""
_NO_FILE: Final = b": can only add regular files"
_NO_COMMIT: Final = b"' does not have a commit checked out"


class GitFailed(PodTrouble):
    """A git command on this host did not do its part.

    Args:
        message: for a person who owns the pod.
        said: git's own words, fit to be shown.
        stderr: the same, raw.
        crowded: its answer was too long to be kept whole.
        killed: it did not end by itself.
    """

    def __init__(
        self, message: str, said: str, stderr: bytes = b"", *, crowded: bool = False, killed: bool = False
    ) -> None:
        super().__init__(message)
        self.said = said
        self.stderr = stderr
        self.crowded = crowded
        self.killed = killed


@contextlib.contextmanager
def blamed(folder: Path, *, untouched: bool = False) -> Iterator[None]:
    """What fails in here fails for what a model left.

    Args:
        folder: on the disk that git writes to.
        untouched: or for what the repository holds, before any model: a git that was killed is the host's doing then.

    Raises:
        TicketFailure: for what would be a `GitFailed` or an `OSError` else.
        PodTrouble: the host has no room left.
    """
    try:
        yield
    except GitFailed as failed:
        if _is_full(folder) or (untouched and failed.killed):
            raise
        path = culprit(failed.stderr)
        what = names([shown(path)]) if path else "what is in the worktree"
        raise TicketFailure(f"git cannot work with {what}: {_gist(failed.said)}", evidence=failed.said) from failed
    except OSError as error:
        if error.errno in _OURS or _is_full(folder):
            raise
        what = names([shown(os.fsdecode(error.filename))]) if error.filename else "the worktree"
        raise TicketFailure(f"{what} cannot be used: {error.strerror}") from error


def refused(done: Finished) -> str:
    """What `git add` could not take, as a sentence; empty if it took all."""
    if path := _too_long(done.stderr):
        return f"git cannot look into {names([shown(path)])}: the path is too long"
    if not done.returncode:
        return ""
    if path := nested(done):
        return f"{names([shown(path)])} is a git repository of its own, so its files cannot be committed"
    if path := no_file(done):
        return f"{names([shown(path)])} is no file that git can hold, but a pipe, a socket or a device"
    return ""


def no_file(done: Finished) -> str:
    """A pipe, a socket or a device in the place of a file."""
    return _between(done.stderr, b"error: ", _NO_FILE) if done.returncode else ""


def nested(done: Finished) -> str:
    """A repository without a commit."""
    return _between(done.stderr, b"error: '", _NO_COMMIT).removesuffix("/") if done.returncode else ""


def culprit(stderr: bytes) -> str:
    """The path that git names in its first complaint; empty if it names none."""
    for line in stderr.split(b"\n")[:100]:
        if line.startswith((b"error: ", b"fatal: ")):
            for quote in (b"'", b'"'):
                first, last = line.find(quote), line.rfind(quote)
                if 0 <= first < last:
                    return line[first + 1 : last].decode("utf-8", "surrogateescape")
    return ""


def shown(path: str) -> str:
    """A path for a sentence: of a long one both ends."""
    return path if len(path) <= LONGEST else f"{path[: LONGEST // 2]}…{path[-LONGEST // 2 :]}"


def _too_long(stderr: bytes) -> str:
    for line in stderr.split(b"\n"):
        if line.startswith(b"warning: ") and (_TOO_LONG in line or len(line) > _CUT):
            return line.partition(b"'")[2].partition(b"'")[0].decode("utf-8", "surrogateescape")
    return ""


def _between(stderr: bytes, before: bytes, behind: bytes) -> str:
    for line in stderr.split(b"\n"):
        if line.startswith(before) and behind in line:
            return line[len(before) : line.rindex(behind)].decode("utf-8", "surrogateescape")
    return ""


def _gist(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("error: ", "fatal: "))]
    return shown((telling or lines or ["it said nothing"])[0]).rstrip(".")


def _is_full(folder: Path) -> bool:
    disk = os.statvfs(folder)
    out_of_files = disk.f_files > 0 and disk.f_favail < LEAST_FILES
    return disk.f_bavail * disk.f_frsize < LEAST or out_of_files
