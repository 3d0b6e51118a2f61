# ruff: noqa: D100, F821, INP001, PLR2004, S101 - a script of the NixOS test driver, whose names are globals
# A run fails: a Spike asks a person, the answer brings the ticket back, and the next run has it done.

ticket = add("Which colour?", files={"work/colour": "teal"}, answer="teal")

with working("pod-b"):
    with subtest("the failure becomes a Spike"):
        eventually(lambda: children(ticket) != [], "no Spike was opened")
        (spike,) = children(ticket)
        eventually(lambda: status(ticket) == "New" and said(ticket, "Created spike"), "the ticket was not given back")
        assert said(ticket, "Execution failed: test suite failed with exit code 1") == 1, comments(ticket)

    with subtest("nobody takes the ticket while the Spike is open"):
        before = pod_b.get_unit_property("agent-pod-b.service", "InvocationID")
        eventually(
            lambda: pod_b.get_unit_property("agent-pod-b.service", "InvocationID") not in ("", before),
            "the timer fired only once",
        )
        assert said(ticket, "Claimed by pod") == 1

    with subtest("a person answers and closes it"):
        say(spike, "Take teal.")
        move(spike, "Closed")
        eventually(lambda: done(ticket), "the ticket was not done")
        assert content(ticket, "work/colour") == "teal"
        assert said(ticket, "Claimed by pod") == 2
