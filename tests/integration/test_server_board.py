"""A board's life: made, filled, served, stopped."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from agent import server
from agent.server import store

BACKLOG = """
[[users]]
login = "kim"
name = "Kim Reader"
role = "Reader"

[[projects]]
identifier = "shop"
name = "Web shop"

[[work_packages]]
key = "login"
subject = "Log in"
type = "User story"
parent = "auth"

[[work_packages]]
key = "auth"
subject = "Authentication"
type = "Epic"
version = "v1"

[[work_packages]]
key = "form"
subject = "The form"
parent = "login"
priority = "High"
status = "In progress"
pod = "pod-a"
description = "Text"
assignee = "agent"
due_date = 2026-12-01

[[work_packages]]
key = "bug"
subject = "A bug"
type = "Bug"

[[relations]]
type = "blocked"
from = "form"
to = "bug"
"""


def client(folder: Path, token: str, clock: Callable[[], datetime] | None = None) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(server.app(folder, clock=clock))
    return httpx.AsyncClient(transport=transport, base_url="http://board/api/v3", auth=("apikey", token))


def test_a_new_board_has_three_accounts_and_keeps_no_token(tmp_path: Path) -> None:
    accounts = server.create(tmp_path / "new")
    assert accounts.tokens.keys() == {"admin", "agent", "human"}
    content = (tmp_path / "new" / store.FILE).read_bytes()
    assert not [token for token in accounts.tokens.values() if token.encode() in content]
    assert (tmp_path / "new" / store.FILE).stat().st_mode & 0o077 == 0


def test_a_board_is_not_made_over_another_one(tmp_path: Path) -> None:
    server.create(tmp_path)
    with pytest.raises(server.BoardError, match="holds a board already"):
        server.create(tmp_path)


@pytest.mark.parametrize("act", [server.app, lambda folder: server.import_backlog(folder, "")])
def test_where_there_is_no_board_it_says_how_to_make_one(tmp_path: Path, act: Callable[[Path], object]) -> None:
    with pytest.raises(server.BoardError, match="agent board init"):
        act(tmp_path)


async def test_an_operator_may_name_things_otherwise(tmp_path: Path) -> None:
    names = server.Names(gate="Phase", spike="Question", pod_field="Pod", run_field="Run")
    accounts = server.create(tmp_path, names=names)
    async with client(tmp_path, accounts.tokens["agent"]) as agent:
        types = (await agent.get("/types")).json()["_embedded"]["elements"]
    assert {"Phase", "Question"} <= {kind["name"] for kind in types}


async def test_a_backlog_is_imported_whatever_the_order_of_its_entries(tmp_path: Path) -> None:
    accounts = server.create(tmp_path)
    imported = server.import_backlog(tmp_path, BACKLOG)
    assert list(imported.work_packages) == ["login", "auth", "form", "bug"]
    async with client(tmp_path, accounts.tokens["agent"]) as agent:
        form, epic = [
            (await agent.get(f"/work_packages/{imported.work_packages[key]}")).json() for key in ("form", "auth")
        ]
        [relation] = (await agent.get("/relations")).json()["_embedded"]["elements"]
    links = form["_links"]
    assert [ancestor["title"] for ancestor in links["ancestors"]] == ["Authentication", "Log in"]
    assert [links[name]["title"] for name in ("status", "priority", "assignee")] == [
        "In progress",
        "High",
        "Coding Agent",
    ]
    assert (form["description"]["raw"], form["dueDate"], form["subject"]) == ("Text", "2026-12-01", "The form")
    assert epic["_links"]["version"]["title"] == "v1"
    assert (relation["type"], relation["_links"]["from"]["title"]) == ("blocks", "A bug")
    async with client(tmp_path, imported.tokens["kim"]) as kim:
        assert (await kim.get("/work_packages")).json()["total"] == 4
        assert (await kim.post("/projects/shop/work_packages", json={"subject": "x"})).status_code == 403


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ('[[users]]\nlogin = "agent"\nname = "A"', r"users\[1\] \(agent\): the login is taken"),
        (
            '[[users]]\nlogin = "a"\nname = "A"\nrole = "Boss"',
            r"users\[1\] \(a\): unknown role 'Boss'; allowed are Member, Reader, Project admin, Viewer",
        ),
        ('[[projects]]\nidentifier = "shop"\nname = "S"', r"projects\[1\] \(shop\): the identifier is taken"),
        (
            '[[work_packages]]\nkey = "bug"\nsubject = "S"',
            r"work_packages\[4\] \(bug\): the key is taken by work_packages\[3\]",
        ),
        (
            '[[work_packages]]\nkey = "x"\nsubject = "S"\ntype = "Tusk"',
            r"work_packages\[4\] \(x\): unknown type 'Tusk'; allowed are Task, Milestone",
        ),
        (
            '[[work_packages]]\nkey = "x"\nsubject = "S"\nparent = "y"',
            r"\(x\): unknown parent 'y'; allowed are login, auth, form, bug, x",
        ),
        ('[[work_packages]]\nkey = "x"\nsubject = "S"\nparent = "x"', r"\(x\): it is its own ancestor"),
        ('[[work_packages]]\nkey = "x"\nsubject = "S"\nproject = "y"', r"\(x\): unknown project 'y'; allowed are shop"),
        ('[[work_packages]]\nkey = "x"\nsubject = "S"\nassignee = "y"', r"\(x\): unknown assignee 'y'; allowed are "),
        (
            '[[relations]]\ntype = "blocks"\nfrom = "bug"\nto = "form"',
            r"relations\[1\]: bug and form are related already",
        ),
        (
            '[[relations]]\ntype = "hates"\nfrom = "bug"\nto = "auth"',
            r"relations\[1\]: unknown type 'hates'; allowed are relates, blocks",
        ),
        (
            '[[relations]]\ntype = "blocks"\nfrom = "bug"\nto = "y"',
            r"relations\[1\]: unknown to 'y'; allowed are login, auth, form, bug",
        ),
    ],
)
async def test_of_a_wrong_backlog_nothing_is_imported(tmp_path: Path, wrong: str, message: str) -> None:
    accounts = server.create(tmp_path)
    with pytest.raises(server.BacklogError, match=message):
        server.import_backlog(tmp_path, f"{BACKLOG}\n{wrong}")
    async with client(tmp_path, accounts.tokens["admin"]) as admin:
        assert (await admin.get("/projects")).json()["total"] == 0
        assert (await admin.get("/principals")).json()["total"] == 3


async def test_a_second_backlog_goes_beside_the_first(tmp_path: Path) -> None:
    accounts = server.create(tmp_path)
    server.import_backlog(tmp_path, BACKLOG)
    server.import_backlog(tmp_path, '[[work_packages]]\nkey = "bug"\nsubject = "Another"\nproject = "shop"')
    async with client(tmp_path, accounts.tokens["human"]) as human:
        assert (await human.get("/work_packages")).json()["total"] == 5


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[str]:
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(server.serve(folder, "127.0.0.1", 0, url.set_result))
    try:
        yield await asyncio.wait_for(url, 10)
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_it_listens_on_a_free_port_when_it_says_so_and_stops_when_cancelled(tmp_path: Path) -> None:
    accounts = server.create(tmp_path)
    async with httpx.AsyncClient(auth=("apikey", accounts.tokens["agent"])) as agent:
        async with served(tmp_path) as url:
            response = await agent.get(f"{url}/api/v3/users/me")
            assert response.json()["login"] == "agent"
            assert "date" not in response.headers
            assert "server" not in response.headers
        with pytest.raises(httpx.ConnectError):
            await agent.get(f"{url}/api/v3/users/me")


async def test_what_others_write_into_the_file_is_seen_while_it_serves(tmp_path: Path) -> None:
    accounts = server.create(tmp_path)
    async with served(tmp_path) as url, httpx.AsyncClient(auth=("apikey", accounts.tokens["human"])) as human:
        assert (await human.get(f"{url}/api/v3/work_packages")).json()["total"] == 0
        await asyncio.to_thread(server.import_backlog, tmp_path, BACKLOG)
        assert (await human.get(f"{url}/api/v3/work_packages")).json()["total"] == 4


async def test_a_taken_port_is_an_error_of_the_caller(tmp_path: Path) -> None:
    server.create(tmp_path)
    async with served(tmp_path) as url:
        with pytest.raises(OSError, match="in use"):
            await server.serve(tmp_path, "127.0.0.1", int(url.rpartition(":")[2]), print)


async def test_after_the_aggregation_time_a_change_is_an_activity_of_its_own(tmp_path: Path) -> None:
    accounts = server.create(tmp_path)
    ids = server.import_backlog(tmp_path, BACKLOG).work_packages
    path = f"/work_packages/{ids['bug']}"
    now = datetime(2026, 12, 1, 12)  # noqa: DTZ001 - the board's clock is UTC without a zone
    times = iter([now, now + timedelta(minutes=4), now + timedelta(minutes=10), now + timedelta(minutes=10)])
    async with client(tmp_path, accounts.tokens["agent"], lambda: next(times)) as agent:
        for version in range(3):
            changed = await agent.patch(path, json={"lockVersion": version, "subject": f"bug {version}"})
            assert changed.status_code == 200
        activities = (await agent.get(f"{path}/activities")).json()["_embedded"]["elements"]
    assert [activity["details"][-1]["raw"] for activity in activities][1:] == [
        "Subject changed from A bug to bug 1",
        "Subject changed from bug 1 to bug 2",
    ]
    assert activities[-1]["createdAt"] == "2026-12-01T12:10:00.000Z"


async def test_the_largest_page_is_a_setting(tmp_path: Path) -> None:
    accounts = server.create(tmp_path)
    server.import_backlog(tmp_path, BACKLOG)
    with sqlite3.connect(tmp_path / store.FILE) as database:
        database.execute("UPDATE settings SET value = '2' WHERE name = 'apiv3_max_page_size'")
    database.close()
    async with client(tmp_path, accounts.tokens["agent"]) as agent:
        page = (await agent.get("/work_packages?pageSize=100")).json()
    assert (page["pageSize"], page["count"], page["total"]) == (2, 2, 4)


async def test_a_body_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    accounts = server.create(tmp_path)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield bytes(1 << 20)

    async with served(tmp_path) as url, httpx.AsyncClient(auth=("apikey", accounts.tokens["agent"])) as agent:
        try:
            refused = await agent.post(f"{url}/api/v3/work_packages", content=endless())
            assert refused.status_code == 413
        except (httpx.WriteError, httpx.ReadError):
            pass  # it hung up
        assert (await agent.get(f"{url}/api/v3/users/me")).status_code == 200
