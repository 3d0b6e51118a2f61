"""What the page says of a ticket is what the pod would say for which it is meant."""

from __future__ import annotations

from typing import Any

import pytest

from agent.choose import as_row
from agent.model import Around, Principal, Relation, WorkPackage
from agent.page.cards import Card, Doing, Holder, Named
from agent.page.judge import Judge
from agent.page.pods import Seen, pods
from agent.page.words import words_of

NEW, ACTIVE, TESTING, CLOSED, HOLD = range(1, 6)
TASK, BUG, EPIC, STORY, SPIKE, GATE, OTHER = range(11, 18)
STATUSES: list[dict[str, Any]] = [
    {"id": NEW, "name": "New", "is_closed": 0},
    {"id": ACTIVE, "name": "In progress", "is_closed": 0},
    {"id": TESTING, "name": "In testing", "is_closed": 0},
    {"id": CLOSED, "name": "Closed", "is_closed": 1},
    {"id": HOLD, "name": "On hold", "is_closed": 0},
]
TYPES: list[dict[str, Any]] = [
    {"id": id_, "name": name}
    for id_, name in enumerate(("Task", "Bug", "Epic", "User story", "Spike", "Phase", "Milestone"), start=TASK)
]
PRIORITIES = [{"id": 1, "name": "Low"}, {"id": 2, "name": "High"}]
WORDS = words_of(STATUSES, TYPES, PRIORITIES, {6: "Agent pod", 7: "Agent run"}, {one["id"]: (6, 7) for one in TYPES})
AGENT, HUMAN = 5, 6
JUDGE = Judge(WORDS, {AGENT}, {1, 2}, {2})
RUN = "7f9c0d52-1111-4111-8111-0123456789ab.n1 by pod-a try 1 for 4h @ 2026-11-24T08:00Z"


def item(id_: int = 1, **changes: Any) -> WorkPackage:
    values = {"lock_version": 0, "subject": "x", "project": 1, "type": TASK, "status": NEW, "priority": 1}
    return WorkPackage(id=id_, **{**values, **changes})


def said(ticket: WorkPackage, *ancestors: WorkPackage) -> list[str]:
    return [one.detail for one in JUDGE.verdict(ticket, Around(ancestors=ancestors)).reasons]


def test_a_board_without_any_of_them_has_no_meaning_and_no_reasons() -> None:
    empty = words_of([], [], [], {}, {})
    assert (empty.role(5), empty.kind(5), empty.opened) == ("other", "other", ())
    verdict = Judge(empty, (), (), ()).verdict(item(), Around())
    assert (verdict.badges, verdict.reasons) == ((), ())


def test_fields_count_where_a_type_carries_both() -> None:
    half = words_of(STATUSES, TYPES, PRIORITIES, {6: "Agent pod", 7: "Agent run"}, {TASK: (6,), BUG: (6, 7, 8)})
    assert half.complete == {BUG}


def test_routed_is_a_badge_and_no_reason() -> None:
    verdict = JUDGE.verdict(item(pod="pod-b"), Around())
    assert (verdict.badges, verdict.reasons) == (("routed",), ())


@pytest.mark.parametrize(
    ("pod", "epic", "reasons"),
    [
        ("", {"pod": "pod-a", "run": RUN, "status": ACTIVE}, []),
        ("pod-a", {"pod": "pod-a", "run": RUN, "status": ACTIVE}, []),
        ("pod-b", {"pod": "pod-a", "run": RUN, "status": ACTIVE}, ["Epic #9 is owned by pod-a"]),
        ("", {"pod": "pod-a", "run": "nonsense @", "status": ACTIVE}, ["Epic #9 is owned by pod-a"]),
        ("", {"pod": "", "run": RUN, "status": ACTIVE}, ["Epic #9 is owned by another pod"]),
        ("", {"pod": "pod-b"}, []),
        ("pod-a", {"pod": "pod-b"}, ["Epic #9 is routed to pod-b"]),
        ("", {"status": HOLD}, ["Epic #9 is neither ready, active nor waiting for review"]),
        ("", {"status": TESTING}, []),
    ],
)
def test_below_an_epic_the_one_that_has_it_is_asked(pod: str, epic: dict[str, Any], reasons: list[str]) -> None:
    assert said(item(pod=pod, ancestors=(9,)), item(9, type=EPIC, **epic)) == reasons


