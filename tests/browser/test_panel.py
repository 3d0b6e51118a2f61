"""The panel of one work package: what it tells, and everything that can be done in it."""

import re
import sqlite3
from contextlib import closing

import pytest
from selenium.webdriver.common.keys import Keys

from agent.server.store import FILE
from support.browser import Browser
from support.page_world import POD, World, card, in_column


@pytest.fixture(autouse=True)
def signed_in(page: Browser, world: World) -> None:
    world.sign_in(page)


def open_panel(page: Browser, world: World, ticket: int) -> None:
    page.open(f"{world.url}/#wp={ticket}")
    page.until(lambda: page.js("return document.activeElement.id") == "panel-title", "the panel")
    page.one(".panel-line", text=f"#{ticket}")


def test_escape_closes_the_panel_and_the_focus_returns_to_the_card(page: Browser, world: World) -> None:
    ticket = world.make("Opened and closed")
    page.click(f"{card(ticket)} .card-link")
    page.one("#panel-title", text="Opened and closed")
    assert page.url.endswith(f"#wp={ticket}")
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    page.gone("#panel")
    assert "#wp" not in page.url
    assert page.js("return document.activeElement.closest('.card')?.dataset.id") == str(ticket)
    page.driver.back()
    assert page.sees("#panel-title", text="Opened and closed")


def test_the_panel_fills_a_phone(page: Browser, world: World) -> None:
    ticket = world.make("On a phone")
    page.size(390, 844, phone=True)
    open_panel(page, world, ticket)
    box = page.js(
        "const b = document.getElementById('panel').getBoundingClientRect(); return [b.x, b.y, b.width, b.height]"
    )
    assert box == [0, 0, 390, 844]
    assert page.js("return document.documentElement.scrollWidth") == 390


def test_the_trail_is_a_timeline_with_commits_tokens_and_cost(page: Browser) -> None:
    page.type("#search", "Undo a booking")
    page.click(".card .card-link", text="Undo a booking")
    page.one(".timeline .entry")
    text = page.text(".timeline")
    assert re.search(r"1 run · [\d.]+[KM] tokens · \$\d+\.\d\d", text)
    assert "Undo a booking: done, with a test that says so." in text
    assert "pod-c" in text
    [commit] = page.all(".entry[data-event='pushed'] a.chip")
    assert str(commit.get_attribute("href")).startswith("https://git.example.org/acme/shop/commit/")
    assert "<!--" not in text
    assert "Status changed from" in text


def test_description_relations_children_and_ancestors_are_shown(page: Browser, world: World) -> None:
    epic = world.make("The Epic above", type="Epic")
    story = world.make("The story between", type="User story", parent=epic)
    ticket = world.make("In the middle", parent=story, description="**Grams** count, see #1")
    child = world.make("Below it", parent=ticket)
    blocker = world.make("What comes before it")
    world.relate(blocker, "blocks", ticket)
    open_panel(page, world, ticket)
    assert [one.text for one in page.all(".above a")] == ["The Epic above", "The story between"]
    assert page.sees(".description strong", text="Grams")
    assert page.sees(".related", text="blocked by")
    assert page.sees(".facts .reasons", text=f"waits for #{blocker}")
    page.click(".reference", text="Below it")
    assert page.sees("#panel-title", text="Below it")
    assert page.url.endswith(f"#wp={child}")


def test_editing_changes_what_was_edited_and_nothing_else(page: Browser, world: World) -> None:
    ticket = world.make("Before", pod="pod-a")
    open_panel(page, world, ticket)
    page.click(".edit-button")
    page.type(".edit [name=subject]", "After")
    page.type(".edit [name=description]", "Now with words")
    page.choose(".edit [name=type]", "Bug")
    page.choose(".edit [name=priority]", "Immediate")
    page.choose(".edit [name=assignee]", "Olga Operator")
    page.js("arguments[0].value = '2027-02-03'", page.one(".edit [name=due]"))
    page.click(".edit button", text="Save")
    assert page.sees("#panel-title", text="After")
    page.gone(".edit")
    found = world.read(ticket)
    links = {name: found["_links"][name]["title"] for name in ("type", "priority", "assignee", "status")}
    assert links == {"type": "Bug", "priority": "Immediate", "assignee": "Olga Operator", "status": "New"}
    assert (found["subject"], found["description"]["raw"], found["dueDate"], found[POD]) == (
        "After", "Now with words", "2027-02-03", "pod-a",
    )  # fmt: skip
    assert page.sees(card(ticket), text="After")


