"""Who is at the other end of a connection, as the kernel tells it, and who of them may speak to the model.

The kernel notes the process that connected, in whatever namespace it lives (SO_PEERCRED). A process is known by its id
and the moment of its start, since ids come again.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Final, TypeAlias

_CREDENTIALS: Final = struct.Struct("3i")
_START: Final = 19
"""Where the moment of the start stands in /proc/<pid>/stat, behind the name and the state (proc(5), field 22)."""

FIRST: Final = 2
"""The number inside of the first process that a sandbox starts; 1 is bubblewrap's own."""

Identity: TypeAlias = tuple[int, int]
"""A process: its id and the moment of its start."""


def connected(connection: socket.socket) -> int:
    """The id of the process that made this connection; 0 if it lives where this one cannot see it."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[0])


class Owner:
    """The one process that may ask the model: in a sandbox the first that was started there, elsewhere the first that asks.

    That is the model's own program: nothing of the repository runs in its sandbox before it, and what it starts has other
    numbers. Its commands, other copies of it and everything else there are turned away, also when it is gone. A wrapper
    around the program has to become it.
    """

    def __init__(self) -> None:
        self._owner: Identity | None = None

    def has(self, pid: int) -> bool:
        """Whether this process is the one, or will be as soon as it asks: the first of a sandbox where none has asked."""
        try:
            if self._owner is None:
                return _inside(pid) == [FIRST]
            return (pid, _started(pid)) == self._owner
        except (OSError, ValueError, IndexError):
            return False

    def refuses(self, pid: int) -> str:
        """Why this process may not ask; empty if it may."""
        try:
            process = (pid, _started(pid))
            inside = _inside(pid)
        except (OSError, ValueError, IndexError):
            return "the relay cannot see which process is asking, so it may not"
        if inside in ([], [FIRST]) and self._owner is None:
            self._owner = process
        if process != self._owner:
            return "only the model's own process may ask the model: this is another one, and there are no child agents"
        return ""


def _inside(pid: int) -> list[int]:
    """The numbers of a process in the namespaces that this one is not in; none where it is in all of them."""
    return _numbers(pid)[len(_numbers("self")) :]


def _numbers(pid: int | str) -> list[int]:
    """The numbers of a process in the namespaces that it is in, the innermost last."""
    status = Path(f"/proc/{pid}/status").read_bytes()
    return [int(one) for one in status.partition(b"\nNSpid:")[2].partition(b"\n")[0].split()]


def _started(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    return int(stat.rpartition(b")")[2].split()[_START])
