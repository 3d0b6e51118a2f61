"""Several tabs of one browser: they share a session, and a sign-in in one of them counts for all."""

from collections.abc import Iterator
from contextlib import contextmanager

from support.browser import Browser
from support.page_world import World, card


@contextmanager
def second_tab(page: Browser) -> Iterator[str]:
    """A second one in front of the first, closed afterwards; its handle."""
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    own = page.driver.current_window_handle
    try:
        yield own
    finally:
        page.driver.switch_to.window(own)
        page.driver.close()
        page.driver.switch_to.window(first)


def sign_in_by_hand(page: Browser, world: World, login: str) -> None:
    page.type("#token", world.tokens[login])
    page.click("#sign-in-form button")
    page.one(".card")


def test_a_sign_in_link_opened_in_a_tab_that_shows_the_page_signs_in(page: Browser, world: World) -> None:
    page.open(world.url)
    page.one("#sign-in-form")
    page.open(f"{world.url}/#token={world.tokens['olga']}")
    assert page.sees("#who", text="Olga Operator")
    assert "token" not in page.url
    page.open(f"{world.url}/#token={world.tokens['victor']}")
    assert page.sees("#viewer-note")
    assert "token" not in page.url


def test_a_sign_in_link_that_is_cut_leads_to_the_sign_in_page(page: Browser, world: World, expected: list[str]) -> None:
    expected.append("status of 401")
    page.open(f"{world.url}/#token=opapi-%E0%A4%A")
    assert page.sees("#sign-in-message", text="no such token")
    assert "token" not in page.url


def test_whoever_signs_in_in_one_tab_is_shown_in_all_of_them(page: Browser, world: World, expected: list[str]) -> None:
    expected.append("status of 401")
    ticket = world.make("Of the depot", project=102)
    world.sign_in(page)
    page.click(f"{card(ticket)} .card-link")
    page.type(".comment textarea", "For nobody else's eyes")
    first = page.driver.current_window_handle
    with second_tab(page):
        page.open(world.url)
        page.one(".card")
        page.click("#sign-out")
        page.one("#sign-in-message", text="You are signed out.")
        sign_in_by_hand(page, world, "victor")
        page.driver.switch_to.window(first)
        assert page.sees("#who", text="Victor")
        assert page.sees("#viewer-note")
        assert page.js("return JSON.stringify(sessionStorage)").find("nobody else") == -1
        page.driver.switch_to.window(page.driver.window_handles[-1])
        # The first one's farewell must not be taken for this one's.
        page.driver.refresh()
        assert page.sees("#viewer-note")


def test_a_tab_that_slept_while_somebody_else_signed_in_shows_nothing_of_before(page: Browser, world: World) -> None:
    world.sign_in(page)
    page.one(".card")
    # It lets go of its stream, and hears nothing of what other tabs do.
    page.js("dispatchEvent(new PageTransitionEvent('pagehide'))")
    page.wait_js(
        "const [token, done] = arguments; const headers = {'content-type': 'application/json'};"
        "fetch('/page/sign-in', {method: 'POST', headers, body: JSON.stringify({token})}).then(() => done());",
        world.tokens["victor"],
    )
    page.js("document.dispatchEvent(new Event('visibilitychange'))")
    assert page.sees("#viewer-note")
    assert page.sees("#who", text="Victor")


def test_who_signs_in_where_anothers_session_ended_finds_nothing_of_the_others(
    page: Browser, world: World, expected: list[str]
) -> None:
    expected.append("status of 401")
    ticket = world.make("Half answered", project=102)
    world.sign_in(page)
    page.click(f"{card(ticket)} .card-link")
    page.type(".comment textarea", "Not yet said")
    page.click(".edit-button")
    page.type(".edit [name=subject]", "Not yet saved")
    page.wait_js(
        "const done = arguments[0]; fetch('/page/session').then((answer) => answer.json()).then(({csrf}) =>"
        " fetch('/page/sign-out', {method: 'POST', headers: {'x-csrf-token': csrf}})).then(() => done());"
    )
    page.one("#sign-in-message", text="Your session has ended")
    sign_in_by_hand(page, world, "human")
    page.one("#who", text="Hanna Human")
    page.one("#panel-title", text="Half answered")
    assert page.one(".comment textarea").get_attribute("value") == ""
    assert (
        page.js("return [...document.querySelectorAll('input, textarea')].some((one) => one.value.includes('Not yet'))")
        is False
    )
