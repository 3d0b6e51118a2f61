"""Reference resources, people and schemas (reference sections 9, 10)."""

import json

import pytest

from support.boards import API, POD, RUN
from support.contract_world import FORBIDDEN, INVALID_QUERY, NOT_FOUND, World, condition, elements, refusal


@pytest.mark.alike
@pytest.mark.parametrize("path", ["/statuses", "/types", "/priorities"])
def test_small_collections_come_whole_by_position_and_ignore_paging(world: World, path: str) -> None:
    found = elements(world.get(path, pageSize="2"))
    assert len(found) > 2
    assert [element["position"] for element in found] == sorted(element["position"] for element in found)


def test_statuses_say_what_is_closed_and_what_is_the_default(world: World) -> None:
    found = elements(world.get("/statuses"))
    assert {status["name"] for status in found if status["isClosed"]} == {"Closed", "Rejected"}
    assert [status["name"] for status in found if status["isDefault"]] == ["New"]
    assert found[0]["_links"]["self"] == {"href": world.href("statuses", "New"), "title": "New"}


def test_the_higher_a_priority_the_more_urgent(world: World) -> None:
    assert [priority["name"] for priority in elements(world.get("/priorities"))] == [
        "Low",
        "Normal",
        "High",
        "Immediate",
    ]


def test_types_say_which_is_a_milestone(world: World) -> None:
    found = elements(world.get("/types"))
    assert [kind["name"] for kind in found if kind["isMilestone"]] == ["Milestone"]
    assert {"Task", "Bug", "Epic", "User story", "Spike", "Summary task"} <= {kind["name"] for kind in found}


@pytest.mark.alike
@pytest.mark.parametrize("kind", ["statuses", "types", "priorities"])
def test_one_of_them_is_read_by_its_id(world: World, kind: str) -> None:
    name, id_ = next(iter(getattr(world.board, kind).items()))
    assert world.get(f"/{kind}/{id_}").json()["name"] == name
    assert refusal(world.get(f"/{kind}/9999999")) == NOT_FOUND


def test_the_configuration_names_the_largest_page(world: World) -> None:
    assert world.get("/configuration").json()["maximumAPIV3PageSize"] == 1000


def test_a_project_is_read_by_id_and_by_identifier(world: World) -> None:
    by_id, by_identifier = (world.get(f"/projects/{name}").json() for name in (world.board.projects["shop"], "shop"))
    assert by_id["id"] == by_identifier["id"] == world.board.projects["shop"]
    assert (by_id["identifier"], by_id["name"]) == ("shop", "Web shop")


def test_projects_are_paged_and_only_the_visible_ones_are_there(world: World) -> None:
    everything = world.get("/projects", pageSize="1000").json()
    identifiers = [project["identifier"] for project in everything["_embedded"]["elements"]]
    assert {"shop", "blog"} <= set(identifiers)
    assert "vault" not in identifiers
    page = world.get("/projects", pageSize="1", offset="2").json()
    assert (page["count"], page["pageSize"], page["offset"], page["total"]) == (1, 1, 2, everything["total"])
    assert [project["identifier"] for project in page["_embedded"]["elements"]] == identifiers[1:2]


@pytest.mark.alike
@pytest.mark.parametrize("path", ["", "/types", "/versions", "/available_assignees", "/work_packages"])
def test_an_invisible_project_is_404(world: World, path: str) -> None:
    assert refusal(world.get(f"/projects/vault{path}")) == NOT_FOUND
    assert refusal(world.get(f"/projects/shop{path}", "outsider")) == NOT_FOUND


def test_the_types_of_a_project_are_listed(world: World) -> None:
    assert {kind["name"] for kind in elements(world.get("/projects/shop/types"))} == set(world.board.types)


def test_versions_of_a_project_come_whole(world: World) -> None:
    document = world.get("/projects/shop/versions", pageSize="1").json()
    assert document["total"] == document["count"] == len(document["_embedded"]["elements"])


