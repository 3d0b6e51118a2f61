"""How much memory a piece of code takes: it runs in a process of its own, whose peak the kernel tells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

MOST: Final = 300
"""MiB that the orchestrator may take, whatever it is given."""
_ROOT: Final = Path(__file__).parents[2]


def peak_of(code: str, *, timeout: float = 120) -> float:
    """The peak of resident memory, in MiB, of a Python that runs the code; what it prints stays unread.

    Raises:
        AssertionError: it failed; with its last words.
    """
    env = {**os.environ, "PYTHONPATH": f"{_ROOT}:{_ROOT / 'tests'}"}
    words = (sys.executable, "-c", f"{code}\n{_TELL}")
    done = subprocess.run(words, env=env, cwd=_ROOT, capture_output=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2_000:]
    return float(done.stdout.rpartition(b"peak: ")[2])


def peak() -> float:
    """The peak of this process's resident memory, in MiB, since its program began.

    `ru_maxrss` begins with what the *parent* had when it made the process (getrusage(2) says nothing of it; measured), so a
    test worker that had once taken 1 GiB made each later process a spendthrift.
    """
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


def forget_peak() -> float:
    """The peak is what is taken now, in MiB (proc(5), `clear_refs`)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak()


_TELL: Final = """
from support.memory import peak
print(f"peak: {peak()}")
"""
