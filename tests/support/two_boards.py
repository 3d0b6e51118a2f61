"""Two boards that differ by what is hidden from some accounts: on one it is there, on the other it never was.

What is hidden is made last, so that ids agree. Unless they are to go on, every request is undone, so that no request changes what
another sees.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from agent import server
from agent.page.app import Page
from agent.page.versions import Versions
from agent.server import seed, sessions, store
from agent.server.store import Db, Store
from agent.texts import report
from agent.texts.claim_token import SIGN

NOW: Final = dt.datetime(2026, 12, 1, 12)  # noqa: DTZ001 - the board's clock says UTC without saying so
ACCOUNTS: Final = ("vera", "mia", "paul", "nobody")
"""A Viewer, a Member and an administrator of the visible project, and somebody without any."""

VISIBLE: Final = """
projects = [{ identifier = "shop", name = "Web shop" }, { identifier = "blog", name = "Blog" }]
users = [
  { login = "vera", name = "Vera Viewer", role = "Viewer", projects = ["shop"] },
  { login = "mia", name = "Mia Member", projects = ["shop", "blog"] },
  { login = "paul", name = "Paul Principal", role = "Project admin", projects = ["shop", "blog"] },
  { login = "both", name = "Bea Both", projects = ["shop"] },
  { login = "nobody", name = "Nora Nobody", projects = [] },
]
work_packages = [
  { key = "epic", project = "shop", type = "Epic", subject = "Checkout", assignee = "both" },
  { key = "task", project = "shop", subject = "Postage", parent = "epic", description = "Some **text**", due_date = 2026-12-24, pod = "pod-a" },
  { key = "child", project = "shop", subject = "Stamps", parent = "task" },
  { key = "bug", project = "shop", type = "Bug", subject = "Broken", assignee = "mia" },
  { key = "free", project = "shop", subject = "Nothing holds it" },
  { key = "closed", project = "shop", subject = "Done", status = "Closed" },
  { key = "taken", project = "shop", subject = "In the hands of somebody", assignee = "both" },
  { key = "post", project = "blog", subject = "A post" },
]
relations = [{ type = "blocks", from = "bug", to = "task" }, { type = "follows", from = "free", to = "child" }]
"""
HIDDEN: Final = """
projects = [{ identifier = "vault", name = "Secret vault", members = ["both"] }, { identifier = "101", name = "Secret shadow", members = [] }]
users = [{ login = "hugo", name = "Hugo Hidden", projects = ["vault"] }, { login = "ida", name = "Ida Hidden", role = "Reader", projects = ["vault"] }]
work_packages = [
  { key = "epic", project = "vault", type = "Epic", subject = "Secret Epic", pod = "pod-secret" },
  { key = "gate", project = "vault", type = "Summary task", subject = "Secret gate", parent = "epic" },
  { key = "one", project = "vault", subject = "Secret one", assignee = "hugo", due_date = 2026-12-30 },
  { key = "spike", project = "vault", type = "Spike", subject = "Secret question" },
  { key = "done", project = "vault", subject = "Secret done", status = "Closed" },
]
relations = [{ type = "blocks", from = "one", to = "spike" }]
"""


def prepared(folder: Path) -> None:
    """What everybody in the visible project sees."""
    accounts = server.create(folder)
    made = server.import_backlog(folder, VISIBLE)
    (folder / "tokens.json").write_text(json.dumps({**accounts.tokens, **made.tokens}))
    with changing(folder) as db:
        # Ids of versions and categories are not kept from being used again: those that are hidden come before these.
        db.run("INSERT INTO versions (id, project_id, name, created_at) VALUES (1000, 101, 'v1', ?)", _STAMP)
        db.run("INSERT INTO categories (id, project_id, name) VALUES (1000, 101, 'Parts')")
        db.run("UPDATE work_packages SET version_id = 1000, category_id = 1000 WHERE id = 2")
        db.run("INSERT INTO watchers VALUES (2, 14), (2, 15)")
        db.run(
            "INSERT INTO journals (work_package_id, user_id, version, notes, data, created_at, updated_at) SELECT work_package_id, 15,"
            " version + 1, 'A comment', data, ?1, ?1 FROM journals WHERE work_package_id = 2",
            _STAMP,
        )
        (folder / "attachments").mkdir()
        _attach(db, folder, 2, "shown")
        # Signed in to the page, with the same cookies on both.
        db.run("INSERT INTO settings VALUES (?, 'walk')", sessions.MARK)
        for name in ACCOUNTS:
            token, cookie = seed.digest(made.tokens[name]), seed.digest(f"cookie of {name}")
            db.run("INSERT INTO sessions VALUES (?, ?, ?, '2027-01-01')", cookie, token, _STAMP)


def hide(folder: Path) -> None:
    """What only some see."""
    ids = server.import_backlog(folder, HIDDEN).work_packages
    with changing(folder) as db:
        vault = db.value("SELECT id FROM projects WHERE identifier = 'vault'")
        hugo = db.value("SELECT id FROM users WHERE login = 'hugo'")
        both = db.value("SELECT id FROM users WHERE login = 'both'")
        db.run(
            "INSERT INTO versions (id, project_id, name, created_at) VALUES (7, ?, 'Secret version', ?)", vault, _STAMP
        )
        db.run("INSERT INTO categories (id, project_id, name) VALUES (7, ?, 'Secret parts')", vault)
        db.run("UPDATE work_packages SET version_id = 7, category_id = 7 WHERE id = ?", ids["one"])
        # Bea is more there than here.
        db.run("UPDATE members SET role_id = 503 WHERE user_id = ? AND project_id = ?", both, vault)
        db.run("INSERT INTO watchers VALUES (2, ?), (?, 14)", hugo, ids["one"])
        _attach(db, folder, ids["one"], "secret.txt")
        for end, other, kind in ((ids["one"], 5, "blocks"), (4, ids["one"], "relates"), (3, ids["spike"], "requires")):
            db.run("INSERT INTO relations (from_id, to_id, relation_type) VALUES (?, ?, ?)", end, other, kind)
        # A visible one between hidden ones: below the gate, and above a child.
        _put_under(db, 5, ids["gate"])
        _put_under(db, ids["one"], 4)
        _put_under(db, ids["epic"], 6)
        # And one that was hidden once, in the hands of Hugo, with a hidden version.
        _journal(db, 4, 11, project_id=vault, assigned_to_id=hugo, version_id=7, category_id=7, parent_id=ids["epic"])
        _journal(db, 4, 11)
        claim = f"{RUN}.aa11 by pod-secret try 1 for 4h {SIGN} 2026-12-01T12:00Z"
        db.run("INSERT INTO custom_values VALUES (?, 602, ?)", ids["one"], claim)
        _journal(
            db,
            ids["one"],
            both,
            notes=report.claimed(RUN, pod="pod-secret"),
            assigned_to_id=both,
            custom_values={"602": claim},
        )
        _journal(db, ids["one"], both, notes=report.completed(RUN, cost_usd=9.0))


async def add_by_api(folder: Path) -> None:
    """What an administrator does there, as the API does it: below, after and beside what is visible."""
    token = json.loads((folder / "tokens.json").read_text())["admin"]
    transport = httpx.ASGITransport(server.app(folder, clock=lambda: NOW))
    async with httpx.AsyncClient(transport=transport, base_url="http://board/api/v3", auth=("apikey", token)) as client:
        for parent in (1, 2, 6):
            links = {"parent": {"href": f"/api/v3/work_packages/{parent}"}}
            work = {"estimatedTime": "PT40H", "startDate": "2026-12-02", "dueDate": "2027-03-01"}
            body = {"subject": "Secret child", "_links": links, **work}
            answer = await client.post("/projects/vault/work_packages", json=body)
            assert answer.status_code == 201, answer.text
            made = f"/work_packages/{answer.json()['id']}"
            for kind, other in (("precedes", 4), ("follows", 5), ("blocks", 3)):
                to = {"to": {"href": f"/api/v3/work_packages/{other}"}}
                await client.post(f"{made}/relations", json={"type": kind, "_links": to})
            said = await client.post(f"{made}/activities", json={"comment": {"raw": "secret words"}})
            assert said.status_code == 201, said.text
            lock = (await client.get(made)).json()["lockVersion"]
            change = {"lockVersion": lock, "dueDate": "2027-06-01", "estimatedTime": "PT80H"}
            answer = await client.patch(made, json=change)
            assert answer.status_code == 200, answer.text


class Sides:
    """The two boards as one account sees them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch | None) -> None:
        """With `monkeypatch` every request is undone."""
        self.full, self.bare = folder / "full", folder / "bare"
        prepared(self.bare)
        shutil.copytree(self.bare, self.full)
        hide(self.full)
        asyncio.run(add_by_api(self.full))
        self.align()
        if monkeypatch is not None:
            monkeypatch.setattr(Store, "transaction", _undone)
        tokens = json.loads((self.full / "tokens.json").read_text())
        self.tokens: dict[str, str] = {name: tokens[name] for name in (*ACCOUNTS, "admin")}
        self.now = NOW
        self._pages = [Page(one, lambda: self.now) for one in (self.full, self.bare)]
        # Versions are named with a key that is drawn by lot for each process.
        for page in self._pages:
            page.live.versions = Versions(b"the same on both")
        self._apps = [
            server.app(one, clock=lambda: self.now, site=page)
            for one, page in zip((self.full, self.bare), self._pages, strict=True)
        ]
        self.page = self._pages[0]

    def align(self) -> None:
        """New things get the same numbers on both: how many there are cannot be kept secret by an increasing number."""
        numbers: Counter[str] = Counter()
        for folder in (self.full, self.bare):
            with changing(folder) as db:
                numbers |= Counter({row["name"]: row["seq"] for row in db.rows("SELECT * FROM sqlite_sequence")})
        for folder in (self.full, self.bare):
            with changing(folder) as db:
                db.run("DELETE FROM sqlite_sequence")
                db.run_many("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", list(numbers.items()))

    def ids(self, table: str) -> list[int]:
        with closing(sqlite3.connect(self.full / store.FILE)) as db:
            return [row[0] for row in db.execute(f"SELECT id FROM {table} ORDER BY id")]

    def clients(self, account: str) -> list[httpx.AsyncClient]:
        auth = ("apikey", self.tokens[account])
        cookies = {f"{sessions.COOKIE}walk": f"cookie of {account}"}
        return [
            httpx.AsyncClient(cookies=cookies, transport=httpx.ASGITransport(app), base_url="http://board", auth=auth)
            for app in self._apps
        ]

    def close(self) -> None:
        for page in self._pages:
            page.close()


