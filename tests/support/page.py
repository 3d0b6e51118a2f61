"""A person's browser without the browser: signs in to the page, asks what its JavaScript asks, and listens."""

from __future__ import annotations

import json
import queue
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx

from agent.page import live
from agent.page.live import Live, Snapshot
from agent.page.snapshot import View
from agent.server.access import Viewer

API = "/api/v3"
SOON = 10.0
"""Seconds in which whatever is to come has come, on a busy machine too."""


@dataclass(frozen=True)
class Event:
    """One of the stream's."""

    name: str
    data: dict[str, Any]
    id: str
    at: float


class Listening:
    """A stream as it comes in."""

    def __init__(self) -> None:
        self.events: queue.Queue[Event] = queue.Queue()
        self.ended = threading.Event()
        self.comments = 0

    def read(self, lines: Iterator[str]) -> None:
        fields: dict[str, str] = {}
        try:
            for line in lines:
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "event" in fields:
                    data = json.loads(fields["data"])
                    self.events.put(Event(fields["event"], data, fields.get("id", ""), time.monotonic()))
                    fields = {}
        except httpx.HTTPError:
            pass
        self.ended.set()

    def next(self, timeout: float = SOON) -> Event:
        return self.events.get(timeout=timeout)

    def until(self, card: int, timeout: float = SOON) -> list[Event]:
        """The events up to the one that tells of this card."""
        found: list[Event] = []
        end = time.monotonic() + timeout
        while not found or card not in numbers(found[-1]):
            found.append(self.next(max(0.01, end - time.monotonic())))
        return found


def numbers(event: Event) -> set[int]:
    """The work packages that an event tells of."""
    return {card["id"] for card in event.data.get("changed", ())} | set(event.data.get("gone", ()))


def eyes(board: Live, now: Snapshot, *projects: int) -> View:
    """Those of somebody who sees these projects."""
    viewer = Viewer(id=99, name="Somebody", admin=False, language="en", projects=dict.fromkeys(projects, frozenset()))
    with board.desk.store.transaction(write=False) as db:
        return live.view(db, viewer, now)


class Visitor:
    """Somebody at the page."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=SOON)
        answer = self.http.post("/page/sign-in", json={"token": token})
        assert answer.status_code == 204, answer.text
        session = self.http.get("/page/session").json()
        self.id: int = session["user"]["id"]
        self.proof: str = session["csrf"]

    def close(self) -> None:
        self.http.close()

    def board(self) -> dict[str, Any]:
        answer = self.http.get("/page/board")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def cards(self) -> dict[int, dict[str, Any]]:
        return {card["id"]: card for card in self.board()["cards"]}

    def api(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """As the page's JavaScript calls the API."""
        return self.http.request(method, API + path, json=body, headers={"x-csrf-token": self.proof, **headers})

    @contextmanager
    def listen(self, version: str = "", last: str = "") -> Iterator[Listening]:
        heard = Listening()
        headers = {"last-event-id": last} if last else {}
        url = f"/page/events?version={version}"
        with httpx.Client(base_url=self.url, cookies=self.http.cookies, timeout=60) as own:
            request = own.build_request("GET", url, headers=headers)
            answer = own.send(request, stream=True)
            assert answer.status_code == 200, answer.read()
            thread = threading.Thread(target=heard.read, args=(answer.iter_lines(),), daemon=True)
            thread.start()
            try:
                yield heard
            finally:
                # Closing alone would wait for the thread that reads.
                _cut(answer)
                thread.join(SOON)


def _cut(answer: httpx.Response) -> None:
    found: socket.socket = answer.extensions["network_stream"].get_extra_info("socket")
    with suppress(OSError):
        found.shutdown(socket.SHUT_RDWR)
