"""A stage for directed histories: the simulation's board, remote and pods without chance, and hooks at their edges.

A history that breaks an invariant ends with `Broken`, which names it. What every history must hold is judged as it
happens: who wrote over whose claim, whose claim ref was moved, which comment came twice. What one history is about it
says itself, by `hold`.
"""

from __future__ import annotations

import asyncio
import collections
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import httpx
from msgspec import Struct, field

from agent.cycle import Result
from agent.git.refs import CLAIMS, HEADS
from agent.texts.claim_token import ClaimToken, parse
from simulation.board import HOME, new_board
from simulation.clock import Chance, Host, Process
from simulation.execution import Behaviour, Living, Task
from simulation.history import History, Write
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
REPEATED: Final = frozenset({"taken_over", "interrupted", "stopped", "epic_taken"})
"""Events that a run may have more than once."""
DROPPED: Final = 502
"""What a pod is told when nobody knows whether its request arrived."""

# The invariants, in the words of the issue.
ONE_WINNER: Final = "no pod writes over another's claim"
SUPERSEDED: Final = "a superseded run changes neither board nor branch"
LIVING: Final = "a living claim does not expire"
ONE_MODEL: Final = "one model on a ticket, within a watch interval"
ONE_WRITER: Final = "an Epic has one writer"
REF: Final = "nobody moves the claim ref of another's living claim"
AVAILABLE: Final = "nothing is executed that was not available after its claim"
ONE_SPIKE: Final = "a failure has exactly one open Spike, pod trouble none"
PEOPLE: Final = "what a person set is never overwritten"
NOTHING_LOST: Final = "what was pushed is reported once, and no work is lost"
ONE_COMMENT: Final = "a comment comes at most once per event"
ENDS: Final = "every ticket is finally done, spiked, available or a person's"
STARVED: Final = "no ticket waits while a pod could work on it"
BOUNDED: Final = "no loop burns tries without bound"


