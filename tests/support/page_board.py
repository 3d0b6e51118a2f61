"""A board whose page is asked without a server: what happens on it goes through the API, at a time of one's choice."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, Final

import httpx

from agent import server
from agent.page import detail, figures
from agent.server.access import authenticate_as
from agent.server.store import Store
from agent.texts import report
from agent.texts.claim_token import ClaimToken

API: Final = "/api/v3"
POD, RUN = "customField601", "customField602"
START: Final = dt.datetime(2026, 11, 24, 8, 0)  # noqa: DTZ001 - the board's clock says UTC without saying so

BACKLOG: Final = """
users = [
  { login = "bot", name = "Second Agent", projects = ["shop"] },
  { login = "vera", name = "Vera Viewer", role = "Viewer", projects = ["shop"] },
  { login = "kim", name = "<script>alert(1)</script>", role = "Reader", projects = ["shop"] },
]
projects = [{ identifier = "shop", name = "Web shop" }, { identifier = "vault", name = "Secret vault", members = ["human"] }]
work_packages = [
  { key = "secret", project = "vault", type = "Epic", subject = "Secret Epic" },
  { key = "epic", project = "shop", type = "Epic", subject = "Checkout", parent = "secret" },
  { key = "task", project = "shop", type = "Task", subject = "Postage", parent = "epic", version = "v1", description = "Some **text**" },
  { key = "child", project = "shop", type = "Task", subject = "Stamps", parent = "task" },
  { key = "hidden-child", project = "vault", type = "Task", subject = "Secret stamps", parent = "task" },
  { key = "bug", project = "shop", type = "Bug", subject = "<img src=x onerror=alert(1)>" },
  { key = "hidden-bug", project = "vault", type = "Bug", subject = "Secret bug" },
]
relations = [
  { type = "blocks", from = "bug", to = "task" },
  { type = "follows", from = "task", to = "hidden-bug" },
]
"""


class PageBoard:
    """A board in a folder, with its clock."""

    def __init__(self, folder: Path) -> None:
        accounts = server.create(folder)
        imported = server.import_backlog(folder, BACKLOG)
        self.folder = folder
        self.tokens = {**accounts.tokens, **imported.tokens}
        self.ids = imported.work_packages
        self.now = START
        self.store = Store(folder)
        with self.store.transaction(write=True) as db:
            self.statuses = {row["name"]: row["id"] for row in db.rows("SELECT * FROM statuses")}
            self.types = {row["name"]: row["id"] for row in db.rows("SELECT * FROM types")}
            self.users = {row["login"]: row["id"] for row in db.rows("SELECT * FROM users")}
            db.run("UPDATE journals SET created_at = ?1, updated_at = ?1", "2026-11-01T08:00:00.000Z")
            db.run("UPDATE work_packages SET created_at = ?1, updated_at = ?1", "2026-11-01T08:00:00.000Z")
        self._app = server.app(folder, clock=lambda: self.now)

    def close(self) -> None:
        self.store.close()

    def pass_(self, **time: float) -> None:
        """Let time go by; ten minutes are enough for a journal of its own."""
        self.now += dt.timedelta(**time)

    async def ask(self, method: str, path: str, body: Any = None, *, by: str = "human") -> Any:
        """One request of the API, in somebody's name."""
        transport = httpx.ASGITransport(self._app)
        auth = ("apikey", self.tokens[by])
        async with httpx.AsyncClient(transport=transport, base_url="http://board", auth=auth) as client:
            answer = await client.request(method, f"{API}/{path}", json=body)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    async def change(self, id_: int, *, by: str = "human", **values: Any) -> None:
        """PATCH a work package; `status` and `assignee` by name, `parent` by id."""
        shown = await self.ask("GET", f"work_packages/{id_}", by=by)
        links: dict[str, Any] = {}
        if "status" in values:
            links["status"] = {"href": f"{API}/statuses/{self.statuses[values.pop('status')]}"}
        if "assignee" in values:
            name = values.pop("assignee")
            links["assignee"] = {"href": f"{API}/users/{self.users[name]}" if name else None}
        if "parent" in values:
            links["parent"] = {"href": f"{API}/work_packages/{values.pop('parent')}"}
        await self.ask(
            "PATCH", f"work_packages/{id_}", {"lockVersion": shown["lockVersion"], "_links": links, **values}, by=by
        )

    async def say(self, id_: int, text: str, *, by: str = "human") -> None:
        """Comment on a work package."""
        await self.ask("POST", f"work_packages/{id_}/activities", {"comment": {"raw": text}}, by=by)

    async def claim(self, id_: int, run: str, *, pod: str = "pod-a", by: str = "agent") -> None:
        """What a pod does first."""
        token = ClaimToken(run=run, nonce="aa11", pod=pod, attempt=1, lifetime_s=14400, at=START.replace(tzinfo=dt.UTC))
        await self.change(id_, by=by, status="In progress", assignee=by, **{POD: pod, RUN: str(token)})
        await self.say(id_, report.claimed(run, pod=pod), by=by)

    async def finish(self, id_: int, run: str, *, by: str = "agent", **figures: Any) -> None:
        """What a pod does last."""
        await self.say(id_, report.completed(run, **figures), by=by)
        await self.say(
            id_, report.pushed(run, branch="agent/1-x", commit="a3f9c12b", commit_url="https://git/c"), by=by
        )
        await self.change(id_, by=by, status="In testing", **{RUN: ""})

    def detail(self, id_: int, *, by: str = "human", before: int | None = None) -> dict[str, Any]:
        """What the panel shows somebody."""
        with self.store.transaction(write=False) as db:
            return detail.detail(db, authenticate_as(db, by), id_, before=before)

    def fleet(self, days: int = 14, *, by: str = "human") -> dict[str, Any]:
        """What the figures show somebody."""
        with self.store.transaction(write=False) as db:
            return figures.fleet(db, authenticate_as(db, by), days, self.now)
