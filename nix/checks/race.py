# ruff: noqa: F821, INP001, S101 - a script of the NixOS test driver, whose names are globals
# Three pods want one ticket: one gets it, the others leave it alone.

for attempt in range(2):
    ticket = add(f"Only one may have it ({attempt})", files={"work/race": "by {run}"}, gate=True)
    with subtest("three pods start at once"):
        for name, machine in PODS.items():
            machine.succeed(f"systemctl start --no-block agent-{name}.service")
        winners: list[str] = []

        def somebody() -> bool:
            winners[:] = [name for name in PODS if not PODS[name].execute(f"test -e {gate(name, ticket)}/waiting")[0]]
            return bool(winners)

        eventually(somebody, "nobody took it")

    with subtest("two of them find nothing to do"):
        losers = [name for name in PODS if name not in winners]
        assert len(losers) == 2, winners
        for name in losers:
            wait_for_rest(name)
            assert PODS[name].get_unit_property(f"agent-{name}.service", "Result") == "success"

    with subtest("one claim, one commit"):
        let_go(winners[0], ticket)
        eventually(lambda: done(ticket), "the ticket was not done")
        assert said(ticket, "Claimed by pod") == 1
        assert said(ticket, f"Claimed by pod `{winners[0]}`") == 1
        assert len(messages(ticket)) == 1
        wait_for_rest(winners[0])
