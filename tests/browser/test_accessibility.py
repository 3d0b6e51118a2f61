"""What axe-core says of every view in both themes, and what it cannot judge: landmarks, live regions, motion."""

from collections.abc import Callable

import pytest

from support.browser import Browser
from support.page_world import World

VIEWS = ("sign-in", "board", "lanes", "panel", "edit", "create", "move", "help", "fleet")


def show(page: Browser, world: World, view: str) -> None:
    if view == "sign-in":
        page.open(world.url)
        page.one("#token")
        return
    world.sign_in(page, query={"lanes": "?lanes=epic", "fleet": "?view=fleet"}.get(view, ""))
    page.one(".tiles" if view == "fleet" else ".card")
    if view in ("panel", "edit"):
        ticket = world.make("Looked at closely", description="# Title\n\n- one [link](https://example.org)")
        page.open(f"{world.url}/#wp={ticket}")
        page.one(".timeline .entry")
    if view == "edit":
        page.click(".edit-button")
    if view in ("create", "help"):
        page.click("#new" if view == "create" else "#help")
        page.one(f"#{view}-dialog")
    if view == "move":
        page.js("document.querySelector('.movable .card-link').focus()")
        page.driver.switch_to.active_element.send_keys("m")
        page.one("#move-dialog")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_serious(
    page: Browser, world: World, axe: Callable[[Browser], list[str]], view: str, theme: str
) -> None:
    page.theme(theme)
    show(page, world, view)
    assert page.js("return document.documentElement.dataset.theme") == theme
    assert axe(page) == []


def test_axe_would_say_so(page: Browser, world: World, axe: Callable[[Browser], list[str]]) -> None:
    page.open(world.url)
    page.one("#token")
    page.js(
        "document.querySelector('label[for=token]').remove(); document.querySelector('#sign-in h1').style.color = '#eee'"
    )
    assert {one.partition(" ")[0] for one in axe(page)} >= {"color-contrast"}


def test_a_phone_is_no_exception(page: Browser, world: World, axe: Callable[[Browser], list[str]]) -> None:
    page.size(390, 844, phone=True)
    world.sign_in(page)
    page.one(".card")
    assert axe(page) == []
    assert page.js("return document.documentElement.scrollWidth") == 390


def test_the_theme_can_be_chosen_and_is_kept(page: Browser, world: World) -> None:
    world.sign_in(page)
    page.click("#theme")
    assert page.js("return document.documentElement.dataset.theme") == "dark"
    page.driver.refresh()
    page.one(".card")
    assert page.js("return document.documentElement.dataset.theme") == "dark"


def test_nothing_moves_for_those_who_asked_for_rest(page: Browser, world: World) -> None:
    features = [
        {"name": "prefers-reduced-motion", "value": "reduce"},
        {"name": "prefers-color-scheme", "value": "light"},
    ]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    world.sign_in(page)
    page.one(".pod-card.working")
    running = page.js("return document.getAnimations().filter((one) => one.playState === 'running').length")
    assert running == 0


def test_there_are_landmarks_headings_and_a_live_region(page: Browser, world: World) -> None:
    world.sign_in(page)
    page.one(".card")
    seen = "return [...document.querySelectorAll(arguments[0])].filter((one) => one.checkVisibility()).length"
    assert (page.js(seen, "main"), page.js(seen, "header#top"), page.js(seen, "h1")) == (1, 1, 1)
    assert page.js("return document.getElementById('toasts').getAttribute('aria-live')") == "polite"
