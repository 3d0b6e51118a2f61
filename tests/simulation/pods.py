"""Simulated pods: the shipped cycle over stand-ins at its edge, run pass after pass, killed, frozen and started again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from agent.attempt import Place
from agent.board import catalog as catalogs
from agent.board.client import Board
from agent.claim.memory import Memory
from agent.claim.protocol import Protocol
from agent.cycle import Cycle, Limits, Result
from agent.daemon import Pass
from agent.errors import AgentError, BoardError, ConfigurationError
from agent.execution import Execution
from agent.git.repo import Repository
from agent.pod import load_catalog, names
from agent.reporting import Links
from agent.settings import Secret, Settings
from agent.settings.rules import judge
from agent.state import State
from agent.state_folder import StateFolder
from simulation import history as histories
from simulation.clock import Chance, Host, Process
from simulation.execution import Behaviour, Living, SimExecution, Task
from simulation.history import History
from simulation.network import Network, Wire
from simulation.plan import Swarm
from simulation.remote import Fault, SimRemote
from simulation.workspace import HostFolder, Line, SimRepository

STALE: Final = frozenset({400, 404, 422})
"""As the command line has it: after such an answer the cached discovery is not trusted."""


class SeveredFolder(StateFolder):
    """A state folder on a disk in memory, out of reach for a process that is gone."""

    def __init__(self, path: Path, process: Process) -> None:
        super().__init__(path)
        self._process = process

    def save(self, state: State) -> None:
        self._process.touch("save")
        super().save(state)
        self._process.touch("saved")

    def save_catalog(self, raw: bytes) -> None:
        self._process.touch("save")
        super().save_catalog(raw)

    def drop_catalog(self) -> None:
        self._process.touch("save")
        super().drop_catalog()


class Surroundings:
    """What all pods share.

    Args:
        loop: virtual time.
        network: to the board.
        remotes: the repositories, by project.
        swarm: what goes wrong.
        history: the record.
        behave: what a model does.
        sick: why no model can be asked now; empty if it can.
        lives: hears of every model that starts and ends.
        seed: of everything that is left to chance.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        network: Network,
        remotes: dict[str, SimRemote],
        swarm: Swarm,
        history: History,
        *,
        behave: Callable[[Task], Behaviour],
        sick: Callable[[], str],
        lives: Callable[[Process, str, Living, bool], None],
        seed: int = 0,
    ) -> None:
        self.loop = loop
        self.network = network
        self.remotes = remotes
        self.swarm = swarm
        self.history = history
        self.behave = behave
        self.sick = sick
        self.lives = lives
        self.seed = seed


