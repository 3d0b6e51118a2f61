"""A small world and what each query of it answers (reference sections 2.1 to 2.4)."""

import json
from collections.abc import Sequence

import pytest

from support.boards import Board
from support.contract_world import CONSONANTS, INVALID_QUERY, NOT_FOUND, Document, World, condition, refusal

ALL = ["plain", "mine", "hers", "routed", "urgent", "due", "later", "closed", "epic", "story", "task", "blog"]


@pytest.fixture(scope="module")
def small(board: Board) -> tuple[World, dict[str, Document]]:
    """Twelve work packages: name and what is special about each."""
    world = World(board)
    link = world.link
    made: dict[str, Document] = {}
    made["plain"] = world.new("plain")
    made["mine"] = world.new("mine", links={"assignee": link("users", "agent")})
    made["hers"] = world.new(
        "hers", who="human", links={"assignee": link("users", "human"), "responsible": link("users", "agent2")}
    )
    made["routed"] = world.new(
        "routed", **{board.pod: "Pod-A 100%", board.run: "r1.n1 by Pod-A try 1 for 4h @ 2026-11-24T08:00Z"}
    )
    made["urgent"] = world.new("urgent", links={"priority": link("priorities", "Immediate")}, **{board.pod: ""})
    made["due"] = world.new("due", dueDate="2026-12-01")
    made["later"] = world.new("later", dueDate="2026-12-24", startDate="2026-12-21")
    made["closed"] = world.new("closed", links={"status": link("statuses", "Closed")})
    made["epic"] = world.new("epic", kind="Epic")
    made["story"] = world.new("story", kind="User story", links=world.under(made["epic"]))
    made["task"] = world.new("task", links=world.under(made["story"]))
    made["blog"] = world.new("blog", kind="Bug", project="blog")
    for one, kind, other in (
        ("plain", "blocks", "mine"),
        ("hers", "follows", "plain"),
        ("urgent", "requires", "mine"),
        ("due", "relates", "mine"),
    ):
        world.related(made[one], kind, made[other])
    return world, made


def without(*names: str) -> list[str]:
    return [name for name in ALL if name not in names]


Small = tuple[World, dict[str, Document]]


def values(small: Small, name: str, wanted: Sequence[str]) -> list[object]:
    """Values by name: statuses, people and so on, or work packages of the small world."""
    world, made = small
    kinds = {
        "status": "statuses",
        "type": "types",
        "priority": "priorities",
        "project": "projects",
        "assignee": "users",
    }
    kinds |= {"responsible": "users", "author": "users"}
    if name in kinds:
        return [value if value == "me" else getattr(world.board, kinds[name])[value] for value in wanted]
    return [made[value]["id"] for value in wanted]


