"""What ends this process when its event loop stands: systemd's watchdog in a unit that has one, else a thread of its own.

A process that is stuck in one pattern, or in one call of C, runs none of its handlers and no other Python. systemd's SIGKILL
ends it, and `faulthandler`, whose thread needs no lock of the interpreter: it writes where every thread stood, and exits. The
next start takes over in order, as after any kill. Neither clock counts the time that a laptop sleeps.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import socket
from collections.abc import Iterator
from typing import Final

from loguru import logger

STANDS: Final = 60.0
"""Seconds without a beat after which a process without a unit ends; the units of `nix/modules` say the same."""
BEATS: Final = 12
"""So many beats fit into the time that the loop may stand."""
_STDERR: Final = 2


@contextlib.contextmanager
def _unwaiting(stream: int) -> Iterator[int]:
    """The same stream, opened anew: to write to it never waits, for a reader that is gone would keep the process alive."""
    try:
        handle = os.open(
            f"/proc/self/fd/{stream}", os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        )
    except OSError:  # a socket: that is a unit's, which has a watchdog
        yield stream
        return
    try:
        yield handle
    finally:
        os.close(handle)


class Watchdog:
    """One for the whole process.

    Args:
        address: systemd's notify socket (`sd_notify(3)`); empty where there is none.
        seconds: how long systemd waits for a beat; 0 where it waits for none.
    """

    def __init__(self, address: str = "", seconds: float = 0.0) -> None:
        self._address = address
        self._systemd = bool(address and seconds)
        self._stands = seconds if self._systemd else STANDS
        self.pause = self._stands / BEATS
        """Seconds from beat to beat."""
        self._dump = _STDERR

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, the process is ready and lives as long as `beat` is called in time."""
        self._tell("READY=1")
        with _unwaiting(_STDERR) as self._dump:
            self.beat()
            try:
                yield
            finally:
                if not self._systemd:
                    faulthandler.cancel_dump_traceback_later()

    def beat(self) -> None:
        """The event loop goes on."""
        if self._systemd:
            self._tell("WATCHDOG=1")
        else:
            faulthandler.dump_traceback_later(self._stands, exit=True, file=self._dump)

    def _tell(self, word: str) -> None:
        """One datagram; nobody waits for systemd, which misses a word rather than holding the loop."""
        if not self._address:
            return
        name = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                line.sendto(word.encode(), socket.MSG_DONTWAIT, name)
        except OSError as error:
            logger.warning("systemd was not told {}: {}", word, error)
