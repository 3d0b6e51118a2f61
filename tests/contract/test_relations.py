"""Relations: direction, duplicates, circles, lists, invisible ends (reference section 8)."""

import json

import pytest

from support.boards import API
from support.contract_world import (
    INVALID_QUERY,
    NOT_FOUND,
    Document,
    World,
    condition,
    elements,
    refusal,
    refusals,
    self_href,
    violation,
)

CANONICAL = {
    "relates": ("relates", "relates"),
    "blocks": ("blocks", "blocked"),
    "follows": ("follows", "precedes"),
    "requires": ("requires", "required"),
    "duplicates": ("duplicates", "duplicated"),
    "includes": ("includes", "partof"),
}


def ends(relation: Document) -> tuple[str, str]:
    return relation["_links"]["from"]["href"], relation["_links"]["to"]["href"]


def involving(world: World, *items: Document, who: str = "agent", **query: str) -> list[Document]:
    filters = [condition("involved", "=", *(item["id"] for item in items))]
    return elements(world.get("/relations", who, filters=json.dumps(filters), **{"pageSize": "100", **query}))


@pytest.mark.parametrize(("kind", "reverse"), CANONICAL.values())
@pytest.mark.alike
def test_a_relation_is_kept_in_its_canonical_direction(world: World, kind: str, reverse: str) -> None:
    one, other = world.new("one"), world.new("other")
    relation = world.related(one, kind, other)
    assert (relation["_type"], relation["type"], relation["reverseType"]) == ("Relation", kind, reverse)
    assert ends(relation) == (self_href(one), self_href(other))
    assert relation["_links"]["from"]["title"] == one["subject"]
    assert ("lag" in relation) == (kind == "follows")


@pytest.mark.parametrize(("kind", "reverse"), [pair for pair in CANONICAL.values() if pair[0] != pair[1]])
@pytest.mark.alike
def test_the_reverse_type_is_turned_round(world: World, kind: str, reverse: str) -> None:
    one, other = world.new("one"), world.new("other")
    relation = world.related(one, reverse, other)
    assert (relation["type"], relation["reverseType"], ends(relation)) == (
        kind,
        reverse,
        (self_href(other), self_href(one)),
    )


def test_a_pair_is_related_once(world: World) -> None:
    one, other = world.new("one"), world.new("other")
    world.related(one, "blocks", other)
    for kind in ("blocks", "relates", "follows"):
        assert ("PropertyConstraintViolation", "to") in refusals(world.relate(one, kind, other))
        assert refusal(world.relate(other, kind, one))[:2] == (422, "PropertyConstraintViolation")
    assert len(involving(world, one)) == 1


@pytest.mark.parametrize("kind", ["blocks", "follows", "requires"])
@pytest.mark.alike
def test_circles_are_refused(world: World, kind: str) -> None:
    one, two, three = (world.new(name) for name in ("one", "two", "three"))
    world.related(one, kind, two)
    world.related(two, kind, three)
    assert refusal(world.relate(three, kind, one)) == violation("base")
    assert refusal(world.relate(one, kind, one)) == violation("base")


def test_a_circle_may_lead_over_a_child(world: World) -> None:
    parent, other = world.new("parent"), world.new("other")
    child = world.new("child", links=world.under(parent))
    world.related(other, "blocks", parent)
    assert refusal(world.relate(child, "blocks", other)) == violation("base")


def test_relates_may_go_in_a_circle(world: World) -> None:
    one, two, three = (world.new(name) for name in ("one", "two", "three"))
    for source, target in ((one, two), (two, three), (three, one)):
        world.related(source, "relates", target)


def test_ancestors_and_descendants_cannot_be_related(world: World) -> None:
    epic = world.new("epic", kind="Epic")
    story = world.new("story", kind="User story", links=world.under(epic))
    task = world.new("task", links=world.under(story))
    for kind in ("blocks", "requires", "follows"):
        for one, other in ((epic, task), (task, epic), (story, task)):
            assert refusal(world.relate(one, kind, other)) == violation("base")
    assert refusal(world.relate(task, "relates", story)) == violation("base")
    assert world.relate(task, "relates", epic).status_code == 201


