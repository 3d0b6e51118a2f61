"""A recorded exchange asked again of another board, its ids mapped, and what is different in the answer."""

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from agent.server import store
from support.boards import API, Board, embedded_board

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "reference" / "openproject-live"
STORIES = (
    "transport",
    "lookup",
    "work-package",
    "locking",
    "transitions",
    "create",
    "hierarchy",
    "comments",
    "relations",
    "filters",
)
"""In the order in which they were recorded, on one board."""

_HREF = re.compile(r"/api/v3/(\w+)/(\d+)(?=[/?#\"]|$)")
_SCHEMA = re.compile(r"/schemas/(\d+)-(\d+)")
_FIELD = re.compile(r"customField(\d+)")
_NUMBERS = re.compile(r"#(\d+)(?!\d)")
_WATCHER = re.compile(r"/watchers/(\d+)")
_KIND_OF_FILTER = {
    "assignee": "users",
    "status": "statuses",
    "type": "types",
    "priority": "priorities",
    "project": "projects",
    "member": "projects",
}
_WORK_PACKAGE_FILTERS = ("id", "parent", "ancestor", "blocks", "blocked", "involved")
_SAME_KIND = {"workspaces": "projects"}
_CHANGING = ("createdAt", "updatedAt", "html", "avatar", "hostName", "message", "parseError", "instanceName")
"""Compared by type only."""
_PRUNED = ("WorkPackage",)
"""Recorded with the keys that matter only, but in the story work-package."""
UNKNOWN = 900_000
"""Ids that the recording does not explain stay ids of nothing."""


@dataclass(frozen=True)
class Difference:
    """Where the answers differ, and how: `$._links.move`, "missing"."""

    story: str
    step: str
    place: str
    how: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.story} / {self.step}: {self.place} {self.how} {self.detail}".rstrip()


@dataclass
class Ids:
    """The ids of the recording by kind, and what they are here."""

    here: dict[tuple[str, int], int] = field(default_factory=dict)

    @classmethod
    def of_worlds(cls, recorded: Mapping[str, Any], board: Board) -> "Ids":
        ids = cls()
        for kind in ("users", "projects", "fields", "types", "statuses", "priorities"):
            for name, id_ in recorded[kind].items():
                ids.here[kind, id_] = getattr(board, kind)[name]
        return ids

    def one(self, kind: str, id_: int) -> int:
        return self.here.get((_SAME_KIND.get(kind, kind), id_), UNKNOWN + id_ % 1000)

    def text(self, text: str) -> str:
        """Links, schemas and custom fields inside a text."""
        text = _HREF.sub(lambda found: f"/api/v3/{found[1]}/{self.one(found[1], int(found[2]))}", text)
        text = _SCHEMA.sub(
            lambda found: f"/schemas/{self.one('projects', int(found[1]))}-{self.one('types', int(found[2]))}", text
        )
        text = _WATCHER.sub(lambda found: f"/watchers/{self.one('users', int(found[1]))}", text)
        return _FIELD.sub(
            lambda found: f"customField{self.here.get(('fields', int(found[1])), 9_000_000 + int(found[1]))}", text
        )

    def filters(self, text: str) -> str:
        """The values of filters."""
        try:
            filters = json.loads(text)
        except ValueError:
            return text
        for condition in filters:
            for name, body in condition.items():
                kind = _KIND_OF_FILTER.get(name, "work_packages" if name in _WORK_PACKAGE_FILTERS else None)
                if kind and isinstance(body.get("values"), list):
                    body["values"] = [self._value(kind, value) for value in body["values"]]
        return self.text(json.dumps(filters))

    def _value(self, kind: str, value: Any) -> Any:
        if isinstance(value, int):
            return self.one(kind, value)
        return str(self.one(kind, int(value))) if value.isdecimal() else value

    def learn(self, recorded: Any, actual: Any) -> None:
        """Whatever has the same place in both answers is the same thing."""
        if isinstance(recorded, dict) and isinstance(actual, dict):
            href = recorded.get("href")
            if isinstance(href, str) and isinstance(actual.get("href"), str):
                ours, theirs = _HREF.fullmatch(actual["href"]), _HREF.fullmatch(href)
                if ours and theirs:
                    self.here.setdefault((_SAME_KIND.get(theirs[1], theirs[1]), int(theirs[2])), int(ours[2]))
            for key in recorded.keys() & actual.keys():
                self.learn(recorded[key], actual[key])
        elif isinstance(recorded, list) and isinstance(actual, list):
            for one, other in zip(recorded, actual, strict=False):
                self.learn(one, other)


