"""Changing a status by dragging, by touch and by keys; what the workflow forbids; what somebody else did meanwhile."""

import time
from collections.abc import Callable

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from support.browser import Browser
from support.page_world import STATUSES, World, card, in_column

CONFLICT = "was changed by somebody meanwhile; here is how it is now. Nothing was overwritten."


@pytest.fixture(autouse=True)
def signed_in(page: Browser, world: World) -> None:
    world.sign_in(page)


def column(status: str) -> str:
    return f'.column[data-drop="{STATUSES[status]}"]'


def drag(page: Browser, ticket: int, status: str, *, halfway: Callable[[], None] = lambda: None) -> None:
    source = page.one(card(ticket))
    target = page.one(f"{column(status)} .column-head")
    chain = ActionChains(page.driver, duration=60)
    chain.move_to_element(source).click_and_hold().move_by_offset(12, 4).move_to_element(target).move_by_offset(0, 60)
    chain.perform()
    halfway()
    ActionChains(page.driver, duration=60).release().perform()


def test_a_card_dragged_to_a_column_changes_its_status(page: Browser, world: World) -> None:
    ticket = world.make("Dragged")
    drag(page, ticket, "In progress")
    world.eventually(ticket, "In progress")
    assert page.sees(in_column(ticket, "In progress"))
    assert page.sees(".toast", text=f"#{ticket} moved to In progress.")
    assert "#wp=" not in page.url


def test_columns_that_the_workflow_forbids_are_dimmed_and_take_nothing(page: Browser, world: World) -> None:
    ticket = world.make("A Bug knows Confirmed, a Task does not")
    page.click(".folded", text="Confirmed")
    confirmed = '.column[data-drop="304"]'
    STATUSES["Confirmed"] = 304

    def look() -> None:
        assert "forbidden" in str(page.one(confirmed).get_attribute("class"))
        assert "forbidden" not in str(page.one(column("In progress")).get_attribute("class"))

    drag(page, ticket, "Confirmed", halfway=look)
    assert page.sees(in_column(ticket, "New"))
    assert world.status(ticket) == "New"
    assert not page.all(".ghost")


def test_escape_drops_a_card_where_it_was(page: Browser, world: World) -> None:
    ticket = world.make("Held, and let go")
    drag(page, ticket, "Closed", halfway=lambda: ActionChains(page.driver).send_keys(Keys.ESCAPE).perform())
    assert page.sees(in_column(ticket, "New"))
    assert not page.all(".ghost")
    assert world.status(ticket) == "New"


def test_what_is_folded_takes_cards_too(page: Browser, world: World) -> None:
    ticket = world.make("To the side")
    source, target = page.one(card(ticket)), page.one('.folded[data-drop="313"]')
    ActionChains(page.driver, duration=60).click_and_hold(source).move_by_offset(10, 3).move_to_element(
        target
    ).release().perform()
    world.eventually(ticket, "On hold")
    assert page.sees(in_column(ticket, "On hold"))


def test_a_finger_that_holds_a_card_drags_it_and_one_that_moves_at_once_scrolls(page: Browser, world: World) -> None:
    ticket = world.make("Under a finger")
    page.size(900, 800, phone=True)
    world.sign_in(page, query="?q=finger")
    page.one(card(ticket))
    box = page.js(
        "const b = document.querySelector(arguments[0]).getBoundingClientRect(); return [b.x + 40, b.y + 20]",
        card(ticket),
    )
    to = page.js(
        "const b = document.querySelector(arguments[0]).getBoundingClientRect(); return [b.x + 60, b.y + 160]",
        column("In progress"),
    )

    def touch(kind: str, *points: tuple[float, float]) -> None:
        at = [{"x": x, "y": y} for x, y in points]
        page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    touch("touchStart", (box[0], box[1]))
    page.one(".ghost")
    for step in (0.3, 0.7, 1.0):
        touch("touchMove", (box[0] + (to[0] - box[0]) * step, box[1] + (to[1] - box[1]) * step))
    page.one(f"{column('In progress')}.over")
    touch("touchEnd")
    world.eventually(ticket, "In progress")
    assert page.sees(in_column(ticket, "In progress"))
    touch("touchStart", (box[0], box[1]))
    touch("touchMove", (box[0], box[1] - 30))
    time.sleep(0.4)
    assert not page.all(".ghost")
    touch("touchEnd")