def test_a_comment_appears_on_the_timeline(page: Browser, world: World) -> None:
    ticket = world.make("Talked about")
    open_panel(page, world, ticket)
    page.type(".comment textarea", "Please use *integers*.")
    page.one(".comment textarea").send_keys(Keys.CONTROL, Keys.ENTER)
    assert page.sees(".timeline .entry.person em", text="integers")
    assert world.comments(ticket) == ["Please use *integers*."]
    page.until(lambda: page.one(".comment textarea").get_attribute("value") == "", "an empty box")


def test_routing_to_a_pod_and_to_any(page: Browser, world: World) -> None:
    ticket = world.make("Routed")
    open_panel(page, world, ticket)
    known = page.js("return [...document.getElementById('pod-names').options].map((one) => one.value)")
    assert {"pod-a", "pod-b", "pod-c"} <= set(known)
    page.type(".route input", "pod-b")
    page.click(".route button", text="Route")
    assert page.sees(".toast", text=f"#{ticket} is routed to pod-b.")
    assert page.sees(f"{card(ticket)} .routed-to", text="pod-b")
    assert world.read(ticket)[POD] == "pod-b"
    page.click(".route button", text="Clear")
    page.gone(f"{card(ticket)} .routed-to")
    assert world.read(ticket)[POD] in (None, "")


def test_the_status_select_offers_what_the_workflow_allows(page: Browser, world: World) -> None:
    ticket = world.make("By select")
    open_panel(page, world, ticket)
    offered = page.js(
        "return [...arguments[0].options].map((one) => one.textContent)", page.one(".facts [name=status]")
    )
    assert set(offered) == {"New", "In progress", "In testing", "On hold", "Rejected", "Closed"}
    page.choose(".facts [name=status]", "In testing")
    assert page.sees(in_column(ticket, "In testing"))
    world.eventually(ticket, "In testing")


def test_a_phase_is_activated_and_closed_with_one_click_each(page: Browser, world: World) -> None:
    gate = world.make("A phase to open", type="Summary task")
    below = world.make("Behind the phase", parent=gate)
    page.one(card(below), text="gated")
    open_panel(page, world, gate)
    page.click(".quick button", text="Activate")
    world.eventually(gate, "In progress")
    page.until(lambda: "gated" not in page.text(card(below)), "an open gate")
    page.click(".quick button:enabled", text="Close this")
    world.eventually(gate, "Closed")
    assert page.sees(card(below), text="gated")


def test_answering_a_spike_comments_first_and_then_closes_it(page: Browser, world: World) -> None:
    ticket = world.make("Asked about")
    spike = world.make(f"Agent stuck on #{ticket}: Asked about", type="Spike", parent=ticket, login="agent")
    page.one(card(ticket), text="spiked")
    open_panel(page, world, spike)
    page.click(".answer")
    assert page.sees(".comment .alert", text="Write the answer first")
    page.type(".comment textarea", "The second one counts.")
    page.click(".answer", text="Answer and close the Spike")
    world.eventually(spike, "Closed")
    assert page.sees(".toast", text=f"#{spike} is answered and closed.")
    found = world.ask("GET", f"/work_packages/{spike}/activities")["_embedded"]["elements"]
    assert world.comments(spike) == ["The second one counts."]
    assert any("Status" in detail["raw"] for detail in found[-1]["details"])
    page.until(lambda: "spiked" not in page.text(card(ticket)), "a ticket that is free again")


def test_a_relation_is_added_and_a_wrong_one_gets_a_sentence(page: Browser, world: World, expected: list[str]) -> None:
    expected.append("status of 422")
    first, then = world.make("The one that blocks"), world.make("The one that is blocked")
    open_panel(page, world, then)
    page.click(".relate summary")
    page.type(".relate [name=other]", f"#{first}")
    page.click(".relate button", text="Add")
    assert page.sees(".related h4", text="blocked by")
    assert page.sees(card(then), text=f"waits for #{first}")
    page.click(".relate summary")
    page.type(".relate [name=other]", str(then))
    page.click(".relate button", text="Add")
    assert page.one(".relate .alert").text.endswith(".")


