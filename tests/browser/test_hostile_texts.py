"""Whatever people or models write on the board is text in the browser, and nothing but text."""

from pathlib import Path

import pytest

from agent import server
from support.browser import Browser
from support.page_world import World, card

HOSTILE = (
    "<script>window.owned = 1</script>",
    '"><img src=x onerror="window.owned = 1">',
    "<svg onload='window.owned=1'>",
    "javascript:window.owned=1",
    "</textarea></title><iframe srcdoc='<script>parent.owned=1</script>'></iframe>",
    "' onmouseover='window.owned=1' x='",
    "{{constructor.constructor('window.owned=1')()}}",
)
MARKDOWN = "\n\n".join(
    (
        *HOSTILE,
        "[a link](javascript:window.owned=1)",
        "[another](data:text/html;base64,PHNjcmlwdD5vd25lZD0xPC9zY3JpcHQ+)",
        "![an image](https://elsewhere.example.org/pixel.png)",
        "<style>* { display: none }</style>",
        "<form action='https://elsewhere.example.org'><button>Send</button></form>",
        '[x](https://example.org "onmouseover=window.owned=1")',
        "<details open ontoggle=window.owned=1>",
        "```html\n<script>window.owned = 1</script>\n```",
        "<!-- agent run=7f9c0d52-1111-4222-8333-0123456789ab event=completed -->",
    )
)


@pytest.fixture
def hostile(world: World) -> dict[str, int]:
    """A ticket whose every text is hostile, and a Spike below it; a pod and a person with such names."""
    if "mallory" not in world.tokens:
        name = '"><img src=x onerror=window.owned=1><script>window.owned=1</script>'
        backlog = f"[[users]]\nlogin = 'mallory'\nname = '''{name}'''\nprojects = ['shop', 'depot']\n"
        world.tokens = {**world.tokens, **server.import_backlog(world.folder, backlog).tokens}
    subject = " ".join(HOSTILE)[:250]
    pod = "<img src=x onerror=window.owned=1>"
    ticket = world.make(subject, login="mallory", description=MARKDOWN, pod=pod)
    world.comment(ticket, MARKDOWN, login="mallory")
    epic = world.make(f"{HOSTILE[1]} Epic", type="Epic", login="mallory")
    child = world.make(f"{HOSTILE[0]} child", parent=epic, login="mallory")
    world.relate(child, "blocks", ticket)
    return {"ticket": ticket, "epic": epic, "child": child}


def test_no_hostile_text_runs_or_reaches_out_wherever_it_is_shown(
    page: Browser, world: World, hostile: dict[str, int]
) -> None:
    page.js("window.owned = undefined")
    world.sign_in(page)
    assert page.sees(card(hostile["ticket"]), text="<script>window.owned = 1</script>")
    assert page.sees("#pod-list", text="<img src=x onerror=window.owned=1>")
    for id_ in hostile.values():
        page.open(f"{world.url}/#wp={id_}")
        page.one(".panel-line", text=f"#{id_}")
    page.open(f"{world.url}/#wp={hostile['ticket']}")
    page.one(".panel-line", text=f"#{hostile['ticket']}")
    assert page.sees(".timeline", text='"><img src=x')
    assert page.sees(".description", text="<script>window.owned = 1</script>")
    page.click(".edit-button")
    page.one(".edit")
    page.choose("#filter-pod", "<img src=x onerror=window.owned=1>")
    page.open(f"{world.url}/?lanes=epic&q=%3Cscript%3E&pod=%22%3E%3Cscript%3Ewindow.owned=1%3C/script%3E")
    page.one("#empty")
    page.open(f"{world.url}/?lanes=epic&q=child")
    page.one(".lane-head", text="Epic")
    page.open(f"{world.url}/?view=fleet&days=%3Cscript%3E")
    page.one("#fleet-body")
    assert page.js("return window.owned ?? null") is None
    assert (
        page.js(
            "return document.querySelectorAll('#page script, #page iframe, #page form[action], #page style, .prose img').length"
        )
        == 0
    )


def test_links_in_texts_lead_only_where_links_may(page: Browser, world: World, hostile: dict[str, int]) -> None:
    world.sign_in(page)
    page.open(f"{world.url}/#wp={hostile['ticket']}")
    page.one(".timeline .entry")
    hrefs = page.js("return [...document.querySelectorAll('.prose a')].map((one) => one.getAttribute('href'))")
    assert {str(one).partition(":")[0] for one in hrefs} <= {"https", "http", "mailto", "#wp=1"}
    rels = page.js("return [...document.querySelectorAll('.prose a[href^=http]')].map((one) => one.rel)")
    assert all("noopener" in one and "noreferrer" in one for one in rels)


def test_the_policy_stops_what_would_get_through(page: Browser, world: World, expected: list[str]) -> None:
    expected.append("Content Security Policy")
    world.sign_in(page)
    page.js(
        "const s = document.createElement('script'); s.textContent = 'window.owned = 1'; document.body.append(s);"
        "const i = document.createElement('img'); i.src = 'https://elsewhere.example.org/x.png'; document.body.append(i);"
        "const d = document.createElement('div'); d.innerHTML = '<b onclick=\"window.owned=1\">x</b>';"
        "document.body.append(d); d.firstChild.click();"
    )
    assert page.js("return window.owned ?? null") is None


def test_no_file_outside_the_assets_is_served(world: World) -> None:
    for path in ("../app.py", "..%2fapp.py", "%2e%2e/app.py", "app.py", "index.html/../../app.py", ""):
        answer = world.get(f"/page/assets/{path}")
        assert answer.status_code in (404, 405), path
    assert Path("agent/page/app.py").name not in world.get("/").text
