"""The decision ladder (DESIGN, section 2): every reason in its words, the order inside a rung, the rungs in order."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agent import choose
from agent.choose import Choice, Reason, Rung, Why
from agent.model import Around, Fleet, Principal, Relation, WorkPackage
from support.values import (
    ACTIVE,
    BLOG,
    BUG,
    CLOSED,
    COLLEAGUE,
    CREW,
    EPIC,
    FEATURE,
    FLEET,
    HIGH,
    HOLD,
    IMMEDIATE,
    LOW,
    ME,
    MINE,
    NEW,
    NORMAL,
    PEOPLE,
    PERSON,
    PHASE,
    REJECTED,
    SHOP,
    SPIKE,
    STORY,
    TASK,
    TESTING,
    THEIRS,
    blocks,
    fleet,
    item,
    recorded,
    row,
)

EPIC_1 = item(1, type=EPIC)
HELD_EPIC = item(1, type=EPIC, status=ACTIVE, pod="pod-b", run=THEIRS)
MY_EPIC = item(1, type=EPIC, status=ACTIVE, pod="pod-a", run=MINE)


def under(*ancestors: WorkPackage, **more: Any) -> Around:
    return Around(ancestors=ancestors, **more)


REASONS: dict[Reason, tuple[WorkPackage, Around, Fleet, str, int]] = {
    Reason.NOT_EXECUTABLE: (item(42, type=STORY), under(), FLEET, "its type is none that agents execute", 0),
    Reason.NOT_READY: (item(42, status=HOLD), under(), FLEET, "its status is not the ready one", 0),
    Reason.NO_REPOSITORY: (item(42, project=BLOG), under(), FLEET, "no repository is set for its project", 0),
    Reason.UNREACHABLE: (
        item(42),
        under(),
        fleet(unreachable=frozenset({SHOP})),
        "the repository of its project did not answer",
        0,
    ),
    Reason.NOT_ASSIGNABLE: (
        item(42),
        under(),
        fleet(unassignable=frozenset({SHOP})),
        "this pod's account cannot be an assignee in its project",
        0,
    ),
    Reason.NO_SPIKE: (
        item(42),
        under(),
        fleet(spikeless=frozenset({SHOP})),
        "no Spike can be created in its project",
        0,
    ),
    Reason.FIELDS: (item(42, has_fields=False), under(), FLEET, "its type lacks the fleet's fields", 0),
    Reason.TAKEN: (
        item(42, assignee=PEOPLE[PERSON]),
        under(),
        FLEET,
        "assigned to Hanna Human, who is no fleet user",
        0,
    ),
    Reason.ROUTED: (item(42, pod="pod-b"), under(), FLEET, "routed to pod-b", 0),
    Reason.EPIC: (item(42), under(HELD_EPIC), FLEET, "Epic #1 is owned by pod-b", 1),
    Reason.GATED: (
        item(42),
        under(item(7, type=PHASE, subject="Beta")),
        FLEET,
        "Beta (#7) is not active",
        7,
    ),
    Reason.CONTAINER: (
        item(42),
        under(children=(row(43),)),
        FLEET,
        "it has a child that is no Spike (#43)",
        0,
    ),
    Reason.SPIKED: (
        item(42),
        under(children=(row(43, type=SPIKE, status=ACTIVE),)),
        FLEET,
        "Spike #43 is open",
        0,
    ),
    Reason.BLOCKED: (
        item(42),
        under(relations=(blocks(41, 42),), others=(item(41),)),
        FLEET,
        "waits for #41",
        0,
    ),
}


@pytest.mark.parametrize("reason", REASONS, ids=lambda one: one.name)
def test_each_reason_stands_alone_in_its_own_words(reason: Reason) -> None:
    ticket, around, who, detail, by = REASONS[reason]
    assert choose.reasons(ticket, around, who) == [Why(reason, detail, by)]


def test_every_reason_but_what_the_board_alone_decides_is_in_the_table() -> None:
    """`REFUSED` is the protocol's: it knows only after a claim was tried."""
    assert set(Reason) - set(REASONS) == {Reason.REFUSED, Reason.TOO_LONG}  # what is read decides those


