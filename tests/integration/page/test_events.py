"""What changes arrives: at once, to whoever may see it, after a lost connection too, and at no cost while nobody listens."""

from __future__ import annotations

import asyncio
import datetime as dt
import queue
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent import server
from agent.page import live, stream
from agent.page.app import MOST_STREAMS, Page
from agent.page.live import Live
from agent.page.stream import EventStream
from agent.page.versions import Told
from agent.server import sessions, store
from agent.server.access import authenticate_as
from support.boards import Board, _ServerThread
from support.page import SOON, Visitor, numbers

Visit = Callable[..., Visitor]
NOW = dt.datetime(2026, 12, 1, 12)  # noqa: DTZ001 - the board's clock is UTC without a zone
BEAT = stream.BEAT


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots follow each other as fast as they can, where a test does not count them."""
    monkeypatch.setattr(stream, "BEAT", 0.02)


def create(board: Board, subject: str, project: str = "shop", account: str = "human") -> int:
    answer = board.client(account).post(f"/projects/{project}/work_packages", json={"subject": subject})
    assert answer.status_code == 201, answer.text
    made: int = answer.json()["id"]
    return made


def change(board: Board, id_: int, **body: Any) -> None:
    lock = board.client("admin").get(f"/work_packages/{id_}").json()["lockVersion"]
    answer = board.client("admin").patch(f"/work_packages/{id_}", json={"lockVersion": lock, **body})
    assert answer.status_code == 200, answer.text


def snapshots(board: Board) -> int:
    """Made so far by the page of this board."""
    assert board._server
    return board._server.page.live.count


def is_idle(board: Board) -> bool:
    """Whether nobody listens and nothing is watched any more."""
    assert board._server
    watching = board._server.page.hub._watching
    return not board._server.page.hub._streams and (watching is None or watching.done())


def is_settled(board: Board) -> bool:
    """Whether there was nothing to read for some time."""
    before = snapshots(board)
    time.sleep(2 * BEAT)
    return snapshots(board) == before


def wait(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_change_by_the_api_arrives_within_a_moment(board: Board, visit: Visit) -> None:
    id_ = create(board, "Before")
    one = visit(board)
    with one.listen(one.board()["version"]) as heard:
        time.sleep(0.1)
        began = time.monotonic()
        change(board, id_, subject="After")
        event = heard.next()
        assert event.at - began < 2.0
        assert (event.name, event.id) == ("board", event.data["version"])
        assert [card["subject"] for card in event.data["changed"]] == ["After"]
        assert event.data["gone"] == []
        # What one hears is what one would be shown.
        assert event.data["changed"] == [one.cards()[id_]]
        assert event.data["pods"] == one.board()["pods"]


def test_a_change_of_another_process_arrives_within_two_seconds(board: Board, visit: Visit) -> None:
    one = visit(board)
    with one.listen(one.board()["version"]) as heard:
        time.sleep(0.3)
        assert board.folder
        began = time.monotonic()
        backlog = '[[work_packages]]\nkey = "a"\nsubject = "Imported"\nproject = "shop"'
        made = server.import_backlog(board.folder, backlog).work_packages["a"]
        event = heard.until(made)[-1]
        assert event.at - began < 2.0
        assert [card["subject"] for card in event.data["changed"]] == ["Imported"]


def test_what_hangs_on_a_change_arrives_with_it(board: Board, visit: Visit) -> None:
    blocker, waits = create(board, "First"), create(board, "Then")
    link = {"href": f"/api/v3/work_packages/{waits}"}
    one = visit(board)
    with one.listen(one.board()["version"]) as heard:
        body = {"type": "blocks", "_links": {"to": link}}
        assert board.client("human").post(f"/work_packages/{blocker}/relations", json=body).status_code == 201
        [card] = heard.until(waits)[-1].data["changed"]
        assert (card["badges"], card["reasons"]) == (
            ["blocked"],
            [{"reason": "blocked", "detail": f"waits for #{blocker}"}],
        )
        # Closing the blocker changes what is said of the one that waits, whose own row nobody touched.
        change(board, blocker, _links={"status": {"href": f"/api/v3/statuses/{board.statuses['Closed']}"}})
        event = heard.until(waits)[-1]
        assert numbers(event) == {blocker, waits}
        assert event.data["closed"] == 1
        assert {card["id"]: card["reasons"] for card in event.data["changed"]}[waits] == []


def test_a_deleted_work_package_is_gone(board: Board, visit: Visit) -> None:
    id_ = create(board, "Short-lived")
    one = visit(board)
    with one.listen(one.board()["version"]) as heard:
        assert board.client("admin").delete(f"/work_packages/{id_}").status_code == 204
        assert heard.next().data["gone"] == [id_]


def test_from_the_version_of_the_board_on_nothing_is_missed(board: Board, visit: Visit) -> None:
    one = visit(board)
    version = one.board()["version"]
    ids = [create(board, f"Number {n}") for n in range(3)]
    with one.listen(version) as heard:
        assert {card["id"] for card in heard.next().data["changed"]} == set(ids)


def test_after_a_lost_connection_what_was_missed_is_made_up_for(board: Board, visit: Visit) -> None:
    first, second = create(board, "First"), create(board, "Second")
    one = visit(board)
    with one.listen(one.board()["version"]) as heard:
        change(board, first, subject="First again")
        last = heard.next()
    change(board, second, subject="Second again")
    assert board.client("admin").delete(f"/work_packages/{first}").status_code == 204
    # What the browser sends when it comes back wins over what stands in the address.
    with one.listen("gone.1", last=last.id) as heard:
        event = heard.next()
        assert [card["subject"] for card in event.data["changed"]] == ["Second again"]
        assert event.data["gone"] == [first]


@pytest.mark.parametrize("version", ["", "nonsense", "x.1", ".", "LIFE.", "LIFE.99", "LIFE.0", "LIFE." + "9" * 40])
def test_from_an_unknown_version_all_is_to_be_asked_for_again(shared_board: Board, visit: Visit, version: str) -> None:
    one = visit(shared_board)
    life = one.board()["version"].partition(".")[0]
    with one.listen(version.replace("LIFE", life)) as heard:
        event = heard.next()
        assert (event.name, event.data) == ("reset", {})
        # From there on it goes on.
        made = create(shared_board, "Later")
        assert heard.next().name == "board"
        assert made in one.cards()
    with one.listen(last=event.id) as heard:
        assert made in numbers(heard.next())


def test_after_a_restart_all_is_to_be_asked_for_again(board: Board, visit: Visit) -> None:
    one = visit(board)
    version = one.board()["version"]
    with one.listen(version) as heard:
        began = time.monotonic()
        board.close()
        # A stream does not keep the server from stopping, which would wait for 5 s.
        assert time.monotonic() - began < 4.0
        assert heard.ended.wait(SOON)
    assert board.folder
    again = _ServerThread(board.folder)
    try:
        back = Visitor(again.url, board.tokens["human"])
        with back.listen(last=version) as heard:
            assert heard.next().name == "reset"
        back.close()
    finally:
        again.stop()


def test_of_projects_that_are_not_visible_nothing_is_heard(board: Board, visit: Visit) -> None:
    """Not their cards, not their numbers, not their pods."""
    hidden = create(board, "Secret", "vault", "admin")
    shown = create(board, "Public")
    one = visit(board, "reader")
    boss = visit(board, "admin")
    seen = one.board()
    assert [card["id"] for card in seen["cards"]] == [shown]
    assert [project["identifier"] for project in seen["catalog"]["projects"]] == ["blog", "shop"]
    with one.listen(seen["version"]) as heard, boss.listen(boss.board()["version"]) as all_heard:
        change(board, hidden, **{board.pod: "pod-secret"})
        assert [pod["name"] for pod in all_heard.until(hidden)[-1].data["pods"]] == ["pod-secret"]
        closed = {"status": {"href": f"/api/v3/statuses/{board.statuses['Closed']}"}}
        change(board, hidden, _links=closed)
        all_heard.until(hidden)
        assert board.client("admin").delete(f"/work_packages/{hidden}").status_code == 204
        all_heard.until(hidden)
        change(board, shown, subject="Public again")
        events = heard.until(shown)
        assert set().union(*map(numbers, events)) == {shown}
        assert not [event for event in events if event.data["pods"] or event.data["closed"]]
        # Moved to where one may not look, it is gone.
        vault = {"project": {"href": f"/api/v3/projects/{board.projects['vault']}"}}
        change(board, shown, _links=vault)
        assert heard.next().data["gone"] == [shown]


def test_who_becomes_a_member_is_told_to_ask_for_all(board: Board, visit: Visit) -> None:
    one = visit(board, "reader")
    with one.listen(one.board()["version"]) as heard:
        assert board.folder
        with closing(sqlite3.connect(board.folder / store.FILE)) as connection, connection:
            connection.execute(
                "INSERT INTO members (project_id, user_id, role_id, created_at) VALUES (?, ?, 502, '2026-12-01')",
                (board.projects["vault"], one.id),
            )
        assert heard.next().name == "reset"
    assert "vault" in [project["identifier"] for project in one.board()["catalog"]["projects"]]


def test_signing_out_ends_the_stream_of_that_session_alone(board: Board, visit: Visit) -> None:
    one, other = visit(board), visit(board)
    version = other.board()["version"]
    with one.listen(version) as heard, other.listen(version) as others:
        assert one.http.post("/page/sign-out", headers={"x-csrf-token": one.proof}).status_code == 204
        began = time.monotonic()
        assert heard.next().name == "signed-out"
        assert heard.ended.wait(SOON)
        assert time.monotonic() - began < 5.0
        made = create(board, "Still there")
        assert others.until(made)


def test_a_session_that_ends_in_the_file_ends_its_stream(board: Board, visit: Visit) -> None:
    one = visit(board)
    with one.listen(one.board()["version"]) as heard:
        assert board.folder
        with closing(sqlite3.connect(board.folder / store.FILE)) as connection, connection:
            connection.execute("DELETE FROM sessions")
        assert heard.next().name == "signed-out"


def test_while_nobody_listens_nothing_is_read(board: Board, visit: Visit) -> None:
    one = visit(board)
    with one.listen(one.board()["version"]) as heard:
        heard.until(create(board, "Heard"))
    wait(lambda: is_idle(board))
    before = snapshots(board)
    for n in range(5):
        create(board, f"Unheard {n}")
    time.sleep(0.5)
    assert snapshots(board) == before


def test_without_changes_nothing_is_read_and_with_many_twice_a_second_for_all(
    board: Board, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BEAT", BEAT)
    visitors = [visit(board) for _ in range(3)]
    version = visitors[0].board()["version"]
    with visitors[0].listen(version) as first, visitors[1].listen(version) as second, visitors[2].listen(version):
        wait(lambda: is_settled(board))
        before = snapshots(board)
        time.sleep(1.0)
        assert snapshots(board) == before
        began = time.monotonic()
        last = 0
        while time.monotonic() - began < 2.0:
            last = create(board, "One of many")
        first.until(last)
        second.until(last)
        seconds = time.monotonic() - began
        assert snapshots(board) - before <= 1 + seconds / BEAT


def test_a_silent_stream_says_that_it_is_alive(board: Board, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT", 0.1)
    one = visit(board)
    with one.listen(one.board()["version"]) as heard:
        wait(lambda: heard.comments >= 2)
        with pytest.raises(queue.Empty):
            heard.next(0.05)


def test_nobody_holds_more_streams_than_a_person_needs(
    board: Board, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_STREAMS >= 16
    monkeypatch.setattr("agent.page.app.MOST_STREAMS", 2)
    one, other = visit(board), visit(board, "reader")
    with one.listen(), one.listen():
        refused = one.http.get("/page/events")
        assert (refused.status_code, refused.json()) == (429, {"message": "The page is open too often."})
        with other.listen() as heard:
            assert heard.next().name == "reset"
    wait(lambda: is_idle(board))


async def until(true: Callable[[], bool]) -> None:
    for _ in range(int(SOON / 0.01)):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came")


async def test_who_does_not_read_is_owed_one_difference_however_much_happens(tmp_path: Path) -> None:
    """And does not keep the server from stopping."""
    token = server.create(tmp_path).tokens["human"]
    server.import_backlog(tmp_path, '[[projects]]\nidentifier = "a"\nname = "A"')
    page = Page(tmp_path)
    with page.live.desk.store.transaction(write=True) as db:
        cookie = sessions.start(db, token, NOW)
        session = sessions.find(db, cookie, NOW)
    assert session is not None
    now = await page.live.latest()
    version = "a version"
    with page.live.desk.store.transaction(write=False) as db:
        page.live.versions.keep(version, page.live.told(live.view(db, session.viewer, now), now))
    reads, tried, sent = asyncio.Event(), list[bytes](), list[bytes]()
    reads.set()

    async def send(message: Any) -> None:
        tried.append(message.get("body", b""))
        await reads.wait()
        sent.append(message.get("body", b""))

    def shown() -> int:
        assert page.live.present is not None
        return len(page.live.present.sights)

    one = EventStream(page.hub, cookie, session, version)
    answering = asyncio.create_task(one({}, asyncio.Event().wait, send))  # type: ignore[arg-type]
    await until(lambda: stream.START in sent)
    reads.clear()
    for n in range(5):
        server.import_backlog(tmp_path, f'[[work_packages]]\nkey = "a"\nsubject = "Number {n}"')
        await until(lambda: b"Number 0" in tried[-1])
    await until(lambda: shown() == 5)
    del sent[:]
    reads.set()
    await until(lambda: b"Number 4" in b"".join(sent))
    # The first was on its way when nobody read; all the rest came together.
    assert [body.count(b"Number") for body in sent] == [1, 4]
    reads.clear()
    server.import_backlog(tmp_path, '[[work_packages]]\nkey = "a"\nsubject = "Never read"')
    await until(lambda: b"Never read" in tried[-1])
    page.stop()
    await asyncio.wait_for(answering, 2 * stream.PATIENCE)
    assert not page.hub._streams
    page.close()


async def test_many_who_ask_at_once_share_one_snapshot(tmp_path: Path) -> None:
    server.create(tmp_path)
    one = Live(tmp_path, lambda: NOW)
    await asyncio.gather(*(one.latest() for _ in range(20)))
    assert one.count == 1
    server.import_backlog(tmp_path, '[[projects]]\nidentifier = "a"\nname = "A"')
    await asyncio.gather(*(one.latest() for _ in range(20)))
    assert one.count == 2
    one.close()


@pytest.mark.parametrize("account", ["human", "admin"])
async def test_what_was_told_too_long_ago_is_forgotten_and_nothing_sooner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, account: str
) -> None:
    """Whatever happens meanwhile: neither many changes nor none make a difference to what is remembered."""
    minutes = 0.0
    monkeypatch.setattr(live, "monotonic", lambda: 60 * minutes)
    server.create(tmp_path)
    server.import_backlog(tmp_path, '[[projects]]\nidentifier = "a"\nname = "A"')
    one = Live(tmp_path, lambda: NOW)
    given: list[Told] = []
    for n in range(15):
        minutes = float(n)
        now = await one.latest()
        with one.desk.store.transaction(write=False) as db:
            view = live.view(db, authenticate_as(db, account), now)
        given.append(one.told(view, now))
        one.versions.keep(f"version {n}", given[n])
        server.import_backlog(tmp_path, f'[[work_packages]]\nkey = "a"\nsubject = "{n}"')
    now = await one.latest()
    with one.desk.store.transaction(write=False) as db:
        view = live.view(db, authenticate_as(db, account), now)
    after = one.told(view, now)
    assert [one.leads_on(told, after) for told in given] == [n >= 4 for n in range(15)]
    assert len(one.delta(given[4].number, now, view).changed) == 11
    found = [one.versions.find(f"version {n}", view.viewer.id) for n in range(15)]
    assert found == [None] * 4 + given[4:]
    assert one.versions.find("version 14", view.viewer.id + 1) is None
    # Of the differences themselves a little more is kept.
    assert len(one._history) == 13
    one.close()


async def test_a_page_that_is_stopped_takes_no_more_listeners(tmp_path: Path) -> None:
    token = server.create(tmp_path).tokens["human"]
    page = Page(tmp_path)
    transport = httpx.ASGITransport(server.app(tmp_path, site=page))
    async with httpx.AsyncClient(transport=transport, base_url="http://board") as client:
        await client.post("/page/sign-in", json={"token": token})
        page.stop()
        answer = await client.get("/page/events")
        assert answer.status_code == 200
    page.close()
