# ruff: noqa: D100, F821, INP001, S101 - a script of the NixOS test driver, whose names are globals
# A new configuration is switched to while a pod works: its run goes on, and the next one is of the new configuration.

ticket = add("It is not interrupted", files={"work/upgrade": "by {run}"}, gate=True)


def generation() -> str:
    """What the main process of the unit was started with."""
    pid = pod_c.get_unit_property("agent-pod-c.service", "MainPID")
    return str(pod_c.succeed(f"tr '\\0' '\\n' < /proc/{pid}/environ | sed -n s/^FLEET_GENERATION=//p")).strip()


with subtest("a run of the old configuration"):
    pod_c.succeed("systemctl start --no-block agent-pod-c.service")
    pod_c.wait_for_file(f"{gate('pod-c', ticket)}/waiting", timeout=PATIENCE)
    before = pod_c.get_unit_property("agent-pod-c.service", "InvocationID")
    assert generation() == ""

with subtest("the switch leaves it alone"):
    pod_c.succeed("/run/current-system/specialisation/upgraded/bin/switch-to-configuration test >&2", timeout=PATIENCE)
    assert pod_c.get_unit_property("agent-pod-c.service", "InvocationID") == before
    assert "FLEET_GENERATION=two" in pod_c.get_unit_property("agent-pod-c.service", "Environment")
    assert generation() == ""
    let_go("pod-c", ticket)
    eventually(lambda: done(ticket), "the ticket was not done")
    assert said(ticket, "Taken over") == 0
    wait_for_rest("pod-c")

with subtest("the next run is the new one"):
    later = add("The next one", files={"work/next": "by {run}"}, gate=True)
    pod_c.succeed("systemctl start --no-block agent-pod-c.service")
    pod_c.wait_for_file(f"{gate('pod-c', later)}/waiting", timeout=PATIENCE)
    assert generation() == "two"
    let_go("pod-c", later)
    eventually(lambda: done(later), "the ticket was not done")