@pytest.mark.parametrize(
    ("epic", "details"),
    [
        (item(1, type=EPIC), []),
        (item(1, type=EPIC, pod="pod-a"), []),
        (MY_EPIC, []),
        (item(1, type=EPIC, status=TESTING), []),
        (item(1, type=EPIC, status=ACTIVE, run=THEIRS), ["Epic #1 is owned by another pod"]),
        (item(1, type=EPIC, pod="pod-b"), ["Epic #1 is routed to pod-b"]),
        (item(1, type=EPIC, status=HOLD), ["Epic #1 is neither ready, active nor waiting for review"]),
        (item(1, type=EPIC, status=CLOSED), ["Epic #1 is neither ready, active nor waiting for review"]),
        (item(1, type=EPIC, has_fields=False), ["the type of Epic #1 lacks the fleet's fields"]),
        (
            item(1, type=EPIC, status=HOLD, pod="pod-b", has_fields=False),
            [
                "Epic #1 is routed to pod-b",
                "Epic #1 is neither ready, active nor waiting for review",
                "the type of Epic #1 lacks the fleet's fields",
            ],
        ),
    ],
)
def test_an_epic_closes_what_is_below_it(epic: WorkPackage, details: list[str]) -> None:
    whys = choose.reasons(item(42), under(epic), FLEET)
    assert [why.detail for why in whys] == details
    assert {why.by for why in whys} <= {1}


@pytest.mark.parametrize(
    ("inner", "detail"),
    [
        (item(2, type=EPIC, status=ACTIVE, run=THEIRS, pod="pod-b"), "Epic #2 is owned by pod-b"),
        (item(2, type=EPIC, pod="pod-b"), "Epic #2 is routed to pod-b"),
        (item(2, type=EPIC, status=CLOSED), "Epic #2 is neither ready, active nor waiting for review"),
    ],
)
def test_an_inner_epic_closes_what_is_below_it_too(inner: WorkPackage, detail: str) -> None:
    """The outermost one is the lock, but a person may close or route an inner one."""
    assert choose.reasons(item(42), under(EPIC_1, inner), FLEET) == [Why(Reason.EPIC, detail, 2)]
    assert choose.reasons(item(42), under(MY_EPIC, item(3, type=STORY), inner), FLEET) == [Why(Reason.EPIC, detail, 2)]


def test_an_epic_of_mine_that_an_operator_routed_away_is_closed_to_me() -> None:
    whys = choose.epic_reasons(item(1, type=EPIC, status=ACTIVE, pod="pod-b", run=MINE), FLEET)
    assert [why.detail for why in whys] == ["Epic #1 is routed to pod-b"]


def test_a_persons_in_progress_epic_is_no_ownership() -> None:
    for run in ("", "talk to Hanna first"):
        epic = item(1, type=EPIC, status=ACTIVE, assignee=PEOPLE[PERSON], run=run)
        assert not choose.is_owned(epic, FLEET)
        assert choose.reasons(item(42), under(epic), FLEET) == []


def test_my_name_without_a_recorded_token_proves_nothing() -> None:
    """I-09: neither the assignee nor the pod field says who won."""
    foreign = item(42, status=ACTIVE, pod="pod-a", assignee=PEOPLE[ME], run=THEIRS)
    assert not choose.is_mine(foreign, FLEET)
    assert choose.ladder([foreign], [], FLEET) == Choice(Rung.NOTHING)
    epic = item(1, type=EPIC, status=ACTIVE, pod="pod-a", run=THEIRS)
    assert choose.is_owned(epic, FLEET)
    assert [why.detail for why in choose.epic_reasons(epic, FLEET)] == ["Epic #1 is owned by pod-a"]


def test_a_copy_of_what_is_mine_is_not_mine() -> None:
    """P7: who duplicates a work package copies its token, and no claim."""
    only = fleet(mine=recorded(MINE, on=[42]))
    assert choose.is_mine(item(42, status=ACTIVE, run=MINE), only)
    assert not choose.is_mine(item(43, status=ACTIVE, run=MINE), only)


