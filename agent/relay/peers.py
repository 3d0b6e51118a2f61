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

Identity: TypeAlias = tuple[int, int]
"""A process: its id and the moment of its start."""


def connected(connection: socket.socket) -> int:
    """The id of the process that made this connection; 0 if it lives where this one cannot see it."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[0])


class Owner:
    """The one process that may ask the model: the first that asks.

    That is the model's own program, since whatever else runs in the sandbox is started by its answers; a `shellHook` that
    was quicker only spends its own run's budget, and the run fails. Its children, other copies of the program and
    everything else in the sandbox are turned away, also when it is gone. Which program it is proves nothing more: a hook
    can start that one too, and a packaged one is often a wrapper around another.
    """

    def __init__(self) -> None:
        self._owner: Identity | None = None

    def refuses(self, pid: int) -> str:
        """Why this process may not ask; empty if it may."""
        try:
            process = (pid, _started(pid))
        except (OSError, ValueError, IndexError):
            return "the relay cannot see which process is asking, so it may not"
        if self._owner is None:
            self._owner = process
        if process != self._owner:
            return "only the model's own process may ask the model: this is another one, and there are no child agents"
        return ""


def _started(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    return int(stat.rpartition(b")")[2].split()[_START])
