"""One history: a board, repositories, pods, people and faults, first with faults, then without until nothing moves."""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from agent.texts.report import SPIKE_SUBJECT
from simulation.board import HOME, Row, SimBoard, new_board
from simulation.clock import Host, Process
from simulation.endings import judge_the_end
from simulation.execution import HANGS, IDLE, OVERLOADED, STUCK, Behaviour, Living, Task
from simulation.hands import CLOSED, EXECUTABLE, Hands
from simulation.history import History, Violation, Write
from simulation.invariants import Judge
from simulation.loop import VirtualLoop
from simulation.network import Network
from simulation.plan import HANDS, Plan, Swarm
from simulation.pods import SimPod, Surroundings
from simulation.remote import Landed, SimRemote

FILES: Final = {
    "flake.nix": "{ outputs = _: { }; }",
    "README.md": "# Project\n",
    ".agent.toml": '[verify]\ncommands = ["make check"]\n',
}
ROUND: Final = 1200.0
"""Seconds between two looks of the people who answer and review while no faults occur."""
ANSWERS: Final = 2
"""How often the Spikes of one ticket are answered then; after that they stay open."""
LONGEST: Final = 30 * 3600.0
"""Seconds without faults after which a history should have come to rest."""
OVERLOAD: Final = "the model's API answered 529"


class Outcome(Struct, kw_only=True):
    """What a history showed."""

    plan: Plan
    violations: list[Violation]
    history: History
    faults: dict[str, int]
    model_starts: int
    pushes: int
    events: dict[str, int]
    """What the fleet said, by event."""
    hours: float
    """How long the phase with faults lasted."""
    pods: int
    rested: float
    """When nothing moved any more, in hours; 0 if it never came to that."""


def simulate(plan: Plan) -> Outcome:
    """Live through the history of this plan."""
    folder = Path(tempfile.mkdtemp(prefix="history-", dir=HOME if HOME.is_dir() else None))
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        world = World(loop, folder, plan)
        return loop.run_until_complete(world.live())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()
        shutil.rmtree(folder, ignore_errors=True)