def test_a_recorded_token_without_the_active_status_is_not_mine() -> None:
    assert not choose.is_mine(item(42, status=NEW, run=MINE), FLEET)
    assert choose.is_mine(item(42, status=ACTIVE, run=MINE), FLEET)


def test_its_epic_is_the_outermost_one() -> None:
    chain = (item(5, type=PHASE, status=ACTIVE), item(1, type=EPIC), item(2, type=EPIC), item(3, type=STORY))
    epic = choose.epic_of(chain, FLEET)
    assert epic is not None
    assert epic.id == 1
    assert choose.epic_of(chain[3:], FLEET) is None


@pytest.mark.parametrize(
    ("assignee", "taken"),
    [
        (None, False),
        (PEOPLE[ME], False),
        (PEOPLE[COLLEAGUE], False),
        (PEOPLE[PERSON], True),
        (PEOPLE[CREW], True),
        (Principal("groups", ME, "A group with an agent's id"), True),
        (Principal("placeholder_users", 99, ""), True),
        (Principal("undisclosed", 0, ""), True),
    ],
)
def test_only_the_fleets_own_accounts_leave_a_ticket_free(assignee: Principal | None, *, taken: bool) -> None:
    assert choose.is_taken(item(42, assignee=assignee), FLEET) is taken
    assert choose.is_taken(row(42, assignee=assignee), FLEET) is taken


def test_whoever_took_a_ticket_without_a_name_is_somebody() -> None:
    [why] = choose.own_reasons(item(42, assignee=Principal("undisclosed", 0)), FLEET)
    assert why == Why(Reason.TAKEN, "assigned to somebody, who is no fleet user")


def test_a_ticket_routed_to_me_is_open_to_me() -> None:
    assert choose.reasons(item(42, pod="pod-a"), under(), FLEET) == []


def test_all_reasons_are_named_at_once_own_ones_first() -> None:
    ticket = item(42, type=STORY, status=HOLD, pod="pod-b", assignee=PEOPLE[PERSON])
    around = under(item(7, type=PHASE), HELD_EPIC, relations=(blocks(41, 42),))
    assert [why.reason for why in choose.reasons(ticket, around, FLEET)] == [
        Reason.NOT_EXECUTABLE,
        Reason.NOT_READY,
        Reason.TAKEN,
        Reason.ROUTED,
        Reason.EPIC,
        Reason.GATED,
        Reason.BLOCKED,
    ]


# -- gates, Spikes, children -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [NEW, HOLD, TESTING, CLOSED, REJECTED])
@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_a_gate_at_any_depth_gates_unless_it_is_active_closed_ones_too(depth: int, status: int) -> None:
    chain = [item(1, type=EPIC), item(2, type=STORY), item(3, type=STORY)]
    chain.insert(depth, item(7, type=PHASE, subject="Beta", status=status))
    assert choose.reasons(item(42), under(*chain), FLEET) == [Why(Reason.GATED, "Beta (#7) is not active", 7)]
    chain[depth] = item(7, type=PHASE, status=ACTIVE)
    assert choose.reasons(item(42), under(*chain), FLEET) == []


def test_without_gate_types_nothing_gates() -> None:
    assert choose.reasons(item(42), under(item(7, type=PHASE)), fleet(gates=frozenset())) == []


def test_every_open_spike_counts_and_a_closed_one_does_not() -> None:
    children = (
        row(43, type=SPIKE, status=NEW),
        row(44, type=SPIKE, status=CLOSED),
        row(45, type=SPIKE, status=REJECTED),
        row(46, type=SPIKE, status=TESTING),
    )
    whys = choose.reasons(item(42), under(children=children), FLEET)
    assert [why.detail for why in whys] == ["Spike #43 is open", "Spike #46 is open"]


def test_a_container_is_named_once_however_many_children_it_has_closed_ones_too() -> None:
    children = (row(43, type=SPIKE, status=CLOSED), row(44, status=CLOSED), row(45))
    whys = choose.reasons(item(42), under(children=children), FLEET)
    assert [why.detail for why in whys] == ["it has a child that is no Spike (#44)"]


