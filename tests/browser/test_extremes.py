"""What no board has, and some board will: endless words, hundreds of blockers, wrong clocks, narrow windows, odd addresses."""

from datetime import UTC, datetime

import pytest
from selenium.webdriver.common.keys import Keys

from support.browser import Browser
from support.page_world import POD, RUN, World, card

SIZES = [(1600, 1000), (800, 500), (390, 844), (320, 500)]
"""Wide, wide at 200 %, a phone, and what accessibility asks for."""
TOO_WIDE = """
const panel = document.getElementById('panel');
const right = panel.getBoundingClientRect().left + panel.clientLeft + panel.clientWidth;
return [...panel.querySelectorAll('*')].filter((one) => one.getBoundingClientRect().right > right + 0.5)
  .map((one) => one.outerHTML.slice(0, 80));
"""
OBSCURED = """
const one = document.activeElement;
const box = one.getBoundingClientRect();
const at = document.elementFromPoint(box.left + Math.min(8, box.width / 2), box.top + box.height / 2);
return [Boolean(one.closest('#panel')), one.contains(at) ? '' : one.outerHTML.slice(0, 80)];
"""


def open_panel(page: Browser, world: World, ticket: int) -> None:
    page.open(f"{world.url}/#wp={ticket}")
    page.one(".panel-line", text=f"#{ticket}")
    page.one(".timeline .entry")


@pytest.mark.parametrize("letters", ["W", "words and words ", "👩‍👩‍👧‍👦 مرحبا "])
def test_the_longest_subjects_leave_the_panel_usable_in_every_window(page: Browser, world: World, letters: str) -> None:
    longest = (letters * 255)[:250]
    epic = world.make(longest, type="Epic")
    ticket = world.make(longest, parent=epic, pod="p" * 200)
    world.relate(epic, "relates", world.make(longest))
    world.sign_in(page)
    for width, height in SIZES:
        page.size(width, height)
        for query in ("", "?lanes=epic"):
            page.open(f"{world.url}/{query}")
            page.one(".card")
            assert page.js("return document.documentElement.scrollWidth") == width
        open_panel(page, world, ticket)
        page.click(".edit-button")
        assert page.js(TOO_WIDE) == []
        page.js("document.getElementById('panel').scrollTop = 1e6")
        covered = page.js(
            "const [panel, ...bars] = ['#panel', '.panel-head', '.panel-bar'].map((one) => document.querySelector(one).getBoundingClientRect());"
            "return Math.max(...bars.map((bar) => bar.bottom - panel.top)) / panel.height;"
        )
        assert covered < 0.25


def test_what_has_the_focus_is_never_below_the_head_of_the_panel(page: Browser, world: World) -> None:
    ticket = world.make("Walked backwards", description="\n\n".join("words" for _ in range(40)))
    world.sign_in(page)
    page.size(1600, 500)
    open_panel(page, world, ticket)
    page.one(".comment button.primary").send_keys(Keys.SHIFT, Keys.TAB)
    for _ in range(12):
        page.driver.switch_to.active_element.send_keys(Keys.SHIFT, Keys.TAB)
        inside, obscured = page.js(OBSCURED)
        if not inside:
            return
        assert obscured == ""


def test_a_ticket_behind_many_others_says_so_in_few_words(page: Browser, world: World) -> None:
    ticket = world.make("Behind many")
    for n in range(9):
        world.relate(world.make(f"Before it {n}", priority="Low"), "blocks", ticket)
    world.sign_in(page)
    assert page.sees(card(ticket), text="and 6 more")
    assert page.text(card(ticket)).count("waits for") == 3
    open_panel(page, world, ticket)
    assert page.text(".facts .reasons").count("waits for") == 5
    page.click(".facts .reasons summary", text="4 more")
    assert page.text(".facts .reasons").count("waits for") == 9


@pytest.mark.parametrize("hours", [-3, 3])
def test_ages_are_by_the_boards_clock_and_not_by_the_browsers(page: Browser, world: World, hours: int) -> None:
    ticket = world.make("Begun just now")
    token = f"11111111-1111-4111-8111-111111111111.ab12 by pod-z try 1 for 4h @ {datetime.now(UTC):%Y-%m-%dT%H:%MZ}"
    world.change(ticket, status="In progress", **{POD: "pod-z", RUN: token})
    wrong = f"const now = Date.now.bind(Date); Date.now = () => now() + {hours} * 3600e3;"
    added = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": wrong})
    try:
        world.sign_in(page)
        open_panel(page, world, ticket)
        assert page.sees(".timeline .entry-head time", text="just now")
        seconds = page.js(
            "return document.querySelector('#panel .claim time').textContent.split(':').reduce((sum, one) => sum * 60 + Number(one), 0)"
        )
        began = datetime.now(UTC).second
        assert 0 <= seconds < 60 + began + 30
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
        page.open("about:blank")
        world.change(ticket, status="New", **{POD: "", RUN: ""})


def test_an_address_that_names_nothing_shows_the_board(page: Browser, world: World) -> None:
    world.sign_in(page)
    for odd in ("#wp=0", "#wp=-1", "#wp=x", "#wp=1.5", "#wp=" + "9" * 30, "#", "#wp="):
        page.open(world.url + "/" + odd)
        page.one(".card")
        page.gone("#panel")
    page.open(f"{world.url}/?project=nowhere&type=x&pod=%00&q=%FF&lanes=zz&view=zz&days=-5#wp=0")
    assert page.sees("#empty", text="No work package passes these filters.")
    page.click("#filter-clear")
    assert page.sees(".card")


def test_back_and_forward_lead_through_filters_and_panels_as_they_were(page: Browser, world: World) -> None:
    one, other = world.make("First in history"), world.make("Second in history")
    world.sign_in(page)
    page.click(f"{card(one)} .card-link")
    page.one("#panel-title", text="First in history")
    page.type("#search", "history")
    page.until(lambda: "q=history" in page.url, "the filter")
    page.click(f"{card(other)} .card-link")
    page.one("#panel-title", text="Second in history")
    page.driver.back()
    page.one("#panel-title", text="First in history")
    assert page.one("#search").get_attribute("value") == "history"
    page.driver.back()
    page.gone("#panel")
    page.until(lambda: page.one("#search").get_attribute("value") == "", "no filter")
    page.driver.forward()
    page.one("#panel-title", text="First in history")
    assert page.one("#search").get_attribute("value") == "history"


def test_who_wants_no_motion_sees_none(page: Browser, world: World) -> None:
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    world.sign_in(page)
    page.one(".card")
    assert page.js("return matchMedia('(prefers-reduced-motion: reduce)').matches")
    assert page.js("return document.getAnimations().length") == 0
