"""Comments, activities and how they merge (reference section 7)."""

import json
from typing import Any

import pytest

from agent.board import wire
from agent.texts import trail
from support.boards import API
from support.contract_world import BAD_REQUEST, FORBIDDEN, NOT_FOUND, Document, World, refusal, violation


def told(activities: list[Document]) -> list[tuple[int, str]]:
    return [(activity["version"], activity["comment"]["raw"]) for activity in activities]


def post(world: World, item: Document, body: object, who: str = "agent") -> tuple[int, str, str | None]:
    return refusal(world.post(f"/work_packages/{item['id']}/activities", body, who))


def test_a_creation_is_activity_1_and_says_what_was_set(world: World) -> None:
    [activity] = world.activities(world.new("x", **{world.board.pod: "pod-a"}))
    assert (activity["_type"], activity["version"], activity["comment"]["raw"]) == ("Activity", 1, "")
    said = [detail["raw"] for detail in activity["details"]]
    assert {
        f"Subject set to {world.word} x",
        "Status set to New",
        "Agent pod set to pod-a",
        "Scheduling mode set to Manual",
    } <= set(said)


def test_the_first_own_comment_after_a_creation_merges_into_activity_1(world: World) -> None:
    item = world.new()
    comment = world.comment(item, "one")
    assert (comment["_type"], comment["version"], comment["comment"]["raw"]) == ("Activity::Comment", 1, "one")
    assert [activity["id"] for activity in world.activities(item)] == [comment["id"]]
    assert comment["createdAt"] == item["createdAt"] <= comment["updatedAt"]


def test_two_comments_never_merge_and_a_later_own_change_merges_into_the_last_one(world: World) -> None:
    item = world.new()
    for text in ("one", "two"):
        world.comment(item, text)
    changed = world.changed(item, {"subject": f"{world.word} x"})
    assert told(world.activities(item)) == [(1, "one"), (2, "two")]
    assert [detail["raw"] for detail in world.activities(item)[1]["details"]] == [
        f"Subject changed from {world.word} to {world.word} x"
    ]
    assert changed["lockVersion"] == 1


def test_what_others_do_never_merges(world: World) -> None:
    item = world.new()
    world.comment(item, "please use **blue**", "human")
    world.changed(item, {"subject": f"{world.word} x"})
    world.comment(item, "done")
    activities = world.activities(item)
    assert told(activities) == [(1, ""), (2, "please use **blue**"), (3, "done")]
    authors = [world.href("users", who) for who in ("agent", "human", "agent")]
    assert [activity["_links"]["user"] for activity in activities] == [{"href": author} for author in authors]


def test_activities_come_whole_and_oldest_first(world: World) -> None:
    item = world.new()
    for number in range(4):
        world.comment(item, str(number))
    document = world.get(f"/work_packages/{item['id']}/activities", pageSize="1", offset="2").json()
    assert (document["_type"], document["total"], document["count"]) == ("Collection", 4, 4)
    assert told(document["_embedded"]["elements"]) == [(1, "0"), (2, "1"), (3, "2"), (4, "3")]


@pytest.mark.parametrize("reader", ["agent", "deutsch"])
def test_who_closed_it_and_who_wrote_its_text_is_told_in_any_language(world: World, reader: str) -> None:
    """What the fleet goes by where it asks whose word counts (T13): values of statuses, the link of a text."""
    item = world.new(kind="Spike", description={"raw": "one"})
    item = world.changed(item, {"description": {"raw": "two <i>Closed</i>"}}, "human")
    item = world.changed(item, {"_links": {"status": world.link("statuses", "Closed")}}, "agent2")
    item = world.changed(item, {"_links": {"status": world.link("statuses", "New")}})
    item = world.changed(item, {"_links": {"status": world.link("statuses", "Closed")}}, "human")
    item = world.changed(item, {"subject": "<i>New</i> <i>Closed</i>"}, "agent2")
    journal = [wire.activity(one) for one in world.activities(item, reader)]
    end = trail.closing(journal, world.board.statuses, {"Closed", "Rejected"}, lambda _: True)
    assert end is not None
    assert end.user == world.board.users["human"]
    assert trail.writers(journal, item["subject"]) == {world.board.users["human"], world.board.users["agent2"]}


@pytest.mark.parametrize("reader", ["deutsch", "agent"])
@pytest.mark.alike
def test_a_file_or_a_field_with_a_telling_name_closes_nothing_moves_nothing_and_writes_nothing(
    world: World, reader: str
) -> None:
    """T13: an integration left it, and the person who put it right was taken for who closed, moved or wrote."""
    users, parent = world.board.users, world.new("above")
    item = world.new(kind="Spike", who="agent")
    named = f"{world.word} /diff/description"
    left = [attached(world, item, name) for name in ("Closed", "Spike", parent["subject"])]
    item = world.changed(world.read(item), {"description": {"raw": "theirs"}, "subject": named}, "agent2")
    item = world.changed(item, {world.board.pod: named}, "agent2")
    item = world.changed(item, {"_links": {"parent": {"href": f"{API}/work_packages/{parent['id']}"}}}, "agent2")
    item = world.changed(item, {"_links": {"status": world.link("statuses", "Closed")}}, "agent2")
    world.changed(item, {world.board.pod: None}, "human")
    for one in left:
        assert world.board.client("human").delete(f"/attachments/{one}").status_code == 204
    journal = [wire.activity(one) for one in world.activities(item, reader)]
    end = trail.closing(journal, world.board.statuses, {"Closed", "Rejected"}, lambda _: True)
    assert end is not None
    assert end.user == users["agent2"]
    assert trail.writers(journal, named) == {users["agent2"]}
    assert trail.placed_by(journal, parent["subject"], {"Spike"}) == {users["agent2"]}


