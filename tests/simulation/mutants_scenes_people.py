"""Directed histories about people's hands, reports and Spikes; as `mutants_scenes`."""

from __future__ import annotations

import asyncio
from typing import Final

from simulation.execution import OVERLOADED, STUCK, Behaviour
from simulation.invariants import EXECUTED, FAILURES, FINALLY, ONCE, ONE_SPIKE, PERSON, SUPERSEDED
from simulation.mutants_stage import HOUR, LOST, MINUTE, ONE_WRITER, PROMPT, STOPS, Actor, Stage

LONG: Final = Behaviour(seconds=HOUR)
BETWEEN: Final = Behaviour(seconds=10.5 * MINUTE)
"""Ends between two looks of the watch."""


# -- who takes, routes and holds -------------------------------------------------------------------------------------


async def a_person_takes_a_running_ticket(stage: Stage) -> None:
    ticket, pod = stage.ticket(), stage.pod(models=(LONG,))
    working = pod.start()
    await stage.model_works(40 * MINUTE)
    taken = stage.loop.time()
    stage.person(ticket, assignee="human")
    await working
    row = stage.board.row(ticket)
    assert row is not None
    stage.hold(PERSON, row.assignee == "human", f"its assignee is {row.assignee or 'nobody'}")
    stage.hold(STOPS, (stage.models[0].end or 0) - taken <= PROMPT, "its model went on")
    stage.hold(SUPERSEDED, not stage.results(), "the result was pushed")
    stage.hold(LOST, stage.kept(f"agent/kept/{ticket}-"), "the work is nowhere")


async def a_person_holds_a_running_ticket(stage: Stage) -> None:
    ticket, pod = stage.ticket(), stage.pod(models=(LONG,))
    working = pod.start()
    await stage.model_works(10 * MINUTE)
    stage.person(ticket, status="On hold")
    await working
    stage.hold(PERSON, stage.status(ticket) == "On hold", f"it is {stage.status(ticket)}")


async def a_person_takes_a_dead_pods_ticket(stage: Stage) -> None:
    ticket, pod = stage.ticket(), stage.pod(models=(LONG,))
    await pod.dies_in_its_run(stage)
    stage.person(ticket, assignee="human")
    await pod.cycle()
    row = stage.board.row(ticket)
    stage.hold(PERSON, row is not None and row.assignee == "human", "its assignee is another")
    stage.hold(SUPERSEDED, len(stage.models) == 1, "its model ran again")


async def taken_behind_the_watch(stage: Stage, model: Behaviour) -> int:
    """A person takes the ticket after the last look of the watch, before the first effect of the report."""
    ticket, pod = stage.ticket(), stage.pod(models=(model,))
    working = pod.start()
    await stage.model_works(10.25 * MINUTE)
    stage.person(ticket, assignee="human")
    await working
    return ticket


async def a_person_takes_a_ticket_before_the_push(stage: Stage) -> None:
    await taken_behind_the_watch(stage, BETWEEN)
    stage.hold(SUPERSEDED, not stage.results(), "the result was pushed")


async def a_person_takes_a_ticket_before_the_spike(stage: Stage) -> None:
    ticket = await taken_behind_the_watch(stage, Behaviour(seconds=10.5 * MINUTE, verdict="stuck"))
    stage.hold(SUPERSEDED, not stage.spikes(ticket), "a Spike was made")


async def a_person_takes_a_ticket_before_the_report(stage: Stage) -> None:
    ticket, pod = stage.ticket(), stage.pod()
    stage.before(pod, "pushed", lambda: stage.person(ticket, assignee="human"))
    await pod.cycle()
    row = stage.board.row(ticket)
    stage.hold(PERSON, row is not None and row.assignee == "human", "its assignee is another")
    stage.hold(SUPERSEDED, not stage.done(ticket), "it was set to done")


async def a_person_holds_a_ticket_before_the_last_patch(stage: Stage) -> None:
    """Between the fence and the PATCH."""
    ticket, pod = stage.ticket(), stage.pod()
    stage.before(pod, f"#{ticket} done", lambda: stage.person(ticket, status="On hold"))
    await pod.cycle()
    stage.hold(PERSON, stage.status(ticket) == "On hold", f"it is {stage.status(ticket)}")


async def an_operator_routed_a_ticket_that_fails(stage: Stage) -> None:
    ticket, pod = stage.ticket(pod="pod-a"), stage.pod(models=(STUCK,))
    await pod.cycle()
    row = stage.board.row(ticket)
    stage.hold(PERSON, row is not None and row.pod == "pod-a", "the route is gone")
    stage.hold(FAILURES, stage.spikes(ticket), "nobody was asked")