def test_what_lies_below_it_in_another_project_holds_nothing() -> None:
    """T13: who might only read in a project held its tickets by children in one where they might write."""
    children = (row(43, project=BLOG), row(44, type=SPIKE, project=BLOG))
    assert choose.reasons(item(42), under(children=children), FLEET) == []


# -- blockers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("relation", "waits"),
    [
        (Relation(900, "blocks", 41, 42), True),
        (Relation(900, "follows", 42, 41), True),
        (Relation(900, "requires", 42, 41), True),
        (Relation(900, "blocks", 42, 41), False),
        (Relation(900, "follows", 41, 42), False),
        (Relation(900, "requires", 41, 42), False),
        (Relation(900, "relates", 41, 42), False),
        (Relation(900, "duplicates", 42, 41), False),
        (Relation(900, "includes", 41, 42), False),
        (Relation(900, "partof", 41, 42), False),
    ],
)
def test_only_three_relations_hold_back_and_only_one_of_the_ends(relation: Relation, *, waits: bool) -> None:
    """I-54: read backwards, the blocker was held back and the blocked ticket dispatched."""
    whys = choose.reasons(item(42), under(relations=(relation,), others=(item(41),)), FLEET)
    assert bool(whys) is waits


@pytest.mark.parametrize(
    ("status", "complete"),
    [(NEW, False), (ACTIVE, False), (HOLD, False), (TESTING, False), (CLOSED, True), (REJECTED, True)],
)
def test_ticket_with_open_blocker_is_never_chosen(status: int, *, complete: bool) -> None:
    """I-56: a dependency table existed and dispatch never consulted it."""
    board = [item(41, status=status, type=STORY), item(42)]
    expected = Choice(Rung.STANDALONE, 42) if complete else Choice(Rung.NOTHING)
    assert choose.ladder(board, [blocks(41, 42)], FLEET) == expected


def test_failed_prerequisite_keeps_dependents_blocked() -> None:
    """I-57: a failed ticket goes back to ready with a Spike below it; whoever waits for it goes on waiting."""
    failed, spike = item(41, children=(43,)), item(43, type=SPIKE, parent=41, ancestors=(41,))
    assert choose.ladder([failed, spike, item(42)], [blocks(41, 42)], FLEET) == Choice(Rung.NOTHING)


def test_missing_relation_data_fails_closed() -> None:
    """I-58: a blocker that the board does not show is open."""
    [why] = choose.reasons(item(42), under(relations=(blocks(41, 42),)), FLEET)
    assert why == Why(Reason.BLOCKED, "waits for #41")


def test_open_parent_is_not_a_blocker() -> None:
    """I-55: hierarchy never blocks a child."""
    assert choose.reasons(item(42), under(item(1, type=EPIC), item(2, type=STORY)), FLEET) == []


@pytest.mark.parametrize(
    ("blocker", "complete"),
    [
        (item(41, status=TESTING, ancestors=(1,)), True),
        (item(41, status=TESTING, ancestors=(1, 2)), True),
        (item(41, status=TESTING, ancestors=(7, 1)), True),
        (item(41, status=TESTING, ancestors=(9,)), False),
        (item(41, status=TESTING), False),
        (item(41, status=HOLD, ancestors=(1,)), False),
        (item(41, status=CLOSED, ancestors=(9,)), True),
    ],
)
def test_a_blocker_done_but_not_closed_counts_only_inside_the_same_epic(
    blocker: WorkPackage, *, complete: bool
) -> None:
    around = under(EPIC_1, relations=(blocks(41, 42),), others=(blocker,))
    assert bool(choose.reasons(item(42), around, FLEET)) is not complete


def test_without_an_epic_done_is_not_enough() -> None:
    around = under(item(3, type=STORY), relations=(blocks(41, 42),), others=(item(41, status=TESTING, ancestors=(3,)),))
    assert [why.reason for why in choose.reasons(item(42), around, FLEET)] == [Reason.BLOCKED]


