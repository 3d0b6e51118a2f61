"""Who may look and who may write: signing in by token or link, signing out, sessions that end, and viewers."""

from support.browser import Browser
from support.page_world import World, card

LINK_GONE = "return [location.href, performance.getEntriesByType('navigation').length, history.length].join(' ')"


def test_a_token_opens_the_board_and_a_wrong_one_gets_a_sentence(
    page: Browser, world: World, expected: list[str]
) -> None:
    expected.append("status of 401")
    page.open(world.url)
    page.type("#token", "opapi-wrong")
    page.click("#sign-in-form button")
    assert page.sees("#sign-in-message", text="no such token")
    page.type("#token", world.tokens["olga"])
    page.click("#sign-in-form button")
    assert page.sees("#who", text="Olga Operator")
    assert page.sees(".card")


def test_a_link_signs_in_and_its_token_is_in_no_address_afterwards(page: Browser, world: World) -> None:
    world.sign_in(page, query="?lanes=epic")
    assert page.url == f"{world.url}/?lanes=epic"
    page.open(f"{world.url}/?type=207")
    page.one(".card")
    page.driver.back()
    page.until(lambda: "lanes=epic" in page.url, "the page before")
    page.one(".lane")
    assert "token" not in page.url


def test_the_session_is_kept_out_of_reach_of_scripts(page: Browser, world: World) -> None:
    world.sign_in(page)
    assert page.js("return document.cookie") == ""
    [cookie] = page.driver.get_cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")


def test_signing_out_ends_the_session(page: Browser, world: World, expected: list[str]) -> None:
    expected.append("status of 401")
    world.sign_in(page)
    page.click("#sign-out")
    assert page.sees("#sign-in-message", text="You are signed out.")
    page.open(f"{world.url}/page/board")
    assert "not signed in" in page.driver.page_source


def test_a_session_that_ends_elsewhere_leads_to_the_sign_in_page_and_back_to_the_same_ticket(
    page: Browser, other: Browser, world: World, expected: list[str]
) -> None:
    expected.append("status of 401")
    ticket = world.make("Seen before and after")
    world.sign_in(page, query="?type=201")
    page.click(f"{card(ticket)} .card-link")
    page.type(".comment textarea", "A sentence that is not lost")
    # The same session, signed out from another window.
    [cookie] = page.driver.get_cookies()
    other.open(f"{world.url}/page/assets/icon.svg")
    other.driver.add_cookie({"name": cookie["name"], "value": cookie["value"], "path": "/"})
    other.open(world.url)
    other.js("localStorage.setItem('agent-signed-in', 'yes')")
    other.open(world.url)
    other.click("#sign-out")
    assert page.sees("#sign-in-message", text="Your session has ended.")
    page.type("#token", world.tokens["olga"])
    page.click("#sign-in-form button")
    assert page.sees("#panel-title", text="Seen before and after")
    assert page.url.endswith(f"?type=201#wp={ticket}")
    page.until(
        lambda: page.one(".comment textarea").get_attribute("value") == "A sentence that is not lost", "the draft"
    )


def test_a_viewer_sees_everything_and_is_offered_no_change(page: Browser, world: World) -> None:
    ticket = world.make("For eyes only")
    world.sign_in(page, "victor")
    page.click(f"{card(ticket)} .card-link")
    page.one("#panel-title", text="For eyes only")
    page.one(".timeline .entry")
    writing = "#new, .edit-button, .route, .comment textarea, .facts select, .relate, .add, .movable"
    assert [one.get_attribute("outerHTML") for one in page.all(writing) if one.is_displayed()] == []
    assert page.sees("#viewer-note", text="may only look")
    page.js("document.querySelector(arguments[0]).focus()", f"{card(ticket)} .card-link")
    page.driver.switch_to.active_element.send_keys("m")
    assert page.sees(".toast", text=f"You may not change the status of #{ticket}.")
    page.driver.switch_to.active_element.send_keys("n")
    assert not page.js("return document.querySelector('dialog[open]')")