async def an_operator_reroutes_a_running_epic(stage: Stage) -> None:
    epic = stage.ticket("Checkout", type="Epic")
    stage.ticket("Child", parent=epic)
    working = stage.pod(models=(LONG,)).start()
    await stage.model_works(10 * MINUTE)
    routed = stage.loop.time()
    stage.person(epic, pod="pod-b")
    await working
    stage.hold(ONE_WRITER, (stage.models[0].end or 0) - routed <= PROMPT, "its model went on")
    stage.hold(ONE_WRITER, not stage.results(), "the result was pushed")


async def a_person_moves_a_running_ticket_to_another_epic(stage: Stage) -> None:
    first, second = stage.ticket("Checkout", type="Epic"), stage.ticket("Search", type="Epic", status="On hold")
    child = stage.ticket("Child", parent=first)
    working = stage.pod(models=(LONG,)).start()
    await stage.model_works(10 * MINUTE)
    moved = stage.loop.time()
    stage.person(child, parent=second)
    await working
    stage.hold(STOPS, (stage.models[0].end or 0) - moved <= PROMPT, "its model went on")
    stage.hold(ONE_WRITER, not stage.results(), "the result was pushed to the branch of the Epic that it left")


async def a_person_opens_a_spike_under_a_running_ticket(stage: Stage) -> None:
    ticket, pod = stage.ticket(), stage.pod(models=(LONG,))
    working = pod.start()
    await stage.model_works(10 * MINUTE)
    opened = stage.loop.time()
    stage.ticket("Wait!", type="Spike", parent=ticket)
    await working
    stage.hold(STOPS, (stage.models[0].end or 0) - opened <= PROMPT, "its model went on")


async def a_person_is_responsible_for_an_epic(stage: Stage) -> None:
    epic = stage.ticket("Checkout", type="Epic", assignee="human")
    child = stage.ticket("Child", parent=epic)
    await stage.pod().cycle()
    row = stage.board.row(epic)
    stage.hold(PERSON, row is not None and row.assignee == "human", "the Epic's assignee is another")
    stage.hold(FINALLY, stage.done(child), f"it is {stage.status(child)}")


async def a_person_changes_the_text(stage: Stage) -> None:
    ticket, pod = stage.ticket(description="in English"), stage.pod()
    working = pod.start()
    await stage.model_works(5 * MINUTE)
    stage.person(ticket, description="in French")
    await working
    stage.hold(PERSON, stage.status(ticket) == "New", f"nobody works from the new text: it is {stage.status(ticket)}")
    await pod.passes(HOUR)
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)}")


async def a_person_reopens_a_child_while_its_epic_closes(stage: Stage) -> None:
    stage.board.forbid("Epic", "In progress", "In testing")
    epic = stage.ticket("Checkout", type="Epic")
    child, pod = stage.ticket("Child", parent=epic), stage.pod()
    await pod.cycle()
    stage.before(pod, f"give back #{epic}", lambda: stage.person(child, status="New"))
    await pod.passes(2 * HOUR)
    stage.hold(FINALLY, stage.done(child), f"it is {stage.status(child)} below an Epic that is {stage.status(epic)}")


# -- what may not be taken -------------------------------------------------------------------------------------------


async def idle(stage: Stage, pod: Actor) -> None:
    await pod.passes(HOUR)
    stage.hold(EXECUTED, not stage.models, "its model was started")


async def a_person_blocks_a_ticket_in_the_moment_of_its_claim(stage: Stage) -> None:
    """A relation does not bump the lockVersion."""
    first, ticket, pod = stage.ticket("First", status="On hold"), stage.ticket(), stage.pod()
    stage.before(pod, f"claim #{ticket}", lambda: stage.board.relate(first, "blocks", ticket))
    await idle(stage, pod)


async def a_phase_is_closed(stage: Stage) -> None:
    phase = stage.ticket("Phase 1", type="Summary task", status="Closed")
    stage.ticket(parent=phase)
    await idle(stage, stage.pod())


async def a_blocker_waits_for_review(stage: Stage) -> None:
    first, ticket = stage.ticket("First"), stage.ticket()
    stage.person(first, status="In progress")
    stage.person(first, status="In testing")
    stage.board.relate(first, "blocks", ticket)
    await idle(stage, stage.pod())


async def a_person_opened_a_spike(stage: Stage) -> None:
    ticket = stage.ticket()
    stage.ticket("How is this meant?", type="Spike", parent=ticket)
    await idle(stage, stage.pod())


async def a_person_takes_a_ready_ticket(stage: Stage) -> None:
    stage.ticket(assignee="human")
    await idle(stage, stage.pod())


async def an_operator_routes_a_ticket_that_a_pod_has_listed(stage: Stage) -> None:
    ticket, pod = stage.ticket(), stage.pod()
    stage.before(pod, "the candidate", lambda: stage.person(ticket, pod="pod-b"))
    await idle(stage, pod)


