"""Processes that outlive what started them: found in /proc, and ended.

A run's processes are known by a variable in their environment, wherever they went. The group is the ordinary case and
costs one system call; /proc is walked only when there is a mark to look for or somebody still lives in the group.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Final

RUN_MARK: Final = "AGENT_RUN"
"""The variable by which a run's processes are known."""
_LOOKS: Final = 20
"""So often at least it is looked who is left after a KILL: one look may take longer than all of the grace, and so may dying."""


async def kill_survivors(run: str, *, grace: float = 3.0) -> int:
    """End what an earlier process of ours left running for `run`; how many processes that were.

    For the restart after a crash: survivors are dealt with before the worktree is touched.
    """
    found = await asyncio.to_thread(marked, run) if run else []  # an empty mark is nobody's
    if found:
        await end(lambda: marked(run), grace)
    return len(found)


async def end(remaining: Callable[[], list[int]], grace: float) -> None:
    """TERM whoever remains, wait up to `grace` seconds, then KILL until nobody does (bounded: some cannot be killed).

    Args:
        remaining: who that is; called in a thread.
        grace: seconds.
    """
    deadline = time.monotonic() + grace
    number = signal.SIGTERM
    known: set[int] = set()
    pause, killed = 0.002, 0
    # In a thread: what a run started may be a thousand processes with two megabytes of environment each.
    while pids := await asyncio.to_thread(remaining):
        now = time.monotonic()
        if now >= deadline + grace and killed >= _LOOKS:
            return
        if now >= deadline:
            number, known, killed = signal.SIGKILL, set(), killed + 1
        for pid in pids:
            if pid not in known:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
        known.update(pids)
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.1)


def kill_children() -> None:
    """KILL our own children and their process groups, and wait for none: the end of a process that ends at once.

    A sandbox dies with the bubblewrap that made it. Who left its group outlives this, until the next start (`kill_survivors`).
    """
    for pid in _pids():
        with contextlib.suppress(OSError, ValueError):
            _state, parent, group = _stat(pid)
            if int(parent) == os.getpid():
                os.kill(pid, signal.SIGKILL)
                if int(group) == pid:
                    os.killpg(pid, signal.SIGKILL)


def _stat(pid: int) -> list[bytes]:
    """State, parent and process group. Before them come the pid and a name, which may hold blanks and brackets."""
    return _read(pid, "stat").rpartition(b")")[2].split()[:3]


def _read(pid: int, name: str) -> bytes:
    with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:  # noqa: PTH123 - pathlib takes three times as long, for each of thousands
        return file.read()


def _pids() -> Iterator[int]:
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib builds an object for each of thousands
        if name.isdecimal() and int(name) != os.getpid():
            yield int(name)


def marked(run: str) -> list[int]:
    """Processes of our own user that carry the mark of `run`; the dead ones that nobody reaped yet have no environment."""
    wanted = f"\0{RUN_MARK}={run}\0".encode()
    found = []
    for pid in _pids():
        with contextlib.suppress(OSError):  # gone meanwhile, or another user's
            # Searched and not split: other pods' runs have what they like in theirs.
            if wanted in b"\0%b\0" % _read(pid, "environ"):
                found.append(pid)
    return found


def members(group: int) -> list[int]:
    """The living processes of a process group. Zombies do not count: without an init they are never reaped."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return []  # the ordinary case, without a walk through /proc
    except PermissionError:
        pass
    found = []
    for pid in _pids():
        with contextlib.suppress(OSError, ValueError):
            state, _parent, pgrp = _stat(pid)
            if int(pgrp) == group and state not in (b"Z", b"X"):
                found.append(pid)
    return found
