"""The real Claude Code, both versions, when the API errs or a limit is reached: whose failure it is, and what was asked."""

from typing import Any

import pytest

from agent.demo.turns import Answer, Refusal, Trouble, Turn, by_answers, call, in_order, verdict
from agent.errors import TicketFailure
from agent.programs.verdict import ModelTrouble
from support.claude_cli import Session, claude_cli, in_proof, session

__all__ = ["claude_cli", "session"]


@pytest.mark.parametrize(
    ("turn", "said", "asked"),
    [
        (Refusal(401, "authentication_error", "invalid x-api-key"), "answered 401: the key is not accepted", 1),
        in_proof(Refusal(402, "billing_error", "pay"), "answered 402: the account has to pay first", 1),
        in_proof(Refusal(403, "permission_error", "no"), "answered 403: the key does not allow this", 1),
        (Refusal(404, "not_found_error", "model: x"), "answered 404: there is no such model", 2),
        in_proof(
            Refusal(400, "invalid_request_error", "Your credit balance is too low to access"), "credit balance", 1
        ),
        in_proof(Refusal(429, "rate_limit_error", "slow", {"retry-after": "3600"}), "answered 429", 1),
        in_proof(Refusal(500), "answered 500", 1),
        in_proof(Refusal(529, "overloaded_error", "Overloaded"), "answered 529", 1),
        (Trouble.DROPPED, "could not be used", 1),
        in_proof(Trouble.NONSENSE, "could not be used", 2),
    ],
    ids=lambda one: str(getattr(one, "status", None) or getattr(one, "name", None) or one),
)
async def test_an_api_that_errs_is_the_pods_trouble(session: Session, turn: Turn, said: str, asked: int) -> None:
    session.change(retries=0)
    api = session.api(in_order(turn))
    with pytest.raises(ModelTrouble, match=said):
        await session.run()
    assert len(api.seen) == asked


@pytest.mark.parametrize(
    "turn", [Refusal(429, "rate_limit_error"), in_proof(Refusal(529, "overloaded_error"))], ids=str
)
async def test_a_passing_trouble_is_sat_out(session: Session, turn: Turn) -> None:
    api = session.api(in_order(turn, verdict("done")))
    assert (await session.run()).verdict == "done"
    assert len(api.seen) == 2


async def test_a_lasting_one_ends_after_as_many_repeats_as_were_allowed(session: Session) -> None:
    session.change(retries=1)
    api = session.api(in_order(Refusal(529, "overloaded_error")))
    with pytest.raises(ModelTrouble, match="answered 529"):
        await session.run()
    assert len(api.seen) == 2
    assert b'"api_retry"' in session.last.stdout  # a sign of life for the idle time


@pytest.mark.parametrize(
    "turn",
    [Trouble.CUT, in_proof(Refusal(529, "overloaded_error", "Overloaded", inside=True))],
    ids=["cut", "error inside"],
)
async def test_a_stream_that_breaks_is_asked_for_again(session: Session, turn: Turn) -> None:
    api = session.api(in_order(turn, verdict("done")))
    assert (await session.run()).verdict == "done"
    assert len(api.seen) == 2


@pytest.mark.parametrize(
    "turn",
    [in_proof(Trouble.CUT), Refusal(529, "overloaded_error", "Overloaded", inside=True)],
    ids=["cut", "error inside"],
)
async def test_streams_that_always_break_are_the_pods_trouble(session: Session, turn: Turn) -> None:
    session.change(retries=0)
    session.api(in_order(turn))
    with pytest.raises(ModelTrouble):
        await session.run()


async def test_nobody_at_the_socket_is_the_pods_trouble(session: Session, tmp_path: Any) -> None:
    session.change(retries=0, socket=tmp_path / "nobody")
    with pytest.raises(ModelTrouble, match="could not be used"):
        await session.run()


