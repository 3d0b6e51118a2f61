"""A synthetic organisation, worked off by the shipped ladder in virtual time; and how long a dead pod's claim stands."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from typing import Any, Final

from msgspec.structs import replace

from agent import choose, daemon
from agent.choose import Rung
from agent.model import Principal, Relation, WorkPackage
from agent.state import State
from agent.texts.claim_token import ClaimToken
from bench.measure import Measured, at_least, at_most
from support import values
from support.fake_clock import START

PODS: Final = (1, 4, 16, 32, 64, 128)
EPICS: Final = 100
TICKETS: Final = 2_000
STANDALONE: Final = {"a tenth standalone": 200, "a quarter standalone": 500}
BUGS: Final = 100
BLOCKED: Final = 50
SEED: Final = 20261124
WORK_MIN: Final = 20.0
"""Minutes of a ticket on average; log-normal."""
OVERHEAD_S: Final = 5.0
"""What a ticket costs beside the model: claim, worktree, push, report."""
GOAL: Final = 0.95
UP_TO: Final = 32
GRACE_S: Final = 1800.0
LIFETIME_S: Final = 14_400
GROUP: Final = "fleet efficiency"
RECLAIM: Final = "time to reclaim"


class Organisation:
    """100 Epics and 2,000 tickets: some standalone, some bugs, four priorities, some blocked within their Epic."""

    def __init__(self, seed: int, standalone: int) -> None:
        chance = random.Random(seed)
        self.items: dict[int, WorkPackage] = {}
        self.seconds: dict[int, float] = {}
        self.relations: list[Relation] = []
        epics = [self._add(values.item(n, type=values.EPIC)) for n in range(1, EPICS + 1)]
        priorities = (values.LOW, values.NORMAL, values.NORMAL, values.HIGH, values.IMMEDIATE)
        for n in range(TICKETS):
            number = 1_000 + n
            parent = None if n < standalone else epics[n % EPICS]
            kind = values.BUG if n % (TICKETS // BUGS) == 0 else values.TASK
            above = () if parent is None else (parent,)
            self._add(
                values.item(
                    number,
                    type=kind,
                    priority=chance.choice(priorities),
                    parent=parent,
                    ancestors=above,
                    has_fields=True,
                )
            )
            self.seconds[number] = chance.lognormvariate(0, 0.6) * WORK_MIN * 60 / 1.197 + OVERHEAD_S
        for n in range(BLOCKED):
            number = 1_000 + standalone + chance.randrange(TICKETS - standalone - EPICS)
            self.relations.append(values.blocks(number, number + EPICS, number=n))

    def _add(self, item: WorkPackage) -> int:
        self.items[item.id] = replace(item, has_fields=True)
        return item.id

    def bound(self, pods: int) -> float:
        """No schedule is shorter: all hands busy to the end, or the longest Epic, whose work is one pod's after the other."""
        chains: dict[int, float] = {}
        for number, took in self.seconds.items():
            chain = self.items[number].parent or number
            chains[chain] = chains.get(chain, 0.0) + took
        return max(sum(self.seconds.values()) / pods, *chains.values())