def recorded_board(folder: Path) -> Board:
    """An embedded board whose accounts and memberships came about in the order of the recording."""
    board = embedded_board(folder)
    order = ["admin", "agent", "agent2", "human", "reader", "outsider", "deutsch"]
    with closing(sqlite3.connect(folder / store.FILE)) as connection, connection:
        for number, login in enumerate(order, start=60):
            [(old,)] = connection.execute("SELECT id FROM users WHERE login = ?", (login,)).fetchall()
            for table, column in (("users", "id"), ("tokens", "user_id"), ("members", "user_id")):
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (number, old))
        connection.execute("UPDATE users SET name = 'OpenProject Admin' WHERE login = 'admin'")
        rows = connection.execute("SELECT id FROM members ORDER BY project_id, user_id").fetchall()
        connection.executemany("UPDATE members SET id = id + ? WHERE id = ?", [(100, id_) for (id_,) in rows])
        connection.executemany(
            "UPDATE members SET id = ? WHERE id = ?", [(n, id_ + 100) for n, (id_,) in enumerate(rows, start=1)]
        )
    return replace(board, users={login: number for number, login in enumerate(order, start=60)})


def load(story: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((RECORDED / f"{story}.json").read_text(encoding="utf-8"))
    return loaded


class Replay:
    """Stories on a board that grows with them."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.ids = Ids.of_worlds(load("world"), board)
        self.compared = 0
        self.answered: list[tuple[Mapping[str, Any], httpx.Response]] = []
        """Each exchange as it was recorded, and the answer here."""

    def story(self, name: str) -> Iterator[tuple[str, list[Difference]]]:
        """Each step with its differences."""
        for exchange in load(name)["exchanges"]:
            response = self._send(exchange)
            self.answered.append((exchange, response))
            yield exchange["step"], list(self._compare(name, exchange, response))

    def _send(self, exchange: Mapping[str, Any]) -> httpx.Response:
        request = exchange["request"]
        query = {
            name: self.ids.filters(value) if name == "filters" else self.ids.text(value)
            for name, value in request.get("query", {}).items()
        }
        headers = dict(request.get("headers", {}))
        if "if-none-match" in headers:
            # The answer that this tag is of was not recorded.
            first = self._board.client(exchange["as"]).get(request["path"].removeprefix(API), params=query)
            headers["if-none-match"] = first.headers["etag"]
        content = None
        if "content" in request:
            content = request["content"].encode()
        elif "body" in request:
            content = json.dumps(self._body(request)).encode()
            headers.setdefault("content-type", "application/json")
        arguments: dict[str, Any] = {"params": query or None, "content": content, "headers": headers}
        path = self.ids.text(request["path"]).removeprefix(API)
        if exchange["as"] == "anonymous":
            auth = {
                "wrong token": ("apikey", "opapi-wrong"),
                "right token, other user name": ("x", self._board.tokens["agent"]),
            }.get(exchange["step"])
            return httpx.request(request["method"], self._board.url + API + path, auth=auth, **arguments)
        if exchange["step"] == "token as bearer":
            arguments["headers"] = {**headers, "authorization": f"Bearer {self._board.tokens['agent']}"}
        return self._board.client(exchange["as"]).request(request["method"], path, **arguments)

    def _body(self, request: Mapping[str, Any]) -> Any:
        body = json.loads(self.ids.text(json.dumps(request["body"])))
        if isinstance(body, dict) and isinstance(body.get("id"), int):
            body["id"] = self.ids.one("work_packages", body["id"])
        return body

    def _compare(self, story: str, exchange: Mapping[str, Any], response: httpx.Response) -> Iterator[Difference]:
        expected = exchange["response"]
        found = [*self._outside(expected, response)]
        if expected["status"] == response.status_code:
            found += self._inside(expected["body"], response, whole=story == "work-package")
        for place, how, detail in found:
            yield Difference(story, exchange["step"], place, how, detail)

    def _outside(self, expected: Mapping[str, Any], response: httpx.Response) -> Iterator[tuple[str, str, str]]:
        self.compared += 1
        if expected["status"] != response.status_code:
            yield "status", "differs", f"{expected['status']} there, {response.status_code} here"
            return
        for name, value in expected.get("headers", {}).items():
            self.compared += 1
            here = response.headers.get(name)
            challenge = name == "www-authenticate"
            if here is None:
                yield f"header {name}", "missing", ""
            elif (name == "content-type" and here != value) or (
                challenge and here.split(" ")[0] != value.split(" ")[0]
            ):
                yield f"header {name}", "differs", here

    def _inside(self, body: Any, response: httpx.Response, *, whole: bool) -> Iterator[tuple[str, str, str]]:
        if isinstance(body, str):
            self.compared += 1
            if self.ids.text(body) != response.text and "filters=" not in body:
                yield "body", "differs", response.text[:100]
            return
        actual = response.json()
        if "subjects" in body:
            actual["subjects"] = [one["subject"] for one in actual.get("_embedded", {}).get("elements", [])]
            actual = {key: actual.get(key) for key in body}
        self.ids.learn(body, actual)
        yield from self._differences("$", body, actual, whole=whole)

    def _differences(self, place: str, there: Any, here: Any, *, whole: bool) -> Iterator[tuple[str, str, str]]:
        self.compared += 1
        if _kind(there) != _kind(here):
            yield place, "type", f"{_kind(there)} there, {_kind(here)} here"
        elif isinstance(there, dict):
            yield from self._of_objects(place, there, here, whole=whole)
        elif isinstance(there, list):
            if len(there) != len(here):
                yield place, "length", f"{len(there)} there, {len(here)} here"
            for one, other in zip(there, here, strict=False):
                yield from self._differences(f"{place}[]", one, other, whole=whole)
        elif not self._same(place.rpartition(".")[2], there, here):
            yield place, "value", f"{there!r} there, {here!r} here"

    def _of_objects(
        self, place: str, there: Mapping[str, Any], here: Mapping[str, Any], *, whole: bool
    ) -> Iterator[tuple[str, str, str]]:
        pruned = not whole and there.get("_type") in _PRUNED
        theirs = {self.ids.text(key): value for key, value in there.items()}
        for key in theirs.keys() - here.keys():
            yield f"{place}.{_general(key)}", "missing", ""
        if not pruned:
            for key in here.keys() - theirs.keys():
                if not _left_out(place, key):
                    yield f"{place}.{_general(key)}", "extra", ""
        for key in theirs.keys() & here.keys():
            one, other = theirs[key], here[key]
            if pruned and key == "_links":
                # Of a pruned work package the links are pruned too.
                one, other = {"_type": "WorkPackage", **one}, {"_type": "WorkPackage", **other}
            yield from self._differences(f"{place}.{_general(key)}", one, other, whole=whole)

    def _same(self, key: str, there: Any, here: Any) -> bool:
        if key in _CHANGING:
            return True
        if key in ("id", "displayId"):
            return True  # what an id is of is told by the links around it, which are compared
        if isinstance(there, str) and isinstance(here, str):
            if "/api/v3/" in there:
                return _normal(self.ids.text(there)) == _normal(here)
            numbers = _NUMBERS.sub(lambda found: f"#{self.ids.one('work_packages', int(found[1]))}", there)
            return here in (self.ids.text(there), numbers)
        return bool(there == here)


Replayed = tuple[Replay, dict[str, dict[str, list[Difference]]]]
"""The replay and, by story and step, what is different."""


def _left_out(place: str, key: str) -> bool:
    """What the recordings leave out of lists."""
    return key == "schemas" and place.endswith("_embedded")


def _general(key: str) -> str:
    return re.sub(r"^customField\d+$", "customFieldN", key)


def _normal(href: str) -> str:
    """Without the parameters' values: they hold ids inside filters."""
    return href.partition("?")[0]


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"