async def test_an_api_without_an_answer_is_given_up_by_the_program_and_is_the_pods_trouble(session: Session) -> None:
    session.change(retries=0)
    api = session.api(in_order(Trouble.SILENT))
    with pytest.raises(ModelTrouble, match=r"could not be used: .*[Tt]imed out"):
        await session.run(idle=8)
    assert session.last.duration < 8, "nobody ended it for its silence"
    assert len(api.seen) == 1


async def test_a_stream_that_stalls_is_ended_by_the_idle_time_and_is_the_pods_trouble(session: Session) -> None:
    api = session.api(by_answers(call("Bash", command="echo hello > hello.txt"), Trouble.STALLED))
    with pytest.raises(ModelTrouble, match="the model's API fell silent, and the run was stopped after"):
        await session.run(idle=2)
    assert (session.tree / "hello.txt").exists()
    assert len(api.seen) == 2


async def test_the_time_of_a_run_is_bounded_and_what_it_did_is_evidence(session: Session) -> None:
    loop = call("Bash", command="echo still at it; sleep 0.1")
    api = session.api(in_order(loop))
    with pytest.raises(TicketFailure, match="the model was not done after") as caught:
        await session.run(limit=2)
    assert "> Bash echo still at it; sleep 0.1\nstill at it" in caught.value.evidence
    assert len(api.seen) > 2


async def test_turns_are_bounded(session: Session) -> None:
    session.change(max_turns=2)
    api = session.api(in_order(call("Bash", command="true")))
    with pytest.raises(TicketFailure, match=r"^the model reached its limit of turns$"):
        await session.run()
    assert len(api.seen) == 2


async def test_money_is_bounded(session: Session) -> None:
    session.change(max_usd=0.1)
    costly = Answer(calls=call("Bash", command="true").calls, input_tokens=100_000, output_tokens=1_000)
    api = session.api(in_order(costly))
    with pytest.raises(TicketFailure, match=r"^the model reached its limit of money$"):
        await session.run()
    assert len(api.seen) == 1


async def test_a_relay_that_refuses_has_the_last_word(session: Session) -> None:
    reason = "the run's budget of $20.00 is spent"
    api = session.api(by_answers(call("Bash", command="echo half done"), Refusal(403, "permission_error", reason)))
    session.refused = reason
    with pytest.raises(TicketFailure) as caught:
        await session.run()
    assert caught.value.reason == reason
    assert "half done" in caught.value.evidence
    assert len(api.seen) == 2


async def test_a_refusal_of_the_relay_for_others_does_not_undo_a_verdict(session: Session) -> None:
    session.api(in_order(verdict("done")))
    session.refused = "the run's budget of $20.00 is spent"
    assert (await session.run()).verdict == "done"


async def test_a_verdict_that_is_never_in_the_form_asked_for_is_none(session: Session) -> None:
    api = session.api(in_order(verdict("finished")))
    with pytest.raises(TicketFailure, match="never gave its verdict in the form"):
        await session.run()
    assert len(api.seen) == 5


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        (Answer(text="No.", stop_reason="refusal"), "the model refused the task"),
        (
            Refusal(400, "invalid_request_error", "prompt is too long: 300000 tokens > 200000 maximum"),
            "the task does not fit into the model",
        ),
        in_proof(Refusal(413, "request_too_large", "Request too large"), "the task does not fit into the model"),
        in_proof(
            Refusal(400, "invalid_request_error", "messages: bad"), "the model's API refused the request with 400"
        ),
        in_proof(Answer(text="…", stop_reason="max_tokens"), "the task does not fit into the model"),
    ],
    ids=["refusal", "too long", "too large", "bad request", "output limit"],
)
async def test_what_lies_in_the_task_is_the_tickets_failure(session: Session, turn: Turn, reason: str) -> None:
    session.change(retries=0)
    session.api(in_order(turn))
    with pytest.raises(TicketFailure) as caught:
        await session.run()
    assert caught.value.reason == reason
