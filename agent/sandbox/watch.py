"""Looks at a running sandbox and ends it when it exceeds its limits.

The looking is done by threads of its own: a walk over a large tree must not stand in the way of the event loop, and a
flood of processes must not wait for the next tick. Neither takes more than about a twentieth of one processor's time,
unless the file systems have filled by so much since the last walk that the limit may be passed.

Ending means to kill the first process of the PID namespace: the kernel then kills the others.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agent.sandbox.jail import Limits
from agent.sandbox.usage import Stopped, Usage, Walk, namespace_of, processes, used

SHARE: Final = 20
"""A look is followed by so many times its own duration without one."""
SHORTEST: Final = 0.05
"""Seconds between two looks, however quick they are."""


class Watch:
    """The watch over one sandbox.

    Args:
        limits: what it may use.
        folders: what it may fill.
    """

    def __init__(self, limits: Limits, folders: tuple[Path, ...]) -> None:
        self._limits = limits
        self._folders = folders
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._first = -1
        self._namespace = 0
        self._before: Usage | None = None
        self._full = self._filled = self._written = 0
        self.exceeded = ""

    def start(self, pid: int, namespace: int) -> None:
        """Begin, with the first process of the PID namespace."""
        with contextlib.suppress(ProcessLookupError):
            self._first = os.pidfd_open(pid)
        if namespace_of(pid) != namespace:  # over already; the number may be somebody else's
            self._forget()
            return
        self._namespace = namespace
        for look in (self._count, self._measure):
            threading.Thread(target=self._thread, args=(look,), name="sandbox watch", daemon=True).start()

    def end(self, seconds: float) -> bool:
        """Kill what is left and wait until it is gone; whether it is, within the time."""
        self._over.set()
        self._kill()
        if self._first < 0:
            return True
        waiting = select.poll()
        waiting.register(self._first, select.POLLIN)
        gone = bool(waiting.poll(seconds * 1000))
        self._forget()
        self._last_look()
        return gone

    def _forget(self) -> None:
        with self._lock:
            if self._first >= 0:
                os.close(self._first)
            self._first = -1

    def _kill(self) -> None:
        # Under the lock: a descriptor that was closed meanwhile may be another process's by now.
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self._first >= 0:
                signal.pidfd_send_signal(self._first, signal.SIGKILL)

    def _thread(self, look: Callable[[], None]) -> None:
        with contextlib.suppress(Stopped):
            look()

    def _step(self) -> None:
        if self._over.is_set():
            raise Stopped

    def _rest(self, seconds: float) -> None:
        if self._over.wait(max(SHORTEST, seconds)):
            raise Stopped

    def _judge(self, *, disk: int = 0, processes: int = 0) -> None:
        text = self._limits.judge(disk=disk, processes=processes)
        if text and not self._over.is_set():
            self.exceeded = self.exceeded or text
            self._kill()

    def _count(self) -> None:
        while True:
            began = time.monotonic()
            self._judge(processes=len(processes(self._namespace)))
            self._rest(SHARE * (time.monotonic() - began))

    def _measure(self) -> None:
        self._full = self._filled = used(self._folders)
        self._before = self._usage(pids=[])
        while True:
            began, self._filled = time.monotonic(), used(self._folders)
            self._written = self._growth(self._usage(processes(self._namespace)))
            self._judge(disk=self._written)
            due = time.monotonic() + SHARE * (time.monotonic() - began)
            while time.monotonic() < due and not self._suspicious():
                self._rest(SHORTEST)
            self._rest(time.monotonic() - began)

    def _growth(self, now: Usage) -> int:
        before = self._before or now
        if now.blind:  # what cannot be seen is taken for as much as the disk has filled
            return max(now.disk - before.disk, self._filled - self._full)
        return now.disk - before.disk

    def _suspicious(self) -> bool:
        """Whether the file systems have filled by so much since the last walk that the limit may be passed."""
        return used(self._folders) - self._filled > self._limits.disk - self._written

    def _last_look(self) -> None:
        """What was written at the very end counts too; the processes are gone, and so is what they had deleted."""
        if self._before is not None and self._suspicious():
            self._filled = used(self._folders)
            text = self._limits.judge(disk=self._growth(Walk().over(self._folders)))
            self.exceeded = self.exceeded or text

    def _usage(self, pids: list[int]) -> Usage:
        return Walk(self._step).over(self._folders, pids)
