"""lockVersion: what is refused, what bumps it and what does not; the order of refusals (reference sections 1.4, 5.1 to 5.4)."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.boards import API
from support.contract_world import CONFLICT, FORBIDDEN, JSON, NOT_FOUND, World, refusal, refusals, violation


@pytest.mark.parametrize(
    "body",
    [{"subject": "x"}, {"lockVersion": None}, {"lockVersion": 99}, {"lockVersion": "abc"}, {"lockVersion": True}, []],
)
@pytest.mark.alike
def test_without_the_present_lock_version_it_is_a_conflict(world: World, body: object) -> None:
    item = world.new()
    response = world.board.client().patch(f"/work_packages/{item['id']}", json=body)
    assert refusal(response) == CONFLICT


@pytest.mark.parametrize("version", [0, "0", 0.0])
@pytest.mark.alike
def test_a_number_written_as_text_counts_as_the_number(world: World, version: object) -> None:
    assert world.patch(world.new(), {"lockVersion": version, "subject": "x"}).status_code == 200


def test_an_empty_body_changes_nothing(world: World) -> None:
    item = world.new()
    response = world.board.client().patch(f"/work_packages/{item['id']}", content=b"", headers=JSON)
    assert (response.status_code, response.json()) == (200, item)


def test_an_update_that_changes_nothing_bumps_nothing(world: World) -> None:
    item = world.new(**{world.board.run: "one"})
    same = world.changed(
        item, {"subject": item["subject"], world.board.run: "one", "_links": {"assignee": {"href": None}}}
    )
    assert same == item
    assert len(world.activities(item)) == 1


def test_each_real_change_bumps_by_one_and_moves_updated_at(world: World) -> None:
    item = world.new()
    only_field = world.changed(item, {world.board.run: "one"})
    only_text = world.changed(only_field, {"description": {"raw": "text"}})
    assert [item["lockVersion"], only_field["lockVersion"], only_text["lockVersion"]] == [0, 1, 2]
    assert item["updatedAt"] < only_field["updatedAt"] < only_text["updatedAt"]
    assert only_text["createdAt"] == item["createdAt"]
    assert world.read(item) == only_text


def test_a_claim_is_one_update_and_the_second_one_with_that_lock_version_conflicts(world: World) -> None:
    item = world.new()
    claims = [
        {
            "lockVersion": 0,
            world.board.pod: f"pod-{who}",
            world.board.run: f"token of {who} @ now",
            "_links": {"status": world.link("statuses", "In progress"), "assignee": world.link("users", who)},
        }
        for who in ("agent", "agent2")
    ]
    won, lost = world.patch(item, claims[0], "agent"), world.patch(item, claims[1], "agent2")
    assert won.json()[world.board.run] == "token of agent @ now"
    assert (won.json()["_links"]["status"]["title"], won.json()["_links"]["assignee"]["href"]) == (
        "In progress",
        world.href("users", "agent"),
    )
    assert refusal(lost) == CONFLICT
    assert world.read(item) == won.json()


def test_of_simultaneous_claims_exactly_one_wins(world: World) -> None:
    item = world.new()
    clients = [world.board.client(who) for who in ("agent", "agent2", "human", "deutsch")]

    def claim(number: int) -> int:
        body = {"lockVersion": 0, world.board.run: f"{number} @"}
        return clients[number].patch(f"/work_packages/{item['id']}", json=body).status_code

    with ThreadPoolExecutor(len(clients)) as pool:
        assert sorted(pool.map(claim, range(len(clients)))) == [200, 409, 409, 409]
    assert world.read(item)["lockVersion"] == 1


def test_a_release_empties_fields_and_links(world: World) -> None:
    item = world.new(
        links={"assignee": world.link("users", "agent")}, **{world.board.pod: "pod-a", world.board.run: "t @"}
    )
    released = world.changed(item, {world.board.pod: None, world.board.run: "", "_links": {"assignee": {"href": None}}})
    assert (released[world.board.pod], released[world.board.run], released["_links"]["assignee"]) == (
        None,
        "",
        {"href": None},
    )


def test_fields_keep_their_spaces_and_newlines(world: World) -> None:
    assert world.changed(world.new(), {world.board.pod: "  a\nb  "})[world.board.pod] == "  a\nb  "


def test_a_comment_moves_updated_at_and_not_the_lock_version(world: World) -> None:
    item = world.new()
    time.sleep(0.01)
    world.comment(item, "hello")
    after = world.read(item)
    assert after["lockVersion"] == 0
    assert after["updatedAt"] > item["updatedAt"]
    assert world.patch(item, {"subject": "still valid"}).status_code == 200


@pytest.mark.parametrize("name", ["createdAt", "updatedAt"])
def test_read_only_properties_are_refused_even_with_their_present_value(world: World, name: str) -> None:
    item = world.new()
    assert refusal(world.patch(item, {name: item[name]})) == (422, "PropertyIsReadOnly", name)


def test_the_author_may_be_repeated_and_not_changed(world: World) -> None:
    item = world.new()
    assert world.changed(item, {"_links": {"author": world.link("users", "agent")}}) == item
    assert refusal(world.patch(item, {"_links": {"author": world.link("users", "human")}})) == (
        422,
        "PropertyIsReadOnly",
        "author",
    )


def test_the_id_may_be_repeated_and_another_one_is_404(world: World) -> None:
    item = world.new()
    assert world.changed(item, {"id": item["id"]}) == item
    assert refusal(world.patch(item, {"id": 9999999})) == NOT_FOUND
    assert refusal(world.patch(item, {"id": world.new()["id"]})) == (422, "PropertyIsReadOnly", "id")


def test_unknown_properties_links_and_fields_are_ignored(world: World) -> None:
    item = world.new()
    ignored = {
        "nonsense": 1,
        "customField9999999": "x",
        "derivedDueDate": None,
        "_links": {"foo": {"href": "x"}, "status": {}, "children": []},
    }
    assert world.changed(item, ignored) == item


def test_wrong_values_are_refused(world: World) -> None:
    item = world.new()
    assert refusal(world.patch(item, {"subject": " "})) == violation("subject")
    assert refusal(world.patch(item, {"subject": "x" * 256})) == violation("subject")
    assert refusal(world.patch(item, {"dueDate": "soon"})) == (422, "PropertyFormatError", "dueDate")
    for name, kind in (("status", "statuses"), ("priority", "priorities")):
        assert refusal(world.patch(item, {"_links": {name: {"href": f"{API}/{kind}/9999999"}}})) == violation(name)
        assert refusal(world.patch(item, {"_links": {name: {"href": None}}})) == violation(name)
        assert refusal(world.patch(item, {"_links": {name: world.link("types", "Task")}})) == (
            422,
            "ResourceTypeMismatch",
            None,
        )
    for login in ("outsider", "reader"):
        assert refusal(world.patch(item, {"_links": {"assignee": world.link("users", login)}})) == violation("assignee")
    assert refusal(world.patch(item, {"_links": {"version": {"href": f"{API}/versions/9999999"}}})) == violation(
        "version"
    )
    assert world.read(item) == item


def test_several_wrong_values_come_together(world: World) -> None:
    links = {"status": world.link("statuses", "Tested"), "assignee": world.link("users", "outsider")}
    wrong = refusals(world.patch(world.new(), {"createdAt": "x", "_links": links}))
    violations = {("PropertyConstraintViolation", "status"), ("PropertyConstraintViolation", "assignee")}
    assert wrong == {("PropertyIsReadOnly", "createdAt"), *violations}


def test_missing_comes_before_malformed_before_forbidden_before_stale_before_invalid(world: World) -> None:
    item = world.new()
    malformed, stale, invalid = {"dueDate": "soon"}, {"lockVersion": 9}, {"createdAt": "x", "subject": ""}
    assert refusal(world.patch(item, {**malformed, **stale, **invalid}, "outsider")) == NOT_FOUND
    assert refusal(world.patch(item, {**malformed, **stale, **invalid}, "reader")) == (
        422,
        "PropertyFormatError",
        "dueDate",
    )
    assert refusal(world.patch(item, {**stale, **invalid}, "reader")) == FORBIDDEN
    assert refusal(world.patch(item, {}, "reader")) == FORBIDDEN
    assert refusal(world.patch(item, {**stale, **invalid})) == CONFLICT
    assert refusal(world.patch(item, invalid)) == (422, "MultipleErrors", None)


def test_the_invisible_is_404_for_reading_writing_and_commenting(world: World) -> None:
    item = world.new()
    client = world.board.client("outsider")
    path = f"/work_packages/{item['id']}"
    assert refusal(client.get(path)) == NOT_FOUND
    assert refusal(client.patch(path, json={"lockVersion": 0})) == NOT_FOUND
    assert refusal(client.delete(path)) == NOT_FOUND
    assert refusal(client.get(f"{path}/activities")) == NOT_FOUND
    assert refusal(client.post(f"{path}/activities", json={"comment": {"raw": "x"}})) == NOT_FOUND
    assert refusal(client.post(f"{path}/relations", json={"type": "relates"})) == NOT_FOUND
    assert refusal(client.post(f"{path}/form", json={"lockVersion": 0})) == NOT_FOUND


def test_moving_to_another_project(world: World) -> None:
    item = world.new()
    moved = world.changed(item, {"_links": {"project": world.link("projects", "blog")}})
    assert (moved["_links"]["project"]["title"], moved["lockVersion"]) == ("Blog", 1)
    vault = world.patch(moved, {"_links": {"project": world.link("projects", "vault")}})
    assert refusal(vault) == (422, "PropertyIsReadOnly", "project")


def test_deleting_is_forbidden_to_members_and_done_for_administrators(world: World) -> None:
    item = world.new()
    path = f"/work_packages/{item['id']}"
    assert refusal(world.board.client().delete(path)) == FORBIDDEN
    assert world.board.client("admin").delete(path).status_code == 204
    assert refusal(world.get(path)) == NOT_FOUND