def test_people_keep_what_they_took_and_the_fleet_may_be_handed_something() -> None:
    hanna = Principal("users", HUMAN, "Hanna")
    assert JUDGE.verdict(item(assignee=hanna), Around()).badges == ("taken",)
    assert said(item(assignee=hanna)) == ["assigned to Hanna, who is no fleet user"]
    assert said(item(assignee=Principal("users", AGENT, "Agent"))) == []


def test_where_no_account_of_the_fleet_can_be_an_assignee_no_pod_takes_anything() -> None:
    assert said(item(project=2)) == ["this pod's account cannot be an assignee in its project"]


@pytest.mark.parametrize("status", [TESTING, CLOSED])
def test_what_is_done_has_no_badges(status: int) -> None:
    around = Around(relations=(Relation(1, "blocks", 2, 1),), others=(item(2),))
    ticket = item(status=status, pod="pod-a", assignee=Principal("users", HUMAN, "Hanna"))
    assert JUDGE.verdict(ticket, around).badges == ()


@pytest.mark.parametrize("changes", [{"status": ACTIVE}, {"type": STORY}, {"type": EPIC}, {"status": HOLD}])
def test_of_what_does_not_wait_to_be_taken_only_badges_are_shown(changes: dict[str, Any]) -> None:
    gate = item(8, type=GATE, subject="Phase 1")
    around = Around(ancestors=(gate,), relations=(Relation(1, "blocks", 2, 1),), others=(item(2),))
    verdict = JUDGE.verdict(item(ancestors=(8,), **changes), around)
    assert (verdict.badges, verdict.reasons) == (("gated", "blocked"), ())


def test_a_container_is_told_of_tickets_alone() -> None:
    around = Around(children=(as_row(item(2)),))
    assert JUDGE.verdict(item(), around).badges == ("container",)
    assert JUDGE.verdict(item(type=EPIC), around).badges == ()


def test_an_owned_epic_is_owned_only_while_it_is_active() -> None:
    assert JUDGE.verdict(item(type=EPIC, status=ACTIVE, pod="pod-a", run=RUN), Around()).badges == ("owned",)
    assert JUDGE.verdict(item(type=EPIC, status=HOLD, pod="pod-a", run=RUN), Around()).badges == ()
    assert JUDGE.verdict(item(type=EPIC, pod="pod-a"), Around()).badges == ("routed",)


def card(id_: int, **changes: Any) -> Card:
    values: dict[str, Any] = {
        "lock": 0, "project": 1, "type": TASK, "subject": f"Number {id_}", "status": NEW, "priority": 1, "parent": None,
        "epic": None, "assignee": None, "pod": "", "claim": None, "due": None, "updated": "",
    }  # fmt: skip
    return Card(id=id_, **{**values, **changes})


def claim(pod: str, since: str = "2026-11-24T08:00:00Z") -> Holder:
    return Holder(pod, since, 1)


def test_a_pod_works_on_the_last_thing_that_it_claimed() -> None:
    cards = [
        card(1, status=ACTIVE, pod="a", claim=claim("a")),
        card(2, status=ACTIVE, pod="a", claim=claim("a", "2026-11-24T09:00:00Z")),
        card(3, status=ACTIVE, type=EPIC, pod="a", claim=claim("a")),
    ]
    for order in (cards, cards[::-1]):
        [pod] = pods(order, {}, WORDS)
        assert pod.doing == Doing(2, "Number 2", "2026-11-24T09:00:00Z", 1)
        assert (pod.state, pod.epic, pod.seen) == ("working", Named(3, "Number 3"), None)


def test_a_pod_in_trouble_waits_and_so_does_one_with_nothing_but_an_epic() -> None:
    held = card(1, status=ACTIVE, claim=claim("a"))
    epic = card(2, status=ACTIVE, type=EPIC, claim=claim("b"))
    found = pods([held, epic], {"a": Seen("2026", interrupted=True), "c": Seen("2025")}, WORDS)
    assert [(one.name, one.state, one.seen) for one in found] == [
        ("a", "waiting", "2026"),
        ("b", "waiting", None),
        ("c", "idle", "2025"),
    ]


def test_only_ready_tickets_count_as_routed_and_closed_ones_make_no_pod() -> None:
    cards = [
        card(1, pod="a"),
        card(2, pod="a", type=EPIC),
        card(3, pod="a", status=HOLD),
        card(4, pod="b", status=TESTING),
        card(5, pod="c", status=CLOSED),
    ]
    assert {one.name: one.routed for one in pods(cards, {}, WORDS)} == {"a": 1, "b": 0}
