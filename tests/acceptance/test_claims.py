"""Whose a claim is, and how it ends, when its pod is dead and people go on: real processes on the embedded board.

The same histories, and more of them, are in `simulation/mutants_scenes_claims.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.programs.survivors import marked
from support.fleet import PATIENCE, Fleet, wait_until
from support.killer import Killer


class Death:
    """A pod that is killed while its model is at work, which goes on as it may."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.gate = fleet.folder / "gate"
        self.config = fleet.pod(script={"gates": str(self.gate)})

    def comes(self, ticket: int) -> str:
        """Its token."""
        working = self.fleet.start(self.config)
        wait_until(Path(f"{self.gate}.waiting").exists)
        working.kill()
        working.wait()
        token = self.fleet.run_of(ticket)
        assert token
        return token

    def goes_on(self) -> None:
        """The models that come later find the gate open."""
        self.gate.touch()


@pytest.fixture
def death(small_fleet: Fleet) -> Death:
    return Death(small_fleet)


def work_is_safe(fleet: Fleet, ticket: int, token: str) -> None:
    """What lay in the worktree is on the remote, the ticket says where, and nothing runs any more."""
    run = token.partition(".")[0]
    kept = [one for one in fleet.kept() if one.startswith(f"agent/kept/{ticket}-")]
    assert len(kept) == 1
    told = [line for line in fleet.first_lines(ticket) if line.startswith("Stopped: ")]
    assert len(told) == 1
    assert f"the work is in `refs/{kept[0]}`" in told[0]
    assert fleet.run_of(ticket) != token
    wait_until(lambda: not marked(run))


def test_a_dead_pods_ticket_that_a_person_blocks_keeps_its_work(death: Death) -> None:
    """P5: “there was no work to keep”, while the files lay there."""
    fleet = death.fleet
    ticket = fleet.add("Wait for the other")
    token = death.comes(ticket)
    other = fleet.add("The other", assignee="human")
    fleet.relate(other, "blocks", ticket)
    fleet.cycle(death.config)
    assert fleet.status(ticket) == "New"
    work_is_safe(fleet, ticket, token)


def test_a_dead_pods_ticket_whose_epic_is_re_routed_keeps_its_work(death: Death) -> None:
    """P5: likewise, and the dead process's model went on."""
    fleet = death.fleet
    epic = fleet.add("Checkout", kind="Epic")
    ticket = fleet.add("Form", parent=epic)
    token = death.comes(ticket)
    fleet.change(epic, pod="pod-b")
    fleet.cycle(death.config)
    work_is_safe(fleet, ticket, token)
    fleet.cycle(death.config)
    assert (fleet.run_of(epic), fleet.pod_of(epic)) == (None, "pod-b")


def test_a_dead_pods_ticket_that_an_operator_frees_keeps_its_work(death: Death) -> None:
    """P5: the pod that came back forgot the claim, its work and its model."""
    fleet = death.fleet
    ticket = fleet.add("Be freed")
    token = death.comes(ticket)
    fleet.change(ticket, run=None, status="On hold")
    assert fleet.cycle(death.config)["outcome"] == "nothing"
    work_is_safe(fleet, ticket, token)
    fleet.cycle(death.config)
    work_is_safe(fleet, ticket, token)


def test_the_copy_of_a_dead_pods_ticket_goes_back_and_the_original_is_finished(death: Death) -> None:
    """P7: who duplicates a claimed work package copies its claim; the pod worked on the copy, or on both."""
    fleet = death.fleet
    ticket = fleet.add("Be copied")
    token = death.comes(ticket)
    copied = fleet.add("Be copied (copy)", status="In progress", assignee="agent", pod="pod-a", run=token)
    death.goes_on()
    result = fleet.cycle(death.config)
    assert (result["ticket"], result["rung"], result["end"]["kind"]) == (ticket, 1, "done")
    assert fleet.run_of(copied) is None
    assert [line for line in fleet.first_lines(copied) if line.startswith("Returned")] == [
        f"Returned to the pool: this is a copy of #{ticket}, and a claim cannot be copied"
    ]
    result = fleet.cycle(death.config)
    assert (result["ticket"], result["end"]["kind"]) == (copied, "done")


def test_the_copy_of_a_dead_pods_epic_goes_back_to_ready(death: Death) -> None:
    """P7: it was taken for one of the pod's own."""
    fleet = death.fleet
    epic = fleet.add("Checkout", kind="Epic")
    ticket = fleet.add("Form", parent=epic)
    death.comes(ticket)
    token = fleet.run_of(epic)
    copied = fleet.add("Checkout (copy)", kind="Epic", status="In progress", assignee="agent", pod="pod-a", run=token)
    death.goes_on()
    result = fleet.cycle(death.config)
    assert (result["ticket"], result["end"]["kind"]) == (ticket, "done")
    assert (fleet.status(copied), fleet.run_of(copied), fleet.pod_of(copied)) == ("New", None, None)
    assert len([line for line in fleet.first_lines(copied) if line.startswith("Returned")]) == 1


@pytest.mark.parametrize("above", [False, True], ids=["a ticket", "an Epic"])
def test_a_route_to_the_pod_that_is_just_claiming_is_what_giving_back_restores(
    small_fleet: Fleet, *, above: bool
) -> None:
    """P18: it was judged before the compare-and-swap loop, and emptied when the claim ended."""
    fleet = small_fleet
    routed = fleet.add("Checkout", kind="Epic") if above else 0
    ticket = fleet.add("Ask", **({"parent": routed} if above else {}))
    routed = routed or ticket
    hand = (f"before claim on #{routed}", lambda: fleet.change(routed, pod="pod-a"))
    killer = Killer(fleet.board, fleet.folder / "killer", hand=hand, programs=())
    with killer.watching(fleet.folder / "pod-a" / "state") as env:
        config = fleet.pod(script={"verdict": "stuck", "question": "Which?"})
        text = config.read_text()
        assert fleet.board.url in text
        config.write_text(text.replace(fleet.board.url, killer.url))
        for _ in range(2):
            working = fleet.start(config, env=env)
            assert working.wait(PATIENCE) == 0
    said = [json.loads(line) for line in (config.parent / "log").read_text().splitlines() if line[:1] == "{"]
    assert said[0]["end"]["kind"] == "failed"
    assert (fleet.status(ticket), fleet.run_of(ticket)) == ("New", None)
    assert (fleet.run_of(routed), fleet.pod_of(routed)) == (None, "pod-a")
