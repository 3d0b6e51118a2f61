"""Who gets in, what a session may do and when it ends, and that nobody else can make use of it."""

from __future__ import annotations

import datetime as dt
import http.client
import logging
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from loguru import logger

from agent import server
from agent.page.app import HEADERS, Page
from agent.server import sessions, store
from agent.server.seed import digest
from support.boards import API, Board, _ServerThread, embedded_board
from support.page import Visitor

Visit = Callable[..., Visitor]
SIGN_IN = "/page/sign-in"
TASK = {"subject": "A task"}


@pytest.fixture
def stranger(shared_board: Board) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shared_board.url) as client:
        yield client


def made(board: Board) -> dict[str, Any]:
    created: dict[str, Any] = board.client("human").post("/projects/shop/work_packages", json=TASK).json()
    return created


def test_a_token_signs_in_and_the_cookie_is_for_this_site_and_no_script(
    shared_board: Board, stranger: httpx.Client
) -> None:
    answer = stranger.post(SIGN_IN, json={"token": f" {shared_board.tokens['human']}\n"})
    assert (answer.status_code, answer.content) == (204, b"")
    cookie, *flags = [part.strip().lower() for part in answer.headers["set-cookie"].split(";")]
    assert re.match(r"agent_session_[0-9a-f]{8}=", cookie)
    assert {"httponly", "samesite=strict", "path=/", "max-age=2592000"} == set(flags)
    session = stranger.get("/page/session").json()
    assert session["user"] == {"id": shared_board.users["human"], "name": "Hanna Human"}
    assert session["instance"] == "Agent board"
    assert session["writable"] is True


def test_who_signs_in_on_and_on_has_a_hundred_sessions_and_the_newest_of_them(tmp_path: Path) -> None:
    """Each was kept for thirty days: 150,000 were 110 MiB of the board's file."""
    server.create(tmp_path / "board")
    clock = dt.datetime(2026, 12, 1, 12)  # noqa: DTZ001 - the board's clock says UTC without saying so
    board = store.Store(tmp_path / "board")
    try:
        with board.transaction(write=True) as db:
            for token in ("mine", "another"):
                db.run("INSERT INTO tokens SELECT ?, max(id) FROM users", digest(token))
            other = sessions.start(db, "another", clock)
            cookies = [sessions.start(db, "mine", clock + dt.timedelta(seconds=n)) for n in range(130)]
            found = [sessions.find(db, one, clock) is not None for one in (other, *cookies)]
        assert found == [True] + [False] * 30 + [True] * 100
    finally:
        board.close()


def test_behind_a_proxy_with_tls_the_cookie_is_for_https_alone(shared_board: Board, stranger: httpx.Client) -> None:
    answer = stranger.post(
        SIGN_IN, json={"token": shared_board.tokens["human"]}, headers={"x-forwarded-proto": "https"}
    )
    assert "secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"token": "opapi-wrong"}', "application/json", 401),
        (b'{"token": ""}', "application/json", 401),
        (b"{}", "application/json", 401),
        (b'{"token": 5}', "application/json", 400),
        (b'{"token"', "application/json", 400),
        (b'["\xff"]', "application/json", 400),
        (b'{"token": "\xed\xa0\x80"}', "application/json", 400),
        (b'{"token": "\\ud800"}', "application/json", 400),
        (b'{"token": "' + b"x" * 5000 + b'"}', "application/json", 413),
        (b"token=x", "application/x-www-form-urlencoded", 415),
        (b'{"token": "x"}', "text/plain", 415),
        (b'{"token": "x"}', "", 415),
    ],
)
def test_whatever_else_is_sent_does_not(stranger: httpx.Client, body: bytes, kind: str, status: int) -> None:
    answer = stranger.post(SIGN_IN, content=body, headers={"content-type": kind})
    assert answer.status_code == status, answer.text
    assert answer.json()["message"].endswith(".") or "{" in answer.json()["message"]
    assert "set-cookie" not in answer.headers
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://", "http://127.0.0.1", "x", "http://["])
def test_another_site_cannot_sign_its_visitors_in(shared_board: Board, stranger: httpx.Client, origin: str) -> None:
    answer = stranger.post(SIGN_IN, json={"token": shared_board.tokens["human"]}, headers={"origin": origin})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_the_pages_own_origin_is_let_in(shared_board: Board, stranger: httpx.Client) -> None:
    own = {"origin": shared_board.url.upper().replace("HTTP:", "http:")}
    assert stranger.post(SIGN_IN, json={"token": shared_board.tokens["human"]}, headers=own).status_code == 204


