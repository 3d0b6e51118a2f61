"""What children do to their parents (reference sections 5.3, 5.4)."""

from concurrent.futures import ThreadPoolExecutor

from support.contract_world import Document, World, refusal, self_href, violation

NOTE = "_Updated automatically by changing values within child work package #{}_\n"


def dates(item: Document) -> tuple[str | None, str | None]:
    return item["startDate"], item["dueDate"]


def test_the_first_child_makes_its_parent_automatic_and_bumps_it_once_and_the_next_ones_do_not(world: World) -> None:
    epic = world.new("epic", kind="Epic")
    first = world.new("first", links=world.under(epic))
    after = world.read(epic)
    assert (first["lockVersion"], after["lockVersion"], after["scheduleManually"]) == (0, 1, False)
    assert after["updatedAt"] > epic["updatedAt"]
    world.new("second", links=world.under(epic))
    assert {**world.read(epic), "_links": 0} == {**after, "_links": 0}


def test_the_first_child_leaves_a_note_on_its_parent_in_the_name_and_language_of_the_caller(world: World) -> None:
    for who, note in (
        ("human", NOTE),
        ("deutsch", "_Automatisch durch die Änderungen in Unteraufgabe #{} aktualisiert_\n"),
    ):
        epic = world.new("epic", kind="Epic")
        child = world.new("child", who=who, links=world.under(epic))
        left = world.activities(epic)[-1]
        assert (left["_type"], left["comment"]["raw"]) == ("Activity::Comment", note.format(child["id"]))
        assert left["_links"]["user"]["href"] == world.href("users", who)


def test_a_grandchild_bumps_its_parent_and_not_its_grandparent(world: World) -> None:
    epic = world.new("epic", kind="Epic")
    story = world.new("story", kind="User story", links=world.under(epic))
    task = world.new("task", links=world.under(story))
    assert [world.read(item)["lockVersion"] for item in (epic, story, task)] == [1, 1, 0]


def test_links_lead_up_from_the_root_and_down_one_step(world: World) -> None:
    epic = world.new("epic", kind="Epic")
    story = world.new("story", kind="User story", links=world.under(epic))
    task = world.new("task", links=world.under(story))
    assert [ancestor["href"] for ancestor in task["_links"]["ancestors"]] == [self_href(epic), self_href(story)]
    assert task["_links"]["parent"]["href"] == self_href(story)
    assert [child["href"] for child in world.read(epic)["_links"]["children"]] == [self_href(story)]


def test_claiming_and_closing_a_child_leaves_its_parent_alone(world: World) -> None:
    epic = world.new("epic", kind="Epic")
    child = world.new("child", links=world.under(epic))
    before = world.read(epic)
    claimed = world.changed(
        child, {world.board.run: "t @", "_links": {"status": world.link("statuses", "In progress")}}
    )
    world.changed(claimed, {"_links": {"status": world.link("statuses", "Closed")}})
    after = world.read(epic)
    assert (after["lockVersion"], after["updatedAt"]) == (before["lockVersion"], before["updatedAt"])


def test_a_first_child_bumps_a_parent_twice_whose_dates_become_others(world: World) -> None:
    epic = world.new("epic", kind="Epic", dueDate="2026-12-10")
    child = world.new("child", links=world.under(epic))
    after = world.read(epic)
    assert (after["lockVersion"], dates(after)) == (2, ("2026-12-10", "2026-12-10"))
    assert child["dueDate"] == "2026-12-10"


def test_a_due_date_of_an_automatic_parent_is_ignored_without_a_word_until_it_is_manual_again(world: World) -> None:
    epic = world.new("epic", kind="Epic")
    world.new("child", links=world.under(epic))
    automatic = world.read(epic)
    ignored = world.changed(automatic, {"dueDate": "2026-12-24"})
    assert (ignored["dueDate"], ignored["lockVersion"]) == (None, automatic["lockVersion"])
    manual = world.changed(ignored, {"scheduleManually": True})
    assert world.changed(manual, {"dueDate": "2026-12-24"})["dueDate"] == "2026-12-24"