def test_wrong_relations_are_refused(world: World) -> None:
    one, other = world.new("one"), world.new("other")
    assert refusal(world.relate(one, "bogus", other)) == violation("type")
    path = f"/work_packages/{one['id']}/relations"
    assert refusal(world.post(path, {"_links": {"to": {"href": self_href(other)}}})) == violation("type")
    assert refusal(world.post(path, {"type": "blocks"})) == violation("to")
    assert refusal(world.post(path, {"type": "blocks", "_links": {"to": world.link("users", "agent")}})) == (
        422,
        "ResourceTypeMismatch",
        None,
    )
    missing = world.post(path, {"type": "blocks", "_links": {"to": {"href": f"{API}/work_packages/9999999"}}})
    assert missing.status_code == 422
    assert refusal(world.relate(one, "follows", other, lag="x")) == violation("lag")


def test_without_edit_permission_it_is_422_and_nothing_is_made(world: World) -> None:
    one, other = world.new("one"), world.new("other")
    assert refusals(world.relate(one, "blocks", other, "reader")) == {
        ("PropertyConstraintViolation", "from"),
        ("PropertyConstraintViolation", "to"),
    }
    assert involving(world, one) == []


def test_the_list_is_newest_first_and_takes_several_ids(world: World) -> None:
    one, two, three = (world.new(name) for name in ("one", "two", "three"))
    first, second = world.related(one, "blocks", two), world.related(three, "requires", two)
    assert [relation["id"] for relation in involving(world, two)] == [second["id"], first["id"]]
    assert [relation["id"] for relation in involving(world, one, three)] == [second["id"], first["id"]]
    listed = involving(world, one)[0]
    assert "_embedded" not in listed
    assert listed["_links"]["to"] == {"href": self_href(two), "title": two["subject"]}


def test_the_list_is_filtered_by_end_and_type(world: World) -> None:
    one, two, three = (world.new(name) for name in ("one", "two", "three"))
    blocks, requires = world.related(one, "blocks", two), world.related(two, "requires", three)

    def found(*filters: Document) -> list[int]:
        return [relation["id"] for relation in elements(world.get("/relations", filters=json.dumps(filters)))]

    involved = condition("involved", "=", two["id"])
    assert found(condition("from", "=", two["id"])) == [requires["id"]]
    assert found(condition("to", "=", two["id"])) == [blocks["id"]]
    assert found(condition("id", "=", blocks["id"])) == [blocks["id"]]
    assert found(involved, condition("type", "=", "blocks")) == [blocks["id"]]
    assert found(involved, condition("type", "=", "blocks", "requires")) == [requires["id"], blocks["id"]]
    assert found(involved, condition("type", "!", "blocks")) == [requires["id"]]


def test_an_id_that_does_not_exist_finds_nothing(world: World) -> None:
    assert involving(world, {"id": 9999999}) == []


def test_unknown_filters_and_values_are_400(world: World) -> None:
    for wrong in (
        condition("bogus", "=", 1),
        condition("involved", "=", "abc"),
        condition("involved", "="),
        condition("type", "=", "bogus"),
    ):
        assert refusal(world.get("/relations", filters=json.dumps([wrong]))) == INVALID_QUERY


def test_the_list_is_paged(world: World) -> None:
    centre = world.new("centre")
    made = [world.related(world.new(str(number)), "blocks", centre)["id"] for number in range(3)]
    filters = json.dumps([condition("involved", "=", centre["id"])])
    page = world.get("/relations", filters=filters, pageSize="2", offset="2").json()
    assert (page["total"], page["count"], page["pageSize"], page["offset"]) == (3, 1, 2, 2)
    assert [relation["id"] for relation in page["_embedded"]["elements"]] == made[:1]
    assert "previousByOffset" in page["_links"]
    assert "nextByOffset" not in page["_links"]
    assert world.get("/relations", pageSize="5000").json()["pageSize"] == 1000