def test_an_ancestors_blocker_counts_and_names_the_ancestor() -> None:
    around = under(
        EPIC_1, item(2, type=STORY), relations=(blocks(41, 2), blocks(41, 77, number=901)), others=(item(41),)
    )
    assert choose.reasons(item(42), around, FLEET) == [
        Why(Reason.BLOCKED, "waits for #41 (through its ancestor #2)", 2)
    ]


# -- order -----------------------------------------------------------------------------------------------------------


def test_rendezvous_is_stable_over_versions() -> None:
    """A fleet of two versions must not change its mind about whose turn it is."""
    assert choose.rendezvous("pod-a", 42).hex() == "a64e2b2bf156cfae"
    assert choose.rendezvous("pod-b", 42).hex() == "7a6db7a2f8e808e8"


@given(st.sets(st.integers(1, 10**6), min_size=20, max_size=40))
@settings(max_examples=50)
def test_pods_order_equals_differently_and_each_of_them_always_the_same(tickets: set[int]) -> None:
    def order(pod: str) -> list[int]:
        return sorted(tickets, key=lambda one: choose.rendezvous(pod, one))

    assert order("pod-a") == order("pod-a")
    assert order("pod-a") != order("pod-b")
    assert sorted(order("pod-b")) == sorted(tickets)


def test_a_pods_name_cannot_run_into_the_number() -> None:
    assert choose.rendezvous("pod-1", 12) != choose.rendezvous("pod-11", 2)


def test_inside_a_rung_routed_to_me_then_priority_then_due_date_none_last_then_the_pods_own_order() -> None:
    soon, late = dt.date(2026, 12, 1), dt.date(2027, 1, 1)
    same = sorted((70, 71, 72), key=lambda one: choose.rendezvous("pod-a", one))
    ordered = [
        item(60, pod="pod-a", priority=LOW),
        item(61, pod="pod-a", priority=999),
        item(62, priority=IMMEDIATE),
        item(63, priority=HIGH, due_date=late),
        item(64, priority=NORMAL, due_date=soon),
        item(65, priority=NORMAL, due_date=late),
        *(item(one, priority=NORMAL) for one in same),
        item(66, priority=LOW, due_date=soon),
        item(67, priority=999, due_date=soon),
    ]
    for shuffled in (ordered[::-1], sorted(ordered, key=lambda one: one.id), ordered[5:] + ordered[:5]):
        assert sorted(shuffled, key=lambda one: choose.order_key(one, FLEET)) == ordered


def test_rows_are_ordered_like_tickets_of_one_priority() -> None:
    assert choose.row_key(None, "pod-a", 42) == (dt.date.max, choose.rendezvous("pod-a", 42))
    assert choose.row_key(dt.date(2026, 12, 1), "pod-a", 42) < choose.row_key(None, "pod-a", 42)


# -- the rungs -------------------------------------------------------------------------------------------------------

IN_PROGRESS = item(90, status=ACTIVE, pod="pod-a", run=MINE, assignee=PEOPLE[ME])
OTHER_TOKEN = MINE.replace(".aa11 ", ".cc33 ")
TWO_TOKENS = fleet(mine=recorded(MINE, OTHER_TOKEN))
CHILD = item(80, parent=1, ancestors=(1,))
BLOCKED_CHILD = item(81, parent=1, ancestors=(1,), pod="pod-b")
OTHER_EPIC = item(2, type=EPIC)
OTHER_CHILD = item(82, parent=2, ancestors=(2,))

