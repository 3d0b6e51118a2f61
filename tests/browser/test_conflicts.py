"""Two people at once: nothing is overwritten, nothing typed is lost, and both are told."""

from selenium.webdriver.common.keys import Keys

from support.browser import Browser
from support.page_world import POD, World, card

CONFLICT = "was changed by somebody meanwhile; here is how it is now. Nothing was overwritten."


def edit(page: Browser, world: World, ticket: int) -> None:
    page.open(f"{world.url}/#wp={ticket}")
    page.one("#panel-title")
    page.click(".edit-button")
    page.one(".edit [name=subject]")


def deaf(page: Browser) -> None:
    """From here on this browser hears of no change: as if its stream were slow."""
    page.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/page/events*"]})
    page.js("window.dispatchEvent(new PageTransitionEvent('pagehide', {persisted: false}))")


def test_two_browsers_edit_the_same_words_and_the_second_is_told(
    page: Browser, other: Browser, world: World, expected: list[str]
) -> None:
    expected.append("status of 409")
    ticket = world.make("As it was", description="one")
    world.sign_in(page)
    world.sign_in(other, "human")
    edit(page, world, ticket)
    edit(other, world, ticket)
    deaf(other)
    other.type(".edit [name=subject]", "As the second wants it")
    page.type(".edit [name=subject]", "As the first wants it")
    page.click(".edit button", text="Save")
    page.one("#panel-title", text="As the first wants it")
    other.click(".edit button", text="Save")
    assert other.sees(".toast", text=f"#{ticket} {CONFLICT}")
    assert other.sees(".edit .alert", text="What you typed is still here")
    assert other.one(".edit [name=subject]").get_attribute("value") == "As the second wants it"
    assert other.sees(".edit .hint", text="As the first wants it")
    assert other.sees("#panel-title", text="As the first wants it")
    assert world.read(ticket)["subject"] == "As the first wants it"
    other.click(".edit button", text="Save mine")
    other.one("#panel-title", text="As the second wants it")
    assert world.read(ticket)["subject"] == "As the second wants it"
    assert page.sees(card(ticket), text="As the second wants it")
    other.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})


def test_somebody_elses_change_is_shown_beside_what_is_being_typed(page: Browser, world: World) -> None:
    ticket = world.make("Typed over", description="one")
    world.sign_in(page)
    edit(page, world, ticket)
    page.type(".edit [name=subject]", "My words")
    world.change(ticket, subject="Their words", description={"raw": "two"})
    assert page.sees(".edit .alert", text=CONFLICT)
    assert page.one(".edit [name=subject]").get_attribute("value") == "My words"
    assert page.one(".edit [name=description]").get_attribute("value") == "two"
    page.click(".edit .hint button", text="Use that")
    assert page.one(".edit [name=subject]").get_attribute("value") == "Their words"


def test_what_was_typed_is_there_again_when_the_panel_is_opened_again(page: Browser, world: World) -> None:
    ticket, elsewhere = world.make("Typed and left"), world.make("Looked at in between")
    world.sign_in(page)
    edit(page, world, ticket)
    page.type(".edit [name=subject]", "Typed and not yet saved")
    page.one(".edit [name=subject]").send_keys(Keys.ESCAPE)
    assert page.sees(".edit")
    page.open(f"{world.url}/#wp={elsewhere}")
    page.one("#panel-title", text="Looked at in between")
    page.gone(".edit")
    world.change(ticket, subject="Changed while nobody looked")
    page.open(f"{world.url}/#wp={ticket}")
    assert page.sees(".edit .hint", text="Changed while nobody looked")
    assert page.one(".edit [name=subject]").get_attribute("value") == "Typed and not yet saved"
    page.click(".edit button", text="Cancel")
    page.gone(".edit")


def test_a_change_elsewhere_on_the_ticket_disturbs_nobody_who_edits_its_words(page: Browser, world: World) -> None:
    ticket = world.make("Edited while it moves")
    world.sign_in(page)
    edit(page, world, ticket)
    page.type(".edit [name=subject]", "Edited all the same")
    world.change(ticket, status="In progress")
    page.until(
        lambda: (
            page.js("return document.querySelector('.facts [name=status]').selectedOptions[0].textContent")
            == "In progress"
        ),
        "the status",
    )
    page.click(".edit button", text="Save")
    page.one("#panel-title", text="Edited all the same")
    found = world.read(ticket)
    assert (found["subject"], found["_links"]["status"]["title"]) == ("Edited all the same", "In progress")


def test_routing_over_somebody_elses_routing_is_refused(page: Browser, world: World, expected: list[str]) -> None:
    expected.append("status of 409")
    ticket = world.make("Routed by two")
    world.sign_in(page)
    page.open(f"{world.url}/#wp={ticket}")
    page.one("#panel-title")
    page.type(".route input", "pod-a")
    world.change(ticket, **{POD: "pod-d"})
    page.one(card(ticket), text="pod-d")
    page.click(".route button", text="Route")
    assert page.sees(".toast", text=f"#{ticket} {CONFLICT}")
    assert world.read(ticket)[POD] == "pod-d"
    assert page.one(".route input").get_attribute("value") == "pod-a"


def test_a_spike_that_somebody_closed_meanwhile_keeps_the_answer(
    page: Browser, world: World, expected: list[str]
) -> None:
    expected.append("status of 409")
    spike = world.make("Answered by two", type="Spike")
    world.sign_in(page)
    page.open(f"{world.url}/#wp={spike}")
    page.one(".answer")
    deaf(page)
    world.change(spike, subject="Answered by two people")
    page.type(".comment textarea", "Mine")
    page.click(".answer")
    assert page.sees(".comment .alert", text="Your answer is on")
    assert world.comments(spike) == ["Mine"]
    assert world.status(spike) == "New"
    page.click(".answer", text="Close the Spike")
    world.eventually(spike, "Closed")
    assert world.comments(spike) == ["Mine"]
    page.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
