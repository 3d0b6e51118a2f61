"""The real Claude Code in both versions that are supported, against a scripted Messages API on a Unix socket."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.demo.messages_api import MessagesApi, serving
from agent.demo.turns import Script
from agent.programs.claude import Claude, Options
from agent.programs.processes import Processes
from agent.programs.runner import Finished, Job
from agent.programs.verdict import ModelResult
from agent.texts.evidence import redactor
from agent.texts.prompt import VERDICT_SCHEMA

VERSIONS = ("2.1.330", "2.1.197")
FOLDER = Path(__file__).resolve().parents[2] / "build" / "claude"
PROMPT = "Make hello.txt say hello."

# Read before any test clears its environment.
_IN_CI = os.environ.get("CI") == "true"
_PATH = os.environ["PATH"]


@pytest.fixture(params=VERSIONS)
def each_claude_cli(request: pytest.FixtureRequest) -> Path:
    """The program of each version: for attacks, as a hole is in one of them alone, more often than not."""
    return _program(str(request.param))


_NEWEST = [VERSIONS[0], *(pytest.param(one, marks=pytest.mark.proof) for one in VERSIONS[1:])]
newest_claude_cli = pytest.mark.parametrize("claude_cli", _NEWEST, indirect=True)
"""Where each has its attacks: for what is none."""


@pytest.fixture(params=_NEWEST)
def claude_cli(request: pytest.FixtureRequest) -> Path:
    """The newest program; those of earlier versions say and do the same, as `make proof` shows."""
    return _program(str(request.param))


def in_proof(*values: Any) -> Any:
    """A case for `make proof`: no commit of ours changes the program, and how its words are read the unit suite tells."""
    return pytest.param(*values, marks=pytest.mark.proof)


def _program(version: str) -> Path:
    program = FOLDER / version / "claude"
    if not program.exists():
        reason = f"there is no {program}; .ci/claude fetches it"
        if _IN_CI:
            pytest.fail(reason)
        pytest.skip(reason)
    return program


class Recording:
    """The real runner, which keeps what it ran."""

    def __init__(self) -> None:
        self._processes = Processes(grace=0.3)
        self.ran: list[tuple[Job, Finished]] = []

    async def run(self, job: Job) -> Finished:
        done = await self._processes.run(job)
        self.ran.append((job, done))
        return done


class Session:
    """One run's place: a worktree, a HOME, an API; and the adapter that drives the program there."""

    def __init__(self, program: Path, folder: Path, stack: ExitStack) -> None:
        self.old = "2.1.197" in str(program)
        self.tree = folder / "tree"
        self.tree.mkdir()
        self.home = folder / "home"
        self.run_id = str(uuid.uuid4())
        self.runner = Recording()
        self.refused = ""
        self.path = _PATH
        self.options = Options(
            program=str(program), model="claude-sonnet-5", socket=Path(), max_turns=50, max_usd=20, retries=1
        )
        self._stack = stack

    def api(self, script: Script) -> MessagesApi:
        """Serve this script from now on, until the test ends."""
        # A Unix socket's path has to be short.
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="api-"))
        api = self._stack.enter_context(serving(script, Path(folder) / "s"))
        self.change(socket=Path(folder) / "s")
        return api

    def change(self, **options: Any) -> None:
        self.options = msgspec.structs.replace(self.options, **options)

    def claude(self, schema: Mapping[str, Any] = VERDICT_SCHEMA) -> Claude:
        return Claude(
            runner=self.runner,
            options=self.options,
            schema=schema,
            path=self.path,
            home=self.home,
            redact=redactor(),
            refused=lambda: self.refused,
        )

    async def run(
        self, prompt: str = PROMPT, *, limit: float | None = 30, idle: float | None = 20, **more: Any
    ) -> ModelResult:
        return await self.claude(**more).run(prompt, cwd=self.tree, run=self.run_id, timeout=limit, idle=idle)

    @property
    def last(self) -> Finished:
        return self.runner.ran[-1][1]

    def argv(self, which: int = -1) -> tuple[str, ...]:
        return self.runner.ran[which][0].argv


@pytest.fixture
def session(claude_cli: Path, tmp_path: Path) -> Iterator[Session]:
    with ExitStack() as stack:
        yield Session(claude_cli, tmp_path, stack)