def test_i_am_told_who_i_am(world: World) -> None:
    me = world.get("/users/me").json()
    assert (me["_type"], me["id"], me["login"], me["language"]) == ("User", world.board.users["agent"], "agent", "en")
    assert me["_links"]["self"]["href"] == f"{API}/users/{me['id']}"


def test_of_others_the_name_is_told_and_not_the_login(world: World) -> None:
    other = world.get(f"/users/{world.board.users['human']}").json()
    assert other["name"] == "Hanna Human"
    assert "login" not in other
    assert "email" not in other


def test_people_without_a_shared_project_are_404(world: World) -> None:
    assert refusal(world.get(f"/users/{world.board.users['outsider']}")) == NOT_FOUND
    assert refusal(world.get("/users/me2")) == NOT_FOUND


def test_the_list_of_users_is_for_administrators(world: World) -> None:
    assert refusal(world.get("/users")) == FORBIDDEN


def test_principals_are_filtered_by_membership_and_type(world: World) -> None:
    filters = [condition("member", "=", world.board.projects["shop"]), condition("type", "=", "User")]
    found = elements(world.get("/principals", filters=json.dumps(filters), pageSize="100"))
    members = {world.board.users[login] for login in ("agent", "agent2", "human", "reader", "deutsch")}
    assert {principal["id"] for principal in found} == members


def test_principals_by_an_unknown_filter_or_project_are_400(world: World) -> None:
    for wrong in (condition("bogus", "=", "x"), condition("member", "=", 9999999), condition("type", "=", "Bogus")):
        assert refusal(world.get("/principals", filters=json.dumps([wrong]))) == INVALID_QUERY


def test_possible_assignees_are_members_in_a_role_that_may_be_assigned_to(world: World) -> None:
    possible = {world.board.users[login] for login in ("agent", "agent2", "human", "deutsch")}
    item = world.new()
    for path in ("/projects/shop/available_assignees?pageSize=1", f"/work_packages/{item['id']}/available_assignees"):
        assert {user["id"] for user in elements(world.get(path))} == possible
    assert refusal(world.get("/projects/shop/available_assignees", "reader")) == FORBIDDEN


def test_a_schema_tells_the_custom_fields_of_a_type(world: World) -> None:
    schema = world.get(f"/work_packages/schemas/{world.board.projects['shop']}-{world.board.types['Task']}").json()
    assert schema["_type"] == "Schema"
    for key, name in ((world.board.pod, POD), (world.board.run, RUN)):
        assert (schema[key]["type"], schema[key]["name"], schema[key]["required"], schema[key]["writable"]) == (
            "String",
            name,
            False,
            True,
        )
    assert {"startDate", "dueDate"} <= schema.keys()
    assert schema["status"]["location"] == "_links"


def test_the_schema_of_a_milestone_has_one_date(world: World) -> None:
    schema = world.get(f"/work_packages/schemas/{world.board.projects['shop']}-{world.board.types['Milestone']}").json()
    assert "date" in schema
    assert "dueDate" not in schema


def test_several_schemas_are_asked_for_by_id_and_invisible_ones_are_left_out(world: World) -> None:
    shop, blog, vault = (world.board.projects[name] for name in ("shop", "blog", "vault"))
    task, bug = world.board.types["Task"], world.board.types["Bug"]
    ids = [f"{shop}-{task}", f"{blog}-{bug}", f"{vault}-{task}", f"{shop}-9999999"]
    found = elements(world.get("/work_packages/schemas", filters=json.dumps([condition("id", "=", *ids)])))
    assert {schema["_links"]["self"]["href"].rpartition("/")[2] for schema in found} == set(ids[:2])


def test_schemas_need_the_filter(world: World) -> None:
    assert refusal(world.get("/work_packages/schemas")) == INVALID_QUERY
    assert (
        refusal(world.get(f"/work_packages/schemas/{world.board.projects['vault']}-{world.board.types['Task']}"))
        == NOT_FOUND
    )
