# ruff: noqa: D100, F821, INP001, S101 - a script of the NixOS test driver, whose names are globals
# The power of a pod's host fails in the middle of a run; after the next boot the pod goes on where it was.

ticket = add("It survives", files={"work/survivor": "by {run}"}, gate=True)

with subtest("the pod is in the middle of a run"):
    work("pod-b")
    pod_b.wait_for_file(f"{gate('pod-b', ticket)}/waiting", timeout=PATIENCE)
    run = pod_b.succeed(f"cat {gate('pod-b', ticket)}/waiting").strip()
    pod_b.succeed("sync")

with subtest("the power fails: nobody else touches what the dead pod holds"):
    pod_b.crash()
    once("pod-c")
    assert status(ticket) == "In progress"
    assert said(ticket, "Claimed by pod") == 1

with subtest("the host boots, its timer starts the pod, and it takes its own run over"):
    pod_b.start()
    equip("pod-b")
    pod_b.wait_until_succeeds("systemctl is-active agent-pod-b.timer", timeout=PATIENCE)
    eventually(lambda: said(ticket, "Taken over by pod `pod-b` after an interruption") == 1, "nobody took it over")
    pod_b.wait_for_file(f"{gate('pod-b', ticket)}/waiting", timeout=PATIENCE)
    let_go("pod-b", ticket)
    eventually(lambda: done(ticket), "the ticket was not done")
    halt("pod-b")

with subtest("the same run, one commit"):
    assert content(ticket, "work/survivor") == f"by {run}"
    assert len(messages(ticket)) == 1
    assert f"Agent-Run: {run}" in messages(ticket)[0]
    assert said(ticket, "Claimed by pod") == 1
