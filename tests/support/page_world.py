"""A served board for browser tests: a busy fleet's, with hands that change it behind the page's back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from support.browser import Browser
from support.commands import AGENT, environment

TIMEOUT = 30.0
STATUSES = {"New": 301, "In progress": 307, "In testing": 309, "Closed": 312, "On hold": 313, "Rejected": 314}
TYPES = {
    "Task": 201,
    "Milestone": 202,
    "Summary task": 203,
    "Feature": 204,
    "Epic": 205,
    "User story": 206,
    "Bug": 207,
    "Spike": 208,
}
PRIORITIES = {"Low": 401, "Normal": 402, "High": 403, "Immediate": 404}
POD, RUN = "customField601", "customField602"


@dataclass
class World:
    """A board behind its real command. `tokens` by login."""

    folder: Path
    tokens: Mapping[str, str]
    url: str = ""
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)
    _made: list[int] = field(default_factory=list, repr=False)
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=TIMEOUT), repr=False)

    def start(self) -> None:
        """Serve it, on the port that it had before if there was one."""
        listen = urlsplit(self.url).netloc or "127.0.0.1:0"
        self._process = subprocess.Popen(
            [AGENT, "board", "serve", str(self.folder), "--listen", listen, "--json"],
            env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the board did not start"
        self.url = json.loads(line)["url"]

    def stop(self) -> None:
        """Stop serving."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
        if self._process:
            self._process.communicate()
        self._process = None

    def close(self) -> None:
        """Stop serving, for good."""
        self.stop()
        self._http.close()

    def ask(self, method: str, path: str, body: Any = None, *, login: str = "olga") -> Any:
        """One request to the API, which must succeed."""
        auth = ("apikey", self.tokens[login])
        answer = self._http.request(method, f"{self.url}/api/v3{path}", json=body, auth=auth)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def get(self, path: str) -> httpx.Response:
        """One request in nobody's name, as it stands."""
        return self._http.get(self.url + path)

    def read(self, id_: int) -> Any:
        """A work package as the API tells it."""
        return self.ask("GET", f"/work_packages/{id_}")

    def status(self, id_: int) -> str:
        """The name of its status."""
        return str(self.read(id_)["_links"]["status"]["title"])

    def comments(self, id_: int) -> list[str]:
        """What was said on it, in order."""
        found = self.ask("GET", f"/work_packages/{id_}/activities")["_embedded"]["elements"]
        return [one["comment"]["raw"] for one in found if one["comment"]["raw"]]

    def make(
        self, subject: str, *, type: str = "Task", project: int = 101, login: str = "olga", parent: int | None = None,  # noqa: A002
        status: str = "New", priority: str = "High", pod: str = "", description: str = "",
    ) -> int:  # fmt: skip
        """A new work package; those of a high priority stand at the top of their column."""
        links = {
            "type": {"href": f"/api/v3/types/{TYPES[type]}"},
            "project": {"href": f"/api/v3/projects/{project}"},
            "status": {"href": f"/api/v3/statuses/{STATUSES[status]}"},
            "priority": {"href": f"/api/v3/priorities/{PRIORITIES[priority]}"},
            **({"parent": {"href": f"/api/v3/work_packages/{parent}"}} if parent else {}),
        }
        body = {"subject": subject, "_links": links, "description": {"raw": description}, **({POD: pod} if pod else {})}
        made = int(self.ask("POST", "/work_packages", body, login=login)["id"])
        self._made.append(made)
        return made

    def tidy(self) -> None:
        """Delete what `make` made: a column shows its first forty cards, and those of the next test have to be among them."""
        for id_ in self._made:
            # With a parent go its children.
            self._http.delete(f"{self.url}/api/v3/work_packages/{id_}", auth=("apikey", self.tokens["admin"]))
        self._made.clear()

    def change(self, id_: int, *, login: str = "olga", status: str | None = None, **more: Any) -> None:
        """Change it, as somebody else would meanwhile."""
        links = {"status": {"href": f"/api/v3/statuses/{STATUSES[status]}"}} if status else {}
        body = {"lockVersion": self.read(id_)["lockVersion"], "_links": links, **more}
        self.ask("PATCH", f"/work_packages/{id_}", body, login=login)

    def comment(self, id_: int, raw: str, *, login: str = "olga") -> None:
        """Say something on it."""
        self.ask("POST", f"/work_packages/{id_}/activities", {"comment": {"raw": raw}}, login=login)

    def relate(self, id_: int, kind: str, other: int) -> None:
        """Relate it to another."""
        body = {"type": kind, "_links": {"to": {"href": f"/api/v3/work_packages/{other}"}}}
        self.ask("POST", f"/work_packages/{id_}/relations", body)

    def sign_in(self, browser: Browser, login: str = "olga", query: str = "") -> None:
        """Open the board in somebody's name, by a sign-in link."""
        browser.forget()
        browser.open(f"{self.url}/{query}#token={self.tokens[login]}")
        browser.one("#live")
        browser.until(lambda: browser.js("return document.getElementById('live').dataset.state") == "live", "live")

    def eventually(self, id_: int, status: str) -> None:
        """Wait until its status is this."""
        end = time.monotonic() + TIMEOUT
        while self.status(id_) != status:
            assert time.monotonic() < end, f"#{id_} is {self.status(id_)}, not {status}"
            time.sleep(0.05)


def card(id_: int) -> str:
    """The selector of a card."""
    return f'.card[data-id="{id_}"]'


def in_column(id_: int, status: str) -> str:
    """The selector of a card in the column of a status."""
    return f'[data-drop="{STATUSES[status]}"] {card(id_)}'
