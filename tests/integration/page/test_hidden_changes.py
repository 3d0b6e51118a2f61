"""T8: what happens where somebody may not look changes nothing of what they are given, by name, by order or by time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from agent import server
from agent.page import stream
from agent.server import store
from agent.texts import report
from agent.texts.claim_token import SIGN
from support.boards import API, Board
from support.page import Visitor

Visit = Callable[..., Visitor]
RUN = "7f9c0d52-8a4e-4c11-9b5d-000000000001"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BEAT", 0.02)


def ask(board: Board, method: str, path: str, body: Any = None) -> Any:
    answer = board.client("admin").request(method, path, json=body)
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


def create(board: Board, project: str, subject: str, **links: str) -> int:
    body = {"subject": subject, "_links": {name: {"href": f"{API}/{path}"} for name, path in links.items()}}
    made: int = ask(board, "POST", f"/projects/{project}/work_packages", body)["id"]
    return made


def change(board: Board, id_: int, body: dict[str, Any] | None = None, **links: str) -> None:
    lock = ask(board, "GET", f"/work_packages/{id_}")["lockVersion"]
    to = {name: {"href": f"{API}/{path}"} for name, path in links.items()}
    ask(board, "PATCH", f"/work_packages/{id_}", {"lockVersion": lock, **(body or {}), "_links": to})


def sql(board: Board, statement: str, *values: Any) -> None:
    assert board.folder
    with closing(sqlite3.connect(board.folder / store.FILE)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(statement, values)


def hidden_changes(board: Board, visible: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """One after the other, each of which an account that does not see the vault must not notice."""
    vault, folder = board.projects["vault"], board.folder
    assert folder
    made: list[int] = []
    yield "a work package", lambda: made.append(create(board, "vault", "Secret"))
    yield (
        "beside a visible one",
        lambda: made.append(create(board, "vault", "Below", parent=f"work_packages/{visible}")),
    )
    yield "a subject", lambda: change(board, made[0], {"subject": "Secret again"})
    yield "a subject below", lambda: change(board, made[1], {"subject": "Below again", "dueDate": "2027-01-01"})
    yield (
        "a comment",
        lambda: ask(board, "POST", f"/work_packages/{made[0]}/activities", {"comment": {"raw": f"#{visible}"}}),
    )
    relation = {"type": "blocks", "_links": {"to": {"href": f"{API}/work_packages/{visible}"}}}
    yield "a relation", lambda: ask(board, "POST", f"/work_packages/{made[0]}/relations", relation)
    yield "a route", lambda: change(board, made[0], {board.pod: "pod-secret"})
    # Whoever claims there is the fleet's to those alone who see it.
    person = board.users["deutsch"]
    claim = f"{RUN}.aa11 by pod-secret try 1 for 4h {SIGN} 2026-12-01T12:00Z"
    active = f"statuses/{board.statuses['In progress']}"
    yield "a claim", lambda: change(board, made[0], {board.run: claim}, assignee=f"users/{person}", status=active)
    said = {"comment": {"raw": report.claimed(RUN, pod="pod-secret")}}
    yield (
        "a claim's comment",
        lambda: board.client("deutsch").post(f"/work_packages/{made[0]}/activities", json=said).raise_for_status(),
    )
    yield "closed", lambda: change(board, made[0], status=f"statuses/{board.statuses['Closed']}")
    yield "gone", lambda: ask(board, "DELETE", f"/work_packages/{made[0]}")
    yield (
        "a version",
        lambda: sql(board, "INSERT INTO versions (project_id, name, created_at) VALUES (?, 's', '')", vault),
    )
    yield (
        "a project and its people",
        lambda: server.import_backlog(
            folder,
            'projects = [{ identifier = "deep", name = "Deep" }]\nusers = [{ login = "agent-x", name = "X", projects = ["deep"] }]',
        ),
    )
    for role in (501, 502, 503) * 8:
        yield (
            "a member's role",
            lambda role=role: sql(board, "UPDATE members SET role_id = ? WHERE project_id = ?", role, vault),  # type: ignore[misc]
        )


def given(one: Visitor) -> dict[str, Any]:
    """All but what time it is."""
    return {name: value for name, value in one.board().items() if name != "now"}


@pytest.mark.parametrize("account", ["reader", "outsider"])
def test_no_hidden_change_alters_what_an_account_is_given_nor_its_version(
    board: Board, visit: Visit, account: str
) -> None:
    sql(
        board,
        "INSERT INTO members (project_id, user_id, role_id, created_at) VALUES (?, ?, 501, '2026-12-01')",
        board.projects["vault"],
        board.users["deutsch"],
    )
    visible = create(board, "shop", "Taken by a person", assignee=f"users/{board.users['deutsch']}")
    one = visit(board, account)
    before = given(one)
    assert [card["id"] for card in before["cards"]] == ([visible] if account == "reader" else [])
    with ExitStack() as streams:
        heard = [streams.enter_context(one.listen(before["version"]))]
        for number, (name, make) in enumerate(hidden_changes(board, visible)):
            make()
            assert given(one) == before, name
            # From the same version on nothing is owed, however often, and to no stream is anything said.
            if number < 20:
                heard.append(streams.enter_context(one.listen(before["version"])))
        if account == "reader":
            change(board, visible, {"subject": "Seen"})
        else:
            role = "INSERT INTO members (project_id, user_id, role_id, created_at) VALUES (?, ?, 502, '2026-12-01')"
            sql(board, role, board.projects["shop"], one.id)
        first = [listening.next() for listening in heard]
        assert {event.name for event in first} == {"board" if account == "reader" else "reset"}
        assert all([card["subject"] for card in event.data.get("changed", ())] in (["Seen"], []) for event in first)
    after = given(one)
    assert after["version"] != before["version"]


def test_who_asks_waits_for_the_board_to_be_read_whether_something_happened_or_not(board: Board, visit: Visit) -> None:
    one = visit(board, "reader")
    assert board._server
    page = board._server.page.live
    one.board()
    for happened in (False, True, False):
        before = page.count
        if happened:
            create(board, "vault", "Secret")
        one.board()
        assert page.count == before + 1


def test_the_same_board_has_the_same_version_whatever_lay_between(board: Board, visit: Visit) -> None:
    id_ = create(board, "shop", "Here")
    one, other = visit(board, "reader"), visit(board, "deutsch")
    before = given(one)
    assert other.board()["version"] != before["version"]
    made = create(board, "shop", "Not for long")
    assert given(one)["version"] != before["version"]
    ask(board, "DELETE", f"/work_packages/{made}")
    assert given(one) == before
    # What is another's version is nobody's.
    with one.listen(other.board()["version"]) as heard:
        assert heard.next().name == "reset"
    with one.listen(before["version"]) as heard:
        change(board, id_, {"subject": "There"})
        assert heard.next().data["gone"] == []
