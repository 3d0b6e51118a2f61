"""The fleet's figures: charts with their tables, spans in the address."""

from support.browser import Browser
from support.page_world import World


def test_figures_are_shown_as_bars_and_as_tables(page: Browser, world: World) -> None:
    world.sign_in(page)
    page.click("#views a", text="Fleet")
    assert page.sees(".tiles", text="Cost of a done ticket")
    charts = page.js(
        "return [...document.querySelectorAll('svg.chart')].map((one) => [one.getAttribute('aria-label'), one.querySelectorAll('.bar').length])"
    )
    assert [label.partition(":")[0] for label, _ in charts] == ["Runs", "Tokens", "Cost"]
    assert all(bars >= 10 for _, bars in charts)
    page.click(".charts summary")
    rows = page.js("return document.querySelector('.charts details[open] tbody').rows.length")
    assert rows == 14
    assert page.sees(".figure", text="Time in status")
    assert "In progress" in page.text("#fleet-body")


def test_the_view_and_its_span_are_in_the_address(page: Browser, world: World) -> None:
    world.sign_in(page, query="?view=fleet")
    page.one(".tiles")
    page.choose("[name=days]", "7 days")
    page.until(
        lambda: page.js("return document.querySelector('svg.chart').getAttribute('aria-label').includes('in 7 days')"),
        "7 days",
    )
    assert page.url.endswith("?view=fleet&days=7")
    page.one("body").send_keys("f")
    assert page.sees(".card")
    page.driver.back()
    assert page.sees(".tiles")
