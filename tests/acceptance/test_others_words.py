"""T1, T6: whatever others write into the fields, relations and lists of a board, the pods go on with the other tickets."""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from agent import sweep
from agent.board import exchange
from agent.board.query import contains
from agent.choose import Reason
from agent.daemon import Pass
from agent.operate.explain import Explainer
from support.fake_clock import FakeClock
from support.fleet import Fleet
from support.pods import opened

MOST = 1 << 20
"""Bytes of an answer here, so that a test need not write 32 MiB."""


@contextmanager
def database(fleet: Fleet) -> Iterator[sqlite3.Connection]:
    """What takes thousands of requests is written into the board's file."""
    with closing(sqlite3.connect(fleet.folder / "board" / "board.sqlite3", timeout=20)) as connection, connection:
        yield connection


def copies(connection: sqlite3.Connection, number: int, count: int, start: int) -> list[int]:
    """So many like this one, with ids as on a board with other projects: far apart, so that they cannot be packed."""
    names = [row[1] for row in connection.execute("pragma table_info(work_packages)") if row[1] != "id"]
    columns = ", ".join(names)
    steps = random.Random(3)
    ids = list(itertools.accumulate((steps.randrange(1, 5_000) for _ in range(count)), initial=start))[1:]
    copy = f"insert into work_packages (id, {columns}) select ?, {columns} from work_packages where id = ?"
    connection.executemany(copy, [(one, number) for one in ids])
    return ids


def routed_to(fleet: Fleet, name: str) -> None:
    """The embedded board keeps not all of them; others do."""
    ticket = fleet.add("Routed", pod="pod-z", priority="High")
    with database(fleet) as connection:
        change = "update custom_values set value = ? where work_package_id = ? and value = 'pod-z'"
        assert connection.execute(change, (name, ticket)).rowcount == 1


def a_blank_pod(fleet: Fleet) -> None:
    routed_to(fleet, "  ")


