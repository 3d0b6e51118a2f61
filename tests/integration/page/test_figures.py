import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.texts import report
from agent.texts.report import Spent
from support.page_board import RUN as RUN_FIELD
from support.page_board import PageBoard

RUN, OTHER, THIRD = (f"7f9c0d52-8a4e-4c11-9b5d-{n:012}" for n in (1, 2, 3))


@pytest.fixture
def board(tmp_path: Path) -> Iterator[PageBoard]:
    made = PageBoard(tmp_path / "board")
    yield made
    made.close()


async def made(board: PageBoard, subject: str, type_: str = "Task", *, parent: int | None = None) -> int:
    links: dict[str, Any] = {"type": {"href": f"/api/v3/types/{board.types[type_]}"}}
    if parent:
        links["parent"] = {"href": f"/api/v3/work_packages/{parent}"}
    answer = await board.ask("POST", "projects/shop/work_packages", {"subject": subject, "_links": links})
    return int(answer["id"])


async def test_a_board_on_which_nothing_happened_has_days_without_anything(board: PageBoard) -> None:
    found = board.fleet(3)
    nothing = {"done": 0, "failed": 0, "input_tokens": 0, "output_tokens": 0, "cost_usd": 0}
    assert found == {
        "days": [{"day": f"2026-11-{day}", **nothing} for day in (22, 23, 24)],
        "by_pod": [],
        "time_in_status": [],
        "spikes": {"open": 0, "median_answer_s": None},
    }
    assert json.dumps(found)


async def test_runs_are_counted_by_day_and_pod_with_tokens_and_cost(board: PageBoard) -> None:
    first, second, third = [await made(board, name) for name in ("a", "b", "c")]
    board.pass_(minutes=10)
    await board.claim(first, RUN)
    await board.claim(second, OTHER, pod="pod-b", by="bot")
    board.pass_(minutes=10)
    await board.finish(first, RUN, input_tokens=2400, output_tokens=800, cost_usd=0.42)
    await board.say(second, report.failed(OTHER, reason="tests", spent=Spent(1200, 90, 0.3)), by="bot")
    board.pass_(days=1)
    await board.claim(third, THIRD)
    board.pass_(minutes=10)
    await board.finish(third, THIRD, input_tokens=100, output_tokens=10, cost_usd=0.1)
    found = board.fleet(2)
    assert found["days"] == [
        {"day": "2026-11-24", "done": 1, "failed": 1, "input_tokens": 3600, "output_tokens": 890, "cost_usd": 0.72},
        {"day": "2026-11-25", "done": 1, "failed": 0, "input_tokens": 100, "output_tokens": 10, "cost_usd": 0.1},
    ]
    assert found["by_pod"] == [
        {"pod": "pod-a", "done": 2, "failed": 0, "input_tokens": 2500, "output_tokens": 810, "cost_usd": 0.52},
        {"pod": "pod-b", "done": 0, "failed": 1, "input_tokens": 1200, "output_tokens": 90, "cost_usd": 0.3},
    ]


async def test_a_run_that_was_claimed_before_the_span_still_has_its_pod(board: PageBoard) -> None:
    task = await made(board, "a")
    board.pass_(minutes=10)
    await board.claim(task, RUN, pod="pod-c")
    board.pass_(days=1)
    await board.finish(task, RUN)
    assert [(one["pod"], one["done"]) for one in board.fleet(1)["by_pod"]] == [("pod-c", 1)]


async def test_what_ended_before_the_span_is_not_counted(board: PageBoard) -> None:
    task = await made(board, "a")
    await board.claim(task, RUN)
    await board.finish(task, RUN)
    board.pass_(days=1)
    assert board.fleet(1)["by_pod"] == []
    assert board.fleet(2)["days"][0]["done"] == 1


