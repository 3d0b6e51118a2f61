"""The real Claude Code through the relay, both versions: it works, it is counted, it stops, and it is the only one."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.demo.messages_api import serving
from agent.demo.turns import by_answers, call, verdict
from agent.errors import TicketFailure
from agent.relay import Budget, Prices, Relay
from support.claude_cli import PROMPT, Session, claude_cli, in_proof, session
from support.relay_world import KEY, PLENTY, PRICES

__all__ = ["claude_cli", "session"]


def relay_of(url: str, session: Session, folder: Path, budget: Budget = PLENTY, prices: Prices = PRICES) -> Relay:
    session.change(socket=folder / "relay.sock")
    return Relay(
        api=url,
        key=KEY,
        models=(session.options.model,),
        prices=prices,
        budget=budget,
        record=folder / "usage.json",
    )


def contents(folder: Path) -> list[bytes]:
    return [one.read_bytes() for one in folder.rglob("*") if one.is_file()]


async def test_it_works_is_counted_and_never_sees_the_key(
    session: Session, tmp_path: Path, measured: Callable[[str], None]
) -> None:
    script = by_answers(
        call("Write", file_path="hello.txt", content="hello\n"),
        call("Bash", command="env > env.txt; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline > proc.txt 2> /dev/null; cat hello.txt"),
        verdict("done"),
    )  # fmt: skip
    with serving(script) as api:
        relay = relay_of(api.url, session, tmp_path)
        async with relay.serving(session.options.socket):
            result = await session.run()
        assert (result.verdict, len(api.seen), api.others) == ("done", 3, [])
        assert {one.headers["x-api-key"] for one in api.seen} == {KEY}
    assert (relay.usage.turns, relay.usage.tokens, relay.usage.refused) == (3, 360, "")
    files = contents(tmp_path)
    assert len(files) > 4
    found = [one for one in files if KEY.encode() in one]
    measured(f"relay attacks: the key in a run's files, environments, transcripts: {len(files)} attempts / {len(found)} successes")  # fmt: skip
    assert found == []


async def test_a_nested_one_and_other_programs_are_refused_while_it_goes_on(
    session: Session, tmp_path: Path, measured: Callable[[str], None]
) -> None:
    socket, body = tmp_path / "relay.sock", json.dumps({"model": session.options.model})
    nested = shlex.join([session.options.program, "-p", "--model", session.options.model, "--setting-sources", ""])
    mine = f"CLAUDE_CODE_MAX_RETRIES=0 ANTHROPIC_API_KEY=x ANTHROPIC_BASE_URL=http://x ANTHROPIC_UNIX_SOCKET={socket}"
    curl = shlex.join(["curl", "-s", "--unix-socket", str(socket), "-d", body, "http://x/v1/messages"])
    script = by_answers(
        call("Bash", command=f"echo hi | env {mine} {nested}; {curl}; ({curl}) & wait; echo end"),
        verdict("done"),
    )
    with serving(script) as api:
        relay = relay_of(api.url, session, tmp_path)
        async with relay.serving(socket):
            result = await session.run()
        (told,) = api.seen[1].results()
        assert (result.verdict, len(api.seen)) == ("done", 2)
    refused = told.count("only the model's own process may ask the model")
    measured(f"relay attacks: a nested claude and curl from its Bash: 3 attempts / {len(api.seen) - 2} successes")
    assert refused == 3, told
    assert relay.usage.turns == 2


@pytest.mark.parametrize(
    "budget",
    [
        Budget(tokens=10**9, turns=2, usd=9),
        in_proof(Budget(tokens=240, turns=9, usd=9)),
        in_proof(Budget(tokens=10**9, turns=9, usd=0.001)),
    ],
)
async def test_a_spent_budget_ends_it_at_once_and_is_the_reason(
    session: Session, tmp_path: Path, budget: Budget
) -> None:
    with serving(by_answers(*(call("Bash", command=f"echo {n}") for n in range(20)))) as api:
        relay = relay_of(api.url, session, tmp_path, budget)
        async with relay.serving(session.options.socket):
            claude = session.claude()
            claude._refused = lambda: relay.usage.refused
            with pytest.raises(TicketFailure) as caught:
                await claude.run(PROMPT, cwd=session.tree, run=session.run_id, timeout=30, idle=20)
    assert str(caught.value) == relay.usage.refused
    assert relay.usage.refused.startswith("the run's budget of ")
    assert len(api.seen) == 2
    assert b'"result"' in session.last.stdout
    assert b"api_retry" not in session.last.stdout, "it repeats what it was refused"
