"""Pure: what a sandboxed program sees of the file system, and how much it may use. Every path is the same inside as outside."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

THREADS: Final = 8
"""The kernel's wall counts threads too, so it stands at so many times the processes: it is for what outruns the guard."""


class Jail(Struct, frozen=True, kw_only=True):
    """The paths of one run; what is not named here, and is not part of the host's programs, does not exist inside.

    Attributes:
        writable: the worktree, HOME and the like.
        readable: more read-only paths.
        instead: read-only folders that lie at another path inside: where they are on this host, and where inside.
        nested: read-only paths that lie below one of those or a writable one: the worktree's `.git`, its administrative folder.
        tmp: becomes /tmp; a folder on disk, counted by the limit of the disk. Made if it is missing.
        elsewhere: writable folders that lie at another path inside: where they are on this host, and where inside.
        network: whether it has the host's; for programs of ours that fetch, never for a model or what a repository holds.
    """

    writable: tuple[Path, ...]
    readable: tuple[Path, ...] = ()
    instead: tuple[tuple[Path, Path], ...] = ()
    nested: tuple[Path, ...] = ()
    tmp: Path
    elsewhere: tuple[tuple[Path, Path], ...] = ()
    network: bool = False

    @property
    def measured(self) -> tuple[Path, ...]:
        """The folders that can be filled, each once: none lies below another."""
        outside = (path for path, _ in self.elsewhere)
        folders = sorted({*self.writable, *outside, self.tmp}, key=lambda path: path.parts)
        return tuple(
            path for path in folders if not any(path != other and path.is_relative_to(other) for other in folders)
        )


RESERVE: Final = 256 << 20
"""Bytes that no run is given: the pod's own state, with which it ends what fills the disk."""


class Limits(Struct, frozen=True, kw_only=True):
    """How much one run may use.

    Attributes:
        disk: bytes by which the writable folders may grow.
        processes: how many may live at once.
        scarce: whether the disk has no room for more, as people should be told.
    """

    disk: int
    processes: int
    scarce: bool = False

    def within(self, free: int) -> Limits:
        """The same on a disk with so many bytes left: it has room for all that is written, and for git's copy of it."""
        room = max(0, free - RESERVE) // 2 >> 20 << 20  # whole mebibytes, for people
        return self if room >= self.disk else msgspec.structs.replace(self, disk=room, scarce=True)

    @property
    def tasks(self) -> int:
        """The wall that the kernel puts up for an ordinary user: processes and threads together."""
        return THREADS * self.processes

    def judge(self, *, disk: int = 0, processes: int = 0) -> str:
        """What is exceeded, to be read behind "it"; nothing if all is well."""
        if processes > self.processes:
            return f"ran more than {self.processes} processes at once"
        if disk > self.disk:
            room = ", and the pod's disk has no room for more" if self.scarce else ""
            return f"wrote more than {_size(self.disk)} to disk{room}"
        return ""


def _size(count: int) -> str:
    """The largest unit that still divides it: 2 GiB, 1536 MiB."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count and count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count} bytes"
