"""Filters that look for words in several places, and those for what a work package is like."""

import pytest

from support.contract_world import World, condition, refusal


@pytest.fixture
def searched(world: World) -> World:
    world.new("alpha", description={"raw": f"{world.word} needle"})
    item = world.new("beta")
    world.comment(item, "a needle and thread")
    world.new("gamma needle")
    return world


def test_search_looks_into_subject_description_and_comments(searched: World) -> None:
    assert searched.subjects(condition("search", "**", "needle")) == ["alpha", "beta", "gamma needle"]
    assert searched.subjects(condition("search", "**", "NEEDLE thread")) == ["beta"]


def test_comment_looks_into_comments_alone(searched: World) -> None:
    assert searched.subjects(condition("comment", "~", "needle")) == ["beta"]
    assert searched.subjects(condition("comment", "!~", "needle")) == ["alpha", "gamma needle"]


def test_subject_or_id(searched: World) -> None:
    [item] = searched.query(condition("subject", "~", f"{searched.word} beta")).json()["_embedded"]["elements"]
    assert searched.subjects(condition("subjectOrId", "**", item["id"])) == ["beta"]
    assert searched.subjects(condition("subjectOrId", "**", "gamma")) == ["gamma needle"]


def test_typeahead_looks_at_names_too(searched: World) -> None:
    searched.new("delta", kind="Bug")
    assert searched.subjects(condition("typeahead", "**", f"{searched.word} bug")) == ["delta"]
    assert searched.subjects(condition("typeahead", "**", "gamma shop")) == ["gamma needle"]
    assert searched.subjects(condition("typeahead", "**", "beta open")) == ["beta"]


def test_milestones(world: World) -> None:
    world.new("task")
    world.new("stone", kind="Milestone")
    assert world.subjects(condition("isMilestone", "=", "t")) == ["stone"]
    assert world.subjects(condition("isMilestone", "=", "f")) == ["task"]
    assert world.subjects(condition("isMilestone", "!", "t")) == ["task"]


def test_assignee_or_group(world: World) -> None:
    world.new("mine", links={"assignee": {"href": world.href("users", "agent")}})
    world.new("free")
    assert world.subjects(condition("assigneeOrGroup", "=", "me")) == ["mine"]
    assert world.subjects({"assigneeOrGroup": {"operator": "!*", "values": []}}) == ["free"]


def test_dates_that_overlap_an_interval(world: World) -> None:
    world.new("before", startDate="2026-11-02", dueDate="2026-11-04")
    world.new("across", startDate="2026-11-02", dueDate="2026-11-20")
    world.new("inside", startDate="2026-11-10", dueDate="2026-11-11")
    found = world.subjects(condition("datesInterval", "<>d", "2026-11-09", "2026-11-13"))
    assert found == ["across", "inside"]


def test_duration(world: World) -> None:
    world.new("long", startDate="2026-11-02", dueDate="2026-11-06")
    world.new("short", startDate="2026-11-02", dueDate="2026-11-02")
    world.new("open")
    assert world.subjects(condition("duration", ">=", "3")) == ["long"]
    assert world.subjects(condition("duration", "=", "1")) == ["short"]
    assert world.subjects({"duration": {"operator": "!*", "values": []}}) == ["open"]


def test_relatable(world: World) -> None:
    top = world.new("top")
    child = world.new("child", links=world.under(top))
    free = world.new("free")
    assert world.relate(child, "relates", free).status_code == 201
    other = world.new("other")
    assert world.subjects(condition("relatable", "follows", other["id"])) == ["top", "child", "free"]
    assert world.subjects(condition("relatable", "blocks", child["id"])) == ["other"]


@pytest.mark.alike
@pytest.mark.parametrize(
    "wrong",
    [
        condition("search", "~", "x"),
        condition("isMilestone", "=", "x"),
        condition("percentageDone", "=", "x"),
        condition("comment", "=", "x"),
    ],
)
def test_wrong_operators_and_values(world: World, wrong: dict[str, object]) -> None:
    assert refusal(world.query(wrong))[:2] == (400, "InvalidQuery")
