"""What is seen at a glance: columns, cards with their reasons, pods, lanes, filters in the address."""

import pytest
from selenium.webdriver.common.keys import Keys

from support.browser import Browser
from support.page_world import STATUSES, World, card, in_column


@pytest.fixture(autouse=True)
def signed_in(page: Browser, world: World) -> None:
    world.sign_in(page)


def test_a_card_says_type_number_priority_and_pod(page: Browser, world: World) -> None:
    ticket = world.make("A card with everything", type="Bug", priority="Immediate", pod="pod-d")
    text = page.one(in_column(ticket, "New"), text="A card with everything").text
    assert [word for word in ("Bug", f"#{ticket}", "Immediate", "pod-d") if word not in text] == []


def test_a_card_says_in_words_why_no_pod_takes_it(page: Browser, world: World) -> None:
    first = world.make("What comes first")
    blocked = world.make("What waits")
    world.relate(first, "blocks", blocked)
    gate = world.make("A phase ahead", type="Summary task")
    gated = world.make("Below a phase", parent=gate)
    assert page.one(card(blocked), text=f"waits for #{first}").text.count("blocked") == 1
    assert page.sees(card(gated), text="A phase ahead")
    assert "gated" in page.text(card(gated))
    assert page.sees(card(first), text="free to take")


def test_pods_are_seen_with_what_they_do_for_how_long_and_below_which_epic(page: Browser) -> None:
    pod = page.one('.pod-card[data-pod="pod-a"]')
    assert "Take the discount off before tax" in pod.text
    assert "Checkout" in pod.text
    before = page.text('.pod-card[data-pod="pod-a"] time')
    page.until(lambda: page.text('.pod-card[data-pod="pod-a"] time') != before, "a running clock")
    assert "last seen" in page.text('.pod-card[data-pod="pod-d"]')


def test_columns_are_those_that_are_needed_and_the_rest_is_folded(page: Browser) -> None:
    heads = [one.text.split("\n")[0] for one in page.all(".column-head")]
    assert heads[0] == "New"
    assert heads[-1].startswith("Closed")
    assert "Confirmed" not in heads
    page.click(".folded", text="Confirmed")
    assert page.sees(f'.column[data-drop="{STATUSES["New"] + 3}"]', text="Confirmed")


def test_lanes_are_epics_with_their_owner(page: Browser, world: World) -> None:
    epic = world.make("An Epic of its own lane", type="Epic")
    ticket = world.make("In that lane", parent=epic)
    page.click("#lanes")
    lane = f'.lane[data-lane="{epic}"]'
    assert page.sees(f"{lane} .lane-head", text="An Epic of its own lane")
    page.js("document.querySelector(arguments[0]).scrollIntoView()", lane)
    assert page.sees(f"{lane} {card(ticket)}")
    assert "lanes=epic" in page.url
    assert page.sees(".lane-head", text="pod-a")


def test_filters_are_kept_in_the_address(page: Browser, world: World) -> None:
    bug = world.make("A bug to be filtered", type="Bug", project=102)
    task = world.make("A task to be filtered", pod="pod-x")
    page.one(card(task))
    page.choose("#filter-project", "Depot")
    page.gone(card(task))
    page.choose("#filter-type", "Bug")
    page.type("#search", "filtered")
    page.until(lambda: len(page.all(".card")) == 1, "one card")
    assert page.sees(card(bug))
    wanted = f"{world.url}/?project=depot&type=207&q=filtered"
    page.until(lambda: page.url == wanted, wanted)
    page.driver.refresh()
    page.one(card(bug))
    assert len(page.all(".card")) == 1
    page.click("#filter-clear")
    page.one(card(task))
    page.choose("#filter-pod", "pod-x")
    page.gone(card(bug))
    assert page.sees(card(task))


def test_a_pod_in_the_strip_filters_by_itself(page: Browser) -> None:
    page.click('.pod-card[data-pod="pod-c"] .pod-name')
    page.until(lambda: "pod=pod-c" in page.url, "the filter")
    page.until(lambda: all("pod-c" in one.text for one in page.all(".card")), "only what it has")


def test_the_search_finds_numbers_and_says_when_nothing_is_found(page: Browser, world: World) -> None:
    ticket = world.make("Found by its number")
    page.js("document.activeElement.blur()")
    page.one("body").send_keys("/")
    page.driver.switch_to.active_element.send_keys(f"#{ticket}")
    page.until(lambda: [one.get_attribute("data-id") for one in page.all(".card")] == [str(ticket)], "one card")
    page.driver.switch_to.active_element.send_keys("xyz")
    assert page.sees("#empty", text="No work package passes these filters.")
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    page.until(lambda: "q=" not in page.url, "an empty search")


def test_open_spikes_ask_for_people_at_the_top(page: Browser, world: World) -> None:
    spike = world.make("Which way round?", type="Spike")
    assert page.sees("#questions", text="for an answer")
    assert page.sees(card(spike), text="waits for an answer")


def test_every_module_is_asked_for_at_once(page: Browser) -> None:
    """One list by hand saves a chain of round trips: this keeps it whole."""
    asked = "return performance.getEntriesByType('resource').map((one) => one.name.split('/').pop())"
    preloaded = page.js(
        "return [...document.querySelectorAll('link[rel=modulepreload]')].map((one) => one.href.split('/').pop())"
    )
    modules = {name for name in page.js(asked) if name.endswith(".js")} - {"theme.js", "main.js"}
    assert set(preloaded) == modules
