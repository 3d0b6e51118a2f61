"""The embedded board in this process: its application called directly, its store read directly."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import functools
import json
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
from msgspec import Struct
from starlette.routing import Match

from agent import server
from simulation.clock import START

_DIGITS: Final = re.compile(r"/\d+(?=/|$)")
API: Final = "/api/v3/"
HOME: Final = Path("/dev/shm")
PROJECTS: Final = ("shop", "blog")
_BACKLOG: Final = """
users = [{ login = "agent2", name = "Second Agent", projects = ["shop", "blog"] }]
projects = [{ identifier = "shop", name = "Web shop" }, { identifier = "blog", name = "Blog" }]
"""


class Row(Struct, frozen=True, kw_only=True):
    """A work package as the store has it; names for what is an id."""

    id: int
    lock: int
    type: str
    status: str
    project: int
    parent: int | None
    assignee: str
    pod: str
    run: str
    subject: str
    description: str


class SimBoard:
    """One board, for one history.

    Args:
        folder: where its file is.
        tokens: of the accounts, by login.
        now: virtual seconds.
    """

    def __init__(self, folder: Path, tokens: Mapping[str, str], now: Callable[[], float]) -> None:
        self.tokens = tokens
        self._app = server.app(folder, clock=lambda: (START + dt.timedelta(seconds=now())).replace(tzinfo=None))
        inner: Any = self._app
        while not hasattr(inner, "router"):
            inner = inner._app
        self._router = inner.router
        self._every_route = list(self._router.routes)
        self._fitting: dict[tuple[str, str], list[Any]] = {}
        self.db = sqlite3.connect(folder / "board.sqlite3", isolation_level=None)
        self.statuses: dict[str, int] = self._names("statuses")
        self.types: dict[str, int] = self._names("types")
        self.priorities: dict[str, int] = self._names("priorities")
        self.users: dict[str, int] = dict(self.db.execute("SELECT login, id FROM users"))
        self.projects: dict[str, int] = dict(self.db.execute("SELECT identifier, id FROM projects"))
        fields: dict[str, int] = self._names("custom_fields")
        self.pod_field, self.run_field = f"customField{fields['Agent pod']}", f"customField{fields['Agent run']}"
        self._row = f"""
            SELECT w.id, w.lock_version, t.name, s.name, w.project_id, w.parent_id, coalesce(u.login, ''),
                   coalesce((SELECT value FROM custom_values WHERE work_package_id = w.id AND custom_field_id = {fields["Agent pod"]}), ''),
                   coalesce((SELECT value FROM custom_values WHERE work_package_id = w.id AND custom_field_id = {fields["Agent run"]}), ''),
                   w.subject, w.description
            FROM work_packages w JOIN types t ON t.id = w.type_id JOIN statuses s ON s.id = w.status_id
            LEFT JOIN users u ON u.id = w.assigned_to_id"""

    def _names(self, table: str) -> dict[str, int]:
        return dict(self.db.execute(f"SELECT name, id FROM {table}"))

    def close(self) -> None:
        self.db.close()

    # -- over its API ----------------------------------------------------------------------------------------------

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What the board answers to this request, which takes effect whole and now."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "scheme": "http",
            "path": request.url.path,
            "raw_path": request.url.raw_path.partition(b"?")[0],
            "query_string": request.url.query,
            "server": ("board", 80),
            "client": ("127.0.0.1", 1),
            "root_path": "",
        }
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": request.content, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            said.append(message)

        self._narrow(request.method, request.url.path)
        running = self._app(scope, receive, send)  # type: ignore[arg-type]
        try:
            running.send(None)  # type: ignore[attr-defined]
        except StopIteration:
            pass
        else:
            raise AssertionError("the board waits for something")
        body = b"".join(message.get("body", b"") for message in said[1:])
        return httpx.Response(said[0]["status"], headers=said[0]["headers"], content=body)

    def _narrow(self, method: str, path: str) -> None:
        """Let the router look only at the routes that fit such a path: it would try some hundred, one after the other."""
        shape = (method, _DIGITS.sub("/1", path))
        if shape not in self._fitting:
            scope = {"type": "http", "method": method, "path": shape[1], "root_path": ""}
            self._fitting[shape] = [one for one in self._every_route if one.matches(scope)[0] is not Match.NONE]
        self._router.routes = self._fitting[shape]

    def request(self, method: str, path: str, body: Any = None, account: str = "human") -> httpx.Response:
        """A request of a person."""
        key = base64.b64encode(f"apikey:{self.tokens[account]}".encode()).decode()
        headers = {"Authorization": f"Basic {key}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        return self.answer(httpx.Request(method, f"http://board{API}{path}", content=content, headers=headers))

    def change(self, number: int, account: str = "human", **fields: Any) -> httpx.Response:
        """A person changes a work package as they see it now. `status`, `priority`, `assignee`, `parent` by name or id."""
        lock = self.db.execute("SELECT lock_version FROM work_packages WHERE id = ?", (number,)).fetchone()
        if lock is None:
            return httpx.Response(404)
        body: dict[str, Any] = {"lockVersion": lock[0], **self.body(fields)}
        return self.request("PATCH", f"work_packages/{number}?notify=false", body, account)

    def body(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """What `change` and `create` send."""
        body: dict[str, Any] = {}
        links: dict[str, Any] = {}
        for key, value in fields.items():
            if key in ("pod", "run"):
                body[self.pod_field if key == "pod" else self.run_field] = value
            elif key == "description":
                body["description"] = {"raw": value}
            elif key in ("status", "priority", "type"):
                table = {"status": self.statuses, "priority": self.priorities, "type": self.types}[key]
                links[key] = {
                    "href": f"{API}{'priorities' if key == 'priority' else f'{key}s'.replace('statuss', 'statuses')}/{table[value]}"
                }
            elif key == "assignee":
                links[key] = {"href": value and f"{API}users/{self.users[value]}"}
            elif key == "parent":
                links[key] = {"href": value and f"{API}work_packages/{value}"}
            elif key == "project":
                links[key] = {"href": f"{API}projects/{self.projects[value]}"}
            else:
                body[key] = value
        return {**body, **({"_links": links} if links else {})}

    def create(self, account: str = "human", **fields: Any) -> int:
        """A new work package; 0 where the board refuses it."""
        answer = self.request("POST", "work_packages?notify=false", self.body(fields), account)
        return int(answer.json()["id"]) if answer.is_success else 0

    def relate(self, source: int, kind: str, target: int) -> bool:
        """`source` `kind` `target`, as in 41 blocks 42."""
        body = {"type": kind, "_links": {"to": {"href": f"{API}work_packages/{target}"}}}
        return self.request("POST", f"work_packages/{source}/relations", body).is_success

    def say(self, number: int, text: str) -> bool:
        """A person comments."""
        return self.request(
            "POST", f"work_packages/{number}/activities?notify=false", {"comment": {"raw": text}}
        ).is_success

    # -- past its API ----------------------------------------------------------------------------------------------

    def touch(self, number: int) -> None:
        """An edit of something that the fleet does not look at."""
        self.db.execute("UPDATE work_packages SET lock_version = lock_version + 1 WHERE id = ?", (number,))

    def forbid(self, kind: str, old: str, new: str) -> None:
        """The workflow of a type leads from one status to another no more."""
        self.db.execute(
            "DELETE FROM workflows WHERE type_id = ? AND old_status_id = ? AND new_status_id = ?",
            (self.types[kind], self.statuses[old], self.statuses[new]),
        )

    def row(self, number: int) -> Row | None:
        """A work package; None where it is gone."""
        return next(self._read("WHERE w.id = ?", number), None)

    def rows(self) -> list[Row]:
        """Every work package."""
        return list(self._read("ORDER BY w.id"))

    def children(self, number: int) -> list[Row]:
        return list(self._read("WHERE w.parent_id = ? ORDER BY w.id", number))

    def ancestors(self, number: int) -> list[Row]:
        """Root first."""
        return list(
            self._read(
                "JOIN hierarchies h ON h.ancestor_id = w.id WHERE h.descendant_id = ? AND h.generations > 0"
                " ORDER BY h.generations DESC",
                number,
            )
        )

    def below(self, number: int) -> list[Row]:
        return list(
            self._read(
                "JOIN hierarchies h ON h.descendant_id = w.id WHERE h.ancestor_id = ? AND h.generations > 0 ORDER BY w.id",
                number,
            )
        )

    def _read(self, rest: str, *values: Any) -> Iterator[Row]:
        for one in self.db.execute(f"{self._row} {rest}", values):
            yield Row(**dict(zip(Row.__struct_fields__, one, strict=True)))

    def blockers(self, numbers: Sequence[int]) -> list[tuple[int, Row]]:
        """Who waits for whom, for each of these: blocked, blocker."""
        found = []
        for number in numbers:
            for (blocker,) in self.db.execute(
                "SELECT from_id FROM relations WHERE to_id = ? AND relation_type = 'blocks' UNION ALL "
                "SELECT to_id FROM relations WHERE from_id = ? AND relation_type IN ('follows', 'requires')",
                (number, number),
            ).fetchall():
                row = self.row(blocker)
                if row is not None:
                    found.append((number, row))
        return found

    def comments(self, number: int) -> list[tuple[str, str]]:
        """Who said what, oldest first."""
        return self.db.execute(
            "SELECT u.login, j.notes FROM journals j JOIN users u ON u.id = j.user_id"
            " WHERE j.work_package_id = ? AND j.notes != '' ORDER BY j.id",
            (number,),
        ).fetchall()


@functools.cache
def _template() -> tuple[Path, Mapping[str, str]]:
    """An empty board that histories copy; it goes when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="simulation-", dir=HOME if HOME.is_dir() else None))
    accounts = server.create(folder / "board")
    imported = server.import_backlog(folder / "board", _BACKLOG)
    with contextlib.closing(sqlite3.connect(folder / "board" / "board.sqlite3")) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    return folder / "board", {**accounts.tokens, **imported.tokens}


def new_board(folder: Path, now: Callable[[], float]) -> SimBoard:
    """A board of its own in a new folder."""
    template, tokens = _template()
    shutil.copytree(template, folder)
    return SimBoard(folder, tokens, now)
