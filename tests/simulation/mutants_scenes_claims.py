"""Directed histories in which a claim was lost, copied or ended in silence; as `mutants_scenes`."""

from __future__ import annotations

from typing import Any, Final

import httpx

from agent.texts import report
from simulation.execution import STUCK, Behaviour
from simulation.history import Write
from simulation.invariants import FINALLY, ONCE, ONE_SPIKE, PERSON
from simulation.mutants_stage import HOUR, LOST, MINUTE, Actor, Hook, Stage

LONG: Final = Behaviour(seconds=HOUR)
COPIED: Final = "a copied claim is nobody's"


def answer_otherwise(stage: Stage, pod: Actor, purpose: str, status: int, act: Any = lambda: None) -> None:
    """A request takes effect, and the pod is told this instead."""

    def lie(_: httpx.Request, write: Write) -> httpx.Response | None:
        if write.status != httpx.codes.OK:
            return None
        act()
        return httpx.Response(status)

    stage.network.hooks.append(Hook(pod=pod.name, purpose=purpose, act=lie, after=True, times=9))


def copy(stage: Stage, number: int) -> int:
    """A person duplicates a work package, as the board's own form does: with all its fields."""
    row = stage.board.row(number)
    assert row is not None
    assert row.run
    made = stage.ticket(
        f"{row.subject} (copy)",
        type=row.type,
        status=row.status,
        assignee=row.assignee,
        pod=row.pod,
        run=row.run,
        parent=row.parent,
    )
    stage.judge.of_run[row.run.partition(".")[0]].add(made)
    return made


def held_work(stage: Stage, ticket: int) -> None:
    """What lay in the worktree is on the remote, and the ticket says where."""
    kept = stage.kept(f"agent/kept/{ticket}-")
    stage.hold(LOST, kept, "the work is nowhere")
    told = [one for one in stage.comments(ticket, "Stopped") if kept[0] in one]
    stage.hold(LOST, len(told) == 1, f"nobody is told where it is: {stage.comments(ticket, 'Stopped')}")


# -- P5: every end keeps what is in the worktree ------------------------------------------------------------------------


async def a_person_blocks_a_dead_pods_ticket(stage: Stage) -> None:
    """P5: the comment said that there was no work to keep, and the files lay there."""
    ticket, pod = stage.ticket(), stage.pod(models=(LONG,))
    await pod.dies_in_its_run(stage, 40 * MINUTE)
    stage.board.relate(stage.ticket("First", status="On hold"), "blocks", ticket)
    await pod.cycle()
    held_work(stage, ticket)


async def an_operator_reroutes_a_dead_pods_epic(stage: Stage) -> None:
    """P5: the same, by the Epic above."""
    epic = stage.ticket("Checkout", type="Epic")
    ticket, pod = stage.ticket(parent=epic), stage.pod(models=(LONG,))
    await pod.dies_in_its_run(stage, 40 * MINUTE)
    stage.person(epic, pod="pod-b")
    await pod.cycle()
    held_work(stage, ticket)


async def a_claim_expires_while_its_pod_is_dead(stage: Stage) -> None:
    """P5: another pod did the ticket anew, and what the first had done was said nowhere."""
    ticket, pod, judge = stage.ticket(), stage.pod(models=(LONG,)), stage.pod("pod-b")
    await pod.dies_in_its_run(stage, 40 * MINUTE)
    await judge.passes(6 * HOUR)
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)}")
    await pod.cycle()
    held_work(stage, ticket)


async def a_person_clears_a_dead_pods_claim(stage: Stage) -> None:
    """P5: likewise by hand."""
    ticket, pod = stage.ticket(), stage.pod(models=(LONG,))
    await pod.dies_in_its_run(stage, 40 * MINUTE)
    stage.person(ticket, run="", status="On hold")
    await pod.cycle()
    held_work(stage, ticket)
    await pod.passes(6 * HOUR)
    stage.hold(ONCE, len(stage.comments(ticket, "Stopped")) == 1, "it is said again and again")


async def a_person_deletes_a_dead_pods_ticket(stage: Stage) -> None:
    """P5: fresh seed 202612010300010: the pod asked for ever what had been said there, and never worked again."""
    ticket, pod = stage.ticket(), stage.pod(models=(LONG, Behaviour()))
    await pod.dies_in_its_run(stage, 40 * MINUTE)
    assert stage.board.request("DELETE", f"work_packages/{ticket}", None, "admin").is_success
    other = stage.ticket("Other work")
    await pod.passes(HOUR)
    stage.hold(LOST, stage.kept(f"agent/kept/{ticket}-"), "the work is nowhere")
    stage.hold(FINALLY, stage.done(other), f"the pod is stuck: the other is {stage.status(other)}")


