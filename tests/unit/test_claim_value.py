"""A claim as one value, and what compare-and-swap takes for written."""

import msgspec
import pytest
from msgspec.structs import replace

from agent.claim.rules import is_routed
from agent.claim.swap import carries
from agent.claim.value import Claim
from agent.model import Changes
from agent.state import Reading, RecordedClaim, State
from support.values import ACTIVE, COLLEAGUE, ME, MINE, NEW, PEOPLE, SHOP, TASK, THEIRS, item, token

RECORD = RecordedClaim(ticket=42, token=MINE, born=Reading(5, "b1"), pod="pod-a", project=SHOP, type=TASK, epic=7)


def test_mine_is_what_was_recorded_for_this_very_work_package_with_the_token_that_it_shows() -> None:
    state = State().with_claim(RECORD)
    assert Claim.mine(state, item(42, run=MINE)) == Claim(token=token(), record=RECORD)
    shown = Claim.mine(state, item(42, run=f"{MINE} routed"))
    assert shown is not None
    assert shown.token.routed, "what a lost answer wrote is what counts"
    assert shown.record == RECORD
    assert Claim.mine(state, item(43, run=MINE)) is None, "a copy"
    assert Claim.mine(state, item(42, run=THEIRS)) is None
    assert Claim.mine(state, item(42)) is None


def test_whosever_claim_is_shown_it_ends_by_what_the_work_package_shows() -> None:
    claim = Claim.shown(item(42, run=THEIRS))
    assert claim is not None
    assert (claim.ticket, claim.token.pod, claim.project, claim.type) == (42, "pod-b", SHOP, TASK)
    assert claim.is_on(item(42, run=THEIRS))
    assert not claim.is_on(item(43, run=THEIRS))
    assert claim.record.left(5, "b1") == 0, "nobody knows its age"
    assert Claim.shown(item(42, run="Hanna has it @ home")) is None


def test_a_record_that_a_newer_version_wrote_is_no_claim() -> None:
    assert Claim.recorded(replace(RECORD, token="from the future")) is None
    claim = Claim.recorded(RECORD)
    assert claim is not None
    assert (claim.key, claim.owner) == ((42, *token().key), 7)


@pytest.mark.parametrize(
    ("shown", "old", "routed"),
    [
        ("", None, False),
        ("pod-a", None, True),
        ("", token(), False),
        ("pod-a", token(), False),
        ("pod-a", token(routed=True), True),
        ("", token(routed=True), False),
    ],
)
def test_what_a_claim_replaces_is_a_persons_route_unless_it_is_our_own_name(
    shown: str, old: object, *, routed: bool
) -> None:
    """P18: judged of the representation whose lockVersion is sent, so what a person emptied stays empty."""
    assert is_routed(item(42, pod=shown), old) is routed  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sent", "carried"),
    [
        (Changes(), True),
        (Changes(run="", status=NEW, assignee=None, pod=""), True),
        (Changes(schedule_manually=True), True),
        (Changes(run=MINE), False),
        (Changes(status=ACTIVE), False),
        (Changes(assignee=ME), False),
        (Changes(pod="pod-a"), False),
        (Changes(schedule_manually=False), False),
    ],
)
def test_a_try_has_happened_if_the_work_package_shows_all_of_it(sent: Changes, *, carried: bool) -> None:
    assert carries(item(42), sent) is carried


def test_an_assignee_is_who_was_sent_and_nobody_else() -> None:
    assert carries(item(42, assignee=PEOPLE[ME]), Changes(assignee=ME))
    assert not carries(item(42, assignee=PEOPLE[COLLEAGUE]), Changes(assignee=ME))
    assert not carries(item(42, assignee=PEOPLE[ME]), Changes(assignee=None))


def test_the_state_of_yesterdays_pod_is_read() -> None:
    born = {"at": 1.0, "boot": "b"}
    old = msgspec.json.encode({"claims": [{"ticket": 42, "token": MINE, "born": born, "pod": "pod-a"}]})
    state = msgspec.json.decode(old, type=State)
    assert (state.ended, state.claims[0].spike) == ({}, 0)
    assert Claim.mine(state, item(42, run=MINE)) is not None