def test_manual_again_and_a_due_date_go_in_one_update(world: World) -> None:
    epic = world.new("epic", kind="Epic", dueDate="2026-12-10")
    world.new("spike", kind="Spike", links=world.under(epic))
    restored = world.changed(world.read(epic), {"scheduleManually": True, "dueDate": "2026-12-24"})
    assert (restored["scheduleManually"], restored["dueDate"], restored["lockVersion"]) == (True, "2026-12-24", 3)


def test_an_automatic_parent_takes_its_dates_from_its_children(world: World) -> None:
    epic = world.new("epic", kind="Epic")
    first = world.new("first", links=world.under(epic), dueDate="2026-12-09")
    assert (world.read(epic)["lockVersion"], dates(world.read(epic))) == (2, ("2026-12-09", "2026-12-09"))
    world.new("second", links=world.under(epic), dueDate="2026-12-11")
    assert (world.read(epic)["lockVersion"], dates(world.read(epic))) == (3, ("2026-12-09", "2026-12-11"))
    world.changed(first, {"dueDate": "2026-12-15"})
    assert (world.read(epic)["lockVersion"], world.read(epic)["dueDate"]) == (4, "2026-12-15")


def test_automatic_without_children_is_switched_back_at_once(world: World) -> None:
    item = world.changed(world.new(), {"scheduleManually": False})
    assert (item["scheduleManually"], item["lockVersion"]) == (True, 2)


def test_a_parent_without_children_is_manual_again(world: World) -> None:
    one, other = (world.new(name, kind="Epic") for name in ("one", "other"))
    child = world.changed(world.new("child"), {"_links": world.under(one)})
    assert (world.read(one)["scheduleManually"], world.read(one)["lockVersion"]) == (False, 1)
    child = world.changed(child, {"_links": world.under(other)})
    assert [(item["scheduleManually"], item["lockVersion"]) for item in (world.read(one), world.read(other))] == [
        (True, 2),
        (False, 1),
    ]
    world.changed(child, {"_links": {"parent": {"href": None}}})
    assert (world.read(other)["scheduleManually"], world.read(other)["lockVersion"]) == (True, 2)


def test_a_work_package_is_put_neither_below_itself_nor_below_what_is_below_it(world: World) -> None:
    epic = world.new("epic", kind="Epic")
    child = world.new("child", links=world.under(epic))
    for parent in (epic, child):
        assert refusal(world.patch(world.read(epic), {"_links": world.under(parent)})) == violation("parent")


def test_a_work_package_is_not_put_below_one_that_it_is_related_to(world: World) -> None:
    one, other = world.new("one"), world.new("other")
    world.related(one, "blocks", other)
    assert refusal(world.patch(other, {"_links": world.under(one)})) == violation("parent")


def test_deleting_takes_all_below_along(world: World) -> None:
    epic = world.new("epic", kind="Epic")
    story = world.new("story", kind="User story", links=world.under(epic))
    task = world.new("task", links=world.under(story))
    assert world.board.client("admin").delete(f"/work_packages/{epic['id']}").status_code == 204
    assert [world.get(f"/work_packages/{item['id']}").status_code for item in (epic, story, task)] == [404] * 3


def test_an_invisible_parent_is_hidden(world: World) -> None:
    secret = world.new("secret", who="admin", project="vault")
    child = world.new("child", who="admin", links=world.under(secret))
    seen = world.read(child)["_links"]
    assert (seen["parent"], seen["ancestors"]) == ({"href": None}, [])


def test_first_children_made_at_once_are_made_or_conflict_and_nothing_else(world: World) -> None:
    epic = world.new("epic", kind="Epic")
    who = ("agent", "agent2", "human")
    body = {"subject": f"{world.word} child", "_links": {"type": world.link("types", "Task"), **world.under(epic)}}
    clients = [world.board.client(name) for name in who]
    with ThreadPoolExecutor(len(who)) as pool:
        answers = list(
            pool.map(lambda client: client.post("/projects/shop/work_packages", json=body).status_code, clients)
        )
    assert set(answers) <= {201, 409}
    assert len(world.read(epic)["_links"]["children"]) == answers.count(201) >= 1
