"""The demo's processes: started in sessions of their own, so that Ctrl-C reaches the demo alone and it stops them in order."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from agent.demo.trouble import DemoError

AGENT: Final = (sys.executable, "-P", "-m", "agent")
"""The command `agent`, of this very installation."""
PATIENCE_S: Final = 15.0
LAST_LINES: Final = 12


class Child:
    """A process whose standard output is JSON, one document a line.

    Args:
        name: what people call it.
        argv: the program and its arguments.
        env: its whole environment.
        log: the file that takes its standard error; it is appended to.
    """

    def __init__(self, name: str, argv: Sequence[str], *, env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        with log.open("ab") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - commands of ours
                argv,
                cwd=log.parent,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, name=f"output of {name}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        with self._process.stdout as stream:
            for line in stream:
                self._lines.put(line)

    def next(self, timeout: float) -> Any:
        """The next document, None if none comes in time or the process ends before."""
        while True:
            with contextlib.suppress(queue.Empty):
                return msgspec.json.decode(self._lines.get(timeout=min(timeout, 0.1)))
            timeout -= 0.1
            if timeout <= 0 or (not self._reader.is_alive() and self._lines.empty()):
                return None

    def documents(self) -> list[Any]:
        """Those that have come since the last call."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(msgspec.json.decode(self._lines.get_nowait()))
        return found

    @property
    def running(self) -> bool:
        """Whether it is at work, or has still something to be read."""
        return self._process.poll() is None or self._reader.is_alive() or not self._lines.empty()

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """TERM, patience, KILL; afterwards nothing of its session's first group is left."""
        if self._process.poll() is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE_S)
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._reader.join(PATIENCE_S)

    def _signal(self, which: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            if which is signal.SIGTERM:
                self._process.send_signal(which)
            else:
                os.killpg(self._process.pid, which)

    def last_words(self) -> str:
        """The end of its log."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-LAST_LINES:])
        return ""


def ask(arguments: Sequence[str], *, env: Mapping[str, str], folder: Path) -> Any:
    """Run an `agent` command to its end; the JSON document that it printed.

    Raises:
        DemoError: it failed, with what it said.
    """
    child = Child(arguments[0], [*AGENT, *arguments], env=env, log=folder / f"{arguments[0]}.log")
    try:
        answer = child.next(120.0)
        if answer is None:
            raise DemoError(f"`agent {arguments[0]}` said nothing. Its log ends:\n{child.last_words()}")
        return answer
    finally:
        child.stop()