# -- P7: a copy is no claim --------------------------------------------------------------------------------------------


def given_back_once(stage: Stage, copied: int) -> None:
    row = stage.board.row(copied)
    told = stage.comments(copied, "Returned")
    stage.hold(COPIED, row and not row.run, f"it is held: {row}")
    stage.hold(COPIED, len(told) == 1, f"it is said {len(told)} times: {told}")


async def a_person_copies_a_dead_pods_ticket(stage: Stage) -> None:
    """P7: the pod went on with the copy, or with both."""
    ticket, pod = stage.ticket(), stage.pod(models=(LONG, Behaviour()))
    await pod.dies_in_its_run(stage)
    copied = copy(stage, ticket)
    await pod.cycle()
    stage.hold(COPIED, stage.done(ticket), f"the original is {stage.status(ticket)}")
    given_back_once(stage, copied)
    await pod.passes(HOUR)
    stage.hold(COPIED, stage.done(copied), f"the copy is {stage.status(copied)}")


async def a_person_copies_a_running_ticket(stage: Stage) -> None:
    """P7: the copy stayed active, and nobody's, until it expired."""
    ticket, pod = stage.ticket(), stage.pod(models=(LONG, Behaviour()))
    working = pod.start()
    await stage.model_works(10 * MINUTE)
    copied = copy(stage, ticket)
    await working
    stage.hold(COPIED, stage.done(ticket), f"the original is {stage.status(ticket)}")
    await pod.passes(HOUR)
    given_back_once(stage, copied)
    stage.hold(COPIED, stage.done(copied), f"the copy is {stage.status(copied)}")


async def a_person_copies_a_running_epic(stage: Stage) -> None:
    """P7: the copy of an Epic was taken for one of the pod's own."""
    epic = stage.ticket("Checkout", type="Epic")
    ticket, pod = stage.ticket(parent=epic), stage.pod(models=(LONG, Behaviour()))
    working = pod.start()
    await stage.model_works(10 * MINUTE)
    copied = copy(stage, epic)
    await working
    await pod.passes(HOUR)
    stage.hold(COPIED, stage.done(ticket), f"the original's child is {stage.status(ticket)}")
    given_back_once(stage, copied)
    stage.hold(COPIED, stage.status(copied) == "New", f"it is {stage.status(copied)}")


async def a_copy_of_a_dead_pods_ticket_expires_with_it(stage: Stage) -> None:
    """P7: of a pod that does not come back, both are freed."""
    ticket, pod, judge = stage.ticket(), stage.pod(models=(LONG,)), stage.pod("pod-b")
    await pod.dies_in_its_run(stage)
    copied = copy(stage, ticket)
    await judge.passes(7 * HOUR)
    given_back_once(stage, copied)
    stage.hold(COPIED, stage.done(ticket) and stage.done(copied), "one of them is left")


# -- P15: the Spike's number is in the record --------------------------------------------------------------------------


async def a_person_rewrites_a_spike_while_its_pod_is_dead(stage: Stage) -> None:
    """P15: the marker was gone with the old text, and the same was asked twice."""
    ticket, pod = stage.ticket(), stage.pod(models=(STUCK,))
    stage.before(pod, "spike_created", pod.kill)
    await pod.cycle()
    (asked,) = stage.spikes(ticket)
    stage.person(asked, description="In short: which of the two?")
    await pod.cycle()
    stage.hold(ONE_SPIKE, stage.spikes(ticket) == [asked], f"the Spikes are {stage.spikes(ticket)}")
    stage.hold(ONCE, len(stage.comments(ticket, f"Created spike #{asked}")) == 1, "its number is not said once")


# -- P18: what a claim replaces is what it sends the lockVersion of ----------------------------------------------------


async def an_operator_routes_a_ticket_to_the_pod_that_is_claiming_it(stage: Stage) -> None:
    """P18: fresh seed 202612010200020: giving back emptied the field that the operator had filled."""
    ticket, pod = stage.ticket(), stage.pod(models=(STUCK,))
    stage.before(pod, "claim #", lambda: stage.person(ticket, pod="pod-a"))
    await pod.cycle()
    row = stage.board.row(ticket)
    stage.hold(PERSON, row and (row.pod, row.run) == ("pod-a", ""), f"{row}")