async def test_time_in_a_status_is_counted_when_it_is_left_however_long_ago_it_was_entered(board: PageBoard) -> None:
    task = await made(board, "a")
    board.pass_(days=20)
    await board.say(task, "still there?")
    board.pass_(days=20)
    await board.claim(task, RUN)
    board.pass_(hours=2)
    await board.finish(task, RUN)
    found = {one["status"]: one for one in board.fleet(14)["time_in_status"]}
    new, active = board.statuses["New"], board.statuses["In progress"]
    assert found[new] == {"status": new, "median_s": 40 * 86400, "p90_s": 40 * 86400, "samples": 1}
    assert found[active] == {"status": active, "median_s": 7200, "p90_s": 7200, "samples": 1}
    assert found.keys() == {new, active}


async def test_a_status_that_is_come_back_to_counts_from_the_last_time(board: PageBoard) -> None:
    task = await made(board, "a")
    for status in ("On hold", "New"):
        board.pass_(hours=1)
        await board.change(task, status=status)
    board.pass_(days=30)
    await board.change(task, status="Closed")
    new = board.statuses["New"]
    assert board.fleet(1)["time_in_status"] == [
        {"status": new, "median_s": 30 * 86400, "p90_s": 30 * 86400, "samples": 1}
    ]


async def test_only_tickets_that_agents_work_on_are_timed(board: PageBoard) -> None:
    board.pass_(hours=1)
    await board.change(board.ids["epic"], status="In progress")
    assert board.fleet()["time_in_status"] == []


async def test_spikes_are_counted_while_open_and_timed_once_answered(board: PageBoard) -> None:
    spikes = [await made(board, f"How {n}?", "Spike") for n in range(3)]
    for hours, spike in zip((2, 2), spikes, strict=False):
        board.pass_(hours=hours)
        await board.say(spike, "So.")
        await board.change(spike, status="Closed")
    assert board.fleet()["spikes"] == {"open": 1, "median_answer_s": 3 * 3600}


async def test_nothing_of_a_project_that_the_viewer_may_not_see_is_counted(board: PageBoard) -> None:
    secret = board.ids["hidden-bug"]
    with board.store.transaction(write=True) as db:
        db.run("INSERT INTO members (project_id, user_id, role_id, created_at)"
               " SELECT project_id, ?, role_id, members.created_at FROM members WHERE user_id = ? AND project_id = (SELECT id FROM projects WHERE identifier = 'vault')",
               board.users["agent"], board.users["human"])  # fmt: skip
    board.pass_(hours=1)
    await board.claim(secret, RUN)
    board.pass_(hours=1)
    await board.finish(secret, RUN, cost_usd=9)
    assert board.fleet(1)["days"][0]["cost_usd"] == 9
    hidden = board.fleet(1, by="vera")
    assert (hidden["by_pod"], hidden["time_in_status"], hidden["days"][0]["done"]) == ([], [], 0)


async def test_a_long_past_costs_nothing_since_only_the_span_is_read(board: PageBoard) -> None:
    task = await made(board, "a")
    await board.claim(task, RUN)
    board.pass_(hours=1)
    await board.finish(task, RUN, cost_usd=1)
    before, found = steps(board)
    past(board, 20_000)
    after, same = steps(board)
    assert same == found
    assert after < before * 1.2 + 20


def steps(board: PageBoard) -> tuple[int, dict[str, Any]]:
    """How many hundreds of its steps SQLite needs for the figures."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    connection = board.store._connection
    connection.set_progress_handler(count, 100)
    try:
        found = board.fleet(14)
    finally:
        connection.set_progress_handler(None, 0)
    return taken, found


def past(board: PageBoard, count: int) -> None:
    """Old journals: claims, completions and changes of tickets that nobody looks at any more."""
    at = "2026-01-01T08:00:00.000Z"
    states = [
        json.dumps({"status_id": board.statuses[name], "assigned_to_id": None, "custom_values": {RUN_FIELD[-3:]: ""}})
        for name in ("New", "In progress")
    ]
    texts = [report.claimed(RUN, pod="pod-x"), report.completed(RUN, cost_usd=1000), "", "words"]
    with board.store.transaction(write=True) as db:
        db.run_many(
            "INSERT INTO journals (work_package_id, user_id, version, notes, data, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (board.ids["bug"], board.users["agent"], 2 + n, texts[n % 4], states[n % 2], at, at)
                for n in range(count)
            ],
        )
