"""Histories that random seeds found and that hurt somebody; each is played as it was, without chance."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from simulation.execution import STUCK, Behaviour
from simulation.history import Write
from simulation.invariants import FAILURES, FINALLY, ONCE, PERSON
from simulation.mutants_stage import DROPPED, HOUR, MINUTE, Actor, Hook, Scene, Stage, play

TRUE = "what the fleet says on a ticket is true"


async def dies_before_it_frees(stage: Stage, judge: Actor) -> None:
    """Pass after pass, until it has seen a claim long enough to give it back, and is killed before that arrives."""
    dead = stage.drop(judge, "give back #", judge.kill, arrives=False).fired
    while not dead.is_set():
        await judge.cycle()
        await asyncio.sleep(15 * MINUTE)


async def a_judge_dies_before_it_frees_a_claim_whose_holder_comes_back(stage: Stage) -> None:
    """Seed 92 told people that a pod was lost which had renewed its claim and finished the work."""
    ticket, holder, judge = stage.ticket(), stage.pod(models=(Behaviour(seconds=HOUR),)), stage.pod("pod-b")
    await holder.dies_in_its_run(stage)
    await dies_before_it_frees(stage, judge)
    await holder.cycle()
    stage.hold(TRUE, stage.done(ticket), f"it is {stage.status(ticket)}")
    await judge.passes(MINUTE)
    stage.hold(TRUE, not stage.comments(ticket, "Returned"), f"{stage.comments(ticket, 'Returned')}")


async def a_judge_dies_before_it_frees_a_claim_that_is_renewed(stage: Stage) -> None:
    """The same, with the holder still at work when the judge comes back."""
    ticket, holder, judge = stage.ticket(), stage.pod(models=(Behaviour(seconds=HOUR),)), stage.pod("pod-b")
    await holder.dies_in_its_run(stage)
    await dies_before_it_frees(stage, judge)
    working = holder.start()
    await stage.model_works(10 * MINUTE)
    await judge.cycle()
    await working
    stage.hold(TRUE, not stage.comments(ticket, "Returned"), f"{stage.comments(ticket, 'Returned')}")


async def an_operator_reroutes_a_ticket_just_before_it_is_taken_over(stage: Stage) -> None:
    """Seed 35: the take-over lost against the operator, looked again at its own token alone, and wrote over the route."""
    ticket, pod = stage.ticket(), stage.pod(models=(Behaviour(seconds=HOUR),))
    await pod.dies_in_its_run(stage)
    stage.before(pod, "claim #", lambda: stage.person(ticket, pod="pod-b"))
    await pod.passes(HOUR)
    row = stage.board.row(ticket)
    stage.hold(PERSON, row and (row.pod, row.run, row.status) == ("pod-b", "", "New"), f"{row}")


async def a_person_takes_a_ticket_just_before_it_is_taken_over(stage: Stage) -> None:
    ticket, pod = stage.ticket(), stage.pod(models=(Behaviour(seconds=HOUR),))
    await pod.dies_in_its_run(stage)
    stage.before(pod, "claim #", lambda: stage.person(ticket, assignee="human"))
    await pod.passes(HOUR)
    row = stage.board.row(ticket)
    stage.hold(PERSON, row and (row.assignee, row.run, row.status) == ("human", "", "New"), f"{row}")


async def closing_a_spike_too_many_is_not_answered(stage: Stage) -> None:
    """Seed 47: “Closed: … asks the same” was written at every pass until the board took the PATCH behind it."""
    ticket, pod = stage.ticket(), stage.pod(models=(STUCK,))
    await pod.cycle()
    (asked,) = stage.spikes(ticket)
    row = stage.board.row(asked)
    assert row is not None
    late = stage.board.create(
        "agent", subject=row.subject, description=row.description, type="Spike", project="shop", parent=ticket
    )
    for _ in range(2):
        stage.drop(pod, "close surplus Spike", arrives=False)
        await pod.cycle()
    await pod.cycle()
    stage.hold(FAILURES, stage.spikes(ticket, opened=True) == [asked], f"open are {stage.spikes(ticket, opened=True)}")
    stage.hold(ONCE, len(stage.comments(late, "Closed")) == 1, f"{stage.comments(late, 'Closed')}")


def lose_what_is_told_of_giving_back(stage: Stage, pod: Actor) -> None:
    """Every release arrives, and the pod never hears of it."""

    def lose(_: httpx.Request, write: Write) -> httpx.Response | None:
        return httpx.Response(DROPPED) if write.status == httpx.codes.OK else None

    stage.network.hooks.append(Hook(pod=pod.name, purpose="give back #", act=lose, after=True, times=9))


async def a_refused_return_to_the_pool_is_not_answered(stage: Stage) -> None:
    """Seed 203: nobody was told that the ticket stays active and is a person's."""
    stage.board.forbid("Task", "In progress", "New")
    ticket, pod = stage.ticket(), stage.pod(models=(STUCK,))
    lose_what_is_told_of_giving_back(stage, pod)
    await pod.cycle()
    told = stage.comments(ticket, "The board refused the report")
    stage.hold(FINALLY, stage.status(ticket) == "In progress" and len(told) == 1, f"{stage.status(ticket)}, {told}")


async def an_expiry_is_not_answered(stage: Stage) -> None:
    """Nobody was told that the ticket had gone back."""
    ticket, holder, judge = stage.ticket(), stage.pod(models=(Behaviour(seconds=HOUR),)), stage.pod("pod-b")
    await holder.dies_in_its_run(stage)
    lose_what_is_told_of_giving_back(stage, judge)
    await judge.passes(5.5 * HOUR)
    stage.hold(TRUE, len(stage.comments(ticket, "Returned")) == 1, f"{stage.comments(ticket, 'Returned')}")


async def an_epics_release_is_not_answered(stage: Stage) -> None:
    """Nobody was told of its release; and a task that was reopened meanwhile lay below a closed Epic for ever."""
    stage.board.forbid("Epic", "In progress", "In testing")
    epic = stage.ticket("Checkout", type="Epic")
    ticket, pod = stage.ticket(parent=epic), stage.pod()
    stage.before(pod, "give back #", lambda: stage.person(ticket, status="New"), times=1)
    lose_what_is_told_of_giving_back(stage, pod)
    await pod.passes(HOUR)
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)} and its Epic {stage.status(epic)}")
    stage.hold(TRUE, stage.comments(epic, "Released"), "no word of its release")


SCENES = (
    a_refused_return_to_the_pool_is_not_answered,
    an_expiry_is_not_answered,
    an_epics_release_is_not_answered,
    closing_a_spike_too_many_is_not_answered,
    an_operator_reroutes_a_ticket_just_before_it_is_taken_over,
    a_person_takes_a_ticket_just_before_it_is_taken_over,
    a_judge_dies_before_it_frees_a_claim_whose_holder_comes_back,
    a_judge_dies_before_it_frees_a_claim_that_is_renewed,
)


@pytest.mark.parametrize("scene", SCENES, ids=lambda one: str(one.__name__))
def test_a_history_that_once_hurt_somebody_breaks_nothing(scene: Scene) -> None:
    broken = play(scene)
    assert broken is None, broken
