"""Histories that random seeds found and that hurt somebody; each is played as it was, without chance."""

from __future__ import annotations

import asyncio

import pytest

from simulation.execution import STUCK, Behaviour
from simulation.invariants import FAILURES, ONCE, PERSON
from simulation.mutants_stage import HOUR, MINUTE, Actor, Scene, Stage, play

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


SCENES = (
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
