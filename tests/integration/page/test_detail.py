import json
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.page.detail import ENTRIES
from agent.server.errors import ApiError
from agent.texts import report
from support.page_board import PageBoard
from support.page_html import check

RUN = "7f9c0d52-8a4e-4c11-9b5d-0123456789ab"


@pytest.fixture
def board(tmp_path: Path) -> Iterator[PageBoard]:
    made = PageBoard(tmp_path / "board")
    yield made
    made.close()


def names(found: list[dict[str, Any]]) -> list[str]:
    return [one["subject"] for one in found]


def test_the_panel_has_text_surroundings_and_what_may_be_done(board: PageBoard) -> None:
    found = board.detail(board.ids["task"])
    assert found["card"]["id"] == board.ids["task"]
    assert found["card"]["subject"] == "Postage"
    assert found["description"] == {"raw": "Some **text**", "html": "<p>Some <strong>text</strong></p>\n"}
    assert (found["author"], found["created"], found["version"]) == ("Board Admin", "2026-11-01T08:00:00.000Z", "v1")
    assert names(found["ancestors"]) == ["Secret Epic", "Checkout"]
    assert names(found["children"]) == ["Stamps", "Secret stamps"]
    assert [(one["kind"], one["other"]["id"]) for one in found["relations"]] == [
        ("blocked by", board.ids["bug"]),
        ("follows", board.ids["hidden-bug"]),
    ]
    assert [one["reason"] for one in found["reasons"]] == ["container", "blocked", "blocked"]
    assert (found["actions"]["edit"], found["actions"]["comment"]) == (True, True)
    assert board.statuses["In progress"] in found["actions"]["statuses"]
    assert [one["kind"] for one in found["timeline"]] == ["created"]
    assert json.dumps(found)


def test_each_end_of_a_relation_tells_it_its_own_way(board: PageBoard) -> None:
    [blocks] = board.detail(board.ids["bug"])["relations"]
    [precedes] = board.detail(board.ids["hidden-bug"])["relations"]
    assert (blocks["kind"], precedes["kind"]) == ("blocks", "precedes")
    assert blocks["other"]["id"] == precedes["other"]["id"] == board.ids["task"]


def test_nothing_of_a_project_that_the_viewer_may_not_see_is_told(board: PageBoard) -> None:
    found = board.detail(board.ids["task"], by="vera")
    assert "ecret" not in json.dumps(found)
    assert names(found["ancestors"]) == ["Checkout"]
    assert names(found["children"]) == ["Stamps"]
    assert [one["kind"] for one in found["relations"]] == ["blocked by"]


def test_a_reason_in_a_project_that_the_viewer_may_not_see_is_none(board: PageBoard) -> None:
    reasons = {
        who: [one["detail"] for one in board.detail(board.ids["task"], by=who)["reasons"]] for who in ("human", "vera")
    }
    blocker = f"waits for #{board.ids['hidden-bug']}"
    assert blocker in reasons["human"]
    assert [one for one in reasons["human"] if one != blocker] == reasons["vera"]


async def test_the_trail_does_not_tell_where_a_work_package_came_from_to_whom_that_is_hidden(board: PageBoard) -> None:
    bug = board.ids["bug"]
    board.pass_(hours=1)
    await board.change(bug, parent=board.ids["secret"])
    board.pass_(hours=1)
    await board.change(bug, parent=board.ids["epic"])
    open_, hidden = (board.detail(bug, by=who)["timeline"] for who in ("human", "vera"))
    assert [one["changes"] for one in open_[1:]] == [
        ["Parent set to Secret Epic"],
        ["Parent changed from Secret Epic to Checkout"],
    ]
    assert "ecret" not in json.dumps(hidden)
    assert [one["changes"] for one in hidden[1:]] == [["Parent set to Checkout"]]


@pytest.mark.parametrize("key", ["secret", "hidden-child", "hidden-bug"])
def test_a_hidden_work_package_is_as_missing_as_one_that_never_was(board: PageBoard, key: str) -> None:
    for id_ in (board.ids[key], 0, 10**15):
        with pytest.raises(ApiError) as refused:
            board.detail(id_, by="vera")
        assert refused.value.status == 404


@pytest.mark.parametrize(
    ("who", "edit", "comment"), [("vera", False, False), ("kim", False, True), ("bot", True, True)]
)
def test_what_may_be_done_is_what_the_role_allows(board: PageBoard, who: str, edit: bool, comment: bool) -> None:
    actions = board.detail(board.ids["bug"], by=who)["actions"]
    assert (actions["edit"], actions["comment"], bool(actions["statuses"])) == (edit, comment, edit)


