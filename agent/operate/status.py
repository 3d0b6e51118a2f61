"""Who does what at this moment, by what the board shows (`agent status`)."""

from __future__ import annotations

import datetime as dt
from typing import Final

from msgspec import Struct

from agent.board.query import Filter, contains, is_open, one_of
from agent.model import Row, WorkPackage
from agent.pod import Pod
from agent.texts import claim_token

FIRST: Final = 10
"""How many work packages of a kind are shown."""
MOST_PODS: Final = 50
"""For so many pods the tickets that wait for them are asked for."""
UNTOUCHED: Final = dt.timedelta(days=1)


class Holding(Struct, frozen=True, kw_only=True):
    """A work package with a token."""

    ticket: int
    subject: str
    pod: str
    run: str
    attempt: int
    since: str
    """The token's time: for people, by the clock of its host."""
    is_epic: bool
    active: bool
    """False where a person has moved it while the claim lasted."""
    mine: bool
    """My state folder recorded it."""
    foreign: bool
    """In my name, and my state folder does not know it."""


class Waiting(Struct, frozen=True):
    """A work package that waits, and for whom."""

    id: int
    subject: str
    whom: str = ""


class Listed(Struct, frozen=True):
    """How many there are, and the first of them."""

    count: int
    first: tuple[Waiting, ...] = ()


class Status(Struct, frozen=True, kw_only=True):
    """The fleet as the board shows it, and this pod."""

    pod: str
    pods: tuple[str, ...]
    """Every name that holds something or has something routed to it, mine among them."""
    claims: tuple[Holding, ...]
    spikes: Listed
    untouched: Listed
    """Ready, routed to one pod, and nobody has touched it for a day: is there such a pod?"""
    unclaimed: Listed
    """Active without a token: a person's, or left behind."""
    backoff_s: float = 0.0
    """How long this pod waits still after trouble."""
    failures: int = 0
    """How many troubles in a row it has had."""
    trouble: str = ""
    """The last of them."""
    repositories: tuple[str, ...] = ()
    """Projects whose repository is not asked again yet."""


async def look(pod: Pod) -> Status:
    """Ask the board; some five requests and one for each pod to which something is routed.

    Args:
        pod: opened to look only.
    """
    board, fleet, catalog = pod.board, pod.fleet, pod.catalog
    claimed = await board.work_packages([contains(board.fields.run, claim_token.SIGN)], "all claims")
    claims = sorted((one for item in claimed if (one := _claim(item, pod))), key=lambda one: (one.pod, one.ticket))
    spikes = await board.sample([one_of("type", fleet.spikes), is_open()], FIRST, "open Spikes")
    routed: dict[str, int] = {}
    unclaimed: tuple[int, list[Row]] = (0, [])
    if fleet.projects and fleet.executable:
        ours: list[Filter | None] = [one_of("project", fleet.projects), one_of("type", fleet.executable)]
        without: Filter = (board.fields.run, "!~", (claim_token.SIGN,))
        active = [*ours, one_of("status", [fleet.active]), without]
        unclaimed = await board.sample(active, FIRST, "active without a claim")
        routed = await board.groups([*ours, one_of("status", [fleet.ready])], board.fields.pod, "what is routed")
    routed.pop("", None)
    now = pod.memory.now()
    state = pod.memory.state
    waiting = state.repositories_waiting(now.at, now.boot)
    return Status(
        pod=fleet.pod,
        pods=tuple(sorted({fleet.pod, *routed, *(one.pod for one in claims)})),
        claims=tuple(claims),
        spikes=_listed(*spikes),
        untouched=await _untouched(pod, sorted(routed)[:MOST_PODS]),
        unclaimed=_listed(*unclaimed),
        backoff_s=state.wait(now.at, now.boot),
        failures=state.backoff.failures if state.backoff else 0,
        trouble=state.trouble,
        repositories=tuple(one.project.identifier for one in catalog.projects if one.project.id in waiting),
    )


async def _untouched(pod: Pod, names: list[str]) -> Listed:
    board, fleet = pod.board, pod.fleet
    before = (pod.protocol.clock.now() - UNTOUCHED).strftime("%Y-%m-%dT%H:%M:%SZ")
    count, first = 0, []
    for name in names:
        ready: list[Filter | None] = [
            one_of("status", [fleet.ready]),
            one_of("type", fleet.executable),
            one_of("project", fleet.projects),
            one_of(board.fields.pod, [name]),
            ("updatedAt", "<>d", ("", before)),
        ]
        more, rows = await board.sample(ready, FIRST, f"routed to {name} and untouched")
        count += more
        first += [Waiting(one.id, one.subject, name) for one in rows]
    return Listed(count, tuple(first[:FIRST]))


def _claim(item: WorkPackage, pod: Pod) -> Holding | None:
    """What a token says; None for a text that is none."""
    token = claim_token.parse(item.run)
    if token is None:
        return None
    record = pod.memory.state.recorded(item.id, item.run)
    return Holding(
        ticket=item.id,
        subject=item.subject,
        pod=token.pod,
        run=token.run,
        attempt=token.attempt,
        since=f"{token.at:%Y-%m-%dT%H:%MZ}",
        is_epic=item.type in pod.fleet.epics,
        active=item.status == pod.fleet.active,
        mine=record is not None,
        foreign=token.pod == pod.fleet.pod and record is None,
    )


def _listed(count: int, rows: list[Row]) -> Listed:
    return Listed(count, tuple(Waiting(one.id, one.subject, one.assignee.name if one.assignee else "") for one in rows))
