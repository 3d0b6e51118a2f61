"""A stage for directed histories: the simulation's board, remote and pods without chance, and hooks at their edges.

A history that breaks an invariant ends with `Broken`, which names it. What every history must hold is judged as it
happens: who wrote over whose claim, whose claim ref was moved, which comment came twice. What one history is about it
says itself, by `hold`.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import httpx
from msgspec import Struct, field

from agent.cycle import Result
from agent.git.refs import CLAIMS, HEADS
from simulation.board import HOME, new_board
from simulation.clock import Chance, Host, Process
from simulation.execution import Behaviour, Living, Task
from simulation.history import History, Write
from simulation.invariants import Judge
from simulation.loop import VirtualLoop
from simulation.network import Network
from simulation.plan import Plan, Swarm
from simulation.pods import SimPod, Surroundings
from simulation.remote import Fault, Landed, SimRemote
from simulation.workspace import Line

MINUTE: Final = 60.0
HOUR: Final = 3600.0
LIFETIME: Final = 4 * 3600
GRACE: Final = 1800
PROMPT: Final = 2 * MINUTE
"""A model whose claim was lost ends within a watch interval and what a look takes."""
DROPPED: Final = 502
"""What a pod is told when nobody knows whether its request arrived."""

BOUNDED: Final = "no loop burns tries without bound"
FIT: Final = "a pod that cannot work claims nothing"
LOST: Final = "no work is lost"
ONE_WRITER: Final = "an Epic has one writer"
STOPS: Final = "a run that was stopped ends within a watch interval"
WAITS: Final = "no ticket waits while a pod could work on it"
REF: Final = "nobody moves the claim ref of another's living claim"
"""The invariants that the judge of the random histories does not look at."""


class Broken(AssertionError):
    """An invariant did not hold."""

    def __init__(self, invariant: str, detail: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.invariant = invariant


class Span(Struct, kw_only=True):
    """A model at work."""

    process: Process
    ticket: int
    start: float
    end: float | None = None


class Hook(Struct, kw_only=True):
    """What is done when a request lands.

    Attributes:
        pod: whose.
        purpose: words in the client's purpose.
        act: may answer in the board's stead.
        after: it has taken effect by then.
        times: how often.
    """

    pod: str
    purpose: str
    act: Callable[[httpx.Request, Write], httpx.Response | None]
    after: bool
    times: int
    fired: asyncio.Event = field(default_factory=asyncio.Event)


class StageNetwork(Network):
    """The network, with hooks."""

    hooks: list[Hook]

    def land(self, request: httpx.Request, write: Write) -> httpx.Response:
        for hook in self._due(write, after=False):
            if (answer := hook.act(request, write)) is not None:
                self.flying -= 1
                return answer
        answer = super().land(request, write)
        for hook in self._due(write, after=True):
            answer = hook.act(request, write) or answer
        return answer

    def _due(self, write: Write, *, after: bool) -> list[Hook]:
        due = [
            one
            for one in self.hooks
            if one.after is after and one.times > 0 and write.pod == one.pod and one.purpose in write.purpose
        ]
        for one in due:
            one.times -= 1
            one.fired.set()
        return due


class Actor(SimPod):
    """A pod that does one pass when it is told to."""

    def __init__(self, stage: Stage, name: str, host: str, account: str, *, lifetime: int, ahead: float) -> None:
        machine = Host(stage.loop, host, ahead=ahead)
        path = stage.folder / host
        super().__init__(
            stage.around, name, machine, account=account, path=path, lifetime=lifetime, grace=GRACE, pause=MINUTE
        )
        self.on_git: dict[str, Callable[[], object]] = {}
        """By verb, once: what is done when git talks to the remote, and the fault that it meets."""

    def _strike(self, what: str) -> float:
        del what
        return 0.0

    def _line(self, process: Process, project: str) -> Line:
        def fault(_: str, verb: str) -> Fault:
            act = self.on_git.pop(verb, None)
            met = act() if act is not None else None
            return met if isinstance(met, Fault) else Fault.NONE

        return Line(self._around.remotes[project], process, pod=process.name, fault=fault)

    def start(self) -> asyncio.Task[Result | None]:
        """A pass, while other things happen."""
        return self.host.loop.create_task(self.cycle())

    async def cycle(self) -> Result | None:
        """One pass in a process of its own; None where it was killed."""
        process = self._new_process()
        process.task = task = self.host.loop.create_task(self._one_pass(process, Chance(process.name)))
        await asyncio.wait({task})
        if process.alive:
            return task.result()
        if not task.cancelled():
            task.exception()  # how it died interests nobody
        return None

    async def dies_in_its_run(self, stage: Stage, seconds: float = 5 * MINUTE) -> None:
        """A pass in which the pod dies after its model has worked for so long."""
        working = self.start()
        await stage.model_works(seconds)
        self.kill()
        await working

    def dies_in_its_push(self) -> None:
        """The result is on its way when the pod dies."""

        def die() -> Fault:
            self.kill()
            return Fault.LATE

        self.on_git["result"] = die

    def kill(self) -> None:
        """The process is gone."""
        assert self.process is not None
        self.process.kill()

    def freeze(self, seconds: float) -> None:
        """The process stands still."""
        assert self.process is not None
        self.process.freeze(seconds)

    async def passes(self, seconds: float, every: float = 15 * MINUTE) -> None:
        """Pass after pass for so long."""
        end = self.host.loop.time() + seconds
        while self.host.loop.time() < end:
            await self.cycle()
            await asyncio.sleep(every)


class Stage:
    """A board with one project, a remote, and whoever the history puts there."""

    def __init__(self, loop: VirtualLoop, folder: Path) -> None:
        self.loop = loop
        self.folder = folder
        self.board = new_board(folder / "board", loop.time)
        self.remote = SimRemote({"flake.nix": "{ outputs = _: { }; }", "shop.py": "0"})
        self.remote.seen = self._pushed
        self.sick = ""
        self.behaviours: dict[str, list[Behaviour]] = {}
        """By pod: one model after the other; the last one stays."""
        self.models: list[Span] = []
        self.pods: list[Actor] = []
        self.started = asyncio.Event()
        self.forgiven: set[str] = set()
        """Invariants that this history cannot hold, and why is said there."""
        self._broken: Broken | None = None
        swarm = Swarm(Plan(seed=0))
        swarm.over = True
        self.network = StageNetwork(loop, self.board, swarm, History(), landed=self._landed)
        self.network.hooks = []
        remotes = {"shop": self.remote, "blog": SimRemote({"flake.nix": "{}"})}
        self.judge = Judge(self.board, remotes, self.network.history, loop.time, self.pods)
        self.around = Surroundings(
            loop,
            self.network,
            remotes,
            swarm,
            self.network.history,
            behave=self._behave,
            sick=lambda: self.sick,
            lives=self._lives,
        )

    # -- who and what is there -------------------------------------------------------------------------------------

    def pod(
        self,
        name: str = "pod-a",
        *,
        host: str = "",
        account: str = "agent",
        lifetime: int = LIFETIME,
        ahead: float = 0.0,
        models: tuple[Behaviour, ...] = (),
    ) -> Actor:
        """A pod on a host of its own."""
        if models:
            self.behaviours[name] = list(models)
        actor = Actor(self, name, host or name, account, lifetime=lifetime, ahead=ahead)
        self.pods.append(actor)
        return actor

    def ticket(self, subject: str = "Work", **fields: Any) -> int:
        """A ready ticket."""
        number = self.board.create(**{"subject": subject, "type": "Task", "project": "shop", **fields})
        assert number
        return number

    def person(self, number: int, **fields: Any) -> None:
        """A person changes a work package."""
        answer = self.board.change(number, **fields)
        assert answer.is_success, answer.text
        self.judge.hand("change", number)

    # -- hooks -----------------------------------------------------------------------------------------------------

    def before(self, pod: Actor, purpose: str, act: Callable[[], object], *, times: int = 1) -> Hook:
        """Before a request of this purpose takes effect."""
        return self._hook(pod, purpose, act, after=False, times=times, answered=True)

    def after(self, pod: Actor, purpose: str, act: Callable[[], object], *, times: int = 1) -> Hook:
        """After it took effect."""
        return self._hook(pod, purpose, act, after=True, times=times, answered=True)

    def drop(self, pod: Actor, purpose: str, act: Callable[[], object] = lambda: None, *, arrives: bool) -> Hook:
        """Nobody knows whether a request of this purpose arrived."""
        return self._hook(pod, purpose, act, after=arrives, times=1, answered=False)

    def hold_back(self, pod: Actor, purpose: str) -> Callable[[], object]:
        """A request of this purpose goes unanswered and lands when the returned function is called."""
        held: list[tuple[httpx.Request, Write]] = []

        def take(request: httpx.Request, write: Write) -> httpx.Response:
            write.late = True
            held.append((request, write))
            return httpx.Response(DROPPED)

        self.network.hooks.append(Hook(pod=pod.name, purpose=purpose, act=take, after=False, times=1))
        return lambda: [self.network.land(request, write) for request, write in held]

    def _hook(
        self, pod: Actor, purpose: str, act: Callable[[], object], *, after: bool, times: int, answered: bool
    ) -> Hook:
        def react(_: httpx.Request, __: Write) -> httpx.Response | None:
            act()
            return None if answered else httpx.Response(DROPPED)

        hook = Hook(pod=pod.name, purpose=purpose, act=react, after=after, times=times)
        self.network.hooks.append(hook)
        return hook

    async def model_works(self, seconds: float = 0.0) -> None:
        """Until the next model has started, and for so long beyond that."""
        self.started.clear()
        await asyncio.wait_for(self.started.wait(), 10 * HOUR)
        await asyncio.sleep(seconds)

    # -- what is seen ----------------------------------------------------------------------------------------------

    def status(self, number: int) -> str:
        row = self.board.row(number)
        return row.status if row is not None else ""

    def done(self, number: int) -> bool:
        return self.status(number) in ("In testing", "Closed")

    def comments(self, number: int, word: str) -> list[str]:
        """The fleet's comments that begin so."""
        return [text for _, text in self.board.comments(number) if text.startswith(word)]

    def spikes(self, number: int, *, opened: bool = False) -> list[int]:
        return [
            one.id
            for one in self.board.children(number)
            if one.type == "Spike" and not (opened and one.status in ("Closed", "Rejected"))
        ]

    def kept(self, prefix: str) -> list[str]:
        """The names of kept work."""
        return [ref.removeprefix("refs/") for ref in self.remote.refs if ref.startswith(f"refs/{prefix}")]

    def branches(self, prefix: str) -> list[str]:
        return [ref.removeprefix(HEADS) for ref in self.remote.refs if ref.startswith(f"{HEADS}{prefix}")]

    def results(self, process: str = "") -> list[Landed]:
        """The results that landed, of this process or of all."""
        return [one for one in self.remote.landed if one.verb == "result" and process in one.who]

    def hold(self, invariant: str, true: object, detail: str) -> None:
        """What this history is about; what was broken before goes first."""
        if self.broken is not None:
            raise self.broken
        if not true:
            raise Broken(invariant, detail)

    # -- what every history must hold ------------------------------------------------------------------------------

    @property
    def broken(self) -> Broken | None:
        """What the judge of the random histories has seen, or this one."""
        seen = [one for one in self.judge.violations if one.invariant not in self.forgiven]
        return Broken(seen[0].invariant, seen[0].detail) if seen else self._broken

    def _behave(self, task: Task) -> Behaviour:
        left = self.behaviours.get(task.pod, [])
        return left.pop(0) if len(left) > 1 else left[0] if left else Behaviour()

    def _lives(self, process: Process, folder: str, living: Living, lives: bool) -> None:
        now = self.loop.time()
        if lives:
            self.models.append(Span(process=process, ticket=living.ticket, start=now))
            self.started.set()
        else:
            next(one for one in self.models if one.process is process and one.end is None).end = now
        self.judge.model(process, folder, living, lives=lives)

    def _landed(self, write: Write) -> None:
        self.judge.landed(write)
        before, after = write.before, write.after
        if (
            before is None
            or after is None
            or not before.run
            or after.run
            or write.folder == self._folder_of(before.run)
        ):
            return
        held = [one.id for one in self.board.below(before.id) if self._folder_of(one.run)]
        if held:
            self._break(ONE_WRITER, f"Epic #{before.id} was freed while #{held[0]} was held")

    def _folder_of(self, text: str) -> str:
        claim = self.judge.claims.get(text)
        return "" if claim is None else claim.folder

    def _pushed(self, landed: Landed) -> None:
        self.judge.pushed("shop", landed)
        shown = {one.run for one in self.board.rows() if one.run}
        for ref, (old, _) in landed.changes.items():
            text = self.remote.blobs.get(old, "")
            owner = self._folder_of(text).partition("/")[0]
            if ref.startswith(CLAIMS) and text in shown and owner not in ("", landed.who.partition("#")[0]):
                self._break(REF, f"{landed.who} moved that of {text}")

    def _break(self, invariant: str, detail: str) -> None:
        self._broken = self._broken or Broken(invariant, detail)


Scene = Callable[[Stage], Awaitable[None]]


def play(scene: Scene) -> Broken | None:
    """Live through a history; the invariant that it broke, if any."""
    folder = Path(tempfile.mkdtemp(prefix="stage-", dir=HOME if HOME.is_dir() else None))
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(_played(scene, Stage(loop, folder)))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()
        shutil.rmtree(folder, ignore_errors=True)


async def _played(scene: Scene, stage: Stage) -> Broken | None:
    try:
        await scene(stage)
    except Broken as broken:
        return broken
    finally:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for one in rest:
            one.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        stage.board.close()
    return stage.broken
