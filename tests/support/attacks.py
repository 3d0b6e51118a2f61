"""A place to attack: a pod's state with secrets in it, one worktree of it jailed, and programs that try to get out.

A program exits with 0 exactly if its attack succeeded. Each is run inside and, as the control, outside, by the same user.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from agent.programs.processes import Processes
from agent.programs.runner import Finished, Guard, Job, Runner
from agent.sandbox.jail import Jail, Limits
from agent.sandbox.sandbox import Sandbox
from support.boards import missing

NOBODY = 65534
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CANARY = "canary-5d1c7e0a"
LIMITS = Limits(disk=64 << 20, processes=100)
USERS = ["root", "nobody"] if os.geteuid() == 0 else ["myself"]
"""As root both: the suite itself, and an ordinary user through setpriv."""


class AsNobody:
    """A runner for an ordinary user; the sandbox's own folder for the run is handed to it."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def run(self, job: Job) -> Finished:
        for argument in job.argv:
            if Path(argument).name.startswith("agent-sandbox-"):
                _give_away(Path(argument))
        become = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all", "--")
        return await self._runner.run(replace(job, argv=(*become, *job.argv)))


def _give_away(folder: Path) -> None:
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", folder], check=True)


@dataclass(frozen=True)
class Cell:
    who: str
    folder: Path
    runner: Runner
    limits: Limits = LIMITS

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def worktree(self) -> Path:
        return self.state / "worktrees" / "mine"

    @property
    def mirror(self) -> Path:
        return self.state / "mirror.git"

    @property
    def home(self) -> Path:
        return self.state / "home"

    @property
    def jail(self) -> Jail:
        return Jail(
            writable=(self.worktree, self.home),
            instead=((self.state / "seen", self.mirror),),
            nested=(self.worktree / ".git", self.mirror / "worktrees" / "mine"),
            tmp=self.state / "tmp",
        )

    def env(self, **more: str) -> dict[str, str]:
        return {"PATH": PATH, "HOME": str(self.home), "TMPDIR": "/tmp", **more}

    async def inside(
        self, *argv: str, within: float = 60, limits: Limits | None = None, guard: Guard | None = None, **env: str
    ) -> Finished:
        sandbox = Sandbox(runner=self.runner, jail=self.jail, limits=limits or self.limits)
        return await sandbox.run(Job(argv=argv, cwd=self.worktree, env=self.env(**env), timeout=within, guard=guard))

    async def outside(self, *argv: str, **env: str) -> Finished:
        return await self.runner.run(Job(argv=argv, cwd=self.worktree, env=self.env(**env), timeout=60))

    def own(self) -> None:
        """What root made for it belongs to its user."""
        if self.who == "nobody":
            _give_away(self.folder)

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", "-c", "safe.directory=*", "-C", self.worktree, *words], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def history(self) -> list[str]:
        """All that a commit would change."""
        objects = sorted(str(path) for path in (self.mirror / "objects").rglob("*") if path.is_file())
        return [self.git("rev-parse", "HEAD"), self.git("for-each-ref"), *objects]


def required() -> None:
    if shutil.which("bwrap") is None:
        missing("bubblewrap is not installed")


@contextlib.contextmanager
def prison(who: str) -> Iterator[Cell]:
    required()
    processes = Processes(grace=0.3)
    runner: Runner = AsNobody(processes) if who == "nobody" else processes
    cell = Cell(who, Path(tempfile.mkdtemp(prefix="agent-prison-")), runner)
    try:
        _furnish(cell)
        yield cell
    finally:
        subprocess.run(["chmod", "-R", "u+rwx", cell.folder], check=False, capture_output=True)
        subprocess.run(["rm", "-rf", cell.folder], check=False)


def _furnish(cell: Cell) -> None:
    cell.folder.chmod(0o755)
    secrets = ("state/worktrees/other/secret", "state/runs/secret", "real-home/.ssh/id_ed25519", "credentials/token")
    for name in secrets:
        path = cell.folder / name
        path.parent.mkdir(parents=True)
        path.write_text(CANARY)
    cell.home.mkdir()
    cell.jail.tmp.mkdir()
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    seed = cell.folder / "seed"
    for command in (
        ["init", "-q", "-b", "main", str(seed)],
        ["-C", str(seed), *identity, "commit", "-q", "--allow-empty", "-m", "first"],
        ["clone", "-q", "--bare", str(seed), str(cell.mirror)],
        ["-C", str(cell.mirror), "worktree", "add", "-q", "--detach", str(cell.worktree)],
        ["clone", "-q", "--bare", str(seed), str(cell.state / "seen")],
    ):
        subprocess.run(["git", *command], check=True, capture_output=True)
    (cell.state / "seen/worktrees/mine").mkdir(parents=True)
    cell.own()


async def attack(cell: Cell, *argv: str) -> None:
    inside = await cell.inside(*argv)
    assert not inside.ok, f"it succeeded: {inside.stdout!r}"
    assert CANARY.encode() not in inside.stdout + inside.stderr
    outside = await cell.outside(*argv)
    assert outside.ok, f"the control failed: {outside.stderr!r}"


def sh(script: str, *arguments: object) -> list[str]:
    return ["/bin/sh", "-c", script, "sh", *map(str, arguments)]


def python(script: str, *arguments: object) -> list[str]:
    return ["/usr/bin/python3", "-c", script, *map(str, arguments)]


def alive(argument: str) -> list[int]:
    """Processes with this argument, by the host's numbers."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and argument.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


async def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    for _ in range(int(seconds * 100)):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("waited in vain")


def attempt(cell: Cell, name: str) -> str:
    """The note of an attack that failed inside, and worked outside."""
    return f"sandbox attack: 1 attempt, 0 successes: {name} ({cell.who})"
