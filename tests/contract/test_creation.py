"""Creating work packages: defaults, what is ignored, what is refused (reference section 4)."""

import pytest

from support.boards import API
from support.contract_world import FORBIDDEN, NOT_FOUND, World, refusal, refusals, self_href, violation


def test_a_subject_is_enough(world: World) -> None:
    response = world.create({"subject": world.word})
    assert response.status_code == 201
    item, links = response.json(), response.json()["_links"]
    assert (item["lockVersion"], item["subject"], item["scheduleManually"], item["displayId"]) == (
        0,
        world.word,
        True,
        str(item["id"]),
    )
    assert item["description"] == {"format": "markdown", "raw": "", "html": ""}
    assert (item[world.board.pod], item[world.board.run], item["startDate"], item["dueDate"]) == (
        None,
        None,
        None,
        None,
    )
    assert [links[name]["title"] for name in ("type", "status", "priority", "project")] == [
        "Task",
        "New",
        "Normal",
        "Web shop",
    ]
    assert links["author"]["href"] == world.href("users", "agent")
    assert (links["assignee"], links["responsible"], links["version"], links["parent"]) == ({"href": None},) * 4
    assert links["ancestors"] == []
    assert "children" not in links
    assert item["createdAt"] == item["updatedAt"]


def test_it_reads_as_it_was_answered_and_a_list_leaves_out_what_single_answers_embed(world: World) -> None:
    item = world.new("whole", description={"raw": "Some *text*"})
    assert world.read(item) == item
    [element] = world.query().json()["_embedded"]["elements"]
    assert "_embedded" not in element
    assert element == {key: value for key, value in item.items() if key != "_embedded"}


def test_everything_that_can_be_set_is_set(world: World) -> None:
    links = {
        "assignee": world.link("users", "human"),
        "responsible": world.link("users", "agent2"),
        "priority": world.link("priorities", "High"),
        "status": world.link("statuses", "In progress"),
    }
    item = world.new(
        "full", kind="Bug", links=links, dueDate="2026-12-10", startDate="2026-12-01", **{world.board.pod: "pod-a"}
    )
    assert {name: item["_links"][name]["href"] for name in links} == {
        name: link["href"] for name, link in links.items()
    }
    assert (item["startDate"], item["dueDate"], item["duration"], item[world.board.pod]) == (
        "2026-12-01",
        "2026-12-10",
        "P8D",
        "pod-a",
    )


def test_the_project_may_come_from_the_path_or_from_a_link(world: World) -> None:
    link = {"_links": {"project": world.link("projects", "blog")}, "subject": world.word}
    assert world.post("/work_packages", link).json()["_links"]["project"]["title"] == "Blog"
    assert (
        world.post("/workspaces/blog/work_packages", {"subject": world.word}).json()["_links"]["project"]["title"]
        == "Blog"
    )


def test_without_a_project_both_project_and_type_are_missing(world: World) -> None:
    wrong = refusals(world.post("/work_packages", {"subject": world.word}))
    assert wrong == {("PropertyConstraintViolation", "project"), ("PropertyConstraintViolation", "type")}


@pytest.mark.alike
@pytest.mark.parametrize("body", [{}, {"subject": ""}, {"subject": "  "}, {"subject": None}, []])
def test_a_subject_must_not_be_blank(world: World, body: object) -> None:
    assert refusal(world.create(body)) == violation("subject")


def test_a_subject_has_at_most_255_characters(world: World) -> None:
    assert world.create({"subject": "x" * 255}).status_code == 201
    assert refusal(world.create({"subject": "x" * 256})) == violation("subject")


def test_a_subject_keeps_newlines_tabs_and_spaces(world: World) -> None:
    subject = f"  {world.word} a\nb\tc "
    assert world.create({"subject": subject}).json()["subject"] == subject


@pytest.mark.alike
@pytest.mark.parametrize(("name", "kind"), [("type", "types"), ("status", "statuses"), ("priority", "priorities")])
def test_one_that_does_not_exist_is_replaced_by_the_default_without_a_word(world: World, name: str, kind: str) -> None:
    response = world.create({"subject": world.word, "_links": {name: {"href": f"{API}/{kind}/9999999"}}})
    assert response.status_code == 201
    assert response.json()["_links"][name]["title"] == {"type": "Task", "status": "New", "priority": "Normal"}[name]


def test_a_status_of_the_types_workflow_is_taken_and_another_one_is_replaced_without_a_word(world: World) -> None:
    closed, tested = (world.new(links={"status": world.link("statuses", name)}) for name in ("Closed", "Tested"))
    assert closed["_links"]["status"]["title"] == "Closed"
    assert tested["_links"]["status"]["title"] == "New"


