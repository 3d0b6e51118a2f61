"""Several hands on one ticket: crashes, other pods, operators and people, while a pod works on it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.fleet import EITHER_IN_PROOF, Fleet, wait_until

SHORT = {"timeout": "8s", "margin": "2s", "idle": "5s", "grace": "2s"}
"""A lifetime that a test can outlive."""


class Gate:
    """The model waits in the worktree until the gate is opened."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "gate"
        self.script = {"gates": str(self.path)}

    def wait(self) -> None:
        wait_until(Path(f"{self.path}.waiting").exists)

    def open(self) -> None:
        self.path.touch()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def test_a_killed_pod_takes_its_ticket_over_and_finishes_the_same_run(fleet: Fleet, gate: Gate) -> None:
    """Rung 1."""
    ticket = fleet.add("Survive")
    working = fleet.start(fleet.pod(script=gate.script))
    gate.wait()
    working.kill()
    working.wait()
    token = fleet.run_of(ticket)
    assert token
    gate.open()
    result = fleet.cycle(fleet.pod(script=gate.script))
    assert (result["rung"], result["ticket"], result["end"]["kind"]) == (1, ticket, "done")
    run = token.split(".")[0]
    lines = fleet.first_lines(ticket)
    assert lines[:2] == [
        f"Claimed by pod `pod-a` — session `{run}`",
        f"Taken over by pod `pod-a` after an interruption — session `{run}`",
    ]
    assert fleet.log(result["end"]["branch"]).count(f"Agent-Run: {run}") == 1


def test_sigterm_ends_the_model_and_keeps_the_claim_for_the_next_start(small_fleet: Fleet, gate: Gate) -> None:
    fleet = small_fleet
    ticket = fleet.add("Be stopped")
    working = fleet.start(fleet.pod(script=gate.script))
    gate.wait()
    working.send_signal(signal.SIGTERM)
    working.wait(30)
    token = fleet.run_of(ticket)
    assert token
    gate.open()
    assert fleet.cycle(fleet.pod(script=gate.script))["rung"] == 1
    assert fleet.status(ticket) in ("In testing", "Closed")


