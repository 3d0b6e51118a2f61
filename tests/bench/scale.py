"""Requests and bytes of a cycle on boards of 10² to 10⁵ work packages; the board's time on the real OpenProject."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import httpx

from agent.board.query import one_of
from agent.daemon import Pass
from agent.model import Changes, WorkPackage
from agent.pod import Pod
from bench.measure import MILLI, Measured, at_most
from support.backlogs import Backlog, Item, into_embedded, into_openproject
from support.boards import CONTROL, Board, can_be_booted, embedded_board, openproject
from support.crowds import AVAILABLE, big, mixed
from support.fleet import Fleet
from support.pods import Requests, opened
from support.worlds import can_be_filled, whole_world

SIZES: Final = (100, 1_000, 10_000, 100_000)
CROWD: Final = 1_000
IDLE: Final = 4
CLAIM: Final = 18
REASON: Final = 3
"""More requests for each kind of reason met."""
KINDS: Final = 10
GROUP: Final = "requests of a cycle"
BYTES: Final = "bytes of a cycle"
CLAIMS: Final = "claims a second on the real OpenProject"
SERVER: Final = "the real OpenProject's time"
HOW: Final = (
    "embedded board, an ordinary backlog of N (Epics, stories, tasks); “nothing available” and “behind 1,000”: 1,000 tickets of "
    "all ten reasons beside it; claims up to the first comment; bytes of addresses and bodies"
)
REPEATED: Final = 3
CLIENTS: Final = 8
EACH: Final = 10


class Counted(Requests):
    """The network, with the bytes that went over it: bodies and addresses, without headers."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: list[int] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        self.bytes.append(len(request.url.raw_path) + len(request.content) + len(answer.content))
        return answer

    def clear(self) -> None:
        self.sent.clear()
        self.bytes.clear()


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a cycle cost up to its end, or up to its first comment on the ticket that it took."""

    requests: int
    bytes: int
    seconds: float


def _name(fleet: Fleet) -> str:
    """One that nobody has used before: what it holds is read in full, and a pod as it wakes holds nothing."""
    return f"pod-{fleet.folder.parent.name}-{fleet.folder.name}"


async def idle(fleet: Fleet) -> Cost:
    """A pass that finds nothing to do."""
    network = Counted()
    async with opened(fleet.pod(_name(fleet)), transport=network) as pod:
        network.clear()
        result = await pod.cycle(lambda _: None).run()
        assert result.outcome is Pass.NOTHING, result
        return Cost(len(network.sent), sum(network.bytes), network.seconds)


async def claim(fleet: Fleet) -> Cost:
    """A pass that takes a ticket, through its first comment."""
    network = Counted()
    async with opened(fleet.pod(_name(fleet)), transport=network) as pod:
        network.clear()
        result = await pod.cycle(lambda _: None).run()
        assert result.ticket is not None, result
        sent = network.until_comment_on(result.ticket)
        return Cost(len(sent), sum(network.bytes[: len(sent)]), sum(took for _, _, took in sent))


def without_the_one(backlog: Backlog) -> Backlog:
    """The crowd alone."""
    kept = tuple(one for one in backlog.work_packages if not one.key.endswith(f"-{AVAILABLE}"))
    return Backlog(backlog.projects, kept, backlog.relations)


async def measure(folder: Path) -> AsyncIterator[Measured]:
    """Each kind of cycle on each size."""
    costs: dict[tuple[str, int], Cost] = {}
    for size in SIZES:
        place = folder / str(size)
        board = embedded_board(place / "board")
        try:
            into_embedded(place / "board", big("large", size))
            costs["idle", size] = await idle(Fleet(board, "shop", place / "idle"))
            costs["claim with its Epic", size] = await claim(Fleet(board, "large", place / "claim"))
            into_embedded(place / "board", without_the_one(mixed("none", CROWD)))
            costs["nothing available", size] = await idle(Fleet(board, "none", place / "none"))
            into_embedded(place / "board", mixed("crowd", CROWD))
            costs["claim behind 1,000", size] = await claim(Fleet(board, "crowd", place / "crowd"))
        finally:
            board.close()
        for (kind, of), cost in costs.items():
            if of == size:
                for one in _figures(kind, size, cost):
                    yield one
    for kind in dict.fromkeys(kind for kind, _ in costs):
        counts = [costs[kind, size].requests for size in SIZES]
        # One more or less is chance: whether the first in the pod's own order happens to be blocked.
        name = f"{kind}: requests more on the board that takes most than on the one that takes fewest"
        yield at_most(name, max(counts) - min(counts), "requests", 1, HOW, group=GROUP)


def _figures(kind: str, size: int, cost: Cost) -> list[Measured]:
    line: dict[str, Any] = {"series": kind, "x": float(size)}
    name, requests = f"{kind}, {size:,} work packages", float(cost.requests)
    bound = {"idle": IDLE, "claim with its Epic": CLAIM, "claim behind 1,000": CLAIM + REASON * KINDS}.get(kind)
    first = (
        Measured(name=f"{name}: requests", value=requests, unit="requests", how=HOW, group=GROUP, **line)
        if bound is None
        else at_most(f"{name}: requests", requests, "requests", bound, HOW, group=GROUP, **line)
    )
    return [first, Measured(name=f"{name}: bytes", value=cost.bytes, unit="bytes", how=HOW, group=BYTES, **line)]


def page_of_full(board: Board) -> float:
    """Seconds for a page of 100 full work packages, warm."""
    client = board.client("agent")
    query = "/work_packages?filters=[]&pageSize=100"
    client.get(query)
    return min(client.get(query).elapsed.total_seconds() for _ in range(3))


async def measure_openproject(folder: Path) -> AsyncIterator[Measured]:
    """The server's time of an idle pass and a claim, beside a page of 100 in full; only where one can be booted."""
    if not can_be_booted():
        return
    board = openproject()
    try:
        if can_be_filled(board) and board.folder is not None and not (board.folder / "world.json").exists():
            small = [f"hundred-{n}" for n in range(REPEATED + 1)]  # each has one Epic, which stays with who took it
            for project in small:
                into_openproject(board.folder, CONTROL, big(project, SIZES[0]))
            for one in await _on_openproject(board, "shop", small, folder / "small", "10²"):
                yield one
            yield await _claims_per_second(board, folder / "claims")
        made = whole_world(board)
        for one in await _on_openproject(
            board, made.empty_project(), [f"{made.mark}-big"] * (REPEATED + 1), folder / "large", "10⁴"
        ):
            yield one
    finally:
        board.close()