def attached(world: World, item: Document, name: str) -> int:
    """A file of this name, which an integration left."""
    files: dict[str, Any] = {
        "metadata": (None, json.dumps({"fileName": name}), "application/json"),
        "file": (name, b"x", "text/plain"),
    }
    made = world.board.client("agent2").post(f"/work_packages/{item['id']}/attachments", files=files)
    assert made.status_code == 201, made.text
    return int(made.json()["id"])


def test_a_change_that_is_taken_back_within_one_activity_leaves_a_comment_that_nobody_wrote(world: World) -> None:
    item = world.new(who="human")
    claimed = world.changed(item, {world.board.run: "t @", "_links": {"status": world.link("statuses", "In progress")}})
    world.changed(claimed, {world.board.run: None, "_links": {"status": world.link("statuses", "New")}})
    last = world.activities(item)[-1]
    assert (last["_type"], last["comment"]["raw"], last["details"]) == (
        "Activity::Comment",
        "_The changes were retracted._",
        [],
    )


def test_an_html_comment_stays_in_raw_and_is_left_out_of_html(world: World) -> None:
    raw = "Claimed by pod `pod-a`\n\n<!-- agent run=1 event=claimed -->"
    comment = world.comment(world.new(), raw)["comment"]
    assert (comment["format"], comment["raw"]) == ("markdown", raw)
    assert "event=claimed" not in comment["html"]
    description = world.new(description={"raw": raw})["description"]
    assert description["raw"] == raw
    assert "event=claimed" not in description["html"]


def test_text_is_kept_as_it_is(world: World) -> None:
    for raw in (
        " padded \n",
        "a\r\nb",
        "<script>alert(1)</script> </work_package> #1 @human",
        "ünï\N{GRINNING FACE}",
        "x" * 200_000,
    ):
        assert world.comment(world.new(), raw)["comment"]["raw"] == raw


@pytest.mark.parametrize("comment", ["x", ["x"]])
def test_a_comment_is_posted_as_an_object(world: World, comment: object) -> None:
    assert post(world, world.new(), {"comment": comment}) == BAD_REQUEST
    assert post(world, world.new(), {}) == BAD_REQUEST


@pytest.mark.alike
@pytest.mark.parametrize("raw", ["", "  \n", None])
def test_a_blank_comment_is_refused(world: World, raw: str | None) -> None:
    item = world.new()
    assert post(world, item, {"comment": {"raw": raw}}) == violation("journalNotes")
    assert told(world.activities(item)) == [(1, "")]


def test_an_internal_comment_is_refused(world: World) -> None:
    assert post(world, world.new(), {"comment": {"raw": "x"}, "internal": True})[0] == 422


def test_readers_may_comment_and_outsiders_see_nothing(world: World) -> None:
    item = world.new()
    assert world.comment(item, "hm", "reader")["version"] == 2
    assert post(world, item, {"comment": {"raw": "x"}}, "outsider") == NOT_FOUND


def test_the_own_comment_is_edited_with_a_plain_string(world: World) -> None:
    item = world.new()
    comment = world.comment(item, "one")
    response = world.board.client().patch(f"/activities/{comment['id']}", json={"comment": "edited"})
    assert (response.status_code, response.json()["comment"]["raw"]) == (200, "edited")
    assert told(world.activities(item)) == [(1, "edited")]
    assert world.read(item)["lockVersion"] == 0


def test_an_edit_with_an_object_or_of_someone_elses_comment_is_refused(world: World) -> None:
    item = world.new()
    comment = world.comment(item, "one")
    path = f"/activities/{comment['id']}"
    assert refusal(world.board.client().patch(path, json={"comment": {"raw": "x"}})) == BAD_REQUEST
    assert refusal(world.board.client().patch(path, json={})) == BAD_REQUEST
    assert refusal(world.board.client("agent2").patch(path, json={"comment": "x"})) == FORBIDDEN
    assert refusal(world.board.client("outsider").patch(path, json={"comment": "x"})) == NOT_FOUND
    assert told(world.activities(item)) == [(1, "one")]


def test_one_activity_is_read_by_its_id(world: World) -> None:
    item = world.new()
    comment = world.comment(item, "one")
    read = world.get(f"/activities/{comment['id']}").json()
    assert (read["comment"], read["_embedded"]["workPackage"]["id"]) == (comment["comment"], item["id"])
    assert refusal(world.get(f"/activities/{comment['id']}", "outsider")) == NOT_FOUND
    assert refusal(world.get("/activities/0")) == NOT_FOUND
