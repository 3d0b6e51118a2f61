"""A runner whose processes live in a jail, by bubblewrap.

bubblewrap reports over a named pipe, which lies outside: the number of the first process of the PID namespace as soon as
it exists, and then a word from the first thing that runs inside. No word, and bubblewrap could not set the jail up; what it
says is then the pod's trouble. With it, the exit code is the program's. A program cannot take that word back.

However a run ends, its PID namespace is empty before `run` returns: its first process is killed and waited for, which the
kernel lets happen only after all others are gone. When the orchestrator itself is killed, bubblewrap goes with it.
That signal belongs to the *thread* that started it, so the inner runner must start processes in the main one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from agent.errors import PodTrouble
from agent.programs.removal import behind, ensure_open
from agent.programs.runner import Ended, Finished, Job, Runner, missing
from agent.sandbox.bubblewrap import ABSENT, ENTERED, command
from agent.sandbox.host import this_host
from agent.sandbox.jail import Jail, Limits
from agent.sandbox.seccomp import MACHINES, program
from agent.sandbox.trouble import facts, trouble
from agent.sandbox.view import View
from agent.sandbox.watch import Watch
from agent.texts.bounded import LINE, Unreadable, from_json

LAST: Final = 10.0
"""Seconds to wait for the end of what was killed; more only if the kernel cannot end it."""


class _Started(msgspec.Struct, rename="kebab"):
    """The first line of bubblewrap's report."""

    child_pid: int
    pid_namespace: int


class Sandbox:
    """Runs jobs in a jail.

    Args:
        runner: what starts processes.
        jail: what they see.
        limits: what they may use, each job anew.
        view: folders of which they see some entries.
        closed: whether no process may take hold of another (`seccomp`).
    """

    def __init__(
        self, *, runner: Runner, jail: Jail, limits: Limits, view: View | None = None, closed: bool = False
    ) -> None:
        self._runner = runner
        self._jail = jail
        self._limits = limits
        self._view = view or View(())
        self._closed = closed

    async def run(self, job: Job) -> Finished:
        """See `Runner.run`. What exceeds a limit ends with `Ended.LIMIT`, and the limit in words.

        Raises:
            PodTrouble: bubblewrap is missing, cannot make a jail here, or the program is not inside.
        """
        bwrap = shutil.which("bwrap", path=job.env.get("PATH", ""))
        if bwrap is None:
            raise missing("bwrap")
        machine = MACHINES.get(platform.machine())
        if machine is None:
            raise PodTrouble(f"the sandbox knows no {platform.machine()} machine, only {' and '.join(MACHINES)}")
        self._jail.tmp.mkdir(parents=True, exist_ok=True, mode=0o700)
        watch = Watch(self._limits, self._jail.measured)

        def guard(pid: int) -> str:
            return watch.exceeded or (job.guard(pid) if job.guard is not None else "")

        written = {inside: outside for outside, inside in self._jail.elsewhere}
        with _place(program(machine, closed=self._closed)) as place, self._view.within(place, written) as before:
            report = _Report(place / "status", watch)
            argv = command(
                job.argv,
                bwrap=bwrap,
                place=place,
                cwd=job.cwd,
                names=frozenset(job.env),
                jail=self._jail,
                limits=self._limits,
                host=this_host(),
                before=before,
                views=self._view.folders(place),
            )
            try:
                done = await self._runner.run(replace(job, argv=argv, guard=guard))
            finally:
                report.close()
                await _to_its_end(watch)
                self._open_up()
        if watch.exceeded and done.ended is not Ended.LIMIT:
            done = replace(done, ended=Ended.LIMIT, limit=watch.exceeded)
        if ABSENT in report.words and ENTERED not in report.words:
            raise _not_inside(job)
        if ENTERED not in report.words and done.ended is Ended.COMPLETED:
            raise trouble(done, facts())
        return done

    def _open_up(self) -> None:
        """What may be written inside is a mount there, so it can be closed, not replaced: the next job finds it open."""
        for path in sorted({*self._jail.writable, self._jail.tmp}, key=lambda path: path.parts):
            with contextlib.suppress(OSError):  # another user's
                if path.is_dir():
                    ensure_open(path)


@contextlib.contextmanager
def _place(filter_: bytes) -> Iterator[Path]:
    """A folder outside, for one run."""
    try:
        place = Path(tempfile.mkdtemp(prefix="agent-sandbox-"))
    except OSError as error:
        raise PodTrouble(f"the sandbox gets no folder in {tempfile.gettempdir()}: {error.strerror}") from error
    try:
        try:
            os.mkfifo(place / "status", 0o600)
            (place / "filter").write_bytes(filter_)
        except OSError as error:
            raise PodTrouble(f"the sandbox cannot write to {place}: {error.strerror}") from error
        yield place
    finally:
        behind(lambda: shutil.rmtree(place, ignore_errors=True))


class _Report:
    """What bubblewrap and the first thing inside say; starts the watch. Once the program runs, nothing more is believed."""

    def __init__(self, pipe: Path, watch: Watch) -> None:
        self._watch = watch
        self._rest = b""
        self.words: set[str] = set()
        self._fd = os.open(
            pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC
        )  # a writer of our own: it never ends by itself
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._fd, 1 << 12):
                *lines, self._rest = (self._rest + data).split(b"\n")
                for line in lines:
                    self._line(line)

    def _line(self, line: bytes) -> None:
        if ENTERED in self.words:
            return
        try:
            started = from_json(line, _Started, longest=LINE)
        except Unreadable:
            self.words.add(line.decode("utf-8", "replace"))
        else:
            self._watch.start(started.child_pid, started.pid_namespace)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        self._read()
        os.close(self._fd)


async def _to_its_end(watch: Watch) -> None:
    """A cancelled caller gets its CancelledError afterwards, not before."""
    ending = asyncio.create_task(asyncio.to_thread(watch.end, LAST), name="end of a sandbox")
    cancelled: asyncio.CancelledError | None = None
    while not ending.done():
        try:
            await asyncio.wait((ending,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    if not ending.result():
        raise PodTrouble(f"processes of the sandbox did not die within {LAST:.0f} seconds: look for them with `ps`")


def _not_inside(job: Job) -> PodTrouble:
    name = job.argv[0]
    outside = shutil.which(name, path=job.env.get("PATH", ""))
    if outside is None:
        return missing(name)
    return PodTrouble(
        f"the program `{name}` is {outside} on this host, which does not exist inside the sandbox: "
        "install it below /usr or in the Nix store, or name its folder in `sandbox.readable`"
    )
