"""The board at large, in rows and counts: what the scan leaves out on every rung, asked for once a cycle."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from agent.board.client import Board
from agent.board.query import MOST, contains, is_open, one_of
from agent.errors import Refused
from agent.model import Fleet, Row
from agent.texts.claim_token import is_pod_name
from agent.texts.report import SPIKE_SUBJECT, spike_ticket

MOST_PODS: Final = 50
"""Names of other pods in one question."""


class Survey(Struct, frozen=True):
    """The board at large, in rows and counts."""

    by_type: dict[str, int]
    """Ready executable tickets by type."""
    others: tuple[str, ...]
    """The names of the other pods to which most is routed; what else stands there is judged by the ticket."""
    routed_to_me: bool
    epics: frozenset[int]
    """The open ones of our projects; what lies below another one is met in the judgement."""
    good_epics: frozenset[int]
    closed_subtrees: frozenset[int]
    """Gates that are not active, Epics that cannot be worked on: everything below them is closed to us."""
    spiked: frozenset[int]
    twice_spiked: frozenset[int]
    """Tickets that more than one open Spike of ours names in its subject."""


async def look(board: Board, fleet: Fleet, by_type: dict[str, int]) -> Survey:
    """Three to five requests, whatever the size of the board.

    Args:
    board: where to ask.
    fleet: who asks; its projects must not be all closed to it.
    by_type: the counts of ready executable tickets, which were asked for first.
    """
    kinds = fleet.executable | fleet.epics
    living = [one_of("type", kinds), one_of("status", fleet.workable), one_of("project", fleet.open_projects)]
    pods = await board.groups(living, board.fields.pod, "names of pods")
    others = _others(pods, fleet.pod)
    kinds = fleet.epics | fleet.gates | fleet.spikes
    ours = one_of("project", fleet.open_projects)
    standing = await board.rows([one_of("type", kinds), is_open(), ours], "open Epics, gates and Spikes")
    elsewhere: set[int] = set()
    if others:
        routed = [one_of("type", fleet.epics), is_open(), one_of(board.fields.pod, others), ours]
        elsewhere = {one.id for one in await board.rows(routed, "Epics of other pods")}
    epics = {one.id: one.status for one in standing if one.type in fleet.epics}
    good = {one for one, status in epics.items() if status in fleet.workable} - elsewhere
    gates = {one.id for one in standing if one.type in fleet.gates and one.status != fleet.active}
    spiked, twice = await _spiked(board, fleet, [one for one in standing if one.type in fleet.spikes])
    return Survey(
        by_type=by_type,
        others=tuple(others),
        routed_to_me=fleet.pod in pods,
        epics=frozenset(epics),
        good_epics=frozenset(good),
        closed_subtrees=frozenset(epics.keys() - good | gates),
        spiked=frozenset(spiked),
        twice_spiked=frozenset(twice),
    )


def _others(pods: Mapping[str, int], pod: str) -> list[str]:
    """Anybody may write anything there, and the board refuses a question with a blank name, or with too many."""
    named = sorted((name for name in pods if name != pod and is_pod_name(name)), key=lambda name: (-pods[name], name))
    return sorted(named[:MOST_PODS])


async def _spiked(board: Board, fleet: Fleet, standing: Sequence[Row]) -> tuple[set[int], set[int]]:
    """The tickets that the fleet's own open Spikes name, if they still lie there, and those named more than once.

    A person's Spike names no ticket: it is met when the ticket is read in full.
    """
    told = [(one, spike.project) for spike in standing if (one := spike_ticket(spike.subject)) is not None]
    named = Counter(ticket for ticket, _ in told)
    if not named:
        return set(), set()
    twice = {ticket for ticket, count in named.items() if count > 1}
    spikes = [one_of("type", fleet.spikes), is_open(), one_of("project", fleet.open_projects)]
    ours = contains("subject", SPIKE_SUBJECT)
    below = -1
    if len(named) <= MOST:
        with contextlib.suppress(Refused):
            below = await board.count([*spikes, ours, one_of("parent", named)], "whether the Spikes lie where they say")
    if below != named.total():
        full = await board.work_packages(spikes, "where the open Spikes lie")
        told = [(one.parent, one.project) for one in full if one.parent]
    if len(fleet.open_projects) > 1 and told:  # a Spike in another project than its ticket's holds nothing
        tickets = await board.rows_of({ticket for ticket, _ in told}, "the tickets of the Spikes")
        return {one.id for one in tickets if (one.id, one.project) in told}, twice
    return {ticket for ticket, _ in told}, twice