class Broken(AssertionError):
    """An invariant did not hold."""

    def __init__(self, invariant: str, detail: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.invariant = invariant


class Span(Struct, kw_only=True):
    """A model at work."""

    pod: str
    process: Process
    ticket: int
    run: str
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
        self.on_git: dict[str, Callable[[], Fault | None]] = {}
        """By verb, once: what is done when git talks to the remote, and the fault that it meets."""

    def _strike(self, what: str) -> float:
        del what
        return 0.0

    def _line(self, process: Process, project: str) -> Line:
        def fault(_: str, verb: str) -> Fault:
            act = self.on_git.pop(verb, None)
            return (act() if act is not None else None) or Fault.NONE

        return Line(self._around.remotes[project], process, pod=process.name, fault=fault)

    def start(self) -> asyncio.Task[Result | None]:
        """A pass, while other things happen."""
        return self.host.loop.create_task(self.cycle())

    async def cycle(self) -> Result | None:
        """One pass in a process of its own; None where it was killed."""
        process = self._new_process()
        process.task = self.host.loop.create_task(self._one_pass(process, Chance(process.name)))
        await asyncio.wait({process.task})
        if process.alive:
            return process.task.result()
        if not process.task.cancelled():
            process.task.exception()  # how it died interests nobody
        return None

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
        self.started = asyncio.Event()
        self.broken: Broken | None = None
        self._owners: dict[str, tuple[str, float]] = {}
        self._said: collections.Counter[tuple[int, str, str]] = collections.Counter()
        swarm = Swarm(Plan(seed=0))
        swarm.over = True
        self.network = StageNetwork(loop, self.board, swarm, History(), landed=self._landed, looked=lambda *_: None)
        self.network.hooks = []
        self.around = Surroundings(
            loop,
            self.network,
            {"shop": self.remote, "blog": SimRemote({"flake.nix": "{}"})},
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
        return Actor(self, name, host or name, account, lifetime=lifetime, ahead=ahead)

    def ticket(self, subject: str = "Work", **fields: Any) -> int:
        """A ready ticket."""
        number = self.board.create(**{"subject": subject, "type": "Task", "project": "shop", **fields})
        assert number
        return number

    def person(self, number: int, **fields: Any) -> None:
        """A person changes a work package."""
        answer = self.board.change(number, **fields)
        assert answer.is_success, answer.text

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

    def branches(self, prefix: str) -> list[str]:
        return [ref.removeprefix(HEADS) for ref in self.remote.refs if ref.startswith(f"{HEADS}{prefix}")]

    def results(self, process: str = "") -> list[Landed]:
        """The results that landed, of this process or of all."""
        return [one for one in self.remote.landed if one.verb == "result" and process in one.who]

    def hold(self, invariant: str, true: object, detail: str) -> None:
        """What this history is about."""
        if self.broken is not None:
            raise self.broken
        if not true:
            raise Broken(invariant, detail)

    # -- what every history must hold ------------------------------------------------------------------------------

    def _break(self, invariant: str, detail: str) -> None:
        self.broken = self.broken or Broken(invariant, f"{detail} at {self.loop.time() / HOUR:.2f} h")

    def _behave(self, task: Task) -> Behaviour:
        left = self.behaviours.get(task.pod, [])
        return left.pop(0) if len(left) > 1 else left[0] if left else Behaviour()

    def _lives(self, process: Process, _: str, living: Living, lives: bool) -> None:
        now = self.loop.time()
        if lives:
            one = Span(pod=living.pod, process=process, ticket=living.ticket, run=living.run, start=now)
            self.models.append(one)
            self.started.set()
            return
        for one in self.models:
            if one.process is process and one.end is None:
                one.end = now
                self._judge_overlaps(one)

    def _judge_overlaps(self, one: Span) -> None:
        """A frozen model does nothing: what it was frozen for does not count."""
        for other in self.models:
            if other.ticket != one.ticket or other.process is one.process:
                continue
            start, end = max(one.start, other.start), min(one.end or 0.0, other.end or self.loop.time())
            still = one.process.frozen_within(start, end) + other.process.frozen_within(start, end)
            if end - start - still > PROMPT:
                self._break(ONE_MODEL, f"{one.process.name} and {other.process.name} on #{one.ticket}")

    def _landed(self, write: Write) -> None:
        if write.status >= httpx.codes.MULTIPLE_CHOICES:
            return
        if write.mark is not None and write.mark.event not in REPEATED:
            key = (write.ticket, write.mark.run, write.mark.event)
            self._said[key] += 1
            if self._said[key] > 1:
                self._break(ONE_COMMENT, f"{write.mark.event} twice on #{write.ticket}")
        before, after = write.before, write.after
        if write.method != "PATCH" or before is None or after is None or before.run == after.run:
            return
        old, new = parse(before.run), parse(after.run)
        if old is not None:
            self._judge_end_of(old, before.run, before.id, write, replaced=new is not None)
        if after.run:
            self._owners[after.run] = (write.folder, self.loop.time())

    def _judge_end_of(self, old: ClaimToken, text: str, number: int, write: Write, *, replaced: bool) -> None:
        owner, born = self._owners.get(text, (write.folder, 0.0))
        if owner == write.folder:
            return
        if replaced:
            self._break(ONE_WINNER, f"{write.process} took #{number} from {old.pod}")
        elif self.loop.time() - born < old.lifetime_s + GRACE:
            self._break(LIVING, f"{write.process} ended {old.pod}'s claim of #{number}")
        held_below = [one.id for one in self.board.below(number) if one.run and one.run in self._owners]
        if held_below:
            self._break(ONE_WRITER, f"Epic #{number} expired while #{held_below[0]} was held")

    def _pushed(self, landed: Landed) -> None:
        shown = {one.run for one in self.board.rows() if one.run}
        for ref, (old, _) in landed.changes.items():
            text = self.remote.blobs.get(old, "")
            if not ref.startswith(CLAIMS) or text not in shown:
                continue
            owner = self._owners.get(text, ("", 0.0))[0].partition("/")[0]
            if owner and owner != landed.who.partition("#")[0]:
                self._break(REF, f"{landed.who} moved that of {text}")


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
