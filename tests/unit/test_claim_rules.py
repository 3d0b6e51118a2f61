"""When a claim is over, and what may be given back: only what is ours (DESIGN, section 3)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from agent.claim.rules import epic_lost, give_back, ticket_lost
from agent.claim.value import Claim
from agent.model import Changes, Principal, WorkPackage
from agent.state import Reading, RecordedClaim
from support.values import (
    ACTIVE,
    BLOG,
    BUG,
    CLOSED,
    COLLEAGUE,
    CREW,
    EPIC,
    FLEET,
    HOLD,
    ME,
    MINE,
    NEW,
    PEOPLE,
    PERSON,
    SHOP,
    TASK,
    THEIRS,
    item,
    token,
)

TOKEN = token()
ROUTED = token(routed=True)
RECORD = RecordedClaim(ticket=42, token=MINE, born=Reading(0, "b1"), pod="pod-a", project=SHOP, type=TASK, epic=1)
HELD = Claim(token=TOKEN, record=RECORD)
ALONE = Claim(token=TOKEN, record=replace(RECORD, epic=None))
CLAIMED = item(42, status=ACTIVE, assignee=PEOPLE[ME], pod="pod-a", run=MINE)


def test_the_branch_belongs_to_the_epic_else_to_the_ticket() -> None:
    assert HELD.owner == 1
    assert ALONE.owner == 42


@pytest.mark.parametrize(
    ("run", "same"),
    [
        (MINE, True),
        (f"{MINE} routed", True),
        (MINE.replace("try 1 for 4h", "try 2 for 8h"), True),
        (MINE.replace(".aa11 ", ".aa12 "), False),
        (MINE.replace("7f9c", "7f9d"), False),
        (THEIRS, False),
        ("", False),
        ("Hanna has it", False),
        (MINE + " please", False),
    ],
)
def test_run_id_and_nonce_make_a_claim_not_the_rest_of_the_text(run: str, *, same: bool) -> None:
    """I-03, I-08: the same user's second claim is another claim."""
    assert HELD.is_on(item(42, run=run)) is same
    assert not HELD.is_on(item(43, run=run)), "what shows it elsewhere is a copy"


@pytest.mark.parametrize(
    ("changes", "epic", "why"),
    [
        ({}, 1, ""),
        ({"assignee": PEOPLE[COLLEAGUE]}, 1, ""),
        ({"pod": ""}, 1, ""),
        ({"subject": "Another", "description": "text", "priority": 24, "lock_version": 99}, 1, ""),
        ({"run": f"{MINE} routed"}, 1, ""),
        ({"run": THEIRS}, 1, "the claim is another's now"),
        ({"run": "Hanna has it"}, 1, "the claim is another's now"),
        ({"run": ""}, 1, "the claim was cleared"),
        ({"status": NEW}, 1, "its status was changed"),
        ({"status": CLOSED}, 1, "its status was changed"),
        ({"assignee": None}, 1, "its assignee was changed"),
        ({"assignee": PEOPLE[PERSON]}, 1, "its assignee was changed"),
        ({"assignee": PEOPLE[CREW]}, 1, "its assignee was changed"),
        ({"assignee": Principal("undisclosed", 0)}, 1, "its assignee was changed"),
        ({"pod": "pod-b"}, 1, "it was routed to pod-b"),
        ({"project": BLOG}, 1, "it was moved to another project"),
        ({"type": BUG}, 1, "its type was changed"),
        ({}, 2, "it was moved to another Epic"),
        ({}, None, "it was moved to another Epic"),
        ({"run": THEIRS, "status": NEW, "pod": "pod-b"}, 2, "the claim is another's now"),
        ({"status": NEW, "assignee": None}, 1, "its status was changed"),
    ],
)
def test_the_holder_stops_for_the_first_thing_that_changed(changes: dict[str, Any], epic: int | None, why: str) -> None:
    assert ticket_lost(replace(CLAIMED, **changes), HELD, epic, FLEET) == why


def test_standalone_work_that_comes_below_an_epic_is_not_mine_any_more() -> None:
    assert ticket_lost(CLAIMED, ALONE, None, FLEET) == ""
    assert ticket_lost(CLAIMED, ALONE, 1, FLEET) == "it was moved to another Epic"


