"""Pure: what running a program means here. `processes` does it for real; a dev shell, a sandbox and a simulation look alike."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from msgspec import Struct

from agent.errors import PodTrouble

OUTPUT_LIMIT: Final = 1 << 20
"""Bytes kept of each stream unless the caller says otherwise."""
PACKAGES: Final = {
    "bwrap": "bubblewrap",
    "claude": "claude-code (npm: @anthropic-ai/claude-code)",
    "git": "git",
    "nix": "nix (Debian: nix-bin)",
    "ssh": "openssh (Debian: openssh-client)",
}
"""Where a missing program comes from, in nixpkgs and, where it differs, elsewhere."""


class Ended(enum.Enum):
    """Why a run was over."""

    COMPLETED = "completed"
    TIMED_OUT = "timed out"
    IDLE = "idle"
    OUTPUT = "output"
    LIMIT = "limit"


class Finished(Struct, frozen=True):
    """A process that is over, and its whole group with it.

    `returncode` is negative for a signal, as in the standard library. Of each stream the head and the tail are kept;
    `dropped` is how many bytes of the output are missing between them: an answer that was cut is none, words that were are.
    `duration` is in seconds. `limit` is what a guard said, behind "it": "wrote more than 4 GiB".
    """

    returncode: int
    stdout: bytes = b""
    stderr: bytes = b""
    duration: float = 0.0
    ended: Ended = Ended.COMPLETED
    dropped: int = 0
    limit: str = ""

    @property
    def ok(self) -> bool:
        """Whether it came to its own end, with status 0."""
        return self.ended is Ended.COMPLETED and self.returncode == 0


Guard: TypeAlias = Callable[[int], str]
"""Looks at a running process, by its pid, about once a second; what it exceeded, or nothing."""


class Job(Struct, frozen=True, kw_only=True):
    """One process to run.

    Attributes:
        argv: the program and its arguments; the program is looked up in the PATH of `env`.
        cwd: where it runs.
        env: its whole environment.
        stdin: what it reads.
        timeout: seconds in all, by a clock that counts suspend; None for no limit, 0 for none left.
        idle: seconds without a byte on either stream.
        output_limit: bytes kept of its output.
        error_limit: bytes kept of its words for people: as many as are looked at, since what speaks there may be anybody (a
            forge's hook, through git).
        guard: what else ends it.
        memory: bytes of data that it, and each process that it starts, may have; files that are mapped do not count
            (getrlimit(2), RLIMIT_DATA). None for as many as the host gives.
        apart: a file for a program that stays out of the development shell: the shell's environment is left in it, one
            variable after the other, each with a NUL behind it, for what the program starts. None for one that goes in.
        judges: its status is believed, so a development shell must not end in its place.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    stdin: bytes = b""
    timeout: float | None = None
    idle: float | None = None
    output_limit: int = OUTPUT_LIMIT
    error_limit: int = OUTPUT_LIMIT
    guard: Guard | None = None
    memory: int | None = None
    apart: Path | None = None
    judges: bool = False


class Runner(Protocol):
    """Runs one process to its end; a dev shell, a sandbox and a simulation have the same face."""

    async def run(self, job: Job) -> Finished:
        """Start it, feed it, and wait.

        Raises:
            PodTrouble: the program is not installed, or the folder is gone.
        """
        ...


def missing(program: str) -> PodTrouble:
    """The error for a program that is not there, or may not be run: it names the package."""
    package = PACKAGES.get(Path(program).name)
    hint = f"install the package {package}" if package else "install it, or mend the setting that names it"
    return PodTrouble(f"the program `{program}` is missing or may not be run: {hint}")