@pytest.mark.parametrize(
    ("name", "operator", "wanted", "found"),
    [
        ("status", "o", [], without("closed")),
        ("status", "c", [], ["closed"]),
        ("status", "*", [], ALL),
        ("status", "=", ["New"], without("closed")),
        ("status", "=", ["In progress", "Closed"], ["closed"]),
        ("status", "!", ["New"], ["closed"]),
        ("type", "=", ["Epic", "User story"], ["epic", "story"]),
        ("type", "!", ["Task"], ["epic", "story", "blog"]),
        ("priority", "=", ["Immediate"], ["urgent"]),
        ("priority", "!", ["Normal"], ["urgent"]),
        ("project", "=", ["blog"], ["blog"]),
        ("project", "!", ["blog"], without("blog")),
        ("assignee", "=", ["me"], ["mine"]),
        ("assignee", "=", ["me", "human"], ["mine", "hers"]),
        ("assignee", "!", ["me"], without("mine")),
        ("assignee", "*", [], ["mine", "hers"]),
        ("assignee", "!*", [], without("mine", "hers")),
        ("responsible", "=", ["agent2"], ["hers"]),
        ("responsible", "!", ["agent2"], without("hers")),
        ("responsible", "!*", [], without("hers")),
        ("author", "=", ["human"], ["hers"]),
        ("author", "!", ["me"], ["hers"]),
        ("id", "=", ["plain", "blog"], ["plain", "blog"]),
        ("id", "!", ["plain"], without("plain")),
        ("parent", "=", ["epic"], ["story"]),
        ("parent", "!", ["epic"], without("story")),
        ("ancestor", "=", ["epic"], ["story", "task"]),
        ("ancestor", "!", ["epic"], without("story", "task")),
        ("ancestor", "=", ["epic", "story"], ["task"]),
        ("ancestor", "!", ["epic", "story"], without("task")),
        ("ancestor", "=", ["story", "plain"], ["task"]),
        ("blocks", "=", ["mine"], ["plain"]),
        ("blocks", "!", ["mine"], without("plain")),
        ("blocked", "=", ["plain"], ["mine"]),
        ("blocked", "!", ["plain"], without("mine")),
        ("follows", "=", ["plain"], ["hers"]),
        ("follows", "!", ["plain"], without("hers")),
        ("precedes", "=", ["hers"], ["plain"]),
        ("requires", "=", ["mine"], ["urgent"]),
        ("requires", "!", ["mine"], without("urgent")),
        ("required", "=", ["urgent"], ["mine"]),
        ("relates", "=", ["mine"], ["due"]),
        ("relates", "=", ["due"], ["mine"]),
        ("relates", "!", ["mine"], without("due")),
    ],
)
def test_a_filter_finds(small: Small, name: str, operator: str, wanted: list[str], found: list[str]) -> None:
    world, _ = small
    assert world.subjects(condition(name, operator, *values(small, name, wanted))) == found


@pytest.mark.alike
@pytest.mark.parametrize(
    ("operator", "wanted", "found"),
    [
        ("=", ["Pod-A 100%"], ["routed"]),
        ("=", ["pod-b", "Pod-A 100%"], ["routed"]),
        ("=", ["pod-a 100%"], []),
        ("!", ["Pod-A 100%"], without("routed")),
        ("!", ["pod-b", "pod-c"], ALL),
        ("~", ["pod"], ["routed"]),
        ("~", ["100 pod"], ["routed"]),
        ("~", ["pod zzz"], []),
        ("~", ["0%"], ["routed"]),
        ("~", ["A_1"], []),
        ("~", ["%"], ["routed"]),
        ("!~", ["pod"], without("routed")),
    ],
)
def test_a_text_field_is_asked_for(small: Small, operator: str, wanted: list[str], found: list[str]) -> None:
    world, _ = small
    assert world.subjects(condition(world.board.pod, operator, *wanted)) == found


def test_claimed_is_asked_for_by_the_at_sign(small: Small) -> None:
    world, _ = small
    assert world.subjects(condition(world.board.run, "~", "@")) == ["routed"]
    assert world.subjects(condition(world.board.run, "!~", "@")) == without("routed")


@pytest.mark.alike
@pytest.mark.parametrize(
    ("operator", "text", "found"),
    [("~", "URGENT", ["urgent"]), ("~", "e n mi", ["mine"]), ("~", "%", []), ("!~", "ne", ["plain", "urgent"])],
)
def test_a_subject_holds_each_of_the_words_whatever_the_case(
    small: Small, operator: str, text: str, found: list[str]
) -> None:
    world, made = small
    among = condition("id", "=", *(made[name]["id"] for name in ("plain", "mine", "urgent")))
    filters = json.dumps([among, condition("subject", operator, text)])
    response = world.get("/work_packages", filters=filters)
    assert [element["subject"].split()[1] for element in response.json()["_embedded"]["elements"]] == found


def test_no_worlds_word_holds_a_letter_of_those_that_are_searched_for() -> None:
    """Some random word held "mi", and so one more subject did."""
    assert set("0123456789abcdef".translate(CONSONANTS)).isdisjoint("aeimnou")