async def a_type_loses_a_field(stage: Stage) -> None:
    """The board then ignores it without a word, and a claim would be no claim."""
    await stage.pod().cycle()
    ticket, pod = stage.ticket(), stage.pod()
    stage.forgiven.add(SUPERSEDED)  # half a claim is on the board for a moment
    lose = "DELETE FROM custom_field_types WHERE type_id = ?"
    stage.before(pod, f"claim #{ticket}", lambda: stage.board.db.execute(lose, (stage.board.types["Task"],)))
    await idle(stage, pod)
    row = stage.board.row(ticket)
    stage.hold(PERSON, row is not None and (row.status, row.assignee) == ("New", ""), "half a claim was left")


# -- comments and Spikes ---------------------------------------------------------------------------------------------


async def the_answer_to_a_comment_is_lost(stage: Stage) -> None:
    ticket, pod = stage.ticket(), stage.pod()
    stage.drop(pod, "completed", arrives=True)
    await pod.passes(HOUR)
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)}")


async def a_pod_dies_before_its_last_patch(stage: Stage) -> None:
    ticket, pod = stage.ticket(), stage.pod()
    stage.drop(pod, f"#{ticket} done", pod.kill, arrives=False)
    await pod.passes(HOUR)
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)}")
    stage.hold(ONCE, len(stage.comments(ticket, "Pushed to")) == 1, "the push is told more than once")


async def one_open_spike(stage: Stage, ticket: int) -> None:
    opened = stage.spikes(ticket, opened=True)
    stage.hold(FAILURES, len(opened) == 1, f"{len(opened)} open Spikes")


async def a_pod_dies_after_its_spike(stage: Stage) -> None:
    ticket, pod = stage.ticket(), stage.pod(models=(STUCK,))
    stage.after(pod, f"Spike for #{ticket}", pod.kill)
    await pod.passes(HOUR)
    stage.hold(FAILURES, len(stage.models) == 1, "a failed run ran again")
    await one_open_spike(stage, ticket)


async def a_spike_is_answered_while_its_pod_is_dead(stage: Stage) -> None:
    ticket, pod = stage.ticket(), stage.pod(models=(STUCK,))
    stage.after(pod, f"Spike for #{ticket}", pod.kill)
    await pod.cycle()
    (spike,) = stage.spikes(ticket)
    stage.person(spike, status="Closed")
    await pod.cycle()
    stage.hold(FAILURES, stage.spikes(ticket) == [spike], "it was asked a second time")


async def the_answer_to_a_spike_is_lost(stage: Stage) -> None:
    ticket, pod = stage.ticket(), stage.pod(models=(STUCK,))
    stage.drop(pod, f"Spike for #{ticket}", arrives=True)
    await pod.cycle()
    stage.hold(ONE_SPIKE, len(stage.spikes(ticket)) == 1, f"{len(stage.spikes(ticket))} Spikes were made")


async def a_lost_spike_lands_before_the_last_patch(stage: Stage) -> None:
    ticket, pod = stage.ticket(), stage.pod(models=(STUCK,))
    land = stage.hold_back(pod, f"Spike for #{ticket}")
    stage.before(pod, "spike_created", land)
    await pod.cycle()
    await one_open_spike(stage, ticket)


async def a_lost_spike_lands_after_the_last_patch(stage: Stage) -> None:
    ticket, pod = stage.ticket(), stage.pod(models=(STUCK,))
    land = stage.hold_back(pod, f"Spike for #{ticket}")
    await pod.cycle()
    land()
    await pod.passes(HOUR)
    await one_open_spike(stage, ticket)


async def a_pod_dies_after_it_said_that_its_run_failed(stage: Stage) -> None:
    """What it remembers of the failure is lost with the record; the comment is there."""
    ticket, pod = stage.ticket(), stage.pod(models=(STUCK, Behaviour()))
    stage.after(pod, "failed", pod.kill)
    await pod.passes(HOUR)
    stage.hold(FAILURES, len(stage.models) == 1, "a failed run ran again")
    await one_open_spike(stage, ticket)


async def trouble_outlasts_the_tries(stage: Stage) -> None:
    ticket, pod = stage.ticket(), stage.pod(models=(OVERLOADED, OVERLOADED, OVERLOADED, Behaviour()))
    await pod.passes(3 * HOUR, every=10 * MINUTE)
    returned = stage.comments(ticket, "Returned to the pool")
    stage.hold(FAILURES, not stage.spikes(ticket), "a person was asked about the pod's trouble")
    stage.hold(FINALLY, len(returned) == 1, "it was not given back after three tries")
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)}")


async def a_branch_moves_under_a_run(stage: Stage) -> None:
    """A shared branch: both results are on it."""
    ticket, pod = stage.ticket("Share"), stage.pod()
    stage.remote.push(f"agent/{ticket}-share", {"theirs.txt": "0"})
    working = pod.start()
    await stage.model_works(MINUTE)
    stage.remote.push(f"agent/{ticket}-share", {"theirs.txt": "1"})
    await working
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)}")
    stage.hold(LOST, stage.remote.show(f"agent/{ticket}-share", "theirs.txt") == "1", "theirs is gone")
    await asyncio.sleep(0)