async def _claims_per_second(board: Board, folder: Path) -> Measured:
    """The claim's one PATCH, of as many standalone tickets as there are, by clients that do not get into each other's way."""
    assert board.folder is not None
    project = "claims"
    tasks = tuple(
        Item(key=f"{project}-{n}", type="Task", subject=f"Task {n}", project=project) for n in range(CLIENTS * EACH)
    )
    into_openproject(board.folder, CONTROL, Backlog((project,), tasks))

    async def claim_some(pod: Pod, part: Sequence[WorkPackage]) -> None:
        for ticket in part:
            token = f"{ticket.id} @"
            await pod.board.patch(
                ticket, Changes(status=pod.fleet.active, assignee=pod.fleet.me, pod=pod.fleet.pod, run=token), "claim"
            )

    fleet = Fleet(board, project, folder)
    async with AsyncExitStack() as stack:
        pods = [await stack.enter_async_context(opened(fleet.pod(f"pod-{n}"))) for n in range(CLIENTS)]
        ready = await pods[0].board.work_packages([one_of("project", pods[0].fleet.projects)], "what is to be claimed")
        assert len(ready) == len(tasks)
        start = time.perf_counter()
        await asyncio.gather(*(claim_some(pod, ready[n::CLIENTS]) for n, pod in enumerate(pods)))
        took = time.perf_counter() - start
    how = f"real OpenProject 17.6 as it boots here, {CLIENTS} clients, {len(tasks)} claims of one PATCH each, by the clock"
    return Measured(name="claims a second", value=len(tasks) / took, unit="claims/s", how=how, group=CLAIMS)


async def _on_openproject(board: Board, empty: str, projects: Sequence[str], folder: Path, size: str) -> list[Measured]:
    how = (
        f"real OpenProject 17.6, {size} work packages in the pod's project (and of 10⁴ as many again beside it), warm; best of "
        f"{REPEATED}, seconds until each answer"
    )
    nothing = [await idle(Fleet(board, empty, folder / f"idle{n}")) for n in range(REPEATED + 1)][1:]
    taken = [await claim(Fleet(board, one, folder / f"claim{n}")) for n, one in enumerate(projects)][1:]
    page = page_of_full(board)
    seconds = {
        "a page of 100 work packages in full": page,
        "idle pass": min(one.seconds for one in nothing),
        "claim with its Epic": min(one.seconds for one in taken),
    }
    times = [
        Measured(name=f"{name}, {size}", value=took * MILLI, unit="ms", how=how, group=SERVER)
        for name, took in seconds.items()
    ]
    return [
        *times,
        at_most(f"idle pass over a page of 100, {size}", seconds["idle pass"] / page, "pages", 0.5, how, group=SERVER),
        at_most(
            f"claim over a page of 100, {size}", seconds["claim with its Epic"] / page, "pages", 3, how, group=SERVER
        ),
    ]