@pytest.mark.parametrize(
    "path", ["/page/session", "/page/board", "/page/events", "/page/work-packages/1", "/page/fleet"]
)
def test_without_a_session_there_is_nothing_to_see(
    shared_board: Board, stranger: httpx.Client, visit: Visit, path: str
) -> None:
    assert stranger.get(path).status_code == 401
    # The API's credentials are none for the page.
    assert stranger.get(path, auth=("apikey", shared_board.tokens["human"])).status_code == 401
    [name] = visit(shared_board).http.cookies
    stranger.cookies[name] = "made-up"
    assert stranger.get(path).json() == {"message": "You are not signed in, or no longer."}


def test_the_file_keeps_neither_cookie_nor_proof(board: Board, visit: Visit) -> None:
    one = visit(board)
    [cookie] = one.http.cookies.values()
    assert board.folder
    kept = b"".join(path.read_bytes() for path in board.folder.iterdir() if path.is_file())
    assert len(kept) > 100_000
    for secret in (cookie, one.proof, board.tokens["human"]):
        assert secret.encode() not in kept


def test_by_cookie_the_api_answers_what_it_answers_by_token(shared_board: Board, visit: Visit) -> None:
    item = made(shared_board)
    one = visit(shared_board)
    path = f"/work_packages/{item['id']}"
    assert one.http.get(API + path).json() == shared_board.client("human").get(path).json()
    assert one.http.get(API + "/users/me").json()["login"] == "human"


def test_no_cache_between_keeps_what_the_api_answers_by_cookie(shared_board: Board, visit: Visit) -> None:
    item = made(shared_board)
    one = visit(shared_board)
    for path in (f"/work_packages/{item['id']}", "/users/me", "/work_packages/0"):
        answer = one.http.get(API + path)
        assert answer.headers["cache-control"] == "max-age=0, private, must-revalidate"
    tag = one.http.get(f"{API}/users/me").headers["etag"]
    again = one.http.get(f"{API}/users/me", headers={"if-none-match": tag})
    assert (again.status_code, again.headers["cache-control"]) == (304, "max-age=0, private, must-revalidate")


@pytest.mark.parametrize("method", ["PATCH", "POST", "DELETE", "PUT"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-csrf-token": ""},
        {"x-csrf-token": "wrong"},
        {"x-csrf-token": "\xff"},
        {"x-csrf-token": "PROOF", "origin": "http://evil.example"},
        {"x-csrf-token": "PROOF", "origin": "null"},
        {"x-csrf-token": "PROOF", "origin": "http://[::1"},
    ],
)
def test_what_would_change_something_must_prove_that_the_page_sent_it(
    shared_board: Board, visit: Visit, method: str, headers: dict[str, str]
) -> None:
    item = made(shared_board)
    one = visit(shared_board)
    sent = [(name.encode(), value.replace("PROOF", one.proof).encode("latin-1")) for name, value in headers.items()]
    body = {"lockVersion": 0, "subject": "Changed"}
    answer = one.http.request(method, f"{API}/work_packages/{item['id']}", json=body, headers=sent)
    assert answer.status_code == 403
    document = answer.json()
    assert (document["_type"], document["errorIdentifier"].rpartition(":")[2]) == ("Error", "MissingPermission")
    assert document["message"].endswith("Reload the page and try again.")
    assert shared_board.client().get(f"/work_packages/{item['id']}").json()["lockVersion"] == 0


def test_another_sessions_proof_is_none(shared_board: Board, visit: Visit) -> None:
    item = made(shared_board)
    one, other = visit(shared_board), visit(shared_board)
    body = {"lockVersion": 0, "subject": "Changed"}
    headers = {"x-csrf-token": other.proof}
    assert one.http.patch(f"{API}/work_packages/{item['id']}", json=body, headers=headers).status_code == 403


