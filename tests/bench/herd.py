"""Pods that wake together: how many claims come to nothing for each that succeeds, beside pods that all keep to the naive order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final

import httpx

from agent import choose, daemon, pod
from agent.board import catalog as catalogs
from agent.board.client import Board
from agent.board.discovery import discover
from agent.claim.memory import Memory
from agent.claim.protocol import Protocol
from agent.claim.taking import Taken, take
from agent.clock import SystemClock, SystemRandomness
from agent.scan import LATER, Scan
from agent.settings import load
from agent.state_folder import StateFolder
from bench.measure import Measured, at_most
from support.backlogs import Backlog, Item, into_embedded
from support.boards import Board as Running
from support.boards import embedded_board
from support.fleet import Fleet

PODS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
REAL: Final = (8, 32, 128)
"""Pods of the real protocol."""
LATENCY_S: Final = 0.02
"""The mean of the network and its server, drawn for each request."""
PER_EPIC: Final = 10
STANDALONE: Final = 2_000
FEW: Final = 4
SPREAD_S: Final = 2 * daemon.JITTER * daemon.PAUSE_S
"""Over what time idle pods look again: their pauses differ by as much."""
GOAL: Final = 0.1
GROUP: Final = "wasted claims"
Order = Callable[[str, int], object]

ORDERS: Final[dict[str, Order]] = {
    "own order": lambda name, ticket: choose.row_key(None, name, ticket),
    "naive order": lambda _, ticket: ticket,
}


def scenes(pods: int) -> dict[str, list[tuple[int, int]]]:
    """Tickets with the lock that guards each: itself, or its Epic."""
    return {
        f"{STANDALONE:,} standalone tickets": [(n, n) for n in range(1, STANDALONE + 1)],
        "as many Epics as pods": _epics(pods),
        f"{FEW} Epics": _epics(FEW),
    }


def _epics(number: int) -> list[tuple[int, int]]:
    return [(1_000 + n, n // PER_EPIC) for n in range(number * PER_EPIC)]


def in_lock_step(pods: int, tickets: Sequence[tuple[int, int]], order: Order) -> tuple[int, int]:
    """Wasted and successful claims where all pods read, then all claim, and so on: no pod ever sees another's claim in time.

    The shipped key orders the tickets; of those that want one lock, one gets it.
    """
    waiting = [f"pod-{n}" for n in range(pods)]
    free = {lock for _, lock in tickets}
    wasted = 0
    while waiting and free:
        open_ = [(ticket, lock) for ticket, lock in tickets if lock in free]
        wanted: dict[int, list[str]] = {}
        for name in waiting:
            _, lock = min(open_, key=lambda one: order(name, one[0]))  # type: ignore[arg-type, return-value]
            wanted.setdefault(lock, []).append(name)
        wasted += sum(len(names) - 1 for names in wanted.values())
        free -= wanted.keys()
        waiting = [name for names in wanted.values() for name in names[1:]]
    return wasted, pods - len(waiting)


class Slow(httpx.AsyncBaseTransport):
    """The network with a latency that differs each time; counts the claims and those that came too late."""

    def __init__(self, seed: str) -> None:
        self.late = 0
        self._inner = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=4))
        self._random = random.Random(seed)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(self._random.expovariate(1 / LATENCY_S))
        answer = await self._inner.handle_async_request(request)
        self.late += answer.status_code == httpx.codes.CONFLICT
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()


async def really(running: Running, folder: Path, project: str, pods: int, spread_s: float) -> tuple[int, int]:
    """Wasted and successful claims of the shipped scan and protocol, the pods waking within that many seconds."""
    config = Fleet(running, project, folder).pod()
    settings = load(str(config), environ={"HOME": str(folder)})
    clock, randomness = SystemClock(), SystemRandomness()
    async with Board(running.url, running.tokens["agent"], clock=clock, randomness=randomness) as board:
        found = await discover(board, pod.names(settings.board), settings.repositories)

    async def wake(number: int) -> tuple[int, int]:
        name = f"pod-{number}"
        network = Slow(name)
        await asyncio.sleep(random.Random(name).uniform(0, spread_s))
        async with Board(
            running.url, running.tokens["agent"], transport=network, clock=clock, randomness=randomness
        ) as board:
            board.fields = found.fields
            fleet = catalogs.fleet(pod.names(settings.board), found, pod=name, unreachable=())
            memory = Memory(StateFolder(folder / name), clock, kept=False)
            protocol = Protocol(board, fleet, memory, clock=clock, randomness=randomness, lifetime=14_400)
            scan = Scan(board, fleet, (), _answers)
            while (candidate := await scan.next(LATER)) is not None:
                claimed = await take(protocol, candidate)
                if isinstance(claimed, Taken):
                    return network.late, 1
                scan.skip(candidate, mine=protocol.fleet.mine, whole_epic=claimed.whole_epic)
            return network.late, 0

    done = await asyncio.gather(*(wake(number) for number in range(pods)))
    return sum(late for late, _ in done), sum(won for _, won in done)


async def _answers(_: int) -> bool:
    return True


def backlog(project: str, tickets: Sequence[tuple[int, int]]) -> Backlog:
    """The scene on a board."""
    epics = {lock for ticket, lock in tickets if lock != ticket}
    items = [
        Item(key=f"{project}-e{lock}", type="Epic", subject=f"Epic {lock}", project=project) for lock in sorted(epics)
    ]
    items += [
        Item(
            key=f"{project}-{ticket}",
            type="Task",
            subject=f"Task {ticket}",
            project=project,
            parent=None if lock == ticket else f"{project}-e{lock}",
        )
        for ticket, lock in tickets
    ]
    return Backlog((project,), tuple(items))


async def measure(folder: Path) -> AsyncIterator[Measured]:
    """Each scene in lock-step, in both orders; then with the real protocol."""
    how = "pure: the shipped key, all pods read before any claims, losers read again (lock-step, the worst case)"
    for kind, order in ORDERS.items():
        for pods in PODS:
            for scene, tickets in scenes(pods).items():
                wasted, won = in_lock_step(pods, tickets, order)
                yield _figure(f"{scene}, {kind}", pods, wasted, won, how, goal=False)
    how = (
        f"the shipped scan and protocol on an embedded board over HTTP, {LATENCY_S * 1000:.0f} ms latency on average; "
        "a wasted claim is a 409; "
    )
    moments = {
        "awake in one moment": (0.0, "all pods awake in one moment, as after a power cut without the timers' delay"),
        "awake as pods pause": (SPREAD_S, f"the pods wake within {SPREAD_S:.0f} s, as their pauses spread them"),
    }
    board = embedded_board(folder / "board")
    try:
        for number, (moment, (spread_s, when)) in enumerate(moments.items()):
            for pods in REAL if not spread_s else REAL[-1:]:
                for which, (scene, tickets) in enumerate(scenes(pods).items()):
                    project = f"p{pods}-{number}-{which}"
                    into_embedded(folder / "board", backlog(project, tickets))
                    wasted, won = await really(board, folder / project, project, pods, spread_s)
                    goal = not scene.startswith(f"{FEW} ")
                    yield _figure(f"{scene}, {moment}", pods, wasted, won, how + when, goal=goal)
    finally:
        board.close()


def _figure(series: str, pods: int, wasted: int, won: int, how: str, *, goal: bool) -> Measured:
    name, value = f"{series}: wasted per success, {pods} pods", wasted / max(won, 1)
    if goal and pods == max(REAL):
        return at_most(name, value, "claims", GOAL, how, group=GROUP, series=series, x=float(pods))
    return Measured(name=name, value=value, unit="claims", how=how, group=GROUP, series=series, x=float(pods))