BOARDS: Mapping[str, tuple[list[WorkPackage], Choice]] = {
    "an empty board": ([], Choice(Rung.NOTHING)),
    "my work in progress before everything": (
        [item(91, type=BUG), MY_EPIC, CHILD, IN_PROGRESS],
        Choice(Rung.FINISH, 90),
    ),
    "work in progress that a person took is not mine to finish": (
        [item(90, status=ACTIVE, run=MINE, assignee=PEOPLE[PERSON])],
        Choice(Rung.NOTHING),
    ),
    "a story in my name is not executable": (
        [item(90, type=STORY, status=ACTIVE, run=MINE, assignee=PEOPLE[ME])],
        Choice(Rung.NOTHING),
    ),
    "my Epic before a bug": ([item(91, type=BUG, priority=IMMEDIATE), MY_EPIC, CHILD], Choice(Rung.CONTINUE_EPIC, 80)),
    "a bug in my Epic is found there": (
        [MY_EPIC, item(83, type=BUG, parent=1, ancestors=(1,), priority=HIGH), CHILD],
        Choice(Rung.CONTINUE_EPIC, 83),
    ),
    "a stale Epic is released on the way to other work": (
        [MY_EPIC, BLOCKED_CHILD, item(91)],
        Choice(Rung.STANDALONE, 91, (1,)),
    ),
    "a stale Epic is released even if nothing else is there": ([MY_EPIC], Choice(Rung.NOTHING, None, (1,))),
    "an Epic that was routed away is stale": (
        [item(1, type=EPIC, status=ACTIVE, pod="pod-b", run=MINE), CHILD],
        Choice(Rung.NOTHING, None, (1,)),
    ),
    "a bug before a task in an Epic and before standalone work": (
        [item(91), EPIC_1, CHILD, item(92, type=BUG, priority=LOW)],
        Choice(Rung.BUG, 92),
    ),
    "a bug in a free Epic is on the bugs' rung": (
        [EPIC_1, item(92, type=BUG, parent=1, ancestors=(1,)), item(91)],
        Choice(Rung.BUG, 92),
    ),
    "an inner Epic of mine is mine to continue": (
        [
            item(91, type=BUG),
            OTHER_EPIC,
            item(5, type=EPIC, status=ACTIVE, run=MINE, parent=2, ancestors=(2,)),
            item(85, parent=5, ancestors=(2, 5)),
        ],
        Choice(Rung.CONTINUE_EPIC, 85),
    ),
    "a task in an Epic before standalone work": (
        [item(91, priority=IMMEDIATE), EPIC_1, CHILD],
        Choice(Rung.EPIC_TASK, 80),
    ),
    "a task below a story below an Epic is one in an Epic": (
        [EPIC_1, item(3, type=STORY, parent=1, ancestors=(1,), children=(84,)), item(84, parent=3, ancestors=(1, 3))],
        Choice(Rung.EPIC_TASK, 84),
    ),
    "standalone work below a story without an Epic": (
        [item(3, type=STORY, children=(84,)), item(84, type=FEATURE, parent=3, ancestors=(3,))],
        Choice(Rung.STANDALONE, 84),
    ),
    "an Epic of another pod is passed over for a free one": (
        [HELD_EPIC, item(80, parent=1, ancestors=(1,), priority=IMMEDIATE), OTHER_EPIC, OTHER_CHILD],
        Choice(Rung.EPIC_TASK, 82),
    ),
    "nothing available is nothing to do": (
        [item(91, status=HOLD), item(92, assignee=PEOPLE[PERSON])],
        Choice(Rung.NOTHING),
    ),
    "a container is no work, its child is": (
        [item(91, children=(92,)), item(92, parent=91, ancestors=(91,))],
        Choice(Rung.STANDALONE, 92),
    ),
}


def test_the_rungs_are_the_product_and_their_order_stays() -> None:
    assert [(rung.value, rung.name) for rung in Rung] == [
        (1, "FINISH"),
        (2, "CONTINUE_EPIC"),
        (3, "RELEASE_EPIC"),
        (4, "BUG"),
        (5, "EPIC_TASK"),
        (6, "STANDALONE"),
        (7, "NOTHING"),
    ]


@pytest.mark.parametrize("name", BOARDS)
def test_the_ladder_stops_at_the_first_rung_that_yields(name: str) -> None:
    board, choice = BOARDS[name]
    assert choose.ladder(board, [], FLEET) == choice
    assert choose.ladder(board[::-1], [], FLEET) == choice


def test_inside_a_rung_the_ladder_takes_the_first_in_order() -> None:
    board = [item(91, priority=LOW), item(92, priority=HIGH), item(93, priority=NORMAL, pod="pod-a"), item(94)]
    assert choose.ladder(board, [], FLEET) == Choice(Rung.STANDALONE, 93)
    assert choose.ladder([one for one in board if one.id != 93], [], FLEET) == Choice(Rung.STANDALONE, 92)