@pytest.mark.parametrize("fleet", EITHER_IN_PROOF, indirect=True)
def test_a_dead_pods_ticket_expires_by_what_another_pod_has_seen_though_clocks_differ_by_an_hour(
    fleet: Fleet, gate: Gate
) -> None:
    """The sweep. I-15, I-17: no operator is needed, and no host's clock is compared with another's."""
    ticket = fleet.add("Be left behind")
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    ahead = {"LD_PRELOAD": str(library), "FAKETIME": "+1h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    dying = fleet.start(fleet.pod("pod-dead", script=gate.script, execution=SHORT), env=ahead)
    gate.wait()
    dying.kill()
    dying.wait()
    judge = fleet.pod("pod-b", execution=SHORT)
    assert fleet.cycle(judge)["outcome"] == "nothing"
    assert fleet.run_of(ticket)

    def freed() -> bool:
        fleet.cycle(judge)
        return any(line.startswith("Returned to the pool: pod `pod-dead`") for line in fleet.first_lines(ticket))

    wait_until(freed)
    gate.open()
    if fleet.status(ticket) == "New":
        fleet.cycle(judge)
    assert fleet.status(ticket) in ("In testing", "Closed")
    assert fleet.pod_of(ticket) == "pod-b"


def test_an_operator_who_reroutes_a_running_ticket_keeps_the_route(fleet: Fleet, gate: Gate) -> None:
    ticket = fleet.add("Change horses")
    working = fleet.start(fleet.pod(script=gate.script))
    gate.wait()
    fleet.change(ticket, pod="pod-b")
    gate.open()
    assert working.wait(60) == 0
    assert (fleet.status(ticket), fleet.pod_of(ticket), fleet.run_of(ticket), fleet.assignee(ticket)) == (
        "New",
        "pod-b",
        None,
        None,
    )
    (stopped,) = [line for line in fleet.first_lines(ticket) if line.startswith("Stopped: ")]
    (kept,) = [one for one in fleet.kept() if one.startswith(f"agent/kept/{ticket}-")]
    assert f"the work is in `refs/{kept}`" in stopped
    assert fleet.cycle(fleet.pod())["outcome"] == "nothing"


def test_a_person_who_takes_a_running_ticket_keeps_it(small_fleet: Fleet, gate: Gate) -> None:
    fleet = small_fleet
    ticket = fleet.add("Mine now")
    working = fleet.start(fleet.pod(script=gate.script))
    gate.wait()
    fleet.change(ticket, assignee="human")
    gate.open()
    assert working.wait(60) == 0
    assert fleet.assignee(ticket) == "Hanna Human"
    assert (fleet.run_of(ticket), fleet.pod_of(ticket)) == (None, None)
    assert not [one for one in fleet.kept() if one.startswith(f"agent/{ticket}-")]


def test_a_ticket_whose_text_changed_is_pushed_and_worked_on_again_with_both_texts(
    small_fleet: Fleet, gate: Gate, tmp_path: Path
) -> None:
    fleet = small_fleet
    ticket = fleet.add("Say hello", text="in English")
    working = fleet.start(fleet.pod(script=gate.script))
    gate.wait()
    fleet.change(ticket, text="in French")
    gate.open()
    assert working.wait(60) == 0
    assert fleet.status(ticket) == "New"
    assert fleet.first_lines(ticket)[-1].startswith(
        "The text changed during the run; it will be worked on again from commit "
    )
    prompts = tmp_path / "prompts"
    script = {"prompts": str(prompts), "files": {"more.txt": "bonjour"}}
    assert fleet.cycle(fleet.pod(script=script))["end"]["kind"] == "done"
    (told,) = [path.read_text() for path in prompts.glob(f"{ticket}-*.txt")]
    assert "in English" in told
    assert "in French" in told


def test_pod_trouble_keeps_the_claim_backs_off_and_makes_no_spike(small_fleet: Fleet) -> None:
    """I-51: an overloaded model is neither the ticket's failure nor a success."""
    fleet = small_fleet
    ticket = fleet.add("Wait for the model")
    pod = fleet.pod(script={"status": 529})
    assert fleet.cycle(pod, code=1)["end"]["kind"] == "interrupted"
    assert fleet.first_lines(ticket)[1] == "Interrupted: the model's API answered 529 (try 1 of 3)"
    assert fleet.children(ticket) == []
    assert fleet.run_of(ticket)
    again = fleet.cycle(fleet.pod(), code=1)
    assert again["reason"].startswith("waiting ")
    assert len(fleet.first_lines(ticket)) == 2


def test_two_hosts_with_one_name_leave_each_others_claims_alone(small_fleet: Fleet, gate: Gate) -> None:
    """I-03: a name proves nothing, only what the state folder recorded."""
    fleet = small_fleet
    ticket = fleet.add("Whose is it")
    first = fleet.start(fleet.pod("pod-a", script=gate.script))
    gate.wait()
    config = fleet.pod("pod-a-on-another-host")
    config.write_text(config.read_text().replace('pod = "pod-a-on-another-host"', 'pod = "pod-a"'))
    assert fleet.cycle(config)["outcome"] == "nothing"
    gate.open()
    assert first.wait(60) == 0
    assert fleet.status(ticket) in ("In testing", "Closed")
    assert not [line for line in fleet.first_lines(ticket) if line.startswith("Taken over")]


def test_a_second_start_on_one_state_folder_is_refused(small_fleet: Fleet, gate: Gate) -> None:
    """I-14."""
    fleet = small_fleet
    fleet.add("Once")
    config = fleet.pod(script=gate.script)
    working = fleet.start(config)
    gate.wait()
    second = fleet.agent("--config", str(config), command=("cycle",))
    assert second.returncode == 2
    assert f"process {working.pid}" in second.stderr
    gate.open()
    assert working.wait(60) == 0