def test_the_keyboard_moves_a_card_and_keeps_the_focus_on_it(page: Browser, world: World) -> None:
    ticket = world.make("Moved by keys", priority="Immediate")
    page.one(card(ticket))
    page.js("document.querySelector(arguments[0]).focus()", f"{card(ticket)} .card-link")
    page.driver.switch_to.active_element.send_keys("m")
    assert page.sees("#move-dialog", text="In testing")
    page.driver.switch_to.active_element.send_keys("o")
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    world.eventually(ticket, "On hold")
    assert page.sees(in_column(ticket, "On hold"))
    focused = "return document.activeElement.closest('.card')?.dataset.id"
    page.until(lambda: page.js(focused) == str(ticket), "the focus on the card")


def test_arrows_walk_over_cards_and_enter_opens(page: Browser) -> None:
    page.one("body").send_keys("b")
    focused = "return document.activeElement.closest('.card')?.dataset.id"
    start = page.js(focused)
    page.driver.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    below = page.js(focused)
    page.driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    beside = page.js(focused)
    page.driver.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    assert len({start, below, beside} - {None}) == 3
    assert page.js("return document.activeElement.closest('.column').dataset.drop") == str(STATUSES["New"])
    opened = page.js(focused)
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.one("#panel-title")
    assert page.url.endswith(f"#wp={opened}")


def test_a_card_that_somebody_moved_meanwhile_goes_where_the_board_has_it(
    page: Browser, world: World, expected: list[str]
) -> None:
    expected.append("status of 409")
    ticket = world.make("Moved by two")
    drag(page, ticket, "In progress", halfway=lambda: world.change(ticket, status="On hold"))
    assert page.sees(".toast", text=CONFLICT)
    assert page.sees(in_column(ticket, "On hold"))
    assert world.status(ticket) == "On hold"


def test_a_move_that_never_arrives_is_said_and_taken_back(page: Browser, world: World, expected: list[str]) -> None:
    expected.extend(["ERR_INTERNET_DISCONNECTED", "net::ERR_"])
    ticket = world.make("Moved without a network")
    page.one(card(ticket))
    page.offline(True)
    drag(page, ticket, "In progress")
    assert page.sees(".toast", text="The board did not answer.")
    assert page.sees(in_column(ticket, "New"))
    page.offline(False)
    page.until(lambda: page.js("return document.getElementById('live').dataset.state") == "live", "live again")
    assert world.status(ticket) == "New"


def test_taking_a_ticket_from_a_pod_says_what_becomes_of_its_run(page: Browser, world: World) -> None:
    token = "7f9c0d52-1111-4222-8333-0123456789ab.5f0c9a1e77d2b340 by pod-z try 1 for 4h @ 2026-11-24T08:00Z"
    ticket = world.make("Taken from a pod")
    agent = next(
        one
        for one in world.ask("GET", "/principals?pageSize=-1")["_embedded"]["elements"]
        if one["name"] == "Coding Agent"
    )
    body = {
        "_links": {"status": {"href": "/api/v3/statuses/307"}, "assignee": {"href": f"/api/v3/users/{agent['id']}"}}
    }
    lock = world.read(ticket)["lockVersion"]
    world.ask(
        "PATCH",
        f"/work_packages/{ticket}",
        {**body, "lockVersion": lock, "customField601": "pod-z", "customField602": token},
        login="agent",
    )
    page.one(in_column(ticket, "In progress"), text="pod-z")
    drag(page, ticket, "New")
    assert page.sees(".toast", text="pod-z stops its run and keeps the work.")
    world.eventually(ticket, "New")