def test_my_epics_compete_by_their_tickets_and_none_is_released_while_one_yields() -> None:
    second = item(2, type=EPIC, status=ACTIVE, pod="pod-a", run=OTHER_TOKEN)
    board = [MY_EPIC, CHILD, second, item(82, parent=2, ancestors=(2,), priority=HIGH)]
    assert choose.ladder(board, [], TWO_TOKENS) == Choice(Rung.CONTINUE_EPIC, 82)
    assert choose.ladder(board[:3], [], TWO_TOKENS) == Choice(Rung.CONTINUE_EPIC, 80)


def test_the_surroundings_are_taken_from_the_board_with_both_ends_of_every_relation() -> None:
    ticket = item(42, parent=2, ancestors=(1, 2, 404), children=(43, 405))
    board = {one.id: one for one in (EPIC_1, item(2, type=STORY), ticket, item(43, type=SPIKE), item(41), item(77))}
    relations = [blocks(41, 42), blocks(41, 2, number=901), blocks(406, 42, number=902), blocks(41, 77, number=903)]
    around = choose.around_in(board, relations, ticket)
    assert [one.id for one in around.ancestors] == [1, 2]
    assert around.children == (row(43, type=SPIKE),)
    assert [one.id for one in around.relations] == [900, 901, 902]
    assert [one.id for one in around.others] == [2, 41, 42]


STATUSES = st.sampled_from([NEW, ACTIVE, TESTING, CLOSED, HOLD])
TICKETS = st.builds(
    lambda **parts: parts,
    type=st.sampled_from([TASK, BUG, STORY, SPIKE, PHASE, EPIC]),
    status=STATUSES,
    priority=st.sampled_from([LOW, NORMAL, HIGH]),
    pod=st.sampled_from(["", "", "pod-a", "pod-b"]),
    run=st.sampled_from(["", "", MINE, THEIRS]),
    assignee=st.sampled_from([None, PEOPLE[ME], PEOPLE[PERSON]]),
    above=st.integers(0, 30),
)


@st.composite
def boards(draw: st.DrawFn) -> tuple[list[WorkPackage], list[Relation]]:
    """A forest: each work package lies below nothing or below one with a lower number."""
    made: dict[int, WorkPackage] = {}
    for number, parts in enumerate(draw(st.lists(TICKETS, max_size=12)), start=1):
        above = parts.pop("above")
        parent = made[above] if 0 < above < number else None
        chain = (*parent.ancestors, parent.id) if parent else ()
        made[number] = item(number, parent=parent.id if parent else None, ancestors=chain, **parts)
    children = {one: tuple(two.id for two in made.values() if two.parent == one) for one in made}
    board = [replace(one, children=children[one.id]) for one in made.values()]
    ends = st.integers(1, 14)
    pairs = draw(st.lists(st.tuples(st.sampled_from(["blocks", "follows", "relates"]), ends, ends), max_size=6))
    return board, [Relation(900 + at, kind, one, two) for at, (kind, one, two) in enumerate(pairs) if one != two]


@given(boards())
@settings(max_examples=100)
def test_the_ladder_never_chooses_what_has_a_reason_and_never_misses_what_has_none(
    made: tuple[list[WorkPackage], list[Relation]],
) -> None:
    board, relations = made
    by_id = {one.id: one for one in board}
    choice = choose.ladder(board, relations, FLEET)
    free = {one.id for one in board if not choose.reasons(one, choose.around_in(by_id, relations, one), FLEET)}
    if choice.rung is Rung.FINISH:
        assert choice.ticket is not None
        assert choose.is_mine(by_id[choice.ticket], FLEET)
    elif choice.rung is Rung.NOTHING:
        assert not free
    else:
        assert choice.ticket in free
        above = {one: [by_id[up] for up in by_id[one].ancestors] for one in free}
        rungs = {choose.rung_of(by_id[one], above[one], FLEET) for one in free}
        assert choice.rung == min(rungs)
    assert all(choose.is_mine(by_id[one], FLEET) for one in choice.releases)
    assert choose.ladder(board[::-1], relations, FLEET).rung == choice.rung