class World:
    """Everything of one history.

    Args:
        loop: virtual time.
        folder: for the board and the state folders.
        plan: what happens.
    """

    def __init__(self, loop: VirtualLoop, folder: Path, plan: Plan) -> None:
        self.loop = loop
        self.plan = plan
        self.swarm = Swarm(plan)
        self.history = History()
        self.board = new_board(folder / "board", loop.time)
        self.remotes = {project: SimRemote(FILES) for project in ("shop", "blog")}
        chance = random.Random(f"{plan.seed}/world")
        self.hours = plan.hours or chance.uniform(1.0, 3.0)
        self._chance = chance
        self._runs: dict[int, itertools.count[int]] = {}
        self._night = self._drawn_night()
        self.model_starts = 0
        network = Network(loop, self.board, self.swarm, self.history, landed=self._landed)
        self.network = network
        around = Surroundings(
            loop,
            network,
            self.remotes,
            self.swarm,
            self.history,
            behave=self._behave,
            sick=lambda: OVERLOAD if self._is_night() else "",
            lives=self._lives,
            seed=plan.seed,
        )
        self.pods = self._make_pods(around, folder)
        names = sorted({one.name for one in self.pods})
        self.hands = Hands(self.board, self.remotes, self.swarm, names, self._hand)
        network.meddle = self.hands.meddle
        self.judge = Judge(self.board, self.remotes, self.history, loop.time, self.pods)
        for project, remote in self.remotes.items():
            remote.seen = self._seen(project)
        fill(self.board, random.Random(f"{plan.seed}/backlog"), plan.tickets, names)
        if self.swarm.on("workflow"):
            self._forbid()
        self._moved = 0.0

    def _make_pods(self, around: Surroundings, folder: Path) -> list[SimPod]:
        chance = self._chance
        count = chance.choice((2, 2, 3, 3, 4, 5))
        skewed = self.swarm.on("skew")
        pods = []
        for n in range(min(count, self.plan.pods or count)):
            name = "pod-a" if n == 1 and self.swarm.on("twin") else f"pod-{'abcdefgh'[n]}"
            host = Host(
                self.loop,
                f"host-{n}",
                ahead=chance.choice((-7200.0, -600.0, 60.0, 5400.0)) if skewed else 0.0,
                rate=chance.uniform(0.99, 1.01) if skewed else 1.0,
            )
            lifetime, grace = chance.choice((1200, 2400, 3600)), chance.choice((300, 600, 900))
            account = chance.choice(("agent", "agent", "agent2"))
            path = folder / f"state-{n}"
            pause = chance.uniform(400.0, 1000.0)
            pods.append(
                SimPod(around, name, host, account=account, path=path, lifetime=lifetime, grace=grace, pause=pause)
            )
        return pods

    def _forbid(self) -> None:
        """A workflow that a person set up otherwise."""
        chance = self.swarm.chance("workflow")
        kind = chance.choice((*EXECUTABLE, "Epic"))
        old, new = chance.choice(
            (("New", "In progress"), ("In progress", "In testing"), ("In progress", "Closed"), ("In progress", "New"))
        )
        self.board.forbid(kind, old, new)
        self.swarm.count("workflow")
        self.history.add(0.0, "people", f"the workflow of {kind} does not lead from {old} to {new}")

    # -- the two phases --------------------------------------------------------------------------------------------

    async def live(self) -> Outcome:
        """All of it."""
        lives = [self.loop.create_task(one.live()) for one in self.pods]
        people = self.loop.create_task(self._people())
        rested = 0.0
        try:
            await self._watch(lives, self.loop.create_task(asyncio.sleep(self.hours * 3600)))
            self.swarm.over = True
            self.judge.calm = self.loop.time()
            self.history.add(self.loop.time(), "history", "no faults from here on")
            self._wake_enough()
            await self._watch(lives, self.loop.create_task(self._until_rest()))
            rested = self.loop.time() / 3600
        finally:
            people.cancel()
            for one in lives:
                one.cancel()
            for pod in self.pods:
                if pod.process is not None:
                    pod.process.on_kill = lambda: None
                    pod.process.kill()
            ends = [one.process.task for one in self.pods if one.process is not None and one.process.task is not None]
            await asyncio.gather(people, *lives, *ends, return_exceptions=True)
        resting = self.loop.time() - self.judge.calm < LONGEST
        judge_the_end(self.judge, rested=resting)
        self.history.hours = self.loop.time() / 3600
        self.history.faults = sum(self.swarm.happened.values())
        outcome = Outcome(
            plan=self.plan,
            violations=self.judge.violations,
            history=self.history,
            faults=dict(self.swarm.happened),
            model_starts=self.model_starts,
            pushes=sum(len(one.landed) for one in self.remotes.values()),
            events=dict(Counter(event for _, _, event in self.judge.said)),
            hours=self.hours,
            pods=len(self.pods),
            rested=rested,
        )
        self.board.close()
        return outcome

    async def _watch(self, lives: list[asyncio.Task[None]], phase: asyncio.Task[None]) -> None:
        """Until the phase is over; a pod whose life ends is an error of the simulation or of the cycle."""
        await asyncio.wait({phase, *lives}, return_when=asyncio.FIRST_COMPLETED)
        for one in lives:
            if one.done():
                one.result()
        phase.result()

    def _wake_enough(self) -> None:
        """Somebody has to be there; who is down may stay down, and what it held expires."""
        for pod in self.pods:
            if (pod.down and all(one.down for one in self.pods)) or not pod.down:
                pod.wake()

    async def _until_rest(self) -> None:
        """Until all who are there find nothing to do, nobody holds anything and nothing is under way."""
        end = self.loop.time() + LONGEST
        next_round = 0.0
        while self.loop.time() < end:
            await asyncio.sleep(120.0)
            if self._is_at_rest():
                return
            if self.loop.time() >= next_round:
                next_round = self.loop.time() + ROUND
                self._answer_and_review()

    def _is_at_rest(self) -> bool:
        there = [one for one in self.pods if not one.down]
        idle = all(one.idle_since is not None and one.idle_since > self._moved for one in there)
        return bool(there) and idle and not self.network.flying and not self.judge.held() and not self._unanswered()

    def _unanswered(self) -> bool:
        return any(True for _ in self._waiting_spikes()) or any(True for _ in self._waiting_reviews())

    def _answer_and_review(self) -> None:
        for spike in list(self._waiting_spikes()):
            self.hands.answer(spike)
        for row in list(self._waiting_reviews()):
            self.hands.review(row)

    def _waiting_spikes(self) -> Iterator[Row]:
        for row in self.board.rows():
            ours = row.type == "Spike" and row.status not in CLOSED and row.subject.startswith(SPIKE_SUBJECT)
            if ours and row.parent is not None and self.hands.answered.get(row.parent, 0) < ANSWERS:
                yield row

    def _waiting_reviews(self) -> Iterator[Row]:
        for row in self.board.rows():
            if row.status == "In testing" and row.type in EXECUTABLE and self._blocks_something(row.id):
                yield row

    def _blocks_something(self, number: int) -> bool:
        found = self.board.db.execute(
            "SELECT 1 FROM relations WHERE (from_id = ?1 AND relation_type = 'blocks')"
            " OR (to_id = ?1 AND relation_type IN ('follows', 'requires')) LIMIT 1",
            (number,),
        ).fetchone()
        return found is not None

    # -- what happens ----------------------------------------------------------------------------------------------

    async def _people(self) -> None:
        moments = sorted(
            (at, f"hand_{kind}") for kind in HANDS for at in self.swarm.moments(f"hand_{kind}", self.hours)
        )
        moments += [(at, "kill") for at in self.swarm.moments("kill", self.hours)]
        for at, what in sorted(moments):
            await asyncio.sleep(max(0.0, at - self.loop.time()))
            if what != "kill":
                self.hands.act(what.removeprefix("hand_"))
                continue
            living = [one.process for one in self.pods if one.process is not None and one.process.alive]
            if living:
                self.swarm.count("kill")
                self.swarm.chance("kill").choice(living).kill()

    def _drawn_night(self) -> tuple[float, float]:
        chance = self.swarm.chance("night")
        if not self.swarm.on("night"):
            return (0.0, 0.0)
        start = chance.uniform(0.0, self.hours * 3600)
        return (start, start + chance.uniform(900.0, 7200.0))

    def _is_night(self) -> bool:
        start, end = self._night
        is_night = not self.swarm.over and start <= self.loop.time() < end
        if is_night:
            self.swarm.count("night")
        return is_night

    def _behave(self, task: Task) -> Behaviour:
        n = next(self._runs.setdefault(task.ticket, itertools.count()))
        chance = random.Random(f"{self.plan.seed}/model/{task.ticket}/{n}")
        if self._is_night():
            return OVERLOADED
        seconds = chance.choice((60.0, 240.0, 600.0, 1100.0))
        for kind, how in (
            ("hangs", HANGS),
            ("fails", Behaviour(seconds=seconds, failure="the model ended badly")),
            ("checks_fail", Behaviour(seconds=seconds, check="test suite failed with exit code 1")),
            ("changes_nothing", IDLE),
            ("stuck", STUCK),
            ("overloaded", OVERLOADED),
        ):
            if self.swarm.strikes(kind):
                return how
        return Behaviour(seconds=seconds)

    def _lives(self, process: Process, folder: str, living: Living, lives: bool) -> None:
        self.model_starts += lives
        word = "starts" if lives else "ends"
        self.history.add(self.loop.time(), process.name, f"the model {word} on #{living.ticket} run {living.run[:8]}")
        self.judge.model(process, folder, living, lives=lives)

    def _landed(self, write: Write) -> None:
        if write.status < 300:
            self._moved = self.loop.time()
            copy, late = " (a copy)" if write.copy else "", " (late)" if write.late else ""
            event = f" {write.mark.event} of {write.mark.run[:8]}" if write.mark else ""
            self.history.add(
                write.at, write.process, f"{write.method} #{write.ticket} {write.purpose}{event}{copy}{late}"
            )
        self.judge.landed(write)

    def _seen(self, project: str) -> Any:
        def seen(landed: Landed) -> None:
            self._moved = self.loop.time()
            refs = ", ".join(
                f"{ref.removeprefix('refs/')} {old[:6]}→{new[:6]}" for ref, (old, new) in landed.changes.items()
            )
            self.history.add(self.loop.time(), landed.who, f"git {landed.verb} {refs}")
            self.judge.pushed(project, landed)

        return seen

    def _hand(self, what: str, ticket: int, more: str) -> None:
        self._moved = self.loop.time()
        self.history.add(self.loop.time(), "people", f"{what} #{ticket} {more}")
        self.judge.hand(what, ticket)


