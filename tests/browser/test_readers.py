"""T5: what a reader's browser loads by itself of thirty texts of a model: nothing, on the real OpenProject and the real Gitea."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from agent.texts import outlet, report
from agent.texts.where import Where
from support.boards import Board
from support.browser import Browser
from support.forge import Forge, gitea
from support.outlet_texts import texts

RUN = "7f9c0d52-8a4e-4c11-9b5d-0123456789ab"
SHOWN = frozenset(["p", "br", "em", "strong", "del", "code", "pre", "ul", "ol", "li", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td", "hr"]) | {
    "a", "div", "figure", "span",
}  # fmt: skip
"""What is only read."""
HARMLESS = frozenset({"class", "dir", "lang", "href", "id", "rel", "target", "start", "tabindex"})
SETTLED = """
const done = arguments[arguments.length - 1];
requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => fetch('/barrier').then(() => done(true)), 0)));
"""


class Canary(ThreadingHTTPServer):
    """Serves pages, and knows what else was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: dict[str, str] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Canary

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path)
        if page is None and self.path not in ("/barrier", "/favicon.ico"):
            self.server.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write((page or "").encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def canary() -> Iterator[Canary]:
    server = Canary()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


class Reader(HTMLParser):
    """The tags of a document, and where its links lead beside what they say."""

    def __init__(self) -> None:
        super().__init__()
        self.strange: list[str] = []
        self.kinds: set[str] = set()
        self._href: str | None = None
        self._said = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.kinds.add(tag)
        names = {name for name, _ in attrs if not name.startswith(("data-hover-card", "aria-"))}
        if tag not in SHOWN or names - HARMLESS:
            self.strange.append(f"<{tag} {attrs}>")
        if tag == "a":
            self._href, self._said = dict(attrs).get("href"), ""

    def handle_endtag(self, tag: str) -> None:
        leads = tag == "a" and self._href and not self._href.startswith("#")  # a heading's own place
        if leads and self._href not in (f"/work_packages/{self._said.strip('#')}", self._said):
            self.strange.append(f"{self._said} leads to {self._href}")

    def handle_data(self, data: str) -> None:
        self._said += data


def loaded(browser: Browser, canary: Canary, documents: Mapping[str, str]) -> list[str]:
    """What Chromium asks for when somebody looks at all of them, to the end."""
    body = "\n".join(f"<section>{html}</section>" for html in documents.values())
    canary.pages["/"] = f"<!doctype html><base href='{canary.url}/relative/'><title>Texts</title>{body}"
    canary.asked.clear()
    browser.open("about:blank")
    browser.size(1600, 20_000)  # pictures that load when they are seen
    before = set(browser.requests())
    browser.open(f"{canary.url}/")
    assert browser.wait_js(SETTLED)
    own = {f"{canary.url}{path}" for path in ("/", "/barrier", "/favicon.ico")}
    asked = [one for one in browser.requests() if one.startswith("http") and one not in own and one not in before]
    return [*canary.asked, *asked]


def strange(documents: Mapping[str, str]) -> list[str]:
    """What in them is not only read."""
    found = []
    for name, html in documents.items():
        reader = Reader()
        reader.feed(html)
        found += [f"{name}: {one}" for one in reader.strange]
        if not reader.kinds & {"em", "strong", "li", "pre", "code"}:
            found.append(f"{name}: nothing of its Markdown is left")
    return found


@pytest.mark.openproject
def test_no_text_of_a_model_makes_a_reader_of_openproject_load_anything(
    one_chromium: Browser, openproject_board: Board, canary: Canary
) -> None:
    client = openproject_board.client()
    place = {
        "project": {"href": f"/api/v3/projects/{openproject_board.projects['shop']}"},
        "type": {"href": f"/api/v3/types/{openproject_board.types['Task']}"},
    }
    ticket = client.post("/work_packages", json={"subject": "Texts", "_links": place}).json()["id"]

    def html(text: str) -> str:
        answer = client.post(f"/work_packages/{ticket}/activities", json={"comment": {"raw": text}})
        return str(answer.json()["comment"]["html"])

    hostile = texts(f"{canary.url}/leak")
    raw = {name: html(hostile[name]) for name in ("picture", "img")}
    assert loaded(one_chromium, canary, raw), "a text that went around the door is seen"
    written = {
        name: html(
            report.spike_description(
                RUN, ticket=ticket, reason=text, question=text, evidence=text, where=Where(place=text)
            )
        )
        for name, text in hostile.items()
    }
    assert loaded(one_chromium, canary, written) == []
    assert strange(written) == []


@pytest.fixture(scope="session")
def forge() -> Forge:
    return gitea()


def test_no_text_of_a_model_makes_a_reader_of_gitea_load_anything(
    one_chromium: Browser, forge: Forge, canary: Canary
) -> None:
    with forge.client("pod-a") as client:

        def html(text: str) -> str:
            answer = client.post("/markdown", json={"Text": text, "Mode": "comment", "Context": "acme/shop"})
            assert answer.status_code == 200
            return answer.text

        hostile = texts(f"{canary.url}/leak")
        assert loaded(one_chromium, canary, {"raw": html(hostile["picture"])}), (
            "a text that went around the door is seen"
        )
        written = {name: html(outlet.forge(text)) for name, text in hostile.items()}
        schemeless = {f"{name}, schemeless": text for name, text in texts(canary.url.removeprefix("http:")).items()}
        filled_in = {name: html(outlet.commit("", text, {})) for name, text in {**hostile, **schemeless}.items()}
    assert loaded(one_chromium, canary, written) == []
    assert strange(written) == []
    assert loaded(one_chromium, canary, filled_in) == [], "a pull request begins with what its commit says"
