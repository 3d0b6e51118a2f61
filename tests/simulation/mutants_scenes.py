"""Directed histories about claims, expiry and git: each provokes what a mutant gets wrong, and passes on the shipped code."""

from __future__ import annotations

import asyncio

from agent.git.refs import CLAIMS, blob_id
from simulation.execution import HANGS, OVERLOADED, STUCK, Behaviour
from simulation.invariants import FAILURES, FINALLY, SUPERSEDED, TRIES, UNREPORTED
from simulation.mutants_stage import BOUNDED, FIT, HOUR, LIFETIME, MINUTE, ONE_WRITER, REF, WAITS, Actor, Stage

AWAY = 5.5 * HOUR
"""Longer than a lifetime, its grace and the judge's pace."""
SLOW = Behaviour(seconds=3 * HOUR)


# -- the claim -------------------------------------------------------------------------------------------------------


async def two_pods_want_one_ticket(stage: Stage) -> None:
    """They read it at the same moment."""
    ticket = stage.ticket()
    await asyncio.gather(stage.pod().cycle(), stage.pod("pod-b", account="agent2").cycle())
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)}")


async def the_answer_to_a_claim_is_lost(stage: Stage) -> None:
    ticket, pod = stage.ticket(), stage.pod()
    stage.drop(pod, "claim #", arrives=True)
    await pod.passes(HOUR)
    stage.hold(WAITS, stage.done(ticket), f"an hour later it is {stage.status(ticket)}")


async def a_pod_is_killed_in_its_claim(stage: Stage) -> None:
    """The claim has arrived; its answer finds nobody."""
    ticket, pod = stage.ticket(), stage.pod()
    stage.after(pod, "claim #", pod.kill)
    await pod.passes(HOUR)
    stage.hold(WAITS, stage.done(ticket), f"an hour later it is {stage.status(ticket)}")


async def somebody_edits_before_each_claim(stage: Stage) -> None:
    """I-11: a 409 alone proves nothing."""
    ticket, pod = stage.ticket(), stage.pod()
    for _ in range(3):
        stage.before(pod, "claim #", lambda: stage.board.touch(ticket))
        await pod.cycle()
    stage.hold(WAITS, stage.done(ticket), f"after three passes it is {stage.status(ticket)}")


async def a_host_is_suspended_in_a_claim(stage: Stage) -> None:
    """When it wakes, its claim has expired and the ticket is there again: the old token is no new claim."""
    ticket, pod = stage.ticket(pod="pod-a"), stage.pod()
    stage.after(pod, "claim #", lambda: pod.freeze(AWAY))
    working = pod.start()
    await asyncio.sleep(MINUTE)
    await stage.pod("pod-b").passes(AWAY)
    await working
    await pod.passes(HOUR)
    stage.hold(FAILURES, not stage.spikes(ticket), "a person was asked because a host was suspended")
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)}")


async def a_host_is_suspended_before_its_model_starts(stage: Stage) -> None:
    """Time that the pod lost is no failure of the ticket."""
    ticket, pod = stage.ticket(), stage.pod()
    pod.on_git["fetch"] = lambda: pod.freeze(AWAY)
    await pod.passes(AWAY + 2 * HOUR)
    stage.hold(FAILURES, not stage.spikes(ticket), "a person was asked because a host was suspended")
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)}")


async def two_hosts_have_one_name(stage: Stage) -> None:
    """I-03."""
    ticket = stage.ticket()
    first, second = stage.pod(host="host-1", models=(Behaviour(seconds=HOUR),)), stage.pod(host="host-2")
    working = first.start()
    await stage.model_works(10 * MINUTE)
    await second.cycle()
    await working
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)}")


async def two_hosts_of_one_name_see_an_epic(stage: Stage) -> None:
    epic = stage.ticket("Checkout", type="Epic")
    stage.ticket("First", parent=epic)
    stage.ticket("Second", parent=epic)
    first, second = stage.pod(host="host-1", models=(Behaviour(seconds=HOUR),)), stage.pod(host="host-2")
    working = first.start()
    await stage.model_works(10 * MINUTE)
    await second.cycle()
    stage.hold(ONE_WRITER, len(stage.models) == 1, "both hosts work in it")
    await working


async def a_bug_is_below_an_epic(stage: Stage) -> None:
    epic = stage.ticket("Checkout", type="Epic")
    bug, pod = stage.ticket("Broken", type="Bug", parent=epic), stage.pod()
    await pod.passes(2 * HOUR)
    stage.hold(FINALLY, stage.done(bug), f"it is {stage.status(bug)}")


# -- expiry ----------------------------------------------------------------------------------------------------------


async def a_pod_dies(stage: Stage) -> None:
    """I-15, I-17."""
    bug = stage.ticket("Urgent", type="Bug", priority="Immediate")
    await stage.pod().dies_in_its_run(stage)
    await stage.pod("pod-b").passes(AWAY)
    stage.hold(WAITS, stage.done(bug), f"{AWAY / HOUR} h later it is {stage.status(bug)}")


