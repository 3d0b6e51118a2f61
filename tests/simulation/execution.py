"""A stand-in for `agent.execution.Execution`: a model and checks whose behaviour is drawn, in virtual time."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct

from agent.clock import Clock
from agent.errors import PodTrouble, TicketFailure
from agent.programs.verdict import ModelResult, Verdict
from simulation.workspace import SimCheckout, SimWorkspace

TICKET: Final = re.compile(r'<work_package id="(\d+)"')


class Task(Struct, frozen=True):
    """What a model was asked to do."""

    pod: str
    ticket: int
    run: str
    prompt: str


class Behaviour(Struct, frozen=True, kw_only=True):
    """What a model does with it.

    Attributes:
        seconds: how long it works; more than it may hangs until its limit.
        files: what it writes, halfway through; None stands for one file named after ticket and run.
        verdict: `done`, `already_done` or `stuck`.
        trouble: it ends with the pod's trouble instead.
        failure: it ends with a failure of the ticket instead.
        check: how verify ends; empty passes.
        check_seconds: how long that takes.
    """

    seconds: float = 600.0
    files: Mapping[str, str] | None = None
    verdict: Verdict = "done"
    trouble: str = ""
    failure: str = ""
    check: str = ""
    check_seconds: float = 60.0


HANGS: Final = Behaviour(seconds=math.inf)
IDLE: Final = Behaviour(files={})
STUCK: Final = Behaviour(verdict="stuck")
OVERLOADED: Final = Behaviour(seconds=30.0, files={}, trouble="the model's API answered 529")


class Living(Struct, frozen=True):
    """A model that is at work."""

    pod: str
    ticket: int
    run: str


class SimExecution:
    """The face of `agent.execution.Execution`.

    Args:
        clock: the virtual one.
        pod: whose it is.
        behave: draws what the model does.
        sick: why the pod cannot work now; empty if it can.
        changed: hears of every model that starts (True) and ends (False), at that moment.
        margin: seconds before the end of the lifetime at which model and verify end.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        pod: str = "pod-a",
        behave: Callable[[Task], Behaviour] = lambda _: Behaviour(),
        sick: Callable[[], str] = lambda: "",
        changed: Callable[[Living, bool], None] = lambda _one, _lives: None,
        margin: float = 600.0,
    ) -> None:
        self.margin = margin
        self.tools = False
        self.tasks: list[Task] = []
        """Everything that a model was started for."""
        self.cleared: list[str] = []
        self._clock = clock
        self._pod = pod
        self._behave = behave
        self._sick = sick
        self._changed = changed
        self._behaviours: dict[str, Behaviour] = {}

    async def preflight(self) -> None:
        await self._clock.sleep(1.0)
        if reason := self._sick():
            raise PodTrouble(reason)

    async def clear(self, run: str) -> None:
        self.cleared.append(run)
        await self._clock.sleep(0.1)

    def spent(self, run: str) -> None:
        """Nobody counts here."""

    async def forget(self, run: str) -> None:
        self._behaviours.pop(run, None)

    async def tidy(self, living: Collection[str]) -> None:
        self._behaviours = {run: how for run, how in self._behaviours.items() if run in living}

    async def model(self, prompt: str, workspace: SimWorkspace, run: str, seconds: float) -> ModelResult:
        found = TICKET.search(prompt)
        task = Task(self._pod, int(found.group(1)) if found else 0, run, prompt)
        living = Living(self._pod, task.ticket, run)
        how = self._behave(task)
        self._behaviours[run] = how
        self.tasks.append(task)
        self._changed(living, True)
        try:
            await self._work(how, task, workspace, seconds)
        finally:  # its whole process tree ends with it, and with its pod
            self._changed(living, False)
        if how.trouble:
            raise PodTrouble(how.trouble)
        if how.failure:
            raise TicketFailure(how.failure)
        summary = "It needs a person." if how.verdict == "stuck" else "Done as asked."
        return ModelResult(
            verdict=how.verdict, summary=summary, question="What now?" if how.verdict == "stuck" else "",
            input_tokens=2400, output_tokens=800, duration_s=how.seconds,
        )  # fmt: skip

    async def _work(self, how: Behaviour, task: Task, workspace: SimWorkspace, limit: float) -> None:
        half = min(how.seconds, limit) / 2
        await self._clock.sleep(half)
        files = {f"work-{task.ticket}.txt": f"by {task.run}\n"} if how.files is None else how.files
        workspace.files.update(files)
        await self._clock.sleep(half)
        if how.seconds > limit:
            raise TicketFailure(f"the model was not done within {limit:.0f} s")

    async def verify(self, commands: Sequence[str], checkout: SimCheckout, run: str, seconds: float) -> None:
        del checkout
        if not commands:
            return
        how = self._behaviours.get(run, Behaviour())
        await self._clock.sleep(min(how.check_seconds, seconds))
        if how.check_seconds > seconds:
            raise TicketFailure(f"`{commands[0]}` was not done within {seconds:.0f} s")
        if how.check:
            raise TicketFailure(how.check)