@pytest.mark.alike
@pytest.mark.parametrize(
    ("name", "operator", "wanted", "found"),
    [
        ("dueDate", "=d", ["2026-12-01"], ["due"]),
        ("dueDate", "<>d", ["2026-11-30", "2026-12-24"], ["due", "later"]),
        ("dueDate", "<>d", ["2026-12-02", ""], ["later"]),
        ("dueDate", "!*", [], without("due", "later")),
        ("startDate", "=d", ["2026-12-21"], ["later"]),
        ("createdAt", ">t-", ["1"], ALL),
        ("createdAt", "<t-", ["1"], []),
        ("updatedAt", "t", [], ALL),
        ("updatedAt", "w", [], ALL),
        ("updatedAt", "<>d", ["2026-01-01T00:00:00Z", ""], ALL),
        ("updatedAt", "<>d", ["", "2026-01-01T00:00:00Z"], []),
    ],
)
def test_days_and_moments_are_asked_for(
    small: Small, name: str, operator: str, wanted: list[str], found: list[str]
) -> None:
    world, _ = small
    assert world.subjects(condition(name, operator, *wanted)) == found


def test_a_range_of_moments_includes_its_start(small: Small) -> None:
    world, made = small
    moment = world.read(made["later"])["updatedAt"]
    assert "later" in world.subjects(condition("updatedAt", "<>d", moment, ""))


def test_filters_are_joined_with_and(small: Small) -> None:
    world, made = small
    ancestor = [condition("ancestor", "=", made["epic"]["id"]), condition("type", "=", world.board.types["Task"])]
    assert world.subjects(*ancestor) == ["task"]
    assert world.subjects(condition("ancestor", "!", made["epic"]["id"]), condition("assignee", "*")) == [
        "mine",
        "hers",
    ]


@pytest.mark.parametrize("name", ["assigned_to_id", "assignedTo", "assignee"])
def test_api_names_and_internal_names_are_both_known(small: Small, name: str) -> None:
    world, _ = small
    assert world.subjects(condition(name, "=", world.board.users["agent"])) == ["mine"]


def test_a_field_goes_by_three_names(small: Small) -> None:
    world, _ = small
    number = world.board.pod.removeprefix("customField")
    for name in (f"customField{number}", f"cf_{number}", f"custom_field_{number}"):
        assert world.subjects(condition(name, "~", "pod")) == ["routed"]
    assert world.subjects(condition("status_id", "=", world.board.statuses["Closed"])) == ["closed"]


def test_no_filters_means_open_and_an_empty_list_means_everything(small: Small) -> None:
    world, made = small
    closed = made["closed"]["id"]

    def newest(**query: str) -> list[int]:
        response = world.get("/work_packages", pageSize="200", select="elements/id", sortBy='[["id","desc"]]', **query)
        return [element["id"] for element in response.json()["_embedded"]["elements"]]

    assert closed not in newest()
    assert closed in newest(filters="[]")
    assert closed in newest(filters="{}")
    assert world.subjects() == ALL


@pytest.mark.alike
@pytest.mark.parametrize(
    "filters",
    [
        '[{"assignee":{"operator":"=","values":%d}}]',
        '[{"assignee":{"operator":"=","values":"%d"}}]',
        '[{"assignee":{"operator":"=","values":[%d]}}]',
    ],
)
def test_bare_values_and_numbers_are_taken(small: Small, filters: str) -> None:
    world, made = small
    response = world.get(
        "/work_packages",
        filters=filters % world.board.users["agent"],
        pageSize="200",
        select="elements/id",
        sortBy='[["id","desc"]]',
    )
    assert made["mine"]["id"] in [element["id"] for element in response.json()["_embedded"]["elements"]]


@pytest.mark.alike
@pytest.mark.parametrize(
    "empty", [{"operator": "!*"}, {"operator": "!*", "values": None}, {"operator": "!*", "values": []}]
)
def test_operators_without_values_need_none(small: Small, empty: Document) -> None:
    world, _ = small
    assert world.subjects({"assignee": empty}) == without("mine", "hers")


