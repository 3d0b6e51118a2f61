"""A board's file of any released version opens in this one, with all that it held."""

import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from agent import server
from agent.server import store

BOARDS = sorted((Path(__file__).parent / "boards").glob("version_*.sql"))


def made(folder: Path, script: Path) -> Path:
    folder.mkdir()
    with closing(sqlite3.connect(folder / store.FILE)) as connection:
        connection.executescript(script.read_text(encoding="utf-8"))
    return folder


def shape(folder: Path) -> set[tuple[str, ...]]:
    """Every column of every table and every index, however they came about."""
    with closing(sqlite3.connect(folder / store.FILE)) as connection:
        found = set()
        for kind, name in connection.execute("SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"):
            pragma = "table_xinfo" if kind == "table" else "index_xinfo"
            rows = connection.execute(f"SELECT * FROM pragma_{pragma}('{name}')").fetchall()
            found |= {(kind, name, *map(str, row[1:] if kind == "table" else row)) for row in rows}
        return found


def test_every_released_schema_but_this_one_has_a_board() -> None:
    assert [path.stem for path in BOARDS] == [f"version_{number}" for number in range(1, store.VERSION)]


@pytest.mark.parametrize("script", BOARDS, ids=lambda path: path.stem)
async def test_it_is_opened_with_all_that_it_held(tmp_path: Path, script: Path) -> None:
    folder = made(tmp_path / "old", script)
    transport = httpx.ASGITransport(server.app(folder))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://board/api/v3", auth=("apikey", "opapi-first")
    ) as agent:
        assert (await agent.get("/users/me")).json()["login"] == "agent"
        found = (await agent.get("/work_packages?filters=[]")).json()["_embedded"]["elements"]
        assert [one["subject"] for one in found] == ["Epic", "Task", "Bug"]
        assert found[1]["customField601"] == "pod-a"
        assert (await agent.get("/relations")).json()["total"] == 1
        assert (await agent.get("/work_packages/2/activities")).json()["total"] == 1
        changed = await agent.patch("/work_packages/2", json={"lockVersion": 0, "subject": "Task 2"})
        assert changed.status_code == 200
    # The second start finds it done.
    store.Store(folder).close()
    server.create(tmp_path / "new")
    assert shape(folder) == shape(tmp_path / "new")


def test_a_file_of_a_newer_agent_is_refused_and_left_alone(tmp_path: Path) -> None:
    server.create(tmp_path)
    with closing(sqlite3.connect(tmp_path / store.FILE)) as connection:
        connection.execute(f"PRAGMA user_version = {store.VERSION + 1}")
    with pytest.raises(server.BoardError, match="written by a newer agent"):
        server.app(tmp_path)


def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path / "old", BOARDS[0])
    before = shape(folder)
    real = store._statements
    monkeypatch.setattr(store, "_statements", lambda script: [*list(real(script)), "DROP TABLE absent"])
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        store.Store(folder)
    assert shape(folder) == before