def test_a_description_given_as_a_string_is_ignored(world: World) -> None:
    assert world.new(description="text")["description"]["raw"] == ""


def test_unknown_properties_and_fields_are_ignored(world: World) -> None:
    item = world.new(nonsense=1, customField9999999="x")
    assert "nonsense" not in item
    assert "customField9999999" not in item


def test_absolute_links_are_accepted(world: World) -> None:
    kind = {"href": world.board.url + world.href("types", "Bug")}
    assert world.new(links={"type": kind})["_links"]["type"]["title"] == "Bug"


def test_a_link_of_the_wrong_kind_and_one_that_is_no_object_are_refused(world: World) -> None:
    wrong = world.create({"subject": world.word, "_links": {"type": world.link("users", "agent")}})
    assert refusal(wrong) == (422, "ResourceTypeMismatch", None)
    text = world.create({"subject": world.word, "_links": {"status": world.href("statuses", "New")}})
    assert refusal(text) == (400, "BadRequest", None)
    assert refusal(world.create({"subject": world.word, "_links": []})) == (400, "BadRequest", None)


@pytest.mark.alike
@pytest.mark.parametrize(("name", "value"), [("lockVersion", 1), ("id", 5), ("createdAt", "2026-01-01T00:00:00Z")])
def test_read_only_properties_are_refused(world: World, name: str, value: object) -> None:
    assert refusal(world.create({"subject": world.word, name: value})) == (422, "PropertyIsReadOnly", name)


def test_lock_version_0_is_no_fault(world: World) -> None:
    assert world.create({"subject": world.word, "lockVersion": 0}).status_code == 201


def test_only_possible_assignees_are_taken(world: World) -> None:
    for login in ("outsider", "reader", "admin"):
        for name in ("assignee", "responsible"):
            body = {"subject": world.word, "_links": {name: world.link("users", login)}}
            assert refusal(world.create(body)) == violation(name), login


def test_several_faults_come_together(world: World) -> None:
    wrong = world.create({"subject": "", "_links": {"assignee": world.link("users", "outsider")}})
    assert refusals(wrong) == {("PropertyConstraintViolation", "subject"), ("PropertyConstraintViolation", "assignee")}


def test_a_parent_must_exist_be_visible_and_be_no_milestone(world: World) -> None:
    hidden = world.new(who="admin", project="vault")
    milestone = world.new(kind="Milestone")
    for href in (f"{API}/work_packages/9999999", self_href(hidden), self_href(milestone)):
        assert refusal(world.create({"subject": world.word, "_links": {"parent": {"href": href}}})) == violation(
            "parent"
        )


def test_a_parent_may_be_in_another_project(world: World) -> None:
    parent = world.new("parent")
    child = world.new("child", project="blog", links=world.under(parent))
    assert child["_links"]["parent"] == {
        "href": self_href(parent),
        "title": parent["subject"],
        "displayId": str(parent["id"]),
    }


def test_a_milestone_has_one_date(world: World) -> None:
    milestone = world.new(kind="Milestone", date="2026-12-10")
    assert milestone["date"] == "2026-12-10"
    assert "dueDate" not in milestone
    assert "startDate" not in milestone


def test_dates_are_checked_and_moved_off_the_weekend(world: World) -> None:
    wrong = world.create({"subject": world.word, "dueDate": "2026-13-01"})
    assert refusal(wrong) == (422, "PropertyFormatError", "dueDate")
    turned = world.create({"subject": world.word, "startDate": "2026-12-10", "dueDate": "2026-12-01"})
    assert ("PropertyConstraintViolation", "dueDate") in refusals(turned)
    assert world.new(dueDate="2026-12-05")["dueDate"] == "2026-12-07"


def test_a_reader_may_not_and_an_outsider_sees_no_project(world: World) -> None:
    body = {"subject": world.word}
    assert refusal(world.create(body, who="reader")) == FORBIDDEN
    assert refusal(world.create(body, who="outsider")) == NOT_FOUND
    assert refusal(world.create(body, project="vault")) == NOT_FOUND
    by_link = {**body, "_links": {"project": world.link("projects", "vault")}}
    assert refusal(world.post("/work_packages", by_link)) == FORBIDDEN


def test_links_say_what_the_caller_may_do(world: World) -> None:
    item = world.new()
    mine, theirs = item["_links"], world.read(item, "reader")["_links"]
    assert {"update", "updateImmediately", "addRelation", "addChild", "addComment"} <= mine.keys()
    assert "delete" not in mine
    assert "addComment" in theirs
    assert not {"update", "updateImmediately", "delete", "addRelation", "addChild"} & theirs.keys()
    assert "delete" in world.read(item, "admin")["_links"]