def fill(board: SimBoard, chance: random.Random, most: int, pods: list[str]) -> None:
    """A backlog: Epics with stories, tasks and bugs, standalone work, gates and blockers."""
    wanted = chance.randint(5, 14)
    left = min(wanted, most or wanted)
    made: list[int] = []
    gate = (
        board.create(subject="Phase", type="Summary task", project="shop", status="In progress")
        if chance.random() < 0.4
        else 0
    )
    while left > 0:
        project = chance.choice(("shop", "shop", "shop", "blog"))
        above = gate if gate and project == "shop" and chance.random() < 0.3 else None
        epic = story = None
        if chance.random() < 0.6:
            epic = board.create(subject=f"Epic {left}", type="Epic", project=project, parent=above)
            if chance.random() < 0.4:
                story = board.create(subject=f"Story {left}", type="User story", project=project, parent=epic)
        for _ in range(min(left, chance.randint(1, 4) if epic else 1)):
            left -= 1
            parent = chance.choice([one for one in (epic, story) if one] or [above])
            number = board.create(
                subject=f"Work {left}",
                type=chance.choice(("Task", "Task", "Feature", "Bug")),
                project=project,
                parent=parent,
                priority=chance.choice(("Low", "Normal", "Normal", "High", "Immediate")),
                pod=chance.choice(pods) if chance.random() < 0.1 else None,
            )
            if made and chance.random() < 0.2:
                board.relate(chance.choice(made), chance.choice(("blocks", "precedes", "relates")), number)
            made.append(number)
