"""Makes the event loop of a real pod stand on purpose: SIGUSR1 ends in what never ends, on the thread of the loop."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from support.fleet import wait_until

WAYS: Final[Mapping[str, str]] = {
    "a pattern": 're.match("(a+)+$", "a" * 60 + "b")',
    "a system call": "time.sleep(10 ** 6)",
    "a call of C": "collections.deque(itertools.repeat(0), maxlen=0)",
}
"""How it stands. Only in the last one does not even a handler of a signal run."""


def standing(folder: Path, way: str, *, seconds: float | None = None) -> dict[str, str]:
    """The environment of a pod that stands from SIGUSR1 on; its own watchdog waits that many seconds, if they are given."""
    folder.mkdir(exist_ok=True)
    shorter = "" if seconds is None else f"import agent.watchdog\nagent.watchdog.STANDS = {seconds}\n"
    (folder / "sitecustomize.py").write_text(
        "import collections, itertools, re, signal, time\n"
        f"def stand(*_):\n    open({str(folder / 'stands')!r}, 'w').close()\n    {WAYS[way]}\n"
        f"signal.signal(signal.SIGUSR1, stand)\n{shorter}"
    )
    return {"PYTHONPATH": str(folder)}


def stand(process: subprocess.Popen[str], folder: Path) -> None:
    """Make its loop stand; returns when it does."""
    process.send_signal(signal.SIGUSR1)
    wait_until((folder / "stands").exists)
