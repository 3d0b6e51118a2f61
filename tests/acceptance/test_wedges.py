"""Histories that once left a pod wedged, a claim stuck or a person unheard; each is a kill or a hand at a bad moment."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from agent.programs.survivors import marked
from agent.texts import claim_token
from support.fleet import Fleet, wait_until


@pytest.fixture
def fleet(small_fleet: Fleet) -> Fleet:
    return small_fleet


def administer(fleet: Fleet, *statements: str) -> None:
    """What an administrator does in a web page that the embedded board does not have."""
    assert fleet.board.folder is not None
    with contextlib.closing(sqlite3.connect(fleet.board.folder / "board.sqlite3")) as db, db:
        for statement in statements:
            db.execute(statement)


def forbid(fleet: Fleet, kind: str, status: str) -> None:
    """The workflow of a type leads to this status no more."""
    administer(
        fleet,
        f"DELETE FROM workflows WHERE type_id = {fleet.board.types[kind]} AND new_status_id = {fleet.board.statuses[status]}",
    )


def killed_in_its_run(fleet: Fleet, tmp_path: Path) -> Path:
    """A pod that died while the model worked; its settings, with a model that does not wait."""
    gate = tmp_path / "gate"
    working = fleet.start(fleet.pod(script={"gates": str(gate)}))
    wait_until(Path(f"{gate}.waiting").exists)
    working.kill()
    working.wait()
    return fleet.pod()


def still_running(token: str | None) -> list[int]:
    """The processes of the run that this claim is for."""
    claim = claim_token.parse(token or "")
    assert claim is not None
    return marked(claim.run)


def test_a_take_over_that_the_board_refuses_is_tried_once(fleet: Fleet, tmp_path: Path) -> None:
    ticket = fleet.add("Lose the right to edit")
    pod = killed_in_its_run(fleet, tmp_path)
    administer(
        fleet,
        "UPDATE members SET role_id = (SELECT id FROM roles WHERE name = 'Reader') "
        f"WHERE user_id = {fleet.board.users['agent']}",
    )
    fleet.cycle(pod)
    token, said = fleet.run_of(ticket), fleet.comments(ticket)
    assert any(line.startswith("The board refused the report: ") for line in fleet.first_lines(ticket))
    assert fleet.cycle(pod)["outcome"] == "nothing"
    assert (fleet.run_of(ticket), fleet.comments(ticket)) == (token, said)
    assert still_running(token) == [], "what the dead pod had started is over, though nothing was taken over"


def test_an_epic_whose_only_child_cannot_be_claimed_is_released_and_left_alone(fleet: Fleet) -> None:
    epic = fleet.add("Stuck", kind="Epic")
    child = fleet.add("Cannot start", parent=epic)
    forbid(fleet, "Task", "In progress")
    pod = fleet.pod()
    assert fleet.cycle(pod)["outcome"] == "nothing"
    assert (fleet.status(epic), fleet.run_of(epic), fleet.status(child)) == ("New", None, "New")
    said = fleet.comments(epic)
    assert fleet.cycle(pod)["outcome"] == "nothing"
    assert fleet.comments(epic) == said


def test_a_ticket_moved_to_a_project_without_a_repository_is_let_go(fleet: Fleet, tmp_path: Path) -> None:
    ticket = fleet.add("Move house")
    pod = killed_in_its_run(fleet, tmp_path)
    administer(fleet, f"UPDATE work_packages SET project_id = {fleet.board.projects['blog']} WHERE id = {ticket}")
    fleet.cycle(pod)
    assert (fleet.run_of(ticket), fleet.status(ticket)) == (None, "New")
    assert fleet.first_lines(ticket)[-1].startswith("Stopped: ")
    assert any(one.startswith(f"agent/kept/{ticket}-") for one in fleet.kept())


@pytest.mark.parametrize("hand", ["block", "spike", "gate"])
def test_what_came_up_while_the_pod_was_dead_is_seen_by_the_take_over(fleet: Fleet, tmp_path: Path, hand: str) -> None:
    ticket = fleet.add("Wait a moment")
    pod = killed_in_its_run(fleet, tmp_path)
    token = fleet.run_of(ticket)
    if hand == "block":
        fleet.relate(fleet.add("First", status="On hold"), "blocks", ticket)
    elif hand == "spike":
        fleet.add("How?", kind="Spike", parent=ticket)
    else:
        gate = fleet.add("Phase 2", kind="Summary task")
        administer(
            fleet,
            f"UPDATE work_packages SET parent_id = {gate} WHERE id = {ticket}",
            f"INSERT INTO hierarchies VALUES ({gate}, {ticket}, 1)",
        )
    assert fleet.cycle(pod)["end"]["kind"] == "stopped"
    assert still_running(token) == []
    assert (fleet.status(ticket), fleet.run_of(ticket)) == ("New", None)
    assert not [one for one in fleet.kept() if one.startswith(f"agent/{ticket}-")]


def test_an_epic_with_only_a_closed_done_status_is_closed_when_its_children_wait_for_review(fleet: Fleet) -> None:
    epic = fleet.add("Finish", kind="Epic")
    fleet.add("The only task", parent=epic)
    forbid(fleet, "Epic", "In testing")
    pod = fleet.pod()
    assert fleet.cycle(pod)["end"]["kind"] == "done"
    fleet.cycle(pod)
    assert fleet.status(epic) == "Closed"


def test_an_epic_that_a_person_put_on_hold_loses_the_fleets_token_and_keeps_its_status(fleet: Fleet) -> None:
    epic = fleet.add("Pause", kind="Epic")
    fleet.add("First", parent=epic)
    fleet.add("Second", parent=epic)
    pod = fleet.pod()
    assert fleet.cycle(pod)["rung"] == 5
    fleet.change(epic, status="On hold")
    assert fleet.cycle(pod)["outcome"] == "nothing"
    assert (fleet.status(epic), fleet.run_of(epic), fleet.pod_of(epic)) == ("On hold", None, None)


def test_a_refused_return_to_the_pool_is_told_to_people(fleet: Fleet) -> None:
    ticket = fleet.add("Fail where New is out of reach")
    forbid(fleet, "Task", "New")
    result = fleet.cycle(fleet.pod(script={"verdict": "stuck", "summary": "No idea."}))
    assert result["end"]["kind"] == "failed"
    assert (fleet.status(ticket), fleet.run_of(ticket)) == ("In progress", None)
    assert fleet.first_lines(ticket)[-1].startswith("The board refused the report: ")


def test_a_text_that_changed_before_the_take_over_is_no_change_during_the_run(fleet: Fleet, tmp_path: Path) -> None:
    ticket = fleet.add("Say it", text="in English")
    pod = killed_in_its_run(fleet, tmp_path)
    fleet.change(ticket, text="in French")
    assert fleet.cycle(pod)["end"]["kind"] == "done"


def test_trouble_that_outlasts_the_tries_gives_the_ticket_back_and_makes_no_spike(fleet: Fleet) -> None:
    ticket = fleet.add("Overloaded")
    pod = fleet.pod(script={"status": 529})
    state = pod.parent / "state" / "state.json"
    for _ in range(3):
        fleet.cycle(pod, code=1)
        state.write_text(json.dumps({**json.loads(state.read_text()), "backoff": None}))
    assert (fleet.status(ticket), fleet.run_of(ticket), fleet.children(ticket)) == ("New", None, [])
    lines = fleet.first_lines(ticket)
    assert sum(line.startswith("Interrupted: ") for line in lines) == 2
    assert lines[-1].startswith("Returned to the pool: ")