class SimPod:
    """A pod on its host.

    Args:
        around: the world.
        name: of the pod; another host may have the same.
        host: where it runs.
        account: whose token.
        path: for its state folder.
        lifetime: of its claims, in seconds.
        grace: in seconds.
        pause: between passes that did not work.
    """

    def __init__(
        self,
        around: Surroundings,
        name: str,
        host: Host,
        *,
        account: str,
        path: Path,
        lifetime: int,
        grace: int,
        pause: float,
    ) -> None:
        self.name = name
        self.host = host
        self.lifetime = lifetime
        self.grace = grace
        self.folder = f"{host.name}/1"
        """Its state folder's incarnation: what "mine" means."""
        self.process: Process | None = None
        self.idle_since: float | None = None
        """The start of the last pass, if it found nothing."""
        self.down = False
        """It does not come back before the faults are over."""
        self.finished: list[Process] = []
        self._around = around
        self._account = account
        self._path = path
        self._pause = pause
        self._folders = 1
        self._disks = {project: HostFolder() for project in around.remotes}
        self._chance = random.Random(f"{around.seed}/{host.name}")
        self._starts = 0
        self._settings = _settings(name, path, lifetime, grace)
        self._wake = asyncio.Event()

    # -- its life --------------------------------------------------------------------------------------------------

    async def live(self) -> None:
        """Start, run passes, be killed, start again."""
        swarm, loop = self._around.swarm, self._around.loop
        await asyncio.sleep(self._chance.uniform(0.0, 30.0))
        while True:
            process = self._new_process()
            process.task = loop.create_task(self._passes(process))
            await asyncio.wait({process.task})
            if not process.task.cancelled() and (error := process.task.exception()) and process.alive:
                raise error
            self.finished.append(process)
            self.process = None
            self.idle_since = None
            if swarm.strikes("lost_folder"):
                self._lose_folder()
            if swarm.strikes("reboot"):
                self.host.reboot()
            self.down = swarm.strikes("kept_down")
            if self.down:
                self._note("is not started again")
            self._wake.clear()
            away = self._chance.choice((5.0, 60.0, 600.0, 3600.0))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), None if self.down else away)
            self.down = False

    def wake(self) -> None:
        """Start again now, whatever was meant."""
        self._wake.set()

    def _new_process(self) -> Process:
        self._starts += 1
        name = f"{self.host.name}#{self._starts}"
        process = Process(self.host, name, self._strike)
        process.on_kill = lambda: self._note("is killed")
        process.on_freeze = lambda seconds: self._note(f"is frozen for {seconds:.0f} s")
        self.process = process
        self._note("starts")
        return process

    def _strike(self, what: str) -> float:
        swarm = self._around.swarm
        del what
        if swarm.strikes("kill_at_effect"):
            return float("inf")
        if swarm.strikes("long_freeze"):
            return (self.lifetime + self.grace) * swarm.chance("long_freeze").uniform(0.8, 1.6)
        if swarm.strikes("freeze"):
            return swarm.chance("freeze").choice((5.0, 70.0, 300.0, 1500.0))
        return 0.0

    def _lose_folder(self) -> None:
        self._note("loses its state folder")
        shutil.rmtree(self._path, ignore_errors=True)
        self._disks = {project: HostFolder() for project in self._around.remotes}
        self._folders += 1
        self.folder = f"{self.host.name}/{self._folders}"

    def _note(self, what: str) -> None:
        self._around.history.add(self._around.loop.time(), self.host.name, what)

    # -- its passes ------------------------------------------------------------------------------------------------

    async def _passes(self, process: Process) -> None:
        chance = Chance(f"{self._around.seed}/{process.name}/{self.folder}")
        while True:
            start, quiet = self._around.loop.time(), self._around.swarm.over
            before, refused = process.requests, process.refusals
            outcome = await self._one_pass(process, chance)
            self._around.history.passes.append(
                histories.Pass(
                    start=start,
                    end=self._around.loop.time(),
                    process=process.name,
                    outcome=outcome.outcome.value,
                    requests=process.requests - before,
                    refusals=process.refusals - refused,
                    faulty=not quiet,
                )
            )
            if outcome.outcome is not Pass.NOTHING:
                self.idle_since = None
                self._note(f"{outcome.outcome.value}: {_told(outcome)}")
            else:
                self.idle_since = start
            if outcome.outcome is not Pass.WORKED:
                await process.sleep(self._pause * chance.uniform(0.5, 1.5))

    async def _one_pass(self, process: Process, chance: Chance) -> Result:
        folder = SeveredFolder(self._path, process)
        try:
            return await self._cycle(process, chance, folder)
        except ConfigurationError:
            folder.drop_catalog()
            raise
        except AgentError as error:
            if isinstance(error, BoardError) and error.status in STALE:
                folder.drop_catalog()
            return Result(outcome=Pass.TROUBLE, reason=str(error))

    async def _cycle(self, process: Process, chance: Chance, folder: StateFolder) -> Result:
        around, settings = self._around, self._settings
        token = Secret(around.network.board.tokens[self._account])
        wire = Wire(around.network, process, folder=self.folder, pod=self.name)
        async with Board(settings.board.url, token.reveal(), clock=process, randomness=chance, transport=wire) as board:
            memory = Memory(folder, process)
            now = memory.now()
            found = await load_catalog(board, settings, token, folder, now)
            board.fields = found.fields
            waiting = memory.state.repositories_waiting(now.at, now.boot)
            fleet = catalogs.fleet(names(settings.board), found, pod=self.name, unreachable=waiting)
            protocol = Protocol(board, fleet, memory, clock=process, randomness=chance, lifetime=self.lifetime)
            projects = {one.project.id: one.project.identifier for one in found.projects}
            repositories = {
                number: SimRepository(self._line(process, project), self._disks[project])
                for number, project in projects.items()
            }

            async def place(number: int) -> Place:
                return Place(
                    repository=cast(Repository, repositories[number]),
                    template="agent/{id}-{slug}",
                    links=Links(),
                    refs=await repositories[number].preflight(),
                    starter=Path("/nowhere"),
                )

            execution = SimExecution(
                process,
                pod=self.name,
                behave=around.behave,
                sick=around.sick,
                changed=lambda living, lives: around.lives(process, self.folder, living, lives),
                margin=min(600.0, self.lifetime / 6),
            )
            limits = Limits(grace=self.grace, tries=settings.execution.tries)
            cycle = Cycle(protocol, cast(Execution, execution), place, limits=limits, say=lambda _: None)
            result = await cycle.run()
            if protocol.doubtful:
                folder.drop_catalog()
            return result

    def _line(self, process: Process, project: str) -> Line:
        around = self._around
        remote = around.remotes[project]

        def fault(_: str, verb: str) -> Fault:
            swarm = around.swarm
            if swarm.strikes("git_down"):
                return Fault.DOWN
            if verb in ("list", "fetch"):
                return Fault.NONE
            if swarm.strikes("git_lost"):
                return Fault.LOST
            if swarm.strikes("git_late"):
                around.loop.call_later(swarm.chance("git_late").uniform(1.0, 4000.0), remote.land)
                return Fault.LATE
            refused = verb in ("result", "keep") and swarm.strikes("git_refused")
            return Fault.REFUSED if refused else Fault.NONE

        return Line(remote, process, pod=process.name, fault=fault)


def _told(result: Result) -> str:
    end = result.end
    what = f"#{result.ticket} rung {result.rung:d} " if result.ticket else ""
    return what + (f"{end.kind} {end.reason or end.commit[:7]}" if end else result.reason)


def _settings(name: str, path: Path, lifetime: int, grace: int) -> Settings:
    raw: dict[str, Any] = {
        "pod": name,
        "state": str(path),
        "board": {"url": "http://board", "fleet_users": ["Coding Agent", "Second Agent"]},
        "repositories": {project: {"url": f"https://sim/{project}.git"} for project in ("shop", "blog")},
        "execution": {
            "timeout": f"{lifetime}s",
            "grace": f"{grace}s",
            "margin": f"{lifetime // 6}s",
            "idle": f"{lifetime // 3}s",
        },
        "model": {"kind": "command", "command": ["true"]},
    }
    return judge(raw)