def test_with_the_proof_the_page_may_do_what_its_user_may(shared_board: Board, visit: Visit) -> None:
    item = made(shared_board)
    one = visit(shared_board)
    path = f"/work_packages/{item['id']}"
    changed = one.api("PATCH", path, {"lockVersion": 0, "subject": "Changed"}, origin=shared_board.url)
    assert (changed.status_code, changed.json()["subject"]) == (200, "Changed")
    said = one.api("POST", f"{path}/activities", {"comment": {"raw": "Hello"}})
    assert said.status_code == 201
    conflict = one.api("PATCH", path, {"lockVersion": 0, "subject": "Late"})
    assert conflict.status_code == 409
    assert conflict.json()["message"]


def test_credentials_come_before_the_cookie(shared_board: Board, visit: Visit) -> None:
    one = visit(shared_board)
    me = f"{API}/users/me"
    assert one.http.get(me, auth=("apikey", shared_board.tokens["agent"])).json()["login"] == "agent"
    refused = one.http.get(me, auth=("apikey", "wrong"))
    assert (refused.status_code, refused.headers["www-authenticate"][:5]) == (401, "Basic")
    # A pod that keeps cookies by accident needs no proof.
    body = {"subject": "By a pod"}
    auth = ("apikey", shared_board.tokens["agent"])
    assert one.http.post(f"{API}/projects/shop/work_packages", json=body, auth=auth).status_code == 201


def test_signing_out_ends_the_session_for_the_api_too(shared_board: Board, visit: Visit) -> None:
    one = visit(shared_board)
    [(name, cookie)] = one.http.cookies.items()
    refused = one.http.post("/page/sign-out")
    assert refused.status_code == 403
    assert one.http.get("/page/session").status_code == 200
    foreign = {"x-csrf-token": one.proof, "origin": "http://evil.example"}
    assert one.http.post("/page/sign-out", headers=foreign).status_code == 403
    answer = one.http.post("/page/sign-out", headers={"x-csrf-token": one.proof})
    assert answer.status_code == 204
    assert "max-age=0" in answer.headers["set-cookie"].lower()
    one.http.cookies.set(name, cookie)
    assert one.http.get("/page/session").status_code == 401
    answer = one.http.get(f"{API}/users/me")
    # As without any credentials: a browser must not ask for a password.
    assert (answer.status_code, answer.headers["www-authenticate"][:6]) == (401, "Bearer")


def test_signing_in_anew_ends_the_session_before(shared_board: Board, visit: Visit) -> None:
    one = visit(shared_board)
    old = dict(one.http.cookies)
    assert one.http.post(SIGN_IN, json={"token": shared_board.tokens["reader"]}).status_code == 204
    with httpx.Client(base_url=shared_board.url, cookies=old) as before:
        assert before.get("/page/session").status_code == 401
    assert one.http.get("/page/session").json()["user"]["name"] == "Rita Reader"


def test_boards_on_other_ports_of_a_host_sign_nobody_out(board: Board, tmp_path: Path, visit: Visit) -> None:
    beside = embedded_board(tmp_path / "beside")
    try:
        one, other = visit(board), visit(beside)
        # A browser sends a cookie to every port of its host.
        both = {**one.http.cookies, **other.http.cookies}
        for url, proof in ((board.url, one.proof), (beside.url, other.proof)):
            with httpx.Client(base_url=url, cookies=both, headers={"x-csrf-token": proof}) as client:
                assert client.get("/page/session").json()["csrf"] == proof
                assert client.post(f"{API}/projects/shop/work_packages", json=TASK).status_code == 201
        with httpx.Client(base_url=beside.url, cookies=both, headers={"x-csrf-token": other.proof}) as client:
            answer = client.post("/page/sign-out")
        assert answer.headers["set-cookie"].partition("=")[0] in other.http.cookies
        assert one.http.get("/page/session").status_code == 200
        assert one.http.cookies.keys().isdisjoint(other.http.cookies.keys())
    finally:
        beside.close()


