"""Status moves per type, and forms (reference sections 5.1, 6, 11)."""

import pytest

from support.boards import API
from support.contract_world import CONFLICT, FORBIDDEN, JSON, NOT_FOUND, World, refusal, violation

BASIC = {"New", "In progress", "On hold", "Rejected", "Closed"}
SPECIFIED = BASIC | {"In specification", "Specified", "Developed", "In testing", "Tested", "Test failed"}
WORKFLOWS = {
    "Task": BASIC | {"In testing"},
    "Spike": BASIC,
    "Milestone": BASIC | {"To be scheduled", "Scheduled"},
    "Summary task": BASIC | {"To be scheduled", "Scheduled"},
    "Feature": SPECIFIED,
    "Epic": SPECIFIED,
    "User story": SPECIFIED,
    "Bug": SPECIFIED - {"In specification", "Specified"} | {"Confirmed"},
}


def form(world: World, item: dict[str, object], body: dict[str, object], who: str = "agent") -> dict[str, object]:
    response = world.post(f"/work_packages/{item['id']}/form", {"lockVersion": item["lockVersion"], **body}, who)
    assert response.status_code == 200, response.text
    document: dict[str, object] = response.json()["_embedded"]
    return document


def allowed(embedded: dict[str, object]) -> list[str]:
    schema: dict[str, dict[str, dict[str, list[dict[str, str]]]]] = embedded["schema"]  # type: ignore[assignment] # JSON
    return [value["title"] for value in schema["status"]["_links"]["allowedValues"]]


@pytest.mark.parametrize("kind", WORKFLOWS)
@pytest.mark.alike
def test_the_form_offers_the_statuses_that_the_types_workflow_allows_by_position(world: World, kind: str) -> None:
    order = list(world.board.statuses)
    assert allowed(form(world, world.new(kind=kind), {})) == sorted(WORKFLOWS[kind], key=order.index)


@pytest.mark.parametrize(
    ("kind", "done"), [("Task", "In testing"), ("Bug", "In testing"), ("Epic", "In testing"), ("Spike", "Closed")]
)
@pytest.mark.alike
def test_the_moves_of_a_fleet_are_allowed(world: World, kind: str, done: str) -> None:
    item = world.new(kind=kind)
    for status in ("In progress", done, "New"):
        response = world.move(item, status)
        assert response.status_code == 200, (kind, status, response.text)
        item = response.json()
        assert item["_links"]["status"] == {"href": world.href("statuses", status), "title": status}


@pytest.mark.parametrize(
    ("kind", "status"),
    [("Task", "Tested"), ("Spike", "In testing"), ("Summary task", "In testing"), ("Bug", "Specified")],
)
@pytest.mark.alike
def test_a_move_that_the_workflow_lacks_is_refused_to_administrators_too(world: World, kind: str, status: str) -> None:
    item = world.new(kind=kind)
    for who in ("agent", "admin"):
        assert refusal(world.move(item, status, who)) == violation("status")
    assert world.read(item)["lockVersion"] == 0


def test_an_administrator_without_a_role_may_do_the_seeded_moves(world: World) -> None:
    assert world.move(world.new(), "In progress", "admin").status_code == 200


def test_a_stale_and_forbidden_move_is_a_conflict(world: World) -> None:
    body = {"lockVersion": 9, "_links": {"status": world.link("statuses", "Tested")}}
    assert refusal(world.patch(world.new(), body)) == CONFLICT


def test_a_new_type_is_not_bound_by_the_old_ones_workflow(world: World) -> None:
    item = world.new()
    links = {"type": world.link("types", "Epic"), "status": world.link("statuses", "Specified")}
    epic = world.changed(item, {"_links": links})
    assert (epic["_links"]["type"]["title"], epic["_links"]["status"]["title"]) == ("Epic", "Specified")
    task = world.changed(epic, {"_links": {"type": world.link("types", "Task")}})
    assert task["_links"]["status"]["title"] == "New"


def test_the_form_needs_the_lock_version_unless_the_body_is_empty(world: World) -> None:
    item = world.new()
    path = f"/work_packages/{item['id']}/form"
    assert refusal(world.post(path, {})) == CONFLICT
    assert refusal(world.post(path, {"lockVersion": 7})) == CONFLICT
    assert world.board.client().post(path, content=b"", headers=JSON).status_code == 200


def test_the_form_tells_what_would_be_wrong_and_saves_nothing(world: World) -> None:
    item = world.new()
    tried = form(world, item, {"subject": "", "_links": {"status": world.link("statuses", "Tested")}})
    errors: dict[str, object] = tried["validationErrors"]  # type: ignore[assignment] # JSON
    assert errors.keys() == {"subject", "status"}
    assert allowed(tried) == allowed(form(world, item, {}))
    assert world.read(item) == item


def test_a_form_without_faults_can_be_committed(world: World) -> None:
    item = world.new()
    path = f"/work_packages/{item['id']}/form"
    good, bad = (world.post(path, {"lockVersion": 0, "subject": subject}).json()["_links"] for subject in ("x", ""))
    assert good["commit"] == {"href": f"{API}/work_packages/{item['id']}", "method": "patch"}
    assert "commit" not in bad


def test_the_form_of_another_type_offers_that_types_statuses(world: World) -> None:
    tried = form(world, world.new(), {"_links": {"type": world.link("types", "Bug")}})
    assert "Confirmed" in allowed(tried)


def test_the_form_is_for_those_who_may_edit(world: World) -> None:
    assert refusal(world.post(f"/work_packages/{world.new()['id']}/form", {"lockVersion": 0}, "reader")) == FORBIDDEN


def test_the_form_of_a_project_offers_types_and_statuses_for_a_creation(world: World) -> None:
    response = world.post("/projects/shop/work_packages/form", {"_links": {"type": world.link("types", "Spike")}})
    embedded = response.json()["_embedded"]
    assert set(allowed(embedded)) == WORKFLOWS["Spike"]
    assert {value["title"] for value in embedded["schema"]["type"]["_links"]["allowedValues"]} == set(world.board.types)
    assert embedded["payload"]["_links"]["type"] == {"href": world.href("types", "Spike"), "title": "Spike"}
    assert embedded["validationErrors"].keys() == {"subject"}
    assert world.board.run in embedded["schema"]


def test_the_form_of_a_project_is_for_those_who_may_create(world: World) -> None:
    assert refusal(world.post("/projects/shop/work_packages/form", {}, "reader")) == FORBIDDEN
    assert refusal(world.post("/projects/vault/work_packages/form", {})) == NOT_FOUND
