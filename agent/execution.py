"""How a pod runs the model and the repository's checks: in the development shell, scrubbed and bounded."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agent.errors import PodTrouble
from agent.git.workspace import Workspace
from agent.programs.command import Command, environment, make_folders, verify
from agent.programs.nix import DevShell
from agent.programs.runner import Runner
from agent.programs.survivors import kill_survivors
from agent.programs.verdict import ModelResult
from agent.settings import Ambient, Settings
from agent.texts.evidence import Redact

LEAST_DISK: Final = 512 * 1024 * 1024
"""Bytes that must be free before anything is claimed: a worktree and a build need room (I-39)."""


class Execution:
    """The model and verify of one pod.

    Args:
        settings: which model, and its limits.
        ambient: what processes of ours inherit.
        runner: what starts processes.
        redact: takes the pod's secrets out of what model and verify said.
    """

    def __init__(self, settings: Settings, ambient: Ambient, runner: Runner, redact: Redact) -> None:
        self._settings = settings
        self._redact = redact
        self.margin = settings.execution.margin
        """Seconds before the end of the lifetime at which model and verify end, so that a failure can be reported."""
        self._folder = Path(settings.state)
        self._path = ambient.children.get("PATH", "/usr/bin:/bin")
        self._shell = DevShell(runner=runner, folder=self._folder / "nix", options=settings.nix.settings, redact=redact)
        self._model = Command(
            runner=self._shell,
            argv=settings.model.command,
            path=self._path,
            home=self._folder / "home",
            redact=redact,
        )

    async def preflight(self) -> None:
        """What must work before anything is claimed or resumed, whatever the ticket.

        Raises:
            PodTrouble: it does not, and what to do.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._folder).free
        if free < LEAST_DISK:
            raise PodTrouble(
                f"only {free // 2**20} MiB are free in {self._folder}; {LEAST_DISK // 2**20} are needed: make room"
            )
        await self._shell.check(cwd=self._folder, env=self._environment(""))

    async def clear(self, run: str) -> None:
        """End what an earlier process of this pod left running for this run (I-50)."""
        await kill_survivors(run)

    async def model(self, prompt: str, workspace: Workspace, run: str, seconds: float) -> ModelResult:
        """Let the model work in the worktree.

        Args:
            prompt: the task.
            workspace: where.
            run: the run id.
            seconds: until it must be done.

        Raises:
            PodTrouble: the pod or the model's API is the trouble.
            TicketFailure: it came to no verdict.
        """
        idle = min(self._settings.execution.idle, seconds)
        return await self._model.run(prompt, cwd=workspace.path, run=run, timeout=seconds, idle=idle)

    async def verify(self, commands: Sequence[str], workspace: Workspace, run: str, seconds: float) -> None:
        """The repository's own checks, in the same shell.

        Raises:
            TicketFailure: one failed.
            PodTrouble: the shell is the trouble.
        """
        env = self._environment(run)
        await verify(commands, runner=self._shell, cwd=workspace.path, env=env, timeout=seconds, redact=self._redact)

    def _environment(self, run: str) -> dict[str, str]:
        env = environment(path=self._path, home=self._folder / "home", run=run)
        make_folders(env)
        return env