def test_a_board_keeps_the_name_of_its_cookie(shared_board: Board, visit: Visit) -> None:
    assert list(visit(shared_board).http.cookies) == list(visit(shared_board, "reader").http.cookies)


def test_a_restart_of_the_server_signs_nobody_out(board: Board, visit: Visit) -> None:
    one = visit(board)
    board.close()
    assert board.folder
    again = _ServerThread(board.folder)
    try:
        with httpx.Client(base_url=again.url, cookies=dict(one.http.cookies)) as client:
            assert client.get("/page/session").json()["csrf"] == one.proof
    finally:
        again.stop()


@asynccontextmanager
async def at(folder: Path, times: list[dt.datetime]) -> AsyncIterator[httpx.AsyncClient]:
    """The board while it is the last of the times."""
    page = Page(folder, lambda: times[-1])
    transport = httpx.ASGITransport(server.app(folder, clock=lambda: times[-1], site=page))
    async with httpx.AsyncClient(transport=transport, base_url="http://board") as client:
        yield client
    page.close()


async def test_after_30_days_a_session_ends_and_is_forgotten(tmp_path: Path) -> None:
    token = server.create(tmp_path).tokens["human"]
    times = [dt.datetime(2026, 12, 1, 12)]  # noqa: DTZ001 - the board's clock is UTC without a zone
    async with at(tmp_path, times) as client:
        await client.post(SIGN_IN, json={"token": token})
        times.append(times[0] + dt.timedelta(days=29))
        assert (await client.get("/page/session")).status_code == 200
        times.append(times[0] + dt.timedelta(days=30, seconds=1))
        assert (await client.get("/page/session")).status_code == 401
        assert (await client.get(f"{API}/users/me")).status_code == 401
        await client.post(SIGN_IN, json={"token": token})
    with closing(sqlite3.connect(tmp_path / store.FILE)) as connection:
        assert connection.execute("SELECT count(*) FROM sessions").fetchone() == (1,)


async def test_a_session_goes_with_its_token(tmp_path: Path) -> None:
    token = server.create(tmp_path).tokens["human"]
    async with at(tmp_path, [dt.datetime(2026, 12, 1)]) as client:  # noqa: DTZ001 - see above
        await client.post(SIGN_IN, json={"token": token})
        with closing(sqlite3.connect(tmp_path / store.FILE)) as connection, connection:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("DELETE FROM tokens WHERE user_id = (SELECT id FROM users WHERE login = 'human')")
        assert (await client.get("/page/session")).status_code == 401


def test_a_viewer_sees_and_cannot_write(board: Board) -> None:
    item, other = made(board), made(board)
    assert board.folder
    users = '[[users]]\nlogin = "vera"\nname = "Vera Viewer"\nrole = "Viewer"\nprojects = ["shop"]'
    token = server.import_backlog(board.folder, users).tokens["vera"]
    vera = Visitor(board.url, token)
    assert vera.http.get("/page/session").json()["writable"] is False
    seen = vera.board()
    assert [project["may"] for project in seen["catalog"]["projects"]] == [
        {"create": False, "edit": False, "comment": False, "status": False}
    ]
    assert {card["id"] for card in seen["cards"]} == {item["id"], other["id"]}
    assert seen["catalog"]["workflow"] == {}
    path = f"/work_packages/{item['id']}"
    link = {"href": f"{API}/work_packages/{other['id']}"}
    for method, where, body, status in (
        ("PATCH", path, {"lockVersion": 0, "subject": "Changed"}, 403),
        ("POST", f"{path}/activities", {"comment": {"raw": "Hello"}}, 403),
        ("POST", "/projects/shop/work_packages", TASK, 403),
        ("POST", f"{path}/relations", {"type": "relates", "_links": {"to": link}}, 422),  # OpenProject's own answer
        ("DELETE", path, None, 403),
    ):
        answer = vera.api(method, where, body)
        assert answer.status_code == status, (method, where)
        assert answer.json()["message"]
    assert vera.cards() == {card["id"]: card for card in seen["cards"]}
    vera.close()


