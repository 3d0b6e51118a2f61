"""Changes as they happen, and the stream that is taken up again after whatever cut it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import busy_fleet
from support.browser import Browser
from support.page_world import World, card, in_column

STATE = "return document.getElementById('live').dataset.state"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[World]:
    """A board that this test may stop."""
    folder = tmp_path / "board"
    served = World(folder, busy_fleet.fill(folder).tokens)
    served.start()
    yield served
    served.close()


@pytest.fixture
def expected() -> list[str]:
    return ["net::ERR_", "status of 401"]


def test_what_others_do_is_seen_without_asking(page: Browser, other: Browser, world: World) -> None:
    world.sign_in(page)
    world.sign_in(other, "human")
    ticket = world.make("Seen by all")
    assert page.sees(in_column(ticket, "New"))
    other.one(card(ticket))
    world.change(ticket, status="In testing")
    assert page.sees(in_column(ticket, "In testing"))
    assert other.sees(in_column(ticket, "In testing"))


def test_only_the_card_that_changed_is_painted_anew(page: Browser, world: World) -> None:
    ticket, quiet = world.make("It changes"), world.make("It does not")
    world.sign_in(page)
    page.one(card(quiet))
    mark = "document.querySelector(arguments[0]).querySelector('.card-link').mark = 'kept'"
    for one in (ticket, quiet):
        page.js(mark, card(one))
    world.change(ticket, subject="It has changed")
    page.one(card(ticket), text="It has changed")
    kept = "return document.querySelector(arguments[0]).querySelector('.card-link').mark"
    assert (page.js(kept, card(ticket)), page.js(kept, card(quiet))) == (None, "kept")


def test_a_restart_of_the_server_signs_nobody_out_and_what_happened_meanwhile_is_seen(
    one_chromium: Browser, own: World
) -> None:
    page = one_chromium
    page.fresh(own.url)
    own.sign_in(page)
    ticket = own.make("Here before the restart")
    page.one(in_column(ticket, "New"))
    own.stop()
    page.until(lambda: page.js(STATE) == "waiting", "the lost stream")
    assert page.text("#live-text") == "Reconnecting"
    own.start()
    own.change(ticket, status="In testing")
    made = own.make("Made while nobody listened")
    page.until(lambda: page.js(STATE) == "live", "the stream")
    assert page.sees(in_column(ticket, "In testing"))
    assert page.sees(card(made))
    later = own.make("And after it")
    assert page.sees(card(later))
    assert page.foreign(own.url) == []
    page.open("about:blank")


def test_a_short_loss_is_taken_up_where_it_was_lost(page: Browser, world: World) -> None:
    world.sign_in(page)
    ticket = world.make("Before the loss")
    page.one(card(ticket))
    page.js("window.dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    world.change(ticket, subject="Changed during the loss")
    page.js("window.dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    assert page.sees(card(ticket), text="Changed during the loss")
    asked = [url for url in page.requests() if "/page/board" in url]
    assert len(asked) == 1, "the whole board was fetched again"


def test_new_pods_and_their_work_appear_by_themselves(page: Browser, world: World) -> None:
    world.sign_in(page)
    token = "7f9c0d52-1111-4222-8333-0123456789ac.5f0c9a1e77d2b340 by pod-new try 1 for 4h @ 2026-11-24T08:00Z"
    ticket = world.make("Work of a new pod")
    body = {"lockVersion": world.read(ticket)["lockVersion"], "customField601": "pod-new", "customField602": token}
    world.ask(
        "PATCH",
        f"/work_packages/{ticket}",
        {**body, "_links": {"status": {"href": "/api/v3/statuses/307"}}},
        login="agent",
    )
    assert page.sees('.pod-card[data-pod="pod-new"]', text="Work of a new pod")
    world.change(ticket, status="Closed", customField602=None, customField601=None)
    page.until(lambda: "Work of a new pod" not in page.text("#pod-list"), "an idle pod")