RUN: Final = "7f9c0d52-8a4e-4c11-9b5d-000000000001"
_STAMP = "2026-12-01T12:00:00.000Z"


@contextmanager
def _undone(self: Store, *, write: bool, seconds: float = 0.0) -> Iterator[Db]:  # noqa: ARG001 - as the real one
    connection = self._connection
    connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
    try:
        yield Db(connection)
    finally:
        connection.execute("ROLLBACK")


@contextmanager
def changing(folder: Path) -> Iterator[Db]:
    board = Store(folder)
    try:
        with board.transaction(write=True) as db:
            yield db
    finally:
        board.close()


def _attach(db: Db, folder: Path, item: int, name: str) -> None:
    (folder / "attachments" / name).write_text(name)
    db.run(
        "INSERT INTO attachments (work_package_id, author_id, file, file_name, content_type, size, digest, created_at)"
        " VALUES (?, 11, ?, ?, 'text/plain', ?, 'x', ?)",
        item, name, name, len(name), _STAMP,
    )  # fmt: skip


def _put_under(db: Db, child: int, parent: int) -> None:
    from agent.server import work_package  # noqa: PLC0415 - what the board does, without what it notes

    db.run("UPDATE work_packages SET parent_id = ? WHERE id = ?", parent, child)
    work_package.attach(db, child, parent)


def _journal(db: Db, item: int, user: int, notes: str = "", **state: Any) -> None:
    last = db.row("SELECT * FROM journals WHERE work_package_id = ? ORDER BY version LIMIT 1", item)
    assert last
    number = db.value("SELECT 1 + max(version) FROM journals WHERE work_package_id = ?", item)
    db.run(
        "INSERT INTO journals (work_package_id, user_id, version, notes, data, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        item, user, number, notes, json.dumps({**json.loads(last["data"]), **state}), _STAMP, _STAMP,
    )  # fmt: skip