def test_in_a_project_only_its_own_are_listed_unless_a_filter_names_another(small: Small) -> None:
    world, _ = small
    assert world.subjects(path="/projects/blog/work_packages") == ["blog"]
    assert world.subjects(path="/workspaces/blog/work_packages") == ["blog"]
    assert world.subjects(
        condition("project", "=", world.board.projects["blog"]), path="/projects/shop/work_packages"
    ) == ["blog"]
    assert refusal(world.query(path="/projects/vault/work_packages")) == NOT_FOUND


def test_an_outsider_gets_an_empty_list(small: Small) -> None:
    world, _ = small
    assert world.subjects(who="outsider") == []


@pytest.mark.parametrize(
    "name", ["id", "parent", "ancestor", "blocks", "blocked", "follows", "precedes", "requires", "required", "relates"]
)
@pytest.mark.alike
def test_an_id_that_is_missing_invisible_or_none_makes_the_query_wrong_even_beside_a_good_one(
    small: Small, name: str
) -> None:
    world, made = small
    secret = world.new("secret", who="admin", project="vault")
    for wrong in (9999999, secret["id"], "abc"):
        assert refusal(world.query(condition(name, "=", made["plain"]["id"], wrong))) == INVALID_QUERY
        assert refusal(world.query(condition(name, "!", wrong))) == INVALID_QUERY


@pytest.mark.alike
@pytest.mark.parametrize(
    "name", ["status", "type", "priority", "project", "assignee", "responsible", "author", "version"]
)
def test_so_does_a_status_type_person_or_project_that_does_not_exist(small: Small, name: str) -> None:
    world, _ = small
    assert refusal(world.query(condition(name, "=", 9999999))) == INVALID_QUERY


def test_so_do_an_invisible_project_and_an_invisible_person(small: Small) -> None:
    world, _ = small
    projects = world.board.projects
    assert refusal(world.query(condition("project", "=", projects["blog"], projects["vault"]))) == INVALID_QUERY
    assert refusal(world.query(condition("assignee", "=", world.board.users["outsider"]))) == INVALID_QUERY


@pytest.mark.alike
@pytest.mark.parametrize(
    ("name", "operator"),
    [
        ("assignee", "~"),
        ("status", "!*"),
        ("parent", "!*"),
        ("blocks", "*"),
        ("id", "!*"),
        ("ancestor", "*"),
        ("subject", "="),
        ("dueDate", "*"),
        ("author", "*"),
        ("type", "*"),
    ],
)
def test_an_operator_that_the_filter_lacks_makes_the_query_wrong(small: Small, name: str, operator: str) -> None:
    world, _ = small
    assert (
        refusal(world.query(condition("id", "!", small[1]["plain"]["id"]), condition(name, operator))) == INVALID_QUERY
    )


def test_an_empty_text_field_cannot_be_asked_for(small: Small) -> None:
    world, _ = small
    for wrong in (
        condition(world.board.pod, "!*"),
        condition(world.board.pod, "*"),
        condition(world.board.pod, "=", ""),
        condition(world.board.pod, "~", " "),
    ):
        assert refusal(world.query(wrong)) == INVALID_QUERY


def test_unknown_filters_values_that_are_missing_and_no_json_are_400(small: Small) -> None:
    world, _ = small
    for wrong in (
        condition("bogus", "=", "x"),
        condition("customField9999999", "=", "x"),
        condition("id", "="),
        condition("updatedAt", ">t-", "x"),
        condition("dueDate", "=d", "x"),
    ):
        assert refusal(world.query(wrong)) == INVALID_QUERY
    for text in ("nope", "", '[{"subject":{"operator":"~","values":["a\\ud800"]}}]'):
        assert refusal(world.get("/work_packages", filters=text)) == INVALID_QUERY


def test_several_wrong_filters_are_422(small: Small) -> None:
    world, _ = small
    response = world.query(condition("bogus", "=", "x"), condition("status", "=", 9999999))
    assert refusal(response) == (422, "MultipleErrors", None)
    assert len(response.json()["_embedded"]["errors"]) == 2


def test_a_nul_in_a_filter_is_500(small: Small) -> None:
    world, _ = small
    assert refusal(world.query(condition("description", "~", "a\0b")))[:2] == (500, "InternalServerError")
