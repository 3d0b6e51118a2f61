"""Who watches: the author from the start, others as they are added (reference section 7.4)."""

from support.contract_world import FORBIDDEN, NOT_FOUND, World, elements, refusal


def names(world: World, path: str, who: str = "agent") -> list[str]:
    return sorted(one["name"] for one in elements(world.get(path, who)))


def test_the_author_watches_and_others_are_added_and_removed(world: World) -> None:
    item = world.new()
    path = f"/work_packages/{item['id']}/watchers"
    assert names(world, path) == ["Coding Agent"]
    body = {"user": {"href": world.href("users", "human")}}
    added = world.post(path, body)
    assert (added.status_code, added.json()["name"]) == (201, "Hanna Human")
    assert world.post(path, body).status_code == 200
    assert names(world, path) == ["Coding Agent", "Hanna Human"]
    removed = world.board.client().delete(f"{path}/{world.board.users['human']}")
    assert removed.status_code == 204
    assert names(world, path) == ["Coding Agent"]
    assert world.board.client().delete(f"{path}/{world.board.users['human']}").status_code == 204


def test_watching_moves_neither_lock_version_nor_updated_at(world: World) -> None:
    item = world.new()
    world.post(f"/work_packages/{item['id']}/watchers", {"user": {"href": world.href("users", "human")}})
    after = world.read(item)
    assert (after["lockVersion"], after["updatedAt"]) == (item["lockVersion"], item["updatedAt"])


def test_a_reader_may_watch_but_not_see_or_add_watchers(world: World) -> None:
    item = world.new()
    path = f"/work_packages/{item['id']}/watchers"
    assert refusal(world.get(path, "reader")) == FORBIDDEN
    assert refusal(world.post(path, {"user": {"href": world.href("users", "human")}}, "reader")) == FORBIDDEN
    assert world.post(path, {"user": {"href": world.href("users", "reader")}}, "reader").status_code == 201
    assert refusal(world.get(path, "outsider")) == NOT_FOUND


def test_the_filter_for_watchers(world: World) -> None:
    mine, hers = world.new("mine"), world.new("hers")
    world.post(f"/work_packages/{hers['id']}/watchers", {"user": {"href": world.href("users", "human")}})
    human = str(world.board.users["human"])
    watched = {"watcher": {"operator": "=", "values": [human]}}
    assert world.subjects(watched) == ["hers"]
    assert world.subjects({"watcher": {"operator": "!", "values": [human]}}) == ["mine"]
    assert world.subjects({"watcher": {"operator": "=", "values": ["me"]}}) == ["mine", "hers"]
    assert mine["_links"]["unwatch"]["method"] == "delete"
    assert world.read(mine, "human")["_links"]["watch"]["method"] == "post"


def test_who_could_watch(world: World) -> None:
    item = world.new()
    found = names(world, f"/work_packages/{item['id']}/available_watchers")
    assert {"Hanna Human", "Rita Reader", "Second Agent"} <= set(found)
    assert "Coding Agent" not in found
    assert "Otto Outsider" not in found
