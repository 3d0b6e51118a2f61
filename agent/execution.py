"""How a pod runs the model and the repository's checks: in a room of the run's own, bounded."""

from __future__ import annotations

import asyncio
import functools
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from agent.errors import PodTrouble, TicketFailure
from agent.git.checkout import Checkout
from agent.git.workspace import Workspace
from agent.programs.claude import Claude, Options
from agent.programs.command import Command, verify
from agent.programs.runner import Runner, missing
from agent.programs.survivors import kill_survivors
from agent.programs.verdict import ModelResult, ModelTrouble, Silence
from agent.settings import Ambient, Secret, Settings
from agent.texts.evidence import Redact
from agent.texts.prompt import VERDICT_SCHEMA
from agent.texts.report import Spent

if TYPE_CHECKING:
    from agent.room import Room, Rooms

LEAST_DISK: Final = 512 * 1024 * 1024
"""Bytes that must be free before anything is claimed: a worktree and a build need room (I-39)."""


class Execution:
    """The model and verify of one pod.

    Args:
        settings: which model, and its limits.
        ambient: what processes of ours inherit.
        runner: what starts processes.
        key: for the model's API; None where the model needs none.
        redact: takes the pod's secrets out of what model and verify said.
    """

    def __init__(
        self, settings: Settings, ambient: Ambient, runner: Runner, key: Secret | None, redact: Redact
    ) -> None:
        self._settings = settings
        self._redact = redact
        self._key = key.reveal() if key else ""
        self.margin = settings.execution.margin
        """Seconds before the end of the lifetime at which model and verify end, so that a failure can be reported."""
        self.tools = settings.sandbox.kind == "bubblewrap" and settings.sandbox.nix == "broker"
        """Whether the model can add a tool to the flake and use it in the same run."""
        self._folder = Path(settings.state)
        self._path = ambient.children.get("PATH", "/usr/bin:/bin")
        self._ambient = ambient
        self._runner = runner

    @functools.cached_property
    def _rooms(self) -> Rooms:
        """Sandbox, development shells and relay are loaded with the first ticket: most passes find nothing to do."""
        from agent.room import Rooms  # noqa: PLC0415 - see above

        return Rooms(self._settings, self._ambient, self._runner, self._key, self._redact)

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
        # To load it takes a quarter of a second of an older processor.
        rooms = await asyncio.to_thread(lambda: self._rooms)
        await rooms.check()
        if self._settings.model.kind == "claude":
            self._program()
            from agent.relay import probe  # noqa: PLC0415 - as below

            await probe(self._settings.model.api, self._key)

    async def clear(self, run: str) -> None:
        """End what an earlier process of this pod left running for this run (I-50)."""
        await kill_survivors(run)

    def spent(self, run: str) -> Spent | None:
        """What the run's model has used, by the relay's count; None where nothing was counted."""
        usage = self._rooms.spent(run)
        return None if usage is None else Spent(usage.read_tokens, usage.output_tokens, usage.usd)

    async def forget(self, run: str) -> None:
        """The run is over: nothing of it is needed any more."""
        await self._rooms.forget(run)

    async def tidy(self, living: Collection[str]) -> None:
        """Forget the runs that are not among the living; where there are none, nothing is loaded for it."""
        homes = self._folder / "homes"
        if homes.is_dir() and any(one.stem not in living for one in homes.iterdir()):
            await self._rooms.tidy(living)

    async def model(self, prompt: str, workspace: Workspace, run: str, seconds: float) -> ModelResult:
        """Let the model work in the worktree.

        Args:
            prompt: the task.
            workspace: where.
            run: the run id.
            seconds: until it must be done.

        Raises:
            PodTrouble: the pod or the model's API is the trouble.
            TicketFailure: it came to no verdict, or to a limit.
        """
        idle = min(self._settings.execution.idle, seconds)
        async with self._rooms.open(workspace, run) as room:
            model = self._claude(room) if self._settings.model.kind == "claude" else self._command(room)
            try:
                result = await model.run(prompt, cwd=workspace.path, run=run, timeout=seconds, idle=idle)
            except (PodTrouble, TicketFailure) as end:
                if better := _known_better(end, room):
                    raise better from None
                raise
            if result.verdict == "stuck" and room.trouble:
                raise PodTrouble(room.trouble)
            return self._counted(result, room)

    async def verify(self, commands: Sequence[str], checkout: Checkout, run: str, seconds: float) -> None:
        """The repository's own checks, in the shell of what is checked and in a sandbox that shows nothing else of the run.

        Raises:
            TicketFailure: one failed.
            PodTrouble: the shell is the trouble.
        """
        if not commands:
            return
        async with self._rooms.open(checkout, run, asks=False) as room:
            await verify(
                commands,
                runner=room.runner,
                cwd=checkout.path,
                env=dict(room.env),
                timeout=seconds,
                redact=self._redact,
            )

    def _command(self, room: Room) -> Command:
        return Command(
            runner=room.runner,
            argv=self._settings.model.command,
            path=room.env["PATH"],
            home=room.home,
            redact=self._redact,
        )

    def _claude(self, room: Room) -> Claude:
        model = self._settings.model
        options = Options(
            program=self._program(),
            model=model.name,
            socket=room.socket,
            max_turns=model.max_turns,
            max_usd=model.max_usd,
            preload=room.preload,
        )
        return Claude(
            runner=room.runner,
            options=options,
            schema=VERDICT_SCHEMA,
            path=room.env["PATH"],
            home=room.home,
            redact=self._redact,
            refused=lambda: room.relay.usage.refused,
        )

    def _program(self) -> str:
        found = shutil.which(self._settings.model.program, path=self._path)
        if found is None:
            raise missing(self._settings.model.program)
        return str(Path(found).resolve())

    def _counted(self, result: ModelResult, room: Room) -> ModelResult:
        """What the relay counted, over all tries of the run, in the place of what the program says of its last."""
        if self._settings.model.kind != "claude":
            return result
        usage = room.relay.usage
        return replace(
            result,
            input_tokens=usage.read_tokens,
            output_tokens=usage.output_tokens,
            cost_usd=usage.usd,
        )


def _known_better(end: PodTrouble | TicketFailure, room: Room) -> PodTrouble | TicketFailure | None:
    """Why a model came to no verdict, where the relay knows it and its program does not: that shows a status alone."""
    if room.relay.trouble:
        return PodTrouble(room.relay.trouble)
    if isinstance(end, ModelTrouble) and room.relay.stranger:
        return TicketFailure(
            "another program than Claude Code asked the model's API: keep the `shellHook` of `flake.nix` from that, or let"
            " `model.program` name the program itself, if it starts Claude Code instead of becoming it"
        )
    if isinstance(end, ModelTrouble) and room.relay.crowded:
        return TicketFailure(
            "other programs than Claude Code took all connections to the relay: keep the repository's tests and its"
            " `shellHook` from that"
        )
    if isinstance(end, Silence) and room.relay.answered:
        return TicketFailure(
            "the model's program fell silent after the API had answered: something may have stopped it"
        )
    if isinstance(end, ModelTrouble) and room.relay.unfit:
        return PodTrouble(f"the relay does not pass on what Claude Code asks for: {room.relay.unfit}; see `model.name`")
    return None
