"""Programs of others, run for a ticket: a coding model as a plain command, and the repository's own checks.

Both get a scrubbed environment: an allow-list, never a credential, never a setting of ours. Both run through whatever
runner is handed in, which is the development shell in a pod.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agent.clock import SystemClock
from agent.errors import TicketFailure
from agent.programs.removal import ensure_open
from agent.programs.runner import Ended, Finished, Job, Runner
from agent.programs.survivors import RUN_MARK
from agent.programs.verdict import ModelResult, judge
from agent.texts.evidence import Redact, last_words
from agent.texts.markup import spoken

RESULT_LIMIT: Final = 16 << 20
"""Bytes of a model's output that are kept: its result document may quote whole files."""


def environment(*, path: str, home: Path, run: str) -> dict[str, str]:
    """All that a program of others gets to see.

    Args:
        path: where programs are found; the development shell puts its own before it.
        home: a folder of its own, without anything of ours.
        run: the run id; marks the process and its children.
    """
    return {
        "PATH": path,
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "LANG": "C.UTF-8",
        RUN_MARK: run,
    }


class Command:
    """A coding model of kind `command`: any program that reads the prompt and prints the result document.

    Args:
        runner: where it runs.
        argv: the program and its arguments.
        path: PATH outside the development shell.
        home: its HOME.
        redact: takes out of its words what must not be shown, should it get there after all.
    """

    def __init__(self, *, runner: Runner, argv: Sequence[str], path: str, home: Path, redact: Redact) -> None:
        self._runner = runner
        self._argv = tuple(argv)
        self._path = path
        self._home = home.absolute()
        self._redact = redact

    async def run(
        self,
        prompt: str,
        *,
        cwd: Path,
        run: str,
        timeout: float | None,  # noqa: ASYNC109 - the runner's
        idle: float | None = None,
    ) -> ModelResult:
        """Let it work in `cwd` until it has a verdict.

        Args:
            prompt: the task; on standard input, since arguments are visible to all.
            cwd: the worktree.
            run: the run id.
            timeout: seconds in all.
            idle: seconds without output. A program that prints only at its end needs None.

        Raises:
            PodTrouble: the program, Nix or the model's API is the trouble.
            TicketFailure: it came to no verdict.
        """
        env = environment(path=self._path, home=self._home, run=run)
        make_folders(env)
        job = Job(
            argv=self._argv,
            cwd=cwd,
            env=env,
            stdin=prompt.encode("utf-8", "replace"),
            timeout=timeout,
            idle=idle,
            output_limit=RESULT_LIMIT,
        )
        done = await self._runner.run(job)
        return await asyncio.to_thread(judge, done, redact=self._redact)


async def verify(
    commands: Sequence[str],
    *,
    runner: Runner,
    cwd: Path,
    env: dict[str, str],
    timeout: float,  # noqa: ASYNC109 - the runner's
    redact: Redact,
) -> float:
    """Run the repository's checks in order; returns the seconds that they took.

    Args:
        commands: shell commands, of `.agent.toml` at the start of the run. None at all means nothing was verified.
        runner: where they run.
        cwd: the worktree.
        env: their environment, see `environment`.
        timeout: seconds for all of them together.
        redact: takes out of the evidence what must not be shown.

    Raises:
        TicketFailure: one failed, with the last lines of its output; the later ones did not run.
        PodTrouble: the shell or Nix is the trouble.
    """
    if not commands:
        return 0.0
    make_folders(env)
    clock = SystemClock().monotonic
    began = clock()
    for command in commands:
        # One stream: the lines stay in their order.
        argv = ("/bin/sh", "-c", f"exec 2>&1\n{command}")
        left = max(0.0, timeout - (clock() - began))  # a development shell that is made first takes time too
        done = await runner.run(Job(argv=argv, cwd=cwd, env=env, timeout=left, judges=True))
        if not done.ok:
            shown = last_words(done.stdout, done.stderr, redact=redact)
            raise TicketFailure(failed(done, timeout), evidence=f"$ {redact(command)}\n{shown}".rstrip())
    return clock() - began


def failed(done: Finished, limit: float) -> str:
    """The reason, as it stands on the ticket."""
    if done.ended is Ended.TIMED_OUT:
        return f"test suite was not done after {spoken(limit)}"
    if done.ended is Ended.LIMIT:
        return f"test suite {done.limit}"
    if done.ended is not Ended.COMPLETED:
        return "test suite wrote without end"
    if done.returncode < 0:
        return f"test suite was ended by {_signal(-done.returncode)}"
    return f"test suite failed with exit code {done.returncode}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def make_folders(env: dict[str, str]) -> None:
    """HOME and TMPDIR exist, are private and ours to enter."""
    for name in ("HOME", "TMPDIR"):
        ensure_open(Path(env[name]))