def a_long_name_of_a_pod(fleet: Fleet) -> None:
    routed_to(fleet, "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=12_000)))


def many_names_of_pods(fleet: Fleet) -> None:
    with database(fleet) as connection:
        ids, names = copies(connection, fleet.add("Routed", priority="Low"), 400, 10_000), random.Random(2)
        fields = [(one, fleet.board.fields["Agent pod"], f"{names.getrandbits(200):x}") for one in ids]
        connection.executemany("insert into custom_values values (?, ?, ?)", fields)


def somebody_who_left(fleet: Fleet) -> None:
    fleet.add("Assigned", assignee="deutsch", priority="High")
    fleet.add("Assigned too", assignee="deutsch", priority="High")
    with database(fleet) as connection:
        connection.execute("delete from members where user_id = ?", (fleet.board.users["deutsch"],))


def thousands_of_relations(fleet: Fleet) -> None:
    ticket, closed = fleet.add("Related", priority="High"), fleet.add("Other")
    fleet.change(closed, status="Closed")
    with database(fleet) as connection:
        pairs = [(one, ticket) for one in copies(connection, closed, 3_500, 10_000)]
        connection.executemany("insert into relations (from_id, to_id, relation_type) values (?, ?, 'blocks')", pairs)


def relations_with_long_words(fleet: Fleet) -> None:
    ticket, closed = fleet.add("Related"), fleet.add("Other")
    fleet.change(closed, status="Closed")
    relate = "insert into relations (from_id, to_id, relation_type, description) values (?, ?, 'blocks', ?)"
    with database(fleet) as connection:
        pairs = [(one, ticket, "x" * (MOST // 3)) for one in copies(connection, closed, 4, 10_000)]
        connection.executemany(relate, pairs)


def years_of_no_calendar(fleet: Fleet) -> None:
    """The embedded board keeps none of them; OpenProject does."""
    ids = [fleet.add("Due", due="2026-12-24", priority="High", assignee="human") for _ in range(3)]
    for days, one in zip(("12026-05-01", "0000-01-01", "-0001-01-01"), ids, strict=True):
        with database(fleet) as connection:
            connection.execute("update work_packages set due_date = ? where id = ?", (days, one))


def thousands_of_gates(fleet: Fleet) -> None:
    gate, below = fleet.add("Gate", kind="Summary task"), fleet.add("Below")
    with database(fleet) as connection:
        gates = copies(connection, gate, 2_400, 10_000)
        for one, parent in ((below, gate), *zip(copies(connection, below, 2, 90_000_000), gates[::-1], strict=False)):
            connection.execute("update work_packages set parent_id = ? where id = ?", (parent, one))
            connection.execute("insert into hierarchies values (?, ?, 1)", (parent, one))


def two_long_lists(fleet: Fleet) -> None:
    epic, hold = fleet.add("E", kind="Epic"), fleet.add("Hold")
    blocked = fleet.add("Blocked", priority="High")
    fleet.add("A person's", priority="High", assignee="human")
    fleet.change(hold, status="On hold")
    with database(fleet) as connection:
        copies(connection, epic, 1_600, 10_000)
        pairs = [(hold, one) for one in [blocked, *copies(connection, blocked, 1_600, 20_000_000)]]
        connection.executemany("insert into relations (from_id, to_id, relation_type) values (?, ?, 'blocks')", pairs)


def long_claims(fleet: Fleet) -> None:
    ticket = fleet.add("Claimed")
    fleet.change(ticket, status="On hold")
    with database(fleet) as connection:
        ids = copies(connection, ticket, 4, 10_000)
        fields = [(one, fleet.board.fields["Agent run"], f"{one}@{'x' * (MOST // 3)}") for one in ids]
        connection.executemany("insert into custom_values values (?, ?, ?)", fields)


KEPT: dict[Callable[[Fleet], None], dict[Reason, tuple[int, bool]]] = {
    many_names_of_pods: {Reason.ROUTED: (50, False)},
    thousands_of_relations: {Reason.TOO_LONG: (1, True)},
    relations_with_long_words: {Reason.TOO_LONG: (1, True)},
    two_long_lists: {Reason.TAKEN: (1, False), Reason.BLOCKED: (1_601, True)},
    years_of_no_calendar: {Reason.TAKEN: (3, False)},
    # All but one are in the first question, and whether another one counts them again is not known.
    thousands_of_gates: {Reason.GATED: (2, True)},
}
"""What keeps the other tickets from the pod in the words of `agent explain`: how many, and whether at least so many."""


@pytest.mark.parametrize(
    "write",
    [
        a_blank_pod, a_long_name_of_a_pod, many_names_of_pods, somebody_who_left, thousands_of_relations,
        relations_with_long_words, two_long_lists, long_claims, thousands_of_gates, years_of_no_calendar,
    ],
)  # fmt: skip
async def test_others_words_keep_no_pod_from_the_next_ticket(
    small_fleet: Fleet, write: Callable[[Fleet], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these ended every pass of every pod, and `agent explain` with it, for as long as it stood there."""
    if write in (relations_with_long_words, long_claims):
        monkeypatch.setattr(exchange, "LARGEST_ANSWER", MOST)
    write(small_fleet)
    honest = small_fleet.add("Honest", priority="Normal")
    async with opened(small_fleet.pod()) as pod:
        seen = await Explainer(pod).overview()
        done = await pod.cycle(lambda _: None).run()
    assert (done.outcome, done.ticket) == (Pass.WORKED, honest)
    assert small_fleet.status(honest) == "In testing"
    assert seen.ticket == honest
    assert {one.reason: (one.count, one.at_least) for one in seen.reasons} == KEPT.get(write, {})


async def test_claims_that_expire_together_are_freed_some_at_each_pass(
    small_fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them were asked for in one question, which the board refused: each pass of each pod began with that."""
    fleet, clock = small_fleet, FakeClock()
    ticket = fleet.add("Claimed")
    fleet.change(ticket, status="In progress", assignee="agent")
    names = random.Random(4)
    with database(fleet) as connection:
        claimed = {
            one: f"{names.getrandbits(32):08x}-0000-4000-8000-0123456789ab.{names.getrandbits(256):064x} by pod-z try 1 for 1s @ 2026-11-24T08:00Z"
            for one in copies(connection, ticket, 250, 10_000)
        }
        fields = [(one, fleet.board.fields["Agent run"], text) for one, text in claimed.items()]
        connection.executemany("insert into custom_values values (?, ?, ?)", fields)
    monkeypatch.setattr(sweep, "MOST", 22)
    async with opened(fleet.pod(), clock=clock) as pod:
        assert await sweep.sweep(pod.protocol, 2.0) == set(claimed.values())
        for left in (228, 206):
            clock.advance(10)
            await sweep.sweep(pod.protocol, 2.0)
            assert (
                len(await pod.board.groups([contains(pod.board.fields.run, "@")], pod.board.fields.run, "left")) == left
            )
            now = pod.protocol.memory.now()
            assert pod.protocol.memory.state.sweep_is_due(now.at, now.boot, 1.0), "the next pass goes on"


async def test_hundreds_of_closed_spikes_are_their_tickets_trouble(small_fleet: Fleet) -> None:
    """Each was read, and opened again, before the pod did anything else: some 2,000 requests for 400 of them."""
    fleet = small_fleet
    ticket, honest = fleet.add("Asked and asked", priority="High"), fleet.add("Honest", priority="Normal")
    spike = fleet.add("S", kind="Spike", parent=ticket)
    fleet.change(spike, status="Closed")
    with database(fleet) as connection:
        for one in copies(connection, spike, 400, 10_000):
            connection.execute("insert into hierarchies values (?, ?, 1)", (ticket, one))
    async with opened(fleet.pod()) as pod:
        done = await pod.cycle(lambda _: None).run()
        assert (done.ticket, "there are 401 closed Spikes below" in done.reason) == (ticket, True), done
        done = await pod.cycle(lambda _: None).run()
    assert (done.outcome, done.ticket) == (Pass.WORKED, honest)
    assert fleet.status(spike) == "Closed"
