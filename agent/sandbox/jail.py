"""Pure: what a sandboxed program sees of the file system, and how much it may use. Every path is the same inside as outside."""

from __future__ import annotations

from pathlib import Path
from typing import Final

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


class Limits(Struct, frozen=True, kw_only=True):
    """How much one run may use.

    Attributes:
        disk: bytes by which the writable folders may grow.
        processes: how many may live at once.
    """

    disk: int
    processes: int

    @property
    def tasks(self) -> int:
        """The wall that the kernel puts up for an ordinary user: processes and threads together."""
        return THREADS * self.processes

    def judge(self, *, disk: int = 0, processes: int = 0) -> str:
        """What is exceeded, to be read behind "it"; nothing if all is well."""
        if processes > self.processes:
            return f"ran more than {self.processes} processes at once"
        if disk > self.disk:
            return f"wrote more than {_size(self.disk)} to disk"
        return ""


def _size(count: int) -> str:
    """The largest unit that still divides it: 2 GiB, 1536 MiB."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count and count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count} bytes"