async def test_a_run_is_told_from_its_claim_to_its_commit(board: PageBoard) -> None:
    bug = board.ids["bug"]
    await board.claim(bug, RUN)
    board.pass_(minutes=12)
    await board.finish(bug, RUN, input_tokens=2400, output_tokens=800, cost_usd=0.42, duration_s=720)
    _, claimed, completed, pushed = board.detail(bug)["timeline"]
    assert [one["event"] for one in (claimed, completed, pushed)] == ["claimed", "completed", "pushed"]
    assert {one["pod"] for one in (claimed, completed, pushed)} == {"pod-a"}
    assert "Status changed from New to In progress" in claimed["changes"]
    assert (completed["tokens"], completed["cost_usd"]) == ({"input": 2400, "output": 800}, 0.42)
    assert pushed["commits"] == [{"hash": "a3f9c12", "url": "https://git/c"}]
    assert "Status changed from In progress to In testing" in pushed["changes"]


async def test_an_account_with_any_name_is_a_pods_once_it_has_claimed_something(board: PageBoard) -> None:
    bug = board.ids["bug"]
    await board.claim(bug, RUN, by="bot")
    board.pass_(minutes=12)
    await board.finish(bug, RUN, by="bot")
    board.pass_(minutes=12)
    await board.change(bug, assignee=None)
    assert [one["event"] for one in board.detail(bug)["timeline"][1:]] == ["claimed", "completed", "pushed", None]


async def test_whoever_copies_a_pods_comment_is_none(board: PageBoard) -> None:
    bug, task = board.ids["bug"], board.ids["child"]
    await board.claim(bug, RUN)
    board.pass_(minutes=12)
    await board.say(bug, report.claimed(RUN, pod="pod-a"))
    await board.say(task, report.completed(RUN, input_tokens=10**9, output_tokens=1, cost_usd=10**6))
    copied = board.detail(bug)["timeline"][-1]
    assert (copied["kind"], copied["event"], copied["user"]["fleet"]) == ("comment", None, False)
    assert board.detail(task)["timeline"][-1]["tokens"] is None
    assert board.fleet()["days"][-1]["cost_usd"] == 0


async def test_hostile_texts_become_text(board: PageBoard) -> None:
    bug = board.ids["bug"]
    text = "<script>alert(1)</script> [a](javascript:alert(1)) ![b](https://evil/x.png)\n\n```\n<!-- never ends"
    await board.change(bug, description={"raw": text})
    board.pass_(minutes=12)
    await board.say(bug, text, by="kim")
    found = board.detail(bug)
    for shown in (found["description"]["html"], found["timeline"][-1]["html"]):
        assert "<script>alert(1)</script>" in check(shown).text
    assert found["timeline"][-1]["user"]["name"] == "<script>alert(1)</script>"
    assert found["card"]["subject"] == "<img src=x onerror=alert(1)>"


def fill(board: PageBoard, id_: int, count: int, *, notes: str, description: str) -> None:
    """A long past, put into the file."""
    with board.store.transaction(write=True) as db:
        [last] = db.rows("SELECT * FROM journals WHERE work_package_id = ? AND version = 1", id_)
        data = json.dumps({**json.loads(last["data"]), "description": description})
        db.run_many(
            "INSERT INTO journals (work_package_id, user_id, version, notes, data, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    id_,
                    board.users["human"],
                    n,
                    f"{notes} {n}",
                    data,
                    "2026-11-24T08:00:00.000Z",
                    "2026-11-24T08:00:00.000Z",
                )
                for n in range(2, count + 1)
            ],
        )


def test_of_two_thousand_journals_the_youngest_are_shown_and_the_older_when_asked_for(board: PageBoard) -> None:
    task = board.ids["task"]
    fill(board, task, 2000, notes="some **words**", description="d" * 2000)
    began = time.process_time()
    found = board.detail(task)
    assert time.process_time() - began < 1.5
    assert len(found["timeline"]) == ENTRIES
    assert found["earlier"] + len(found["timeline"]) == 2000
    assert "2000" in found["timeline"][-1]["html"]
    seen = found["timeline"]
    while found["earlier"]:
        found = board.detail(task, before=seen[0]["id"])
        seen = found["timeline"] + seen
    assert len({one["id"] for one in seen}) == len(seen) == 2000
    assert seen[0]["kind"] == "created"


def test_a_trail_of_huge_states_is_never_held_whole(board: PageBoard) -> None:
    """An earlier version's journals have the description of their time: here 20 MB."""
    task = board.ids["task"]
    fill(board, task, 100, notes="words", description="d" * 200_000)
    with board.store.transaction(write=True) as db:
        db.run("UPDATE journals SET data = replace(data, 'ddd\"', version || '\"') WHERE version > 1")
    began = time.process_time()
    found = board.detail(task)
    assert time.process_time() - began < 1.5
    tracemalloc.start()
    board.detail(task)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 15 << 20
    assert (len(found["timeline"]), found["earlier"]) == (100, 0)


def test_a_description_of_a_megabyte_is_shown(board: PageBoard) -> None:
    task = board.ids["task"]
    with board.store.transaction(write=True) as db:
        db.run("UPDATE work_packages SET description = ? WHERE id = ?", "[a](b <script> " * 70_000, task)
    began = time.process_time()
    html = board.detail(task)["description"]["html"]
    assert time.process_time() - began < 1.5
    assert "<script" not in html
    assert len(html) > 10**6
