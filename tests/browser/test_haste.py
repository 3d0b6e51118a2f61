"""Hands that are faster than the board: nothing is sent twice, and nothing that was typed is lost."""

import pytest
from selenium.webdriver.common.keys import Keys

from support.browser import Browser
from support.page_world import POD, World, card

SLOW = """
const own = window.fetch;
window.fetch = async (path, options = {}) => {
  if (options.method && options.method !== 'GET') await new Promise((go) => setTimeout(go, 700));
  return own(path, options);
};
"""
"""Whatever changes something waits for a while before it is sent."""
DEAF = """
const own = window.fetch;
window.fetch = async (path, options = {}) => {
  const answer = await own(path, options);
  if (options.method && options.method !== 'GET') { window.fetch = own; throw new TypeError('Failed to fetch'); }
  return answer;
};
"""
"""The next change arrives, and its answer is lost."""


@pytest.fixture(autouse=True)
def signed_in(page: Browser, world: World) -> None:
    world.sign_in(page)


def open_panel(page: Browser, world: World, ticket: int) -> None:
    page.open(f"{world.url}/#wp={ticket}")
    page.one(".panel-line", text=f"#{ticket}")


def test_a_comment_that_is_sent_twice_in_haste_is_said_once(page: Browser, world: World) -> None:
    ticket = world.make("Hastily talked about")
    open_panel(page, world, ticket)
    page.js(SLOW)
    page.type(".comment textarea", "Once")
    page.one(".comment textarea").send_keys(Keys.CONTROL, Keys.ENTER, Keys.ENTER)
    page.one(".comment textarea").send_keys(" and what is typed meanwhile")
    assert page.sees(".timeline .entry.person", text="Once")
    page.until(lambda: page.one(".comment button.primary").is_enabled(), "the end of sending")
    assert world.comments(ticket) == ["Once"]
    assert "meanwhile" in str(page.one(".comment textarea").get_attribute("value"))


def test_a_relation_that_is_added_twice_in_haste_is_added_once(page: Browser, world: World) -> None:
    first, then = world.make("Related in haste"), world.make("To this")
    open_panel(page, world, first)
    page.click(".relate summary")
    page.js(SLOW)
    page.type(".relate [name=other]", f"#{then}")
    page.js("const f = document.querySelector('.relate form'); f.requestSubmit(); f.requestSubmit()")
    assert page.sees(".related h4", text="blocked by")
    page.until(
        lambda: page.js("return document.querySelector('.relate button').disabled") is False, "the end of sending"
    )
    assert page.js("return document.querySelector('.relate .alert').textContent") == ""


def test_a_route_that_is_set_twice_in_haste_is_no_conflict(page: Browser, world: World) -> None:
    ticket = world.make("Hastily routed")
    open_panel(page, world, ticket)
    page.js(SLOW)
    page.type(".route input", "pod-b")
    page.one(".route input").send_keys(Keys.ENTER, Keys.ENTER)
    assert page.sees(".toast", text="is routed to pod-b")
    assert not page.js("return document.querySelector('.toast.warn')?.textContent")
    assert world.read(ticket)[POD] == "pod-b"


def test_what_is_typed_into_a_new_work_package_outlives_escape(page: Browser) -> None:
    page.click("#new")
    page.choose("#create-dialog [name=type]", "Bug")
    page.type("#create-dialog [name=subject]", "Half a subject")
    page.one("#create-dialog [name=subject]").send_keys(Keys.ESCAPE)
    page.gone("#create-dialog")
    page.click("#new")
    assert page.one("#create-dialog [name=subject]").get_attribute("value") == "Half a subject"
    assert (
        page.js("return document.querySelector('#create-dialog [name=type]').selectedOptions[0].textContent") == "Bug"
    )
    page.click("#create-dialog button", text="Cancel")
    page.gone("#create-dialog")
    page.click("#new")
    assert page.one("#create-dialog [name=subject]").get_attribute("value") == ""


def test_a_change_whose_answer_was_lost_is_no_conflict_with_oneself(page: Browser, world: World) -> None:
    ticket = world.make("Saved into the dark")
    open_panel(page, world, ticket)
    page.click(".edit-button")
    page.js(DEAF)
    page.type(".edit [name=subject]", "Saved all the same")
    page.click(".edit button", text="Save")
    assert page.sees(".edit .alert", text="did not answer")
    assert page.sees(card(ticket), text="Saved all the same")
    page.one("#panel-title", text="Saved all the same")
    assert "somebody" not in page.text(".edit .alert")
    page.click(".edit button", text="Save")
    page.gone(".edit")
    assert world.read(ticket)["subject"] == "Saved all the same"


def test_a_change_that_never_arrived_is_saved_once_the_network_is_back(
    page: Browser, world: World, expected: list[str]
) -> None:
    expected.append("ERR_INTERNET_DISCONNECTED")
    ticket = world.make("Saved offline")
    open_panel(page, world, ticket)
    page.click(".edit-button")
    page.type(".edit [name=subject]", "Saved later")
    page.offline(True)
    page.click(".edit button", text="Save")
    assert page.sees(".edit .alert", text="did not answer")
    page.offline(False)
    page.click(".edit button", text="Save")
    page.gone(".edit")
    assert world.read(ticket)["subject"] == "Saved later"


def test_a_ticket_that_is_deleted_while_it_is_edited_leaves_the_words(
    page: Browser, world: World, expected: list[str]
) -> None:
    expected.append("status of 404")
    ticket, other = world.make("Soon gone"), world.make("Still there")
    page.one(card(ticket))
    open_panel(page, world, ticket)
    page.type(".comment textarea", "And a thought")
    page.click(".edit-button")
    page.type(".edit [name=description]", "An hour's work")
    world.ask("DELETE", f"/work_packages/{ticket}", login="admin")
    page.gone(card(ticket))
    assert page.sees("#panel [role=alert]", text="deleted")
    typed = [one.get_attribute("value") for one in page.all("#panel textarea")]
    assert typed == ["An hour's work", "And a thought"]
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    page.gone("#panel")
    open_panel(page, world, other)
    assert page.one(".comment textarea").get_attribute("value") == ""
