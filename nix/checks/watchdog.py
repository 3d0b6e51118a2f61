# ruff: noqa: D100, F821, INP001, S101 - a script of the NixOS test driver, whose names are globals
# A pod stands still, on purpose: systemd's watchdog kills it, the unit starts again and goes on where it was.

SECONDS = 5
DROP_IN = "/run/systemd/system/agent-pod-b.service.d"

ticket = add("It stands", files={"work/stands": "by {run}"}, gate=True)

with subtest("the unit waits for a minute; here it is a shorter one"):
    pod_b.succeed(
        "systemctl cat agent-pod-b.service | grep -x WatchdogSec=60",
        f"mkdir -p {DROP_IN}",
        f"printf '[Service]\\nWatchdogSec={SECONDS}\\n' > {DROP_IN}/stands.conf",
        "systemctl daemon-reload",
    )

with subtest("a run is under way, for longer than the watchdog waits"):
    pod_b.succeed("systemctl start agent-pod-b.service", timeout=PATIENCE)
    pod_b.wait_for_file(f"{gate('pod-b', ticket)}/waiting", timeout=PATIENCE)
    run = pod_b.succeed(f"cat {gate('pod-b', ticket)}/waiting").strip()
    pid = pod_b.get_unit_property("agent-pod-b.service", "MainPID")
    pod_b.sleep(2 * SECONDS)
    assert pod_b.get_unit_property("agent-pod-b.service", "MainPID") == pid

with subtest("its loop stands: the watchdog kills it, and all that is its"):
    pod_b.succeed(f"rm {gate('pod-b', ticket)}/waiting && kill -STOP {pid}")
    pod_b.wait_until_fails(f"kill -0 {pid}", timeout=PATIENCE)
    eventually(
        lambda: "Watchdog timeout" in pod_b.succeed("journalctl --sync && journalctl -u agent-pod-b.service"),
        "it was another end",
    )

with subtest("nobody starts it but systemd, and it takes its own run over"):
    pod_b.wait_for_file(f"{gate('pod-b', ticket)}/waiting", timeout=PATIENCE)
    assert pod_b.get_unit_property("agent-pod-b.service", "NRestarts") == "1"
    let_go("pod-b", ticket)
    eventually(lambda: done(ticket), "the ticket was not done")
    wait_for_rest("pod-b")

with subtest("it ends as if nothing had been"):
    assert content(ticket, "work/stands") == f"by {run}"
    assert len(messages(ticket)) == 1
    assert said(ticket, "Taken over by pod `pod-b` after an interruption") == 1
    assert said(ticket, "Claimed by pod") == 1
    pod_b.succeed(f"rm -r {DROP_IN} && systemctl daemon-reload")