class Run:
    """The fleet at work: whoever is free asks the shipped ladder, on what could be taken at this moment."""

    def __init__(self, organisation: Organisation, pods: int) -> None:
        self.organisation = organisation
        self.items = dict(organisation.items)
        self.below: dict[int, list[int]] = {}
        for item in self.items.values():
            if item.parent is not None:
                self.below.setdefault(item.parent, []).append(item.id)
        self.open = set(organisation.seconds)
        self.mine: dict[str, int] = {}
        self.related: dict[int, list[Relation]] = {}
        for one in organisation.relations:
            self.related.setdefault(one.target, []).append(one)
        self.chance = random.Random(f"{SEED}-{pods}")
        self.queue = [(0.0, n, f"pod-{n}", 0) for n in range(pods)]
        self.makespan = 0.0

    def run(self) -> float:
        """Seconds until the last ticket is done."""
        while self.queue:
            now, number, name, ticket = heapq.heappop(self.queue)
            if ticket:
                self._finish(ticket, name)
                self.makespan = max(self.makespan, now)
            if not self.open:
                continue
            chosen = self._choose(name)
            if chosen is None:
                pause = daemon.PAUSE_S * self.chance.uniform(1 - daemon.JITTER, 1 + daemon.JITTER)
                heapq.heappush(self.queue, (now + pause, number, name, 0))
            else:
                heapq.heappush(self.queue, (now + self.organisation.seconds[chosen], number, name, chosen))
        return self.makespan

    def _choose(self, name: str) -> int | None:
        own = self.mine.get(name)
        token = values.token(name)
        fleet = values.fleet(pod=name, mine=values.recorded(str(token), on=[own] if own is not None else []))
        if own is not None:
            choice = choose.ladder(*self._board([own]), fleet)
            if choice.rung is Rung.CONTINUE_EPIC:
                return self._take(choice.ticket, name, token)
            self._release(own, name)
        taken = set(self.mine.values())
        choice = choose.ladder(*self._board([one for one in self.below if one not in taken], standalone=True), fleet)
        return self._take(choice.ticket, name, token) if choice.ticket is not None else None

    def _board(self, epics: list[int], *, standalone: bool = False) -> tuple[list[WorkPackage], list[Relation]]:
        """What the ladder has to see: these Epics with what is open below them, and what stands alone."""
        numbers = [
            number for epic in epics for number in (epic, *(one for one in self.below[epic] if one in self.open))
        ]
        if standalone:
            numbers += [one for one in self.open if self.items[one].parent is None]
        relations = [one for number in numbers for one in self.related.get(number, ()) if one.source in self.open]
        ends = {one.source for one in relations} - set(numbers)
        return [self.items[number] for number in (*numbers, *ends)], relations

    def _take(self, ticket: int | None, name: str, token: ClaimToken) -> int:
        assert ticket is not None
        item = self.items[ticket]
        me = Principal("users", values.ME, "Coding Agent")
        self.items[ticket] = replace(item, status=values.ACTIVE, pod=name, assignee=me, run=f"{token} for {ticket}")
        if item.parent is not None:
            epic = self.items[item.parent]
            self.items[epic.id] = replace(epic, status=values.ACTIVE, pod=name, assignee=me, run=str(token))
            self.mine[name] = epic.id
        return ticket

    def _finish(self, ticket: int, name: str) -> None:
        self.items[ticket] = replace(self.items[ticket], status=values.CLOSED, run="")
        self.open.discard(ticket)
        item = self.items[ticket]
        if item.type == values.BUG and item.parent is not None:  # an Epic that was taken for a bug goes with it
            self._release(item.parent, name)

    def _release(self, epic: int, name: str) -> None:
        if self.mine.pop(name, None) is not None:
            self.items[epic] = replace(self.items[epic], status=values.NEW, pod="", assignee=None, run="")


def measure() -> Iterator[Measured]:
    """The makespan beside the bound, for each size of the fleet."""
    for kind, standalone in STANDALONE.items():
        organisation = Organisation(SEED, standalone)
        work = sum(organisation.seconds.values())
        how = (
            f"virtual time, the shipped ladder; {EPICS} Epics, {TICKETS:,} tickets ({standalone} standalone, {BUGS} bugs, {BLOCKED} "
            f"blocked), {work / 3600:.0f} h of work, seed {SEED}; bound: all hands busy, or the longest Epic, which one pod writes"
        )
        for pods in PODS:
            makespan, bound = Run(organisation, pods).run(), organisation.bound(pods)
            name, line = f"{pods} pods, {kind}", {"group": GROUP, "x": float(pods)}
            yield _efficiency(
                f"{name}: bound over makespan", bound / makespan, how, pods, series=f"bound, {kind}", **line
            )
            yield Measured(
                name=f"{name}: work over pods and makespan",
                value=work / pods / makespan,
                unit="busy",
                how=how,
                group=GROUP,
                series=f"busy, {kind}",
                x=float(pods),
            )
    yield from reclaim()


def _efficiency(name: str, value: float, how: str, pods: int, **more: Any) -> Measured:
    if pods <= UP_TO:
        return at_least(name, value, "of the bound", GOAL, how, **more)
    return Measured(name=name, value=value, unit="of the bound", how=how, **more)


def reclaim() -> Iterator[Measured]:
    """A pod dies just after its claim; the others sweep as they do."""
    how = f"virtual time, the shipped state: lifetime 4 h, grace {GRACE_S / 60:.0f} min, sweeps half a grace apart, passes a minute; 200 fleets of 1 to 16 judges"
    token = str(
        ClaimToken(run=values.token().run, nonce="aa11", pod="pod-dead", attempt=1, lifetime_s=LIFETIME_S, at=START)
    )
    chance = random.Random(SEED)
    taken = sorted(min(_judge(token, chance) for _ in range(chance.randint(1, 16))) for _ in range(200))
    bound = LIFETIME_S + GRACE_S + 2 * GRACE_S / 2 + 2 * daemon.PAUSE_S * (1 + daemon.JITTER)
    yield Measured(
        name="time to reclaim, median", value=taken[len(taken) // 2] / 60, unit="min", how=how, group=RECLAIM
    )
    yield at_most("time to reclaim, longest", taken[-1] / 60, "min", bound / 60, how, group=RECLAIM)


def _judge(token: str, chance: random.Random) -> float:
    """Seconds after the death until one judge, whose last sweep was some time ago, frees the claim."""
    state = State().observe((), 0.0, "boot")
    now = chance.uniform(0, GRACE_S / 2)
    death = now
    while True:
        if state.sweep_is_due(now, "boot", GRACE_S / 2):
            state = state.observe({token}, now, "boot")
            if state.expired(now, "boot", GRACE_S):
                return now - death
        now += daemon.PAUSE_S * chance.uniform(1 - daemon.JITTER, 1 + daemon.JITTER)