async def a_take_over_meets_an_expiry(stage: Stage) -> None:
    """I-21: the judge stands still between its list and its write; meanwhile the dead pod is back."""
    ticket = stage.ticket()
    dying, judge = stage.pod(models=(SLOW,)), stage.pod("pod-b")
    await dying.dies_in_its_run(stage)
    hook = stage.after(judge, "sweep: expired claims", lambda: judge.freeze(2 * MINUTE))
    judging = asyncio.ensure_future(judge.passes(AWAY))
    await hook.fired.wait()
    await dying.cycle()
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)}")
    judging.cancel()


async def clocks_differ_by_hours(stage: Stage) -> None:
    ticket = stage.ticket()
    working = stage.pod(models=(SLOW,)).start()
    await stage.model_works()
    await stage.pod("pod-b", ahead=6 * HOUR).passes(2 * HOUR)
    await working
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)}")


async def time_outs_differ_by_hours(stage: Stage) -> None:
    ticket = stage.ticket()
    working = stage.pod(models=(SLOW,)).start()
    await stage.model_works()
    await stage.pod("pod-b", lifetime=3600).passes(2 * HOUR)
    await working
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)}")


async def one_of_two_hosts_with_one_name_dies(stage: Stage) -> None:
    """The other one works in an Epic; its claims are younger."""
    stage.ticket("Left behind", type="Bug")
    await stage.pod(host="host-1", models=(Behaviour(seconds=2 * HOUR),)).dies_in_its_run(stage)
    judging = asyncio.ensure_future(stage.pod("pod-b").passes(AWAY))
    await asyncio.sleep(3.5 * HOUR)
    epic = stage.ticket("Checkout", type="Epic", pod="pod-a")
    child = stage.ticket("Child", parent=epic)
    await stage.pod(host="host-2").cycle()
    await judging
    stage.hold(FINALLY, stage.done(child), f"it is {stage.status(child)}")


async def an_epic_was_seen_before_its_child(stage: Stage) -> None:
    """The judge has seen the Epic's token a quarter of an hour longer than the child's."""
    epic = stage.ticket("Checkout", type="Epic")
    stage.ticket("Child", parent=epic)
    dying = stage.pod(models=(HANGS,))
    stage.after(dying, f"claim #{epic}", lambda: dying.freeze(20 * MINUTE))
    working = asyncio.ensure_future(dying.dies_in_its_run(stage))
    await asyncio.sleep(MINUTE)
    await stage.pod("pod-b").passes(AWAY)
    await working
    stage.hold(FINALLY, stage.done(epic), f"the Epic is {stage.status(epic)}")


async def everything_in_an_epic_is_done(stage: Stage) -> None:
    epic = stage.ticket("Checkout", type="Epic")
    stage.ticket("Child", parent=epic)
    await stage.pod().passes(HOUR)
    stage.hold(FINALLY, stage.done(epic), f"the Epic is {stage.status(epic)}")


# -- git -------------------------------------------------------------------------------------------------------------


async def frozen(stage: Stage, verb: str) -> tuple[Actor, Actor, int]:
    """A pod freezes while it pushes; another one takes the ticket after its expiry and works on it when it thaws."""
    ticket = stage.ticket()
    late, successor = stage.pod(), stage.pod("pod-b", models=(SLOW,))
    late.on_git[verb] = lambda: late.freeze(AWAY)
    working = late.start()
    await asyncio.sleep(MINUTE)
    await successor.passes(AWAY + 4 * HOUR)
    await working
    return late, successor, ticket


async def a_pod_freezes_in_its_push(stage: Stage) -> None:
    _, _, ticket = await frozen(stage, "result")
    stage.hold(SUPERSEDED, not stage.results("pod-a"), "its push landed")
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)}")


async def a_pod_freezes_before_its_claim_ref(stage: Stage) -> None:
    _, _, ticket = await frozen(stage, "claim")
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)}")


async def a_pod_freezes_between_board_and_ref(stage: Stage) -> None:
    """Its lease was lost to a leftover that is gone; it freezes when it reads the ref."""
    ticket = stage.ticket()
    ref, leftover = f"{CLAIMS}{ticket}", blob_id(b"a leftover")
    stage.remote.refs[ref] = leftover
    late, successor = stage.pod(), stage.pod("pod-b", models=(SLOW,))

    def lose_the_lease() -> None:
        stage.remote.refs.pop(ref)
        late.on_git["list"] = freeze_at_the_next  # the first one is of the refused push itself

    def freeze_at_the_next() -> None:
        late.on_git["list"] = lambda: late.freeze(AWAY)

    late.on_git["claim"] = lose_the_lease
    working = late.start()
    await asyncio.sleep(MINUTE)
    await successor.passes(AWAY + 4 * HOUR)
    await working
    stage.hold(REF, stage.done(ticket), f"it is {stage.status(ticket)}")


