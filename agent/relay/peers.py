"""Who is at the other end of a connection, as the kernel tells it, and who of them may speak to the model.

The kernel notes the process that connected, in whatever namespace it lives (SO_PEERCRED). A process is known by its id
and the moment of its start, since ids come again.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import Final, TypeAlias

from agent.errors import ConfigurationError, PodTrouble

_CREDENTIALS: Final = struct.Struct("3i")
_START: Final = 19
"""Where the moment of the start stands in /proc/<pid>/stat, behind the name and the state (proc(5), field 22)."""

Identity: TypeAlias = tuple[int, int]
"""A process: its id and the moment of its start; or a file: its device and its inode."""


def connected(connection: socket.socket) -> int:
    """The id of the process that made this connection; 0 if it lives where this one cannot see it."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[0])


class Owner:
    """The one process that may ask the model: the first that asks and runs the model's program.

    Its children, other copies of the program and everything else in the sandbox are turned away, also when it is gone.

    Args:
        program: the model's program; None lets the first one have it, whatever it runs.

    Raises:
        PodTrouble: the program is not there.
        ConfigurationError: it is a script, whose process would run the interpreter.
    """

    def __init__(self, program: Path | None) -> None:
        self._program = _identity(program) if program else None
        self._owner: Identity | None = None

    def refuses(self, pid: int) -> str:
        """Why this process may not ask; empty if it may."""
        try:
            process = (pid, _started(pid))
            runs = _file(f"/proc/{pid}/exe") if self._program else None
        except (OSError, ValueError, IndexError):
            return "the relay cannot see which process is asking, so it may not"
        if self._owner is None:
            if runs != self._program:
                return "only the model's own process may ask the model: another program did"
            self._owner = process
        if process != self._owner:
            return "only the model's own process may ask the model: this is another one, and there are no child agents"
        return ""


def _started(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    return int(stat.rpartition(b")")[2].split()[_START])


def _file(path: str | Path) -> Identity:
    found = os.stat(path)  # noqa: PTH116 - beside the one of /proc, whose link leads to no path of ours
    return found.st_dev, found.st_ino


def _identity(program: Path) -> Identity:
    try:
        with program.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                raise ConfigurationError(
                    f"{program} is a script: the relay knows the model by the program that its process runs; "
                    "name the binary itself"
                )
        return _file(program)
    except OSError as error:
        raise PodTrouble(f"the model's program {program} cannot be read: {error.strerror}") from error