PATHS = ["/", "/page", "/page/session", "/page/nothing", "/page/assets/nothing.js", "/page/board/", "/page/sign-in"]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_tells_the_browser_to_trust_nobody_else(stranger: httpx.Client, path: str) -> None:
    for answer in (stranger.get(path), stranger.post(path)):
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert answer.headers["cache-control"] in ("no-store", "no-cache")
        if answer.status_code >= 400:
            assert list(answer.json()) == ["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/page/nothing", 404),
        ("GET", "/page/board/", 404),
        ("GET", "/pages", 401),
        ("GET", "/page/sign-in", 405),
        ("POST", "/page/board", 405),
        ("DELETE", "/", 405),
        ("HEAD", "/", 200),
        ("HEAD", "/page/session", 401),
        ("HEAD", "/page/events", 401),
        ("HEAD", "/api/v3", 406),
        ("HEAD", "/elsewhere", 406),
    ],
)
def test_paths_and_methods_that_are_none_are_refused(
    stranger: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = stranger.request(method, path)
    assert answer.status_code == status
    if method == "HEAD":
        assert answer.content == b""


@pytest.mark.parametrize("number", ["0", "-1", "x", "9223372036854775807", "9223372036854775808", "9" * 19, "9" * 400])
def test_a_number_that_is_none_is_no_failure_of_the_board(shared_board: Board, visit: Visit, number: str) -> None:
    one, item = visit(shared_board), made(shared_board)
    assert one.http.get(f"/page/work-packages/{number}").status_code == 404
    assert one.http.get(f"/page/work-packages/{item['id']}?before={number}").status_code == 200
    assert one.http.get(f"{API}/work_packages/{number}").status_code == 404


def test_a_head_of_the_stream_ends(shared_board: Board, visit: Visit) -> None:
    answer = visit(shared_board).http.head("/page/events")
    assert (answer.status_code, answer.headers["content-type"][:17]) == (200, "text/event-stream")


@pytest.mark.parametrize(
    "path",
    [
        "/page/assets/../app.py",
        "/page/assets/..%2fapp.py",
        "/page/assets/%2e%2e/app.py",
        "/page/assets/%2e%2e%2fapp.py",
        "/page/assets/..%5capp.py",
        "/page/assets//etc/passwd",
        "/page/assets/%2fetc%2fpasswd",
        "/page/assets/..",
        "/page/assets/.",
        "/page/assets/",
        "/page/assets/index.html%00.js",
        "/page/assets/%00",
        "/page/assets/index.html/",
        "/page/assets/%ff.js",
        "/page/assets/index.html%0a",
        "/page/../api/v3",
    ],
)
def test_no_path_leads_out_of_the_assets(shared_board: Board, path: str) -> None:
    # Sent as it stands: httpx would tidy it up.
    connection = http.client.HTTPConnection(shared_board.url.removeprefix("http://"))
    connection.request("GET", path)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.status == 404
    assert b"message" in content


def test_an_asset_is_sent_once_and_then_only_asked_about(stranger: httpx.Client) -> None:
    first = stranger.get("/")
    assert first.headers["content-type"] == "text/html; charset=utf-8"
    assert first.content == stranger.get("/page/assets/index.html").content
    again = stranger.get("/", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_neither_token_nor_cookie_nor_proof_stands_in_any_log(
    board: Board,
    visit: Visit,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    lines: list[str] = []
    sink = logger.add(lines.append, level="TRACE", backtrace=True, diagnose=False)
    one = visit(board)
    [cookie] = one.http.cookies.values()
    one.http.post(SIGN_IN, json={"token": board.tokens["human"] + "x"})
    one.api("PATCH", "/work_packages/1", {})
    one.api("POST", "/projects/shop/work_packages", TASK, **{"x-csrf-token": "wrong"})

    def broken(*_: object) -> None:
        raise RuntimeError("on purpose")

    monkeypatch.setattr("agent.page.app.catalog", broken)
    failed = one.http.get("/page/board")
    assert (failed.status_code, list(failed.json())) == (500, ["message"])
    assert one.http.get("/page/session").status_code == 200
    logger.remove(sink)
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    said = "".join((*lines, *ours, *capfd.readouterr()))
    assert "on purpose" in said
    assert not [secret for secret in (cookie, one.proof, board.tokens["human"]) if secret in said]