@pytest.mark.parametrize(
    ("epic", "why"),
    [
        (None, ""),
        (item(1, type=EPIC, status=ACTIVE, run=MINE, pod="pod-a"), ""),
        (item(1, type=EPIC, status=ACTIVE, run=MINE), ""),
        (item(1, type=EPIC, status=ACTIVE, run=MINE, assignee=PEOPLE[PERSON]), ""),
        (item(1, type=EPIC, status=ACTIVE, run=THEIRS, pod="pod-a"), "its Epic #1 is not this pod's any more"),
        (item(1, type=EPIC, status=ACTIVE, pod="pod-a"), "its Epic #1 is not this pod's any more"),
        (item(1, type=EPIC, status=HOLD, run=MINE), "its Epic #1 is not this pod's any more"),
        (item(1, type=EPIC, status=ACTIVE, run=MINE, pod="pod-b"), "its Epic #1 was routed to pod-b"),
    ],
)
def test_an_epic_is_mine_by_a_recorded_token_only(epic: WorkPackage | None, why: str) -> None:
    assert epic_lost(epic, FLEET) == why


CLEARED = Changes(run="")


@pytest.mark.parametrize(
    ("changes", "to", "wanted"),
    [
        # everything as the claim left it
        ({}, NEW, Changes(run="", status=NEW, assignee=None, pod="")),
        ({}, None, Changes(run="", assignee=None, pod="")),
        ({}, CLOSED, Changes(run="", status=CLOSED, assignee=None, pod="")),
        # a colleague's account is the fleet's too
        ({"assignee": PEOPLE[COLLEAGUE]}, NEW, Changes(run="", status=NEW, assignee=None, pod="")),
        # a person's status stays
        ({"status": HOLD}, NEW, Changes(run="", assignee=None, pod="")),
        ({"status": CLOSED}, NEW, Changes(run="", assignee=None, pod="")),
        # a person's assignee stays, and nobody stays nobody
        ({"assignee": PEOPLE[PERSON]}, NEW, Changes(run="", status=NEW, pod="")),
        ({"assignee": PEOPLE[CREW]}, NEW, Changes(run="", status=NEW, pod="")),
        ({"assignee": None}, NEW, Changes(run="", status=NEW, pod="")),
        # a person's routing stays, whether before the claim or since
        ({"pod": "pod-b"}, NEW, Changes(run="", status=NEW, assignee=None)),
        ({"pod": ""}, NEW, Changes(run="", status=NEW, assignee=None)),
        # all of it at once
        ({"status": HOLD, "assignee": PEOPLE[PERSON], "pod": "pod-b"}, NEW, CLEARED),
    ],
)
def test_only_what_is_ours_is_given_back(changes: dict[str, Any], to: int | None, wanted: Changes) -> None:
    """I-16: everything of one claim in one write."""
    assert give_back(replace(CLAIMED, **changes), TOKEN, FLEET, to=to) == wanted


def test_a_ticket_that_was_routed_before_the_claim_stays_routed() -> None:
    claimed = replace(CLAIMED, run=str(ROUTED))
    assert give_back(claimed, ROUTED, FLEET, to=NEW) == Changes(run="", status=NEW, assignee=None)


def test_another_pods_claim_is_judged_by_the_name_in_its_token() -> None:
    """The sweep gives back what a vanished pod held: the field holds that pod's name, not the judge's."""
    theirs = token("pod-b", run=2, nonce="bb22")
    claimed = replace(CLAIMED, pod="pod-b", run=str(theirs), assignee=PEOPLE[COLLEAGUE])
    assert give_back(claimed, theirs, FLEET, to=NEW) == Changes(run="", status=NEW, assignee=None, pod="")
    assert give_back(replace(claimed, pod="pod-a"), theirs, FLEET, to=NEW).pod is UNSET


@given(
    status=st.sampled_from([NEW, ACTIVE, HOLD, CLOSED]),
    assignee=st.sampled_from([None, *PEOPLE.values()]),
    pod=st.sampled_from(["", "pod-a", "pod-b"]),
    claim=st.sampled_from([TOKEN, ROUTED, token("pod-b", run=2)]),
    to=st.sampled_from([None, NEW, CLOSED]),
)
def test_whatever_a_person_set_survives_and_the_token_never_does(
    status: int, assignee: Principal | None, pod: str, claim: Any, to: int | None
) -> None:
    before = item(42, status=status, assignee=assignee, pod=pod, run=str(claim))
    wanted = give_back(before, claim, FLEET, to=to)
    assert wanted.run == ""
    assert wanted.schedule_manually is UNSET
    if status != ACTIVE or to is None:
        assert wanted.status is UNSET
    if assignee is None or assignee.id in (PERSON, CREW):
        assert wanted.assignee is UNSET
    if claim.routed or pod != claim.pod:
        assert wanted.pod is UNSET
