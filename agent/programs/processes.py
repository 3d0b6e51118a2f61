"""The only module that starts a process.

A process gets an argument list, a complete environment (nothing is inherited), a session and process group of its own,
and limits. However its run ends (exit, time-out, silence, too much output, cancellation of the awaiting task, an
exception), the group is empty before `run` returns: TERM, a few seconds, KILL.

A child may leave the group by `setsid`, as each Bash command of a coding model does. What is caught all the same: every
process of our own user whose environment holds the run's mark, `AGENT_RUN=<run id>`, is found in /proc and ended too.
What cannot be caught from here: a child that left the group *and* cleared its environment, or that runs as another
user. Only a PID namespace ends those; that is the sandbox's part.

Durations are differences of CLOCK_BOOTTIME, so that time spent in suspend counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Final

from agent.clock import SystemClock
from agent.errors import PodTrouble, TicketFailure
from agent.programs.runner import Ended, Finished, Job, missing
from agent.programs.survivors import RUN_MARK, end, marked, members

RUNAWAY: Final = 256 << 20
"""Bytes of one stream beyond what is kept, after which the process is stopped: nobody will read them."""
TICK: Final = 1.0
"""Seconds between two looks at the clock: timers of the event loop stand still in suspend, this clock does not."""
_LIMITED: Final = 'ulimit -d "$0" 2> /dev/null; exec "$@"'
"""A host that allows less, allows less."""
DRAIN: Final = 1.0
"""Seconds that remain for reading after the end; more only matters when something uncatchable holds the pipe."""


class Processes:
    """The real runner.

    Args:
        clock: seconds that never go back and count suspend; CLOCK_BOOTTIME if none is given.
        grace: seconds between TERM and KILL.
    """

    def __init__(self, *, clock: Callable[[], float] | None = None, grace: float = 3.0) -> None:
        self._clock = clock or SystemClock().monotonic
        self._grace = grace

    async def run(self, job: Job) -> Finished:
        """See `Runner.run`. A cancelled caller gets its CancelledError after the group is empty, not before."""
        child = _Child(job, self._clock)
        task = asyncio.create_task(self._attend(child), name=f"run {job.argv[0]}")
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError as error:
                cancelled = error
                child.cancel()
        if cancelled is not None:
            raise cancelled
        return task.result()

    async def _attend(self, child: _Child) -> Finished:
        child.start()  # here, and not before: a task that is cancelled before its first step does nothing
        try:
            with child.watched():
                ended = await child.verdict()
                await self._clear(child)
                await child.drained()
        finally:
            await self._clear(child)
        return child.finished(ended)

    async def _clear(self, child: _Child) -> None:
        """Nothing of the child is left when this returns: it is reaped, its group empty, its marked strays gone."""
        await end(child.remaining, self._grace)


class _Kept:
    """Head and tail of a stream within a limit."""

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:] if room else data
        if len(self._tail) > 2 * self._half:
            del self._tail[: -self._half]

    @property
    def dropped(self) -> int:
        return max(0, self.total - len(self._head) - self._half)

    def value(self) -> bytes:
        if not self.dropped:
            return b"".join((self._head, self._tail))
        note = f"\n[… {self.dropped} bytes left out …]\n".encode()
        return b"".join((self._head, note, memoryview(self._tail)[-self._half :]))


class _Child:
    """One process with its pipes; closed by `watched`."""

    def __init__(self, job: Job, clock: Callable[[], float]) -> None:
        self._job = job
        self._clock = clock
        self._mark = job.env.get(RUN_MARK) or None  # an empty one marks nobody
        self._wake = asyncio.Event()
        self._cancelled = False
        self._kept: dict[int, _Kept] = {}
        self._exceeded = ""
        self._process: subprocess.Popen[bytes]

    def start(self) -> None:
        """See `_start`."""
        self.started = self._heard = self._guarded = self._clock()
        self._process = _start(self._job)

    def cancel(self) -> None:
        self._cancelled = True
        self._wake.set()

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Read its streams and wait for its end within this block."""
        loop = asyncio.get_running_loop()
        streams = [stream for stream in (self._process.stdout, self._process.stderr) if stream is not None]
        ticket = os.pidfd_open(self._process.pid)
        try:
            loop.add_reader(ticket, self._exited, ticket)
            for stream, limit in zip(streams, (self._job.output_limit, self._job.error_limit), strict=True):
                os.set_blocking(stream.fileno(), False)
                self._kept[stream.fileno()] = _Kept(limit)
                loop.add_reader(stream.fileno(), self._read, stream.fileno())
            self._fds = [stream.fileno() for stream in streams]
            self._open = set(self._fds)
            yield
        finally:
            loop.remove_reader(ticket)
            os.close(ticket)
            for stream in streams:
                loop.remove_reader(stream.fileno())
                stream.close()

    def _exited(self, ticket: int) -> None:
        asyncio.get_running_loop().remove_reader(ticket)  # it stays readable for ever
        self._wake.set()

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, 1 << 16)
        except BlockingIOError:  # pragma: no cover - a spurious wake-up
            return
        if not data:
            asyncio.get_running_loop().remove_reader(fd)
            self._open.discard(fd)
            self._wake.set()
            return
        self._heard = self._clock()
        self._kept[fd].add(data)
        if self._runs_away():
            self._wake.set()

    def _runs_away(self) -> bool:
        return any(kept.total > RUNAWAY + self._job.output_limit for kept in self._kept.values())

    async def verdict(self) -> Ended:
        """Wait until it is over or has to be."""
        while True:
            self._wake.clear()
            if self._over():
                return Ended.COMPLETED
            if self._runs_away():
                return Ended.OUTPUT
            now = self._clock()
            left = [TICK]
            if self._job.timeout is not None:
                left.append(self._job.timeout - (now - self.started))
                if left[-1] <= 0:
                    return Ended.TIMED_OUT
            if self._job.idle is not None:
                left.append(self._job.idle - (now - self._heard))
                if left[-1] <= 0:
                    return Ended.IDLE
            if self._exceeds(now):
                return Ended.LIMIT
            await self._woken(min(left))

    def _exceeds(self, now: float) -> bool:
        """Ask the guard, once a tick: output wakes this loop far more often."""
        if self._job.guard is not None and now - self._guarded >= TICK:
            self._guarded = now
            self._exceeded = self._job.guard(self._process.pid)
        return bool(self._exceeded)

    def _over(self) -> bool:
        if self._cancelled:
            return True
        # Not reaped: its number stays taken, so that the group of that number is ours while it is cleared.
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    async def _woken(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def drained(self) -> None:
        """Read what the pipes still hold; everybody who could write is gone."""
        deadline = time.monotonic() + DRAIN
        while self._open and time.monotonic() < deadline:
            self._wake.clear()
            await self._woken(deadline - time.monotonic())

    def remaining(self) -> list[int]:
        """Who still lives of this run; reaps the process itself once it is over."""
        over = self._process.poll() is not None
        found = members(self._process.pid)
        if not over and self._process.pid not in found:
            found.append(self._process.pid)  # its first thread is a zombie, and others still run
        if self._mark is not None:
            found += [pid for pid in marked(self._mark) if pid not in found]
        return found

    def finished(self, ended: Ended) -> Finished:
        out, err = (self._kept[fd] for fd in self._fds)
        code = self._process.poll()
        return Finished(
            returncode=-signal.SIGKILL if code is None else code,  # none: it sits in the kernel and will not die
            stdout=out.value(),
            stderr=err.value(),
            duration=self._clock() - self.started,
            ended=ended,
            dropped=out.dropped,
            limit=self._exceeded,
        )


def _bounded(job: Job) -> tuple[str, ...]:
    """Its arguments, behind a shell that sets its limit; a program that is not there is told as it is without one."""
    if job.memory is None or shutil.which(job.argv[0], path=job.env.get("PATH", "")) is None:
        return job.argv
    return ("/bin/sh", "-c", _LIMITED, str(job.memory >> 10), *job.argv)


def _start(job: Job) -> subprocess.Popen[bytes]:
    source = os.memfd_create("stdin")  # a file in memory: no writer to babysit, no limit of a pipe
    try:
        with open(source, "wb", closefd=False) as file:
            file.write(job.stdin)
        os.lseek(source, 0, os.SEEK_SET)
        return subprocess.Popen(  # noqa: S603 - an argument list, checked by nobody but the caller
            _bounded(job),
            cwd=job.cwd,
            env=job.env,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except ValueError as error:
        raise TicketFailure(
            f"`{job.argv[0]}` cannot be started: an argument or a variable holds what none can"
        ) from error
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        if not job.cwd.is_dir():
            raise PodTrouble(f"the folder {job.cwd} is gone, so `{job.argv[0]}` cannot run in it") from error
        raise missing(job.argv[0]) from error
    except OSError as error:
        if error.errno != errno.E2BIG:
            raise
        raise TicketFailure(f"`{job.argv[0]}` cannot be started: its arguments and variables are too long") from error
    finally:
        os.close(source)
