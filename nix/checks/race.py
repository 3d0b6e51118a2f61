# ruff: noqa: D100, F821, INP001, S101, D103 - a script of the NixOS test driver, whose names are globals
# Three pods want one ticket: one gets it, the others leave it alone.


def holders(ticket: int) -> list[str]:
    return [name for name in PODS if PODS[name].execute(f"test -e {gate(name, ticket)}/waiting")[0] == 0]


def race(ticket: int) -> None:
    with subtest("three pods start at once"):
        for name, machine in PODS.items():
            machine.succeed(f"systemctl start --no-block agent-{name}.service")
        eventually(lambda: holders(ticket), "nobody took it")
        (winner,) = holders(ticket)

    with subtest("two of them find nothing to do"):
        for name in set(PODS) - {winner}:
            wait_for_rest(name)
            assert PODS[name].get_unit_property(f"agent-{name}.service", "Result") == "success"
        assert holders(ticket) == [winner]

    with subtest("one claim, one commit"):
        let_go(winner, ticket)
        eventually(lambda: done(ticket), "the ticket was not done")
        assert said(ticket, "Claimed by pod") == 1
        assert said(ticket, f"Claimed by pod `{winner}`") == 1
        assert len(messages(ticket)) == 1
        wait_for_rest(winner)


for attempt in ("first", "second"):
    race(add(f"Only one may have it, {attempt} time", files={"work/race": "by {run}"}, gate=True))