def test_a_work_package_is_created_and_opened(page: Browser, world: World, expected: list[str]) -> None:
    expected.append("status of 422")
    epic = world.make("A parent for what is new", type="Epic", project=102)
    page.one(card(epic))
    page.js("document.activeElement.blur()")
    page.one("body").send_keys("n")
    page.one("#create-dialog")
    page.driver.switch_to.active_element.send_keys("Made in the browser")
    page.choose("#create-dialog [name=project]", "Depot")
    page.choose("#create-dialog [name=type]", "Feature")
    page.choose("#create-dialog [name=priority]", "High")
    page.type("#create-dialog [name=pod]", "pod-c")
    page.type("#create-dialog [name=description]", "With *words*")
    page.type("#create-dialog [name=parent]", "#999999")
    page.click("#create-dialog .primary")
    assert page.one("#create-dialog .alert").text.endswith(".")
    page.type("#create-dialog [name=parent]", f"#{epic} A parent")
    page.click("#create-dialog .primary")
    assert page.sees("#panel-title", text="Made in the browser")
    made = int(page.url.rpartition("=")[2])
    found = world.read(made)
    links = {name: found["_links"][name]["title"] for name in ("project", "type", "priority", "parent")}
    assert links == {"project": "Depot", "type": "Feature", "priority": "High", "parent": "A parent for what is new"}
    assert (found[POD], found["description"]["raw"]) == ("pod-c", "With *words*")
    assert page.sees(in_column(made, "New"))


def test_what_is_left_out_of_a_long_trail_is_shown_when_it_is_asked_for(page: Browser, world: World) -> None:
    ticket = world.make("With a long past")
    with closing(sqlite3.connect(world.folder / FILE)) as connection, connection:
        connection.execute(
            "WITH RECURSIVE more(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM more WHERE n < 1300)"
            " INSERT INTO journals (work_package_id, user_id, version, notes, data, created_at, updated_at)"
            " SELECT work_package_id, user_id, n, 'Words ' || n, data, created_at, updated_at FROM journals, more"
            " WHERE work_package_id = ?",
            (ticket,),
        )
    open_panel(page, world, ticket)
    entries = "return [...document.querySelectorAll('.timeline .entry')].map((one) => one.textContent)"
    page.one(".timeline .entry", text="Words 1300")
    shown = page.js(entries)
    assert len(shown) < 600
    assert page.sees(".timeline .muted", text=f"{1300 - len(shown)} earlier entries are left out here.")
    place = (
        "return document.querySelector('.timeline li:nth-of-type(' + arguments[0] + ')').getBoundingClientRect().top"
    )
    middle = "document.querySelector('.timeline button.earlier').scrollIntoView({block: 'center'})"
    page.js(middle)
    before = page.js(place, 1)
    page.click(".timeline button.earlier")
    page.until(lambda: len(page.js(entries)) > len(shown), "earlier entries")
    longer = page.js(entries)
    assert longer[-len(shown) :] == shown
    assert abs(page.js(place, len(longer) - len(shown) + 1) - before) < 40
    # What comes in meanwhile pushes nothing out.
    world.comment(ticket, "The last word", login="human")
    page.one(".timeline .entry", text="The last word")
    assert page.js(entries)[:-1] == longer
    page.js(middle)
    page.click(".timeline button.earlier")
    page.gone(".timeline button.earlier")
    found = page.js(entries)
    assert "Created this work package" in found[0]
    assert all(f"Words {n}" in text for n, text in enumerate(found[1:-1], 2))
    assert len(found) == 1301


def test_a_work_package_that_is_not_there_gets_a_sentence(page: Browser, world: World, expected: list[str]) -> None:
    expected.append("status of 404")
    page.open(f"{world.url}/#wp=987654")
    assert page.one("#panel .loading[role=alert]").text.endswith(".")
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    page.gone("#panel")
