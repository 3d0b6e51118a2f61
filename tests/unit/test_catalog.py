"""Names of the settings to ids of a board: what is missing is said in a sentence, what is ambiguous is decided once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.board.catalog import (
    Catalog,
    Names,
    ProjectFacts,
    by_name,
    find,
    fleet,
    fleet_types,
    merge_fields,
    missing,
    name_of,
    unlisted,
)
from agent.board.wire import Fields
from agent.errors import ConfigurationError
from agent.model import Fleet, Named, Principal, Project, Status
from support.values import names

STATUSES = tuple(
    Status(number, name, closed)
    for number, name, closed in (
        (331, "New", False),
        (337, "In progress", False),
        (339, "In testing", False),
        (342, "Closed", True),
        (344, "Rejected", True),
    )
)
TYPES = tuple(
    Named(number, name)
    for number, name in (
        (218, "Task"),
        (219, "Milestone"),
        (220, "Summary task"),
        (221, "Feature"),
        (222, "Epic"),
        (223, "User story"),
        (224, "Bug"),
        (225, "Spike"),
    )
)
ME = Principal("users", 69, "Coding Agent")
HUMAN = Principal("users", 71, "Hanna Human")
SECOND = Principal("users", 70, "Second Agent")
SHOP, BLOG = Project(93, "shop"), Project(94, "blog")
BOARD = Catalog(
    me=ME,
    statuses=STATUSES,
    types=TYPES,
    priorities=(Named(292, "Immediate"), Named(291, "High"), Named(290, "Normal")),
    projects=(
        ProjectFacts(project=SHOP, types=frozenset(range(218, 226)), assignable=frozenset({69, 70, 71})),
        ProjectFacts(project=BLOG, types=frozenset({218}), assignable=frozenset({71})),
    ),
    people=(ME, SECOND, HUMAN, Principal("groups", 80, "Crew")),
    fields=Fields("customField95", "customField96"),
    fieldless=frozenset({(94, 218)}),
)
NAMES = names()


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        ((), []),
        (("Bug",), [224]),
        (("Task", "Bug", "Task"), [218, 224, 218]),
        (("Feature", "No such type", "Bug"), [221, 224]),
        (("224",), [224]),
        (("99",), []),
        (("bug",), []),
        (("",), []),
        (("²", "٣"), []),
    ],
)
def test_names_or_ids_as_digits_are_found_in_their_own_order(names: tuple[str, ...], ids: list[int]) -> None:
    assert find(names, TYPES) == ids


def test_a_type_called_like_a_number_is_found_by_name_unless_an_id_is_meant() -> None:
    odd = [Named(5, "2026"), Named(6, "5")]
    assert find(["2026"], odd) == [5]
    assert find(["5"], odd) == [5]


def test_an_id_is_called_by_its_name_and_an_unknown_one_by_its_number() -> None:
    assert name_of(224, TYPES) == "Bug"
    assert name_of(331, STATUSES) == "New"
    assert name_of(99, TYPES) == "#99"


@given(st.text(max_size=5))
def test_no_name_at_all_stops_the_search(name: str) -> None:
    assert find([name], TYPES) in ([], *([one.id] for one in TYPES))


def test_the_seeded_board_gives_a_whole_fleet() -> None:
    assert fleet(NAMES, BOARD, pod="pod-a", unreachable=[93]) == Fleet(
        pod="pod-a",
        me=69,
        users=frozenset({69}),
        ready=331,
        active=337,
        done=(339, 342),
        closed=frozenset({342, 344}),
        bugs=frozenset({224}),
        tasks=frozenset({218, 221}),
        epics=frozenset({222}),
        stories=frozenset({223}),
        spikes=frozenset({225}),
        gates=frozenset({220}),
        priorities=(292, 291, 290),
        projects=frozenset({93, 94}),
        unassignable=frozenset({94}),
        spikeless=frozenset({94}),
        fieldless=frozenset({(94, 218)}),
        unreachable=frozenset({93}),
        statuses={331: "New", 337: "In progress", 339: "In testing", 342: "Closed", 344: "Rejected"},
        spike_names=frozenset({"Spike"}),
        assignable={93: frozenset({69, 70, 71}), 94: frozenset({71})},
    )


def test_an_open_status_that_means_done_can_still_be_worked_on_in_an_epic() -> None:
    who = fleet(NAMES, BOARD, pod="pod-a")
    assert who.open_done == {339}
    assert who.workable == {339, 331, 337}
    assert who.executable == {218, 221, 224}


def test_fleet_users_are_found_by_name_or_id_and_the_own_account_is_always_one() -> None:
    assert fleet(replace(NAMES, fleet_users=("Second Agent",)), BOARD, pod="p").users == {69, 70}
    assert fleet(replace(NAMES, fleet_users=("71", "Coding Agent")), BOARD, pod="p").users == {69, 71}


@pytest.mark.parametrize("number", ["77", "\uff17\uff17"])
def test_whoever_calls_himself_by_the_id_of_another_account_is_not_taken_for_it(number: str) -> None:
    """The account 77 may not be assigned any more; 75 has its number for a name."""
    names = replace(NAMES, fleet_users=(number,), people=("77",), integrations=("77",))
    board = replace(BOARD, people=(*BOARD.people, Principal("users", 75, "77")))
    assert missing(names, board) == [f"The fleet user “{number}” is no possible assignee in any project of the fleet."]
    known = fleet(replace(names, fleet_users=("70",)), board, pod="p")
    assert not {75} & (known.users | known.people | known.integrations)


def test_words_count_of_whom_may_be_assigned_there_or_is_named_and_never_of_the_fleet_or_an_integration() -> None:
    """T13: everybody who could comment spoke to the model."""
    who = fleet(replace(NAMES, people=("72",), integrations=("Second Agent", "74")), BOARD, pod="p")
    assert [user for user in range(60, 90) if who.counts(user, 93)] == [71, 72]
    assert [user for user in range(60, 90) if who.counts(user, 94)] == [71, 72]
    assert [user for user in range(60, 90) if who.counts(user, 95)] == [72], "of an unknown project nobody is known"
    both = fleet(replace(NAMES, people=("71", "69"), integrations=("71",)), BOARD, pod="p")
    assert not both.counts(71, 93), "integrations win"
    assert not both.counts(69, 93), "the fleet's accounts never count"
    assert not both.counts(0, 93), "whom the board does not tell is nobody"


def test_an_account_called_by_its_name_is_found_and_its_id_is_told() -> None:
    """T11: whoever takes a name is taken for it."""
    names = replace(NAMES, fleet_users=("Second Agent", "69"), people=("Rita Reader",), integrations=("Hanna Human",))
    board = replace(BOARD, members=(Principal("users", 72, "Rita Reader"),))
    assert unlisted(names, BOARD) == ["Rita Reader"]
    assert unlisted(names, board) == []
    assert fleet(names, board, pod="p").people == {72}
    assert by_name(names, board) == [
        "board.fleet_users names “Second Agent”: people can change their names, write the id 70",
        "board.people names “Rita Reader”: people can change their names, write the id 72",
        "board.integrations names “Hanna Human”: people can change their names, write the id 71",
    ]
    assert by_name(replace(NAMES, fleet_users=("70",), integrations=("71",)), board) == []


def test_a_name_that_two_accounts_have_is_refused_and_so_is_an_integration_that_nobody_is() -> None:
    twin = replace(BOARD, people=(*BOARD.people, Principal("users", 74, "Second Agent")))
    assert missing(replace(NAMES, fleet_users=("Second Agent",)), twin) == [
        "board.fleet_users names “Second Agent”, as 2 accounts are called: write an id, one of 70, 74."
    ]
    assert missing(replace(NAMES, integrations=("GitLab",)), BOARD) == [
        "board.integrations names “GitLab”, as nobody in the fleet's projects is called: write its id."
    ]
    assert missing(replace(NAMES, people=("Gone",)), BOARD) == [], "one whose words cannot count stops nobody"


@pytest.mark.parametrize("gates", [(), ("Phase",)])
def test_gates_are_optional(gates: tuple[str, ...]) -> None:
    """A board of 17.6 has no `Phase`: a missing name must not stop a fleet."""
    names = replace(NAMES, gates=gates)
    assert missing(names, BOARD) == []
    assert fleet(names, BOARD, pod="p").gates == frozenset()


def test_nothing_is_missing_on_the_seeded_board() -> None:
    assert missing(NAMES, BOARD) == []


CREATE = "create it (Administration → Work packages), or set another name."
FIELD = (
    "on the fleet's types: create it (Administration → Custom fields → Work packages, format Text, “Used as a filter” "
    "and “For all projects” on) and add it to every type of the fleet."
)


@pytest.mark.parametrize(
    ("names", "board", "sentence"),
    [
        (replace(NAMES, ready="Open"), BOARD, f"The board has no status “Open”: {CREATE}"),
        (replace(NAMES, active="Doing"), BOARD, f"The board has no status “Doing”: {CREATE}"),
        (replace(NAMES, epic="Saga"), BOARD, f"The board has no type “Saga”: {CREATE}"),
        (replace(NAMES, spike="Help"), BOARD, f"The board has no type “Help”: {CREATE}"),
        (
            replace(NAMES, done=("Done", "Over")),
            BOARD,
            "The board has none of the statuses Done, Over: set board.statuses.done.",
        ),
        (
            replace(NAMES, bugs=(), tasks=("Chore",)),
            BOARD,
            "The board has none of the executable types: set board.types.bugs and board.types.tasks.",
        ),
        (
            NAMES,
            replace(BOARD, fields=Fields("customField95", "")),
            f"The board has no text field “Agent run” {FIELD}",
        ),
        (
            NAMES,
            replace(BOARD, fields=Fields()),
            f"The board has no text field “Agent pod” and no text field “Agent run” {FIELD}",
        ),
        (
            replace(NAMES, fleet_users=("Nobody",)),
            BOARD,
            "The fleet user “Nobody” is no possible assignee in any project of the fleet.",
        ),
        (
            replace(NAMES, fleet_users=("Crew",)),
            BOARD,
            "The fleet user “Crew” is no possible assignee in any project of the fleet.",
        ),
    ],
)
def test_what_is_missing_is_said_in_a_sentence_that_tells_how_to_mend_it(
    names: Names, board: Catalog, sentence: str
) -> None:
    assert missing(names, board) == [sentence]
    with pytest.raises(ConfigurationError) as refusal:
        fleet(names, board, pod="pod-a")
    assert str(refusal.value) == sentence


def test_everything_that_is_missing_is_said_at_once() -> None:
    empty = Catalog(me=ME, statuses=(), types=(), priorities=(), projects=())
    with pytest.raises(ConfigurationError) as refusal:
        fleet(replace(NAMES, fleet_users=("X", "Y")), empty, pod="pod-a")
    assert len(str(refusal.value).splitlines()) == 9


def test_one_of_the_done_statuses_and_one_executable_type_are_enough() -> None:
    names = replace(NAMES, done=("No such", "Closed"), bugs=("No such",), tasks=("Task",))
    who = fleet(names, BOARD, pod="p")
    assert who.done == (342,)
    assert who.executable == {218}


def test_the_executable_types_and_the_epic_must_carry_the_fields() -> None:
    assert fleet_types(NAMES, TYPES) == [224, 218, 221, 222]


FULL, OTHER = Fields("customField95", "customField96"), Fields("customField1", "customField2")


@pytest.mark.parametrize(
    ("found", "fields", "fieldless"),
    [
        ({}, Fields(), set()),
        ({(93, 218): FULL, (93, 224): FULL}, FULL, {(94, 218)}),
        ({(93, 218): FULL, (93, 224): FULL, (94, 218): FULL}, FULL, set()),
        ({(93, 218): Fields("customField95", ""), (93, 224): FULL, (94, 218): FULL}, FULL, {(93, 218)}),
        ({(93, 218): OTHER, (93, 224): FULL, (94, 218): FULL}, FULL, {(93, 218)}),
        ({(93, 218): Fields("customField95", ""), (93, 224): FULL}, FULL, {(93, 218), (94, 218)}),
        ({(93, 218): Fields("customField95", "")}, Fields("customField95", ""), {(93, 224), (94, 218)}),
    ],
)
def test_the_fields_are_those_of_most_types_and_every_other_pair_lacks_them(
    found: dict[tuple[int, int], Fields], fields: Fields, fieldless: set[tuple[int, int]]
) -> None:
    """Two custom fields of one name are two fields: a claim in the wrong one would not be seen by the others."""
    pairs = [(93, 218), (93, 224), (94, 218)]
    assert merge_fields(pairs if found else [], found) == (fields, frozenset(fieldless))
