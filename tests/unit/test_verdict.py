"""The result document, judged; the recorded ones are of the real program (reference/claude-results, shortened)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import PodTrouble, TicketFailure
from agent.programs.events import MOST
from agent.programs.runner import Ended, Finished
from agent.programs.verdict import LONGEST, ModelResult, ModelTrouble, judge
from agent.texts.evidence import redactor

USAGE = {"input_tokens": 200, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 4, "output_tokens": 40}
DONE = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "result": '{"verdict":"done","summary":"Wrote hello.txt."}',
    "structured_output": {"verdict": "done", "summary": "Wrote hello.txt."},
    "api_error_status": None,
    "stop_reason": "tool_use",
    "session_id": "00000000-0000-4000-8000-000000000003",
    "num_turns": 3,
    "duration_ms": 2500,
    "total_cost_usd": 0.0008,
    "usage": {**USAGE, "server_tool_use": {"web_search_requests": 0}, "service_tier": "standard"},
    "modelUsage": {"claude-sonnet-5": {"inputTokens": 200}},
    "permission_denials": [],
    "queued_turn_count": 0,
}
ERROR = {
    "type": "result",
    "subtype": "success",
    "is_error": True,
    "num_turns": 1,
    "stop_reason": "stop_sequence",
    "result": "API Error",
}


def finished(document: Any, code: int = 0, **more: Any) -> Finished:
    text = document if isinstance(document, bytes) else json.dumps(document).encode() + b"\n"
    return Finished(code, stdout=text, **more)


def failure(document: Any, code: int = 1, **more: Any) -> TicketFailure:
    with pytest.raises(TicketFailure) as caught:
        judge(finished(document, code, **more), redact=redactor())
    return caught.value


def test_a_verdict_comes_back_with_what_it_cost() -> None:
    assert judge(finished(DONE), redact=redactor()) == ModelResult(
        verdict="done",
        summary="Wrote hello.txt.",
        input_tokens=234,
        output_tokens=40,
        turns=3,
        cost_usd=0.0008,
        duration_s=2.5,
    )


@pytest.mark.parametrize("verdict", ["done", "already_done", "stuck"])
def test_the_smallest_document_is_enough(verdict: str) -> None:
    small = {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "structured_output": {"verdict": verdict, "question": "Which file?"},
    }
    result = judge(finished(small, duration=1.5), redact=redactor())
    assert (result.verdict, result.question, result.duration_s) == (verdict, "Which file?", 1.5)


def test_a_document_behind_other_lines_is_found() -> None:
    assert (
        judge(finished(b"Working\xff...\n{}\n" + json.dumps(DONE).encode() + b"\n\n"), redact=redactor()).verdict
        == "done"
    )


@pytest.mark.parametrize("status", [401, 402, 403, 404, 408, 409, 429, 500, 502, 503, 529])
def test_the_apis_trouble_is_the_pods_and_names_the_status(status: int) -> None:
    with pytest.raises(ModelTrouble, match=f"^the model's API answered {status}(: |$)"):
        judge(finished({**ERROR, "api_error_status": status}, 1), redact=redactor())
    assert issubclass(ModelTrouble, PodTrouble)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"api_error_status": 400, "result": "Credit balance is too low"},
            "the model's API answered 400: the credit balance is too low",
        ),
        (
            {"api_error_status": None, "result": "Not logged in · Please run /login"},
            "the model's API could not be used: Not logged in · Please run /login",
        ),
        ({"result": "Request timed out"}, "the model's API could not be used: Request timed out"),
        ({"result": None}, "the model's API could not be used: no reason was given"),
        (
            {"api_error_status": None, "result": "Connection error."},
            "the model's API could not be used: Connection error.",
        ),
    ],
)
def test_trouble_without_a_telling_status_is_the_pods_too(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelTrouble) as caught:
        judge(finished({**ERROR, **change}, 1), redact=redactor())
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"subtype": "error_max_turns", "errors": ["Reached maximum number of turns (2)"]},
            "the model reached its limit of turns",
        ),
        (
            {"subtype": "error_max_budget_usd", "errors": ["Reached maximum budget ($0.1)"]},
            "the model reached its limit of money",
        ),
        (
            {"subtype": "error_max_structured_output_retries"},
            "the model never gave its verdict in the form that was asked for",
        ),
        ({"subtype": "error_during_execution", "errors": ["[ede_diagnostic]", 7]}, "the model was interrupted"),
        ({"subtype": "error_of_the_future"}, "the model's program failed"),
        ({"stop_reason": "refusal", "api_error_status": None}, "the model refused the task"),
        (
            {"api_error_status": 400, "result": "prompt is too long: 300000 tokens"},
            "the task does not fit into the model",
        ),
        ({"api_error_status": 413}, "the task does not fit into the model"),
        ({"terminal_reason": "prompt_too_long"}, "the task does not fit into the model"),
        (
            {"result": "Claude's response exceeded the 32000 output token maximum."},
            "the task does not fit into the model",
        ),
        ({"api_error_status": 400, "result": "messages: bad"}, "the model's API refused the request with 400"),
    ],
)
def test_what_the_model_could_not_do_is_the_tickets_failure(change: dict[str, Any], reason: str) -> None:
    assert failure({**ERROR, **change}).reason == reason


def test_success_without_a_verdict_is_none() -> None:
    without = {key: value for key, value in DONE.items() if key != "structured_output"}
    assert failure(without, 0).reason == "the model returned no verdict"
    assert (
        failure({**DONE, "structured_output": {"verdict": "finished"}}, 0).reason
        == "the model returned a verdict that is none"
    )
    assert failure({**DONE, "structured_output": {}}, 0).reason == "the model returned a verdict that is none"


def test_a_model_that_was_never_asked_has_no_verdict() -> None:
    assert failure({**DONE, "num_turns": 0, "result": "/help isn't available"}, 0).reason == "the model was never asked"


def test_a_verdict_with_a_bad_exit_code_does_not_count() -> None:
    assert failure(DONE, 3).reason == "the model's program ended with exit code 3"


@pytest.mark.parametrize(
    "stdout",
    [
        b"",
        b"\n",
        b"Done, all tests pass!\n",
        b"[]",
        b"null",
        b"{}",
        b'{"type":"result"}',
        b'[{"type":"result","subtype":"success","is_error":false}]',
        b'{"type":"result","subtype":"success","is_error":"false"}',
        b'{"type":"result","subtype":"success","is_error":false,"total_cost_usd":NaN}',
        b'{"type":"result","subtype":"success","is_error":false,"usage":[]}',
        b'{"type":"result","subtype":"success","is_error":false,"structured_output":"done"}',
        b'{"type":"result","subtype":"success","is_error":false,"num_turns":1e999}',
        b'{"type":"result","subtype":"succ\xffess","is_error":false}',
        b'{"type":"result","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"type":"result","subtype":"success","is_er',
    ],
    ids=lambda text: text[:40].decode("utf-8", "replace"),
)
def test_no_document_means_no_success_even_with_exit_code_0(stdout: bytes) -> None:
    found = failure(stdout, 0, stderr=b"warning: x\n")
    assert found.reason == "the model's program ended with exit code 0 and without a result"
    assert found.evidence.endswith("warning: x")


@pytest.mark.parametrize(
    ("ended", "seconds", "reason"),
    [
        (Ended.TIMED_OUT, 14400, "the model was not done after 4 h"),
        (Ended.TIMED_OUT, 5, "the model was not done after 5 s"),
        (Ended.IDLE, 900, "the model fell silent and was stopped after 15 min"),
        (Ended.OUTPUT, 9, "the model's program wrote without end"),
    ],
)
def test_a_run_that_was_stopped_fails_with_what_it_said(ended: Ended, seconds: float, reason: str) -> None:
    found = failure(DONE, 0, ended=ended, duration=seconds, stderr=b"last words\n")
    assert found.reason == reason
    assert "last words" in found.evidence


def test_a_models_words_are_cleaned_redacted_and_bounded() -> None:
    words = "a\0b\x1b[31m\ud800 correct horse ghp_abcdefghijkl " + "x" * 2 * LONGEST
    raw = json.dumps({**DONE, "structured_output": {"verdict": "stuck", "summary": words, "question": words}}).encode()
    raw = raw.replace(rb"\ud800", b"")
    result = judge(Finished(0, stdout=raw), redact=redactor(["correct horse"]))
    for text in (result.summary, result.question):
        assert text.startswith("ab [redacted] [redacted] xxx")
        assert len(text) == LONGEST


def test_negative_numbers_count_nothing() -> None:
    odd = {**DONE, "usage": dict.fromkeys(USAGE, -5), "total_cost_usd": -1, "duration_ms": -1, "num_turns": -1}
    result = judge(finished(odd, duration=2.0), redact=redactor())
    assert (result.input_tokens, result.output_tokens, result.cost_usd, result.duration_s) == (0, 0, 0.0, 2.0)


INIT = {"type": "system", "subtype": "init", "session_id": "x"}
SAYS = {"type": "assistant", "message": {"role": "assistant", "content": [{"type": "text", "text": "I look."}]}}
CALLS = {
    "type": "assistant",
    "message": {"content": [{"type": "tool_use", "id": "a", "name": "Bash", "input": {"command": "make test"}}]},
}
GETS = {
    "type": "user",
    "message": {"content": [{"type": "tool_result", "tool_use_id": "a", "content": "correct horse\n1 failed"}]},
}
GETS_BLOCKS = {
    "type": "user",
    "message": {
        "content": [{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "1 failed"}]}]
    },
}
REPEATS = {"type": "system", "subtype": "api_retry", "attempt": 1, "max_retries": 4, "error_status": 529}


def stream(*lines: Any) -> bytes:
    return b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)


def judged(*lines: Any, code: int = 0, refused: str = "", **more: Any) -> ModelResult:
    done = Finished(code, stdout=stream(*lines), **more)
    return judge(done, redact=redactor(["correct horse"]), streams=True, refused=refused)


def test_the_verdict_stands_in_the_last_line_of_a_stream() -> None:
    assert judged(b"hello from a shellHook\n", INIT, CALLS, GETS, DONE).verdict == "done"


@pytest.mark.parametrize("gets", [GETS, GETS_BLOCKS])
def test_the_evidence_of_a_stream_is_what_was_said_called_and_got_back(gets: Any) -> None:
    lines = (b"hook\n", INIT, REPEATS, SAYS, CALLS, gets)
    with pytest.raises(TicketFailure) as caught:
        judged(*lines, b'{"type":"assis', ended=Ended.TIMED_OUT, duration=60, stderr=b"a warning\n")
    told = ["[the API answered 529: repeat 1 of 4]", "I look.", "> Bash make test"]
    got = ["[redacted]", "1 failed"] if gets is GETS else ["1 failed"]
    assert caught.value.evidence.splitlines() == [*told, *got, "a warning"]


def test_an_error_is_told_behind_what_led_to_it() -> None:
    with pytest.raises(TicketFailure) as caught:
        judged(INIT, SAYS, {**ERROR, "subtype": "error_max_turns", "errors": ["Reached maximum (2)"]}, code=1)
    assert caught.value.evidence.splitlines() == ["I look.", "API Error"]


def test_of_a_stream_of_too_many_lines_the_last_are_told_and_it_is_the_tickets_failure() -> None:
    flood = b'{"type": "x"}\n'
    for ended, reason in ((Ended.IDLE, "fell silent"), (Ended.COMPLETED, "without a result")):
        with pytest.raises(TicketFailure, match=reason) as caught:
            judged(INIT, SAYS, flood * MOST, CALLS, GETS, ended=ended, duration=900)
        assert caught.value.evidence.splitlines() == ["> Bash make test", "[redacted]", "1 failed"]
        with pytest.raises(TicketFailure, match=reason):
            judged(flood * (MOST + 1), ended=ended, duration=900)


@pytest.mark.parametrize("lines", [(INIT,), (INIT, SAYS), (INIT, CALLS, GETS), (INIT, REPEATS)])
def test_silence_while_the_api_is_waited_for_is_the_pods_trouble(lines: tuple[Any, ...]) -> None:
    with pytest.raises(ModelTrouble, match=r"^the model's API fell silent, and the run was stopped after 15 min$"):
        judged(*lines, code=-15, ended=Ended.IDLE, duration=900)


@pytest.mark.parametrize("lines", [(), (b"hook\n",), (INIT, CALLS), (INIT, CALLS, GETS, {**CALLS, "id": 1}, CALLS)])
def test_silence_of_a_command_or_before_the_start_is_the_tickets_failure(lines: tuple[Any, ...]) -> None:
    with pytest.raises(TicketFailure, match="the model fell silent"):
        judged(*lines, code=-15, ended=Ended.IDLE, duration=900)


@pytest.mark.parametrize(
    ("code", "stderr", "said"),
    [
        (1, b"error: option '--permission-mode <mode>' argument 'yolo' is invalid.\n", "error: option '--permission-"),
        (1, b"Error: Session ID x is already in use.\n", "Error: Session ID x is already in use."),
        (1, b"EROFS: read-only file system, mkdir '/home/agent/.claude'\n", "EROFS: read-only"),
        (0, b"", "it ended with exit code 0 and said nothing"),
        (2, b"", "it ended with exit code 2 and said nothing"),
        (
            127,
            b"/usr/bin/env: 'node': No such file or directory\n",
            "/usr/bin/env: 'node': No such file or directory; a",
        ),
    ],
)
def test_a_program_that_never_began_is_the_pods_trouble(code: int, stderr: bytes, said: str) -> None:
    for stdout in ((), (b"hook\n",)):
        with pytest.raises(ModelTrouble) as caught:
            judged(*stdout, code=code, stderr=stderr)
        assert str(caught.value).startswith(f"the model's program did not start: {said}")


@pytest.mark.parametrize("code", [129, 132, 137, 140, 143, 192, -9, -11, -12, -15])
def test_one_that_was_ended_before_it_began_is_not(code: int) -> None:
    with pytest.raises(TicketFailure, match=f"ended with exit code {code} and without a result"):
        judged(code=code, stderr=b"panic: Illegal instruction\n")


def test_what_we_refused_ourselves_is_the_reason_and_not_the_status_that_said_so() -> None:
    spent = "the run's budget of $20.00 is spent"
    with pytest.raises(TicketFailure) as caught:
        judged(INIT, SAYS, {**ERROR, "api_error_status": 403}, code=1, refused=spent)
    assert caught.value.reason == spent
    assert caught.value.evidence.startswith("I look.")
    assert judged(INIT, DONE, refused=spent).verdict == "done"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted({*DONE, "errors", "terminal_reason"})), JSON), st.integers(-15, 255))
def test_a_hostile_document_is_judged_and_never_crashes(change: dict[str, Any], code: int) -> None:
    try:
        result = judge(finished({**DONE, **change}, code), redact=redactor())
    except (TicketFailure, ModelTrouble):
        return
    assert code == 0
    assert result.verdict in ("done", "already_done", "stuck")
    result.summary.encode()  # the board takes it: no half of a character is left


KINDS = st.sampled_from(["system", "assistant", "user", "result", "tool_use", "tool_result", "text"])
BLOCK = st.dictionaries(
    st.sampled_from(["id", "name", "input", "content", "text", "tool_use_id"]), JSON, max_size=4
).flatmap(lambda one: KINDS.map(lambda kind: {**one, "type": kind}))
EVENT = st.builds(
    lambda kind, message, more: {**more, "type": kind, "message": message},
    KINDS,
    JSON | st.fixed_dictionaries({"content": JSON | st.lists(BLOCK | JSON, max_size=3)}),
    st.dictionaries(st.sampled_from(["subtype", "attempt", "max_retries", "error_status"]), JSON),
)


@given(st.lists(EVENT | JSON, max_size=4), st.sampled_from(Ended), st.integers(-15, 255))
def test_a_hostile_stream_is_judged_and_never_crashes(lines: list[Any], ended: Ended, code: int) -> None:
    with pytest.raises((TicketFailure, ModelTrouble)) as caught:
        judged(*lines, code=code, ended=ended)
    str(caught.value).encode()


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_are_judged_and_never_crash(stdout: bytes, stderr: bytes) -> None:
    assert failure(stdout, 0, stderr=stderr).reason
