"""The real Claude Code, both versions, interrupted and run again: what goes on is the worktree, and no conversation."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.demo.turns import Refusal, Trouble, Turn, by_answers, call, in_order, prompt_of, verdict
from agent.errors import TicketFailure
from agent.programs.claude import FRESH
from agent.programs.survivors import marked
from agent.programs.verdict import ModelTrouble
from support.claude_cli import PROMPT, Session, claude_cli, session

__all__ = ["claude_cli", "session"]

FIRST = call("Bash", command="echo half > half.txt; echo step $((40 + 2))")
HANGS = call("Bash", command="touch hangs; while :; do sleep 0.1; done")
AGAIN = "Now make it say hello."


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not happened():  # noqa: ASYNC110 - another process makes it so
            await asyncio.sleep(0.02)


def program(session: Session) -> int:
    """The program's own process, of all that carry the run's mark."""
    for pid in marked(session.run_id):
        if Path(f"/proc/{pid}/exe").samefile(session.options.program):
            return pid
    raise AssertionError("it does not run")


async def begins_anew(session: Session) -> None:
    """Another try, which is told its task and nothing else."""
    api = session.api(in_order(verdict("done", "Went on.")))
    result = await session.run(AGAIN)
    assert (result.verdict, result.summary, len(api.seen)) == ("done", "Went on.", 1)
    assert prompt_of(api.seen[0].body).endswith(FRESH + AGAIN)
    said = json.dumps(api.seen[0].body["messages"])
    assert (PROMPT in said, "step 42" in said) == (False, False)


@pytest.mark.parametrize(
    ("last", "number"),
    [
        pytest.param(HANGS, signal.SIGKILL, id="killed in a command"),
        pytest.param(Trouble.SILENT, signal.SIGTERM, id="terminated while the API is silent"),
        pytest.param(HANGS, signal.SIGTERM, id="terminated in a command", marks=pytest.mark.proof),
        pytest.param(Trouble.SILENT, signal.SIGKILL, id="killed while the API is silent", marks=pytest.mark.proof),
    ],
)
async def test_a_try_that_was_killed_is_followed_by_one_on_its_files(
    session: Session, last: Turn, number: signal.Signals
) -> None:
    first = session.api(by_answers(FIRST, last))
    task = asyncio.create_task(session.run())
    await until((session.tree / "hangs").exists if last is HANGS else lambda: len(first.seen) == 2)
    os.kill(program(session), number)
    with pytest.raises(TicketFailure, match="without a result"):
        await task
    assert marked(session.run_id) == []
    await begins_anew(session)
    assert (session.tree / "half.txt").read_text() == "half\n"


async def test_a_try_whose_task_was_cancelled_leaves_nothing_running(session: Session) -> None:
    session.api(by_answers(FIRST, HANGS))
    task = asyncio.create_task(session.run())
    await until((session.tree / "hangs").exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert marked(session.run_id) == []
    await begins_anew(session)


async def test_a_try_that_the_api_ended_is_followed_by_another(session: Session) -> None:
    session.change(retries=0)
    session.api(by_answers(FIRST, Refusal(529, "overloaded_error")))
    with pytest.raises(ModelTrouble):
        await session.run()
    await begins_anew(session)


async def test_a_try_that_reached_its_turns_is_followed_by_one_with_as_many(session: Session) -> None:
    session.change(max_turns=1)
    session.api(in_order(FIRST))
    with pytest.raises(TicketFailure, match="turns"):
        await session.run()
    await begins_anew(session)


async def test_it_keeps_no_transcript(session: Session) -> None:
    session.api(by_answers(FIRST, verdict("done")))
    await session.run()
    assert [one for one in session.home.rglob("*.jsonl") if one.is_file()] == []