async def a_pod_freezes_in_its_run(stage: Stage) -> None:
    ticket = stage.ticket()
    late, successor = stage.pod(models=(Behaviour(seconds=HOUR),)), stage.pod("pod-b", models=(SLOW,))
    working = late.start()
    await stage.model_works(MINUTE)
    late.freeze(AWAY)
    await successor.passes(AWAY + 4 * HOUR)
    await working
    stage.hold(SUPERSEDED, not stage.results("pod-a"), "its push landed")
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)}")


async def a_pod_outlives_its_lifetime(stage: Stage) -> None:
    """Nobody judges; it freezes while it commits, and thaws when its time is over."""
    ticket, pod = stage.ticket(), stage.pod()
    working = pod.start()
    await stage.model_works(10 * MINUTE + 0.75)
    pod.freeze(LIFETIME)
    await working
    stage.hold(SUPERSEDED, not stage.results(), "it pushed after its lifetime")
    await pod.passes(2 * HOUR)
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)}")


async def a_push_is_on_its_way_when_its_pod_dies(stage: Stage) -> None:
    """It lands just before the take-over sets the claim ref."""
    ticket, pod = stage.ticket(), stage.pod()
    pod.dies_in_its_push()
    await pod.cycle()
    pod.on_git["claim"] = stage.remote.land
    await pod.passes(HOUR)
    stage.hold(UNREPORTED, len(stage.models) == 1, "its model ran again although the work was pushed")
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)}")


async def a_push_lands_after_the_take_over(stage: Stage) -> None:
    """While the model of the second try works."""
    ticket, pod = stage.ticket(), stage.pod(models=(Behaviour(seconds=HOUR),))
    pod.dies_in_its_push()
    await pod.cycle()
    again = pod.start()
    await stage.model_works(MINUTE)
    stage.remote.land()
    stage.hold(SUPERSEDED, not stage.results("pod-a#1"), "the push of the first try landed")
    await again
    stage.hold(FINALLY, stage.done(ticket), f"it is {stage.status(ticket)}")


# -- tries, trouble --------------------------------------------------------------------------------------------------


async def a_pod_dies_again_and_again(stage: Stage) -> None:
    ticket, pod = stage.ticket(), stage.pod(models=(SLOW,))
    for _ in range(5):
        working = pod.start()
        await asyncio.sleep(10 * MINUTE)
        if not working.done():
            pod.kill()
    stage.hold(TRIES, len(stage.models) <= 3, f"its model was started {len(stage.models)} times")
    stage.hold(FAILURES, len(stage.spikes(ticket, opened=True)) == 1, "nobody was asked")


async def a_pod_dies_after_its_last_push(stage: Stage) -> None:
    """The take-over is beyond the cap of tries, and the work is there."""
    ticket, pod = stage.ticket(), stage.pod()
    for _ in range(2):
        await pod.dies_in_its_run(stage)
    pod.dies_in_its_push()
    await pod.cycle()
    stage.remote.land()
    await pod.passes(HOUR)
    stage.hold(UNREPORTED, stage.done(ticket), f"its commit is pushed and it is {stage.status(ticket)}")


async def the_models_api_is_down(stage: Stage) -> None:
    ticket, pod = stage.ticket(), stage.pod(models=(OVERLOADED,))
    await pod.passes(2 * HOUR, every=5 * MINUTE)
    stage.hold(BOUNDED, len(stage.models) <= 8, f"{len(stage.models)} tries in two hours")
    stage.hold(FAILURES, not stage.spikes(ticket), "a person was asked about the pod's trouble")


async def every_run_of_a_ticket_is_trouble(stage: Stage) -> None:
    """The preflight passes, and yet: the trouble comes with the ticket."""
    ticket, pod = stage.ticket(), stage.pod(models=(OVERLOADED,))
    await pod.passes(24 * HOUR, every=30 * MINUTE)
    stage.hold(BOUNDED, stage.spikes(ticket), f"{len(stage.models)} tries in a day and nobody was asked")


async def a_pod_cannot_work(stage: Stage) -> None:
    """I-67."""
    ticket, pod = stage.ticket(), stage.pod()
    stage.sick = "only 3 MiB are free"
    await pod.cycle()
    claimed = stage.comments(ticket, "Claimed")
    stage.hold(FIT, not claimed, "it claimed all the same")


async def a_model_is_stuck(stage: Stage) -> None:
    ticket = stage.ticket()
    pod = stage.pod(models=(STUCK,))
    other = stage.pod("pod-b")
    hook = stage.after(pod, f"give back #{ticket}", lambda: pod.freeze(5 * MINUTE))
    working = pod.start()
    await hook.fired.wait()
    await other.cycle()
    await working
    stage.hold(FAILURES, len(stage.models) == 1, "a failed ticket was offered before a person was asked")
    stage.hold(FAILURES, len(stage.spikes(ticket, opened=True)) == 1, "not one open Spike")