def test_one_with_an_invisible_end_is_left_out_of_every_list(world: World) -> None:
    seen = world.new("seen")
    secret = world.new("secret", who="admin", project="vault")
    response = world.relate(secret, "blocks", seen, "admin")
    assert response.status_code == 201
    assert involving(world, seen) == []
    assert len(involving(world, seen, who="admin")) == 1
    assert refusal(world.get(f"/relations/{response.json()['id']}")) == NOT_FOUND


def test_the_old_path_of_a_work_packages_relations_is_a_permanent_redirect(world: World) -> None:
    one, other = world.new("one"), world.new("other")
    relation = world.related(one, "blocks", other)
    response = world.get(f"/work_packages/{one['id']}/relations")
    assert response.status_code == 308
    assert response.headers["content-type"].startswith("text/plain")
    followed = world.board.client().get(world.board.url + response.headers["location"])
    assert [found["id"] for found in elements(followed)] == [relation["id"]]


def test_blocks_bumps_nothing_and_a_blocked_work_package_can_be_closed(world: World) -> None:
    one, other = world.new("one"), world.new("other")
    world.related(one, "blocks", other)
    assert [world.read(item)["lockVersion"] for item in (one, other)] == [0, 0]
    assert world.move(other, "Closed").status_code == 200


def test_a_first_predecessor_makes_its_successor_automatic_and_bumps_it_once(world: World) -> None:
    before, before_too, after = (world.new(name) for name in ("before", "before too", "after"))
    first, second = world.related(after, "follows", before), world.related(before_too, "precedes", after)
    assert [
        (item["lockVersion"], item["scheduleManually"]) for item in map(world.read, (before, before_too, after))
    ] == [(0, True), (0, True), (1, False)]
    delete = world.board.client().delete
    assert delete(f"/relations/{second['id']}").status_code == 204
    assert world.read(after)["lockVersion"] == 1
    assert delete(f"/relations/{first['id']}").status_code == 204
    assert (world.read(after)["lockVersion"], world.read(after)["scheduleManually"]) == (2, True)


def test_a_successor_is_moved_behind_its_predecessor_and_moves_with_it(world: World) -> None:
    before = world.new("before", startDate="2026-12-01", dueDate="2026-12-02")
    after = world.new("after", startDate="2026-12-01", dueDate="2026-12-02")
    world.related(after, "follows", before)
    moved = world.read(after)
    assert (moved["startDate"], moved["dueDate"], moved["lockVersion"]) == ("2026-12-03", "2026-12-04", 1)
    world.changed(before, {"dueDate": "2026-12-09"})
    moved = world.read(after)
    assert (moved["startDate"], moved["dueDate"], moved["lockVersion"]) == ("2026-12-10", "2026-12-11", 2)


def test_a_relation_is_read_and_deleted_by_its_id(world: World) -> None:
    one, other = world.new("one"), world.new("other")
    path = f"/relations/{world.related(one, 'blocks', other)['id']}"
    read = world.get(path).json()
    assert (read["type"], read["_embedded"]["from"]["id"], read["_embedded"]["to"]["id"]) == (
        "blocks",
        one["id"],
        other["id"],
    )
    assert refusal(world.board.client("outsider").delete(path)) == NOT_FOUND
    assert refusal(world.board.client("reader").delete(path)) == violation("base")
    assert world.board.client().delete(path).status_code == 204
    assert refusal(world.get(path)) == NOT_FOUND


def test_deleting_a_work_package_deletes_its_relations(world: World) -> None:
    one, other = world.new("one"), world.new("other")
    world.related(one, "blocks", other)
    world.board.client("admin").delete(f"/work_packages/{one['id']}")
    assert involving(world, other) == []
