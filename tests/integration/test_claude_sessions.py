"""The real Claude Code, both versions, interrupted and run again: its session goes on, or begins anew, once."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.demo.messages_api import MessagesApi
from agent.demo.turns import Refusal, Trouble, Turn, by_answers, call, in_order, prompt_of, verdict
from agent.errors import TicketFailure
from agent.programs.claude import FRESH, RESUMED, transcripts
from agent.programs.runner import Finished, Job
from agent.programs.survivors import marked
from agent.programs.verdict import ModelResult, ModelTrouble
from support.claude_cli import PROMPT, Recording, Session, claude_cli, session

__all__ = ["claude_cli", "session"]

FIRST = call("Bash", command="echo half > half.txt; echo step $((40 + 2))")
DONE = "step 42"
"""What the first call gives back; a call without its result is not part of what goes on."""
HANGS = call("Bash", command="touch hangs; while :; do sleep 0.1; done")


def how(session: Session) -> list[str]:
    """Whether each start of the program was to begin or to resume the session."""
    return [next(one for one in job.argv if one in ("--session-id", "--resume")) for job, _ in session.runner.ran]


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


def recorded(session: Session, text: str) -> bool:
    """Whether this is in the transcript; 197 writes it a moment after the event, and a kill loses what is not written."""
    return any(text in one.read_text() for one in transcripts(session.home, session.run_id))


async def killed(session: Session, with_: signal.Signals, *, while_: Callable[[], bool]) -> None:
    task = asyncio.create_task(session.run())
    await until(lambda: while_() and recorded(session, DONE))
    os.kill(program(session), with_)
    with pytest.raises(TicketFailure, match="without a result"):
        await task
    assert marked(session.run_id) == []


async def again(session: Session, *turns: Turn) -> tuple[ModelResult, MessagesApi]:
    api = session.api(in_order(*(turns or (verdict("done", "Went on."),))))
    return await session.run("Now make it say hello."), api


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_run_that_was_killed_in_a_command_goes_on(session: Session, number: signal.Signals) -> None:
    first = session.api(by_answers(FIRST, HANGS))
    await killed(session, number, while_=(session.tree / "hangs").exists)
    assert len(first.seen) == 2
    result, api = await again(session)
    assert (result.verdict, result.summary) == ("done", "Went on.")
    assert how(session) == ["--session-id", "--resume"]
    prompt = prompt_of(api.seen[0].body)
    assert RESUMED.strip() in prompt
    assert "Now make it say hello." in prompt
    said = json.dumps(api.seen[0].body["messages"])
    assert PROMPT in said  # it knows what it did
    assert DONE in said
    assert (session.tree / "half.txt").exists()
    assert len(api.seen) == 1


async def test_a_run_that_was_killed_while_the_api_was_silent_goes_on(session: Session) -> None:
    first = session.api(by_answers(FIRST, Trouble.SILENT))
    await killed(session, signal.SIGKILL, while_=lambda: len(first.seen) == 2)
    _, api = await again(session)
    assert how(session) == ["--session-id", "--resume"]
    assert DONE in json.dumps(api.seen[0].body["messages"])


async def test_a_run_that_was_killed_before_anything_was_written_begins_anew(session: Session) -> None:
    session.api(in_order(Trouble.SILENT))
    task = asyncio.create_task(session.run())
    await until(lambda: bool(marked(session.run_id)))
    for pid in marked(session.run_id):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(TicketFailure, match="without a result"):
        await task
    result, api = await again(session)
    assert (result.verdict, len(api.seen)) == ("done", 1)


async def test_a_run_whose_task_was_cancelled_leaves_nothing_running_and_goes_on(session: Session) -> None:
    session.api(by_answers(HANGS))
    task = asyncio.create_task(session.run())
    await until(lambda: recorded(session, "touch hangs"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert marked(session.run_id) == []
    result, api = await again(session)
    assert (result.verdict, len(api.seen)) == ("done", 1)
    assert RESUMED.strip() in prompt_of(api.seen[0].body)


async def test_a_run_that_the_api_ended_goes_on(session: Session) -> None:
    session.change(retries=0)
    session.api(by_answers(FIRST, Refusal(529, "overloaded_error")))
    with pytest.raises(ModelTrouble):
        await session.run()
    _, api = await again(session, FIRST, verdict("done"))
    assert how(session) == ["--session-id", "--resume"]
    assert DONE in json.dumps(api.seen[0].body["messages"])
    assert len(api.seen) == 2


async def test_a_run_that_reached_its_turns_can_go_on_with_as_many(session: Session) -> None:
    session.change(max_turns=2)
    session.api(in_order(FIRST))
    with pytest.raises(TicketFailure, match="turns"):
        await session.run()
    result, api = await again(session, FIRST, verdict("done"))
    assert (result.verdict, len(api.seen)) == ("done", 2)


@pytest.mark.parametrize("left", ["", "not JSON\n"])
async def test_a_session_that_cannot_be_read_begins_anew_once(session: Session, left: str) -> None:
    session.api(in_order(verdict("done")))
    await session.run()
    (transcript,) = transcripts(session.home, session.run_id)
    transcript.write_text(left)
    result, api = await again(session)
    assert result.verdict == "done"
    assert how(session) == ["--session-id", "--resume", "--session-id"]
    assert FRESH.strip() in prompt_of(api.seen[0].body)
    assert PROMPT not in json.dumps(api.seen[0].body["messages"])
    assert len(api.seen) == 1


async def test_a_session_of_another_folder_goes_on_or_begins_anew(session: Session, tmp_path: Path) -> None:
    session.api(in_order(verdict("done")))
    await session.run()
    session.tree = tmp_path / "moved"
    session.tree.mkdir()
    result, api = await again(session)
    assert (result.verdict, len(api.seen)) == ("done", 1)
    assert how(session)[1:] == (["--resume", "--session-id"] if session.old else ["--resume"])


class Late(Recording):
    """A session is put there between the look for its transcript and the start, as a hook can."""

    async def run(self, job: Job) -> Finished:
        if not self.ran:
            await super().run(job)
        return await super().run(job)


async def test_a_session_that_somebody_else_began_is_not_gone_on_with(session: Session) -> None:
    session.runner = Late()
    session.api(in_order(verdict("done")))
    with pytest.raises(
        TicketFailure, match=r"^the session of this run was there before it began: keep the `shellHook`"
    ):
        await session.run()
    assert how(session) == ["--session-id", "--session-id"]


async def test_runs_have_sessions_of_their_own(session: Session) -> None:
    session.api(in_order(verdict("done")))
    await session.run()
    session.run_id = "11111111-1111-4111-8111-111111111111"
    _, api = await again(session)
    assert how(session) == ["--session-id", "--session-id"]
    assert PROMPT not in json.dumps(api.seen[0].body["messages"])