async def an_operator_routes_an_epic_to_the_pod_that_is_claiming_it(stage: Stage) -> None:
    """P18: fresh seed 202612010200394: the same with an Epic."""
    epic = stage.ticket("Checkout", type="Epic")
    stage.ticket(parent=epic)
    pod = stage.pod()
    stage.before(pod, f"claim #{epic}", lambda: stage.person(epic, pod="pod-a"))
    await pod.passes(HOUR)
    row = stage.board.row(epic)
    stage.hold(PERSON, row and (row.pod, row.run) == ("pod-a", ""), f"{row}")


async def an_operator_takes_a_route_away_from_the_pod_that_is_claiming_it(stage: Stage) -> None:
    """P18, the other way round: the field was left full that the operator had emptied."""
    ticket, pod = stage.ticket(pod="pod-a"), stage.pod(models=(STUCK,))
    stage.before(pod, "claim #", lambda: stage.person(ticket, pod=""))
    await pod.cycle()
    row = stage.board.row(ticket)
    stage.hold(PERSON, row and (row.pod, row.run) == ("", ""), f"{row}")


# -- P16: the last word ------------------------------------------------------------------------------------------------


async def an_expiry_is_answered_with_a_conflict_although_it_happened(stage: Stage) -> None:
    """P16: a request that a proxy sent twice; nobody was told that the ticket had gone back."""
    ticket, holder, judge = stage.ticket(), stage.pod(models=(LONG,)), stage.pod("pod-b")
    await holder.dies_in_its_run(stage)
    answer_otherwise(stage, judge, "give back #", httpx.codes.CONFLICT)
    await judge.passes(5.5 * HOUR)
    stage.hold(ONCE, len(stage.comments(ticket, "Returned")) == 1, f"{stage.comments(ticket, 'Returned')}")


async def two_judges_free_one_claim_and_one_of_them_is_not_heard(stage: Stage) -> None:
    """P16: own seeds 7000057 and 7000270: both said so."""
    ticket, holder, judge = stage.ticket(), stage.pod(models=(LONG,)), stage.pod("pod-b")
    await holder.dies_in_its_run(stage)
    row = stage.board.row(ticket)
    assert row is not None
    run = row.run.partition(".")[0]

    def another() -> None:
        stage.board.change(ticket, "agent2", status="New", assignee=None, pod="", run="")
        text = str(report.expired(run, pod="pod-a", silent_s=5 * HOUR))
        body = {"comment": {"raw": text}}
        assert stage.board.request("POST", f"work_packages/{ticket}/activities?notify=false", body, "agent2").is_success

    stage.drop(judge, "give back #", another, arrives=False)
    await judge.passes(5.5 * HOUR)
    stage.hold(ONCE, len(stage.comments(ticket, "Returned")) == 1, f"{stage.comments(ticket, 'Returned')}")


async def a_pod_dies_when_the_board_has_refused_its_status(stage: Stage) -> None:
    """P16: own seed 7000281: the ticket stayed active, was nobody's, and nobody was told."""
    stage.board.forbid("Task", "In progress", "New")
    ticket, pod = stage.ticket(), stage.pod(models=(STUCK,))

    def dies(_: httpx.Request, write: Write) -> None:
        if write.status == httpx.codes.OK:
            pod.kill()

    stage.network.hooks.append(Hook(pod=pod.name, purpose="give back #", act=dies, after=True, times=9))
    await pod.cycle()
    stage.network.hooks.clear()
    await pod.cycle()
    told = stage.comments(ticket, "The board refused the report")
    stage.hold(FINALLY, stage.status(ticket) == "In progress" and len(told) == 1, f"{stage.status(ticket)}, {told}")


async def an_epics_reopening_meets_an_edit(stage: Stage) -> None:
    """P16: the PATCH back to ready gave up at a 409, and the task that was reopened lay there for ever."""
    stage.board.forbid("Epic", "In progress", "In testing")
    epic = stage.ticket("Checkout", type="Epic")
    ticket, pod = stage.ticket(parent=epic), stage.pod()
    stage.before(pod, f"give back #{epic}", lambda: stage.person(ticket, status="New"))
    stage.before(pod, f"Epic #{epic} back to ready", lambda: stage.board.touch(epic))
    await pod.passes(2 * HOUR)
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)} and its Epic {stage.status(epic)}")
