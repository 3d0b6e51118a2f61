# ruff: noqa: D100, F821, INP001, S101 - a script of the NixOS test driver, whose names are globals
# One ticket, end to end, by the timer: board, claim, development shell offline, sandbox, verify, push, comments.

with subtest("the token is root's alone, and the unit gets it as a credential"):
    pod_a.succeed("test $(stat -c %a:%U /run/secrets/board-token) = 600:root")
    pod_a.fail("runuser -u agent -- cat /run/secrets/board-token")
    pod_a.succeed("systemctl cat agent-pod-a.service | grep ^LoadCredential=board-token:/run/secrets/board-token")

with subtest("the timer starts the pod, and the ticket gets done"):
    ticket = add("A first file", files={"work/first": "by {run}"}, gate=True)
    with working("pod-a"):
        pod_a.wait_for_file(f"{gate('pod-a', ticket)}/waiting", timeout=PATIENCE)
        pid = pod_a.get_unit_property("agent-pod-a.service", "MainPID")
        variable = "CREDENTIALS_DIRECTORY=/run/credentials/agent-pod-a.service"
        pod_a.succeed(f"tr '\\0' '\\n' < /proc/{pid}/environ | grep -x {variable}")
        let_go("pod-a", ticket)
        eventually(lambda: done(ticket), "the ticket was not done")

        with subtest("and starts it again"):
            before = pod_a.get_unit_property("agent-pod-a.service", "InvocationID")
            eventually(
                lambda: pod_a.get_unit_property("agent-pod-a.service", "InvocationID") not in ("", before),
                "the timer fired only once",
            )

with subtest("the branch has the work, and says whose it is"):
    assert len(messages(ticket)) == 1
    assert f"Work-Package: #{ticket}" in messages(ticket)[0]
    assert "Agent-Pod: pod-a" in messages(ticket)[0]
    assert content(ticket, "work/first").startswith("by ")

with subtest("the ticket tells the story"):
    for words in ("Claimed by pod `pod-a`", "Execution complete", "Pushed to"):
        assert said(ticket, words) == 1, comments(ticket)

with subtest("the journal has it, without the secret"):
    journal = pod_a.succeed("journalctl -o cat -u agent-pod-a.service")
    assert tokens["agent"] not in journal

with subtest("a pass that finds nothing to do is a success"):
    once("pod-a")
