"""Pure: what a coding model's program left behind, judged. The result document is Claude Code's (claude-cli.md, 3, 4).

`subtype` is `success` for every API error, texts differ between versions, and exit 0 without a document happens. So the
order is: limits of ours, the document, `subtype`, the HTTP status, and only then words.

What keeps the model from being asked at all is the pod's trouble: an API that is down, silent, or will not know us, a
program that does not start. What the model did or did not do is the ticket's failure.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal, NoReturn

import msgspec
from msgspec import Struct

from agent.errors import PodTrouble, TicketFailure
from agent.programs.events import began, events, story, waits_for_the_api
from agent.programs.runner import Ended, Finished
from agent.texts.bounded import Search, Unreadable, from_json
from agent.texts.clean import clean
from agent.texts.evidence import Redact, last_words
from agent.texts.markup import one_line, spoken

Verdict = Literal["done", "already_done", "stuck"]
LONGEST: Final = 4_000
"""Characters of a model's own words that go on a ticket."""
_TOLD: Final = 256 * 1024
"""Characters of what the model said, called and got back that are searched for the last lines."""
_LARGEST: Final = 16 << 20
"""Bytes of a result document."""
_TROUBLE: Final = (401, 402, 403, 404, 408, 409, 429)
_SERVER: Final = 500
_FINAL: Final = Search(
    "verdict: a task that does not fit",
    r"prompt is too long|output token maximum",
    sees="what a model's program says",
    longest=LONGEST,
    flags=re.IGNORECASE,
)
_HINTS: Final = {
    401: ": the key is not accepted",
    402: ": the account has to pay first",
    403: ": the key does not allow this",
    404: ": there is no such model, or the address is wrong",
}
_CREDIT: Final = Search(
    "verdict: no money", r"credit balance", sees="what a model's program says", longest=LONGEST, flags=re.IGNORECASE
)
_SIGNAL: Final = 128
"""Above it, and below 0, an exit code is a signal's: whoever sent it, it may have been a process of the sandbox."""
_NOT_FOUND: Final = (126, 127)
_NOT_INSIDE: Final = (
    "; a script's interpreter must be inside the sandbox too: set `model.program` to the program itself, or name the "
    "folder of what it needs in `sandbox.readable`"
)
_LIMITS: Final = {
    "error_max_turns": "the model reached its limit of turns",
    "error_max_budget_usd": "the model reached its limit of money",
    "error_max_structured_output_retries": "the model never gave its verdict in the form that was asked for",
    "error_during_execution": "the model was interrupted",
}


class ModelTrouble(PodTrouble):
    """The model cannot be asked now: its API, the account or the way there."""


class Silence(ModelTrouble):
    """The model's program was silent while it seemed to wait for the API."""


class ModelResult(Struct, frozen=True, kw_only=True):
    """A run that reached a verdict.

    `input_tokens` counts what was read from and written to the cache too. `turns` is the program's own count. `duration_s`
    is in seconds, `cost_usd` in dollars by the program's own price table.
    """

    verdict: Verdict
    summary: str = ""
    question: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    turns: int = 0
    cost_usd: float = 0.0
    duration_s: float = 0.0


class _Usage(Struct, frozen=True):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class _Answer(Struct, frozen=True):
    verdict: str = ""
    summary: str | None = None
    question: str | None = None


class _Document(Struct, frozen=True, kw_only=True):
    type: Literal["result"]
    subtype: str
    is_error: bool
    result: str | None = None
    errors: list[Any] | None = None
    structured_output: _Answer | None = None
    api_error_status: int | None = None
    terminal_reason: str | None = None
    stop_reason: str | None = None
    num_turns: int | None = None
    duration_ms: float | None = None
    total_cost_usd: float | None = None
    usage: _Usage | None = None


def judge(done: Finished, *, redact: Redact, streams: bool = False, refused: str = "") -> ModelResult:
    """The verdict of a run.

    Args:
        done: the process that is over.
        redact: takes out of the model's words what must not be shown.
        streams: the program writes an event as soon as it has started, so one without any did not start.
        refused: why we let the model's API refuse it, for people; empty if we did not.

    Raises:
        ModelTrouble: the model could not be asked; not the ticket's fault.
        TicketFailure: anything else without a verdict; with the last lines of output.
    """
    started = not streams or began(done.stdout)
    told = story(events(done.stdout), _TOLD).encode("utf-8", "replace") if streams and started else done.stdout
    evidence = last_words(told, done.stderr, redact=redact)
    if done.ended is Ended.IDLE and waits_for_the_api(events(done.stdout)):
        raise Silence(f"the model's API fell silent, and the run was stopped after {spoken(done.duration)}")
    if done.ended is not Ended.COMPLETED:
        raise TicketFailure(_over(done), evidence=evidence)
    document = _read(done.stdout)
    if document is None:
        raise _unread(done, evidence, redact, started=started)
    words = _fit(_words(document), redact)
    if not streams:
        evidence = words
    elif words not in evidence:
        evidence = last_words(told, words.encode("utf-8", "replace"), redact=redact)
    if document.is_error:
        _raise(document, words, evidence, refused)
    if done.returncode != 0:
        raise TicketFailure(f"the model's program ended with exit code {done.returncode}", evidence=evidence)
    if document.num_turns == 0:
        raise TicketFailure("the model was never asked", evidence=evidence)
    if document.structured_output is None:
        raise TicketFailure("the model returned no verdict", evidence=evidence)
    return _result(document, document.structured_output, done, redact)


def _unread(done: Finished, evidence: str, redact: Redact, *, started: bool) -> ModelTrouble | TicketFailure:
    if not started and 0 <= done.returncode <= _SIGNAL:
        said = last_words(done.stderr, redact=redact) or f"it ended with exit code {done.returncode} and said nothing"
        hint = _NOT_INSIDE if done.returncode in _NOT_FOUND else ""
        return ModelTrouble(f"the model's program did not start: {one_line(said)}{hint}")
    reason = f"the model's program ended with exit code {done.returncode} and without a result"
    return TicketFailure(reason, evidence=evidence)


def _over(done: Finished) -> str:
    return {
        Ended.TIMED_OUT: f"the model was not done after {spoken(done.duration)}",
        Ended.IDLE: f"the model fell silent and was stopped after {spoken(done.duration)}",
        Ended.OUTPUT: "the model's program wrote without end",
        Ended.LIMIT: f"the model {done.limit}",
    }[done.ended]


def _read(stdout: bytes) -> _Document | None:
    """The document: all of the output, or its last line."""
    text = stdout.strip()
    for candidate in (text, text.rpartition(b"\n")[2]):
        try:
            return from_json(candidate, _Document, longest=_LARGEST)
        except Unreadable:
            continue
    return None


def _words(document: _Document) -> str:
    return document.result or "\n".join(
        error if isinstance(error, str) else "an error" for error in document.errors or ()
    )


def _fit(text: str, redact: Redact) -> str:
    return redact(clean(text)).strip()[:LONGEST]


def _raise(document: _Document, words: str, evidence: str, refused: str) -> NoReturn:
    if refused:
        raise TicketFailure(refused, evidence=evidence)
    if reason := _LIMITS.get(document.subtype):
        raise TicketFailure(reason, evidence=evidence)
    status = document.api_error_status
    if status is not None and (status in _TROUBLE or status >= _SERVER):
        raise ModelTrouble(f"the model's API answered {status}{_HINTS.get(status, '')}")
    if _CREDIT.first(words):
        raise ModelTrouble(f"the model's API answered {status or 'no'}: the credit balance is too low")
    if document.stop_reason == "refusal":
        raise TicketFailure("the model refused the task", evidence=evidence)
    if document.terminal_reason == "prompt_too_long" or status == 413 or _FINAL.first(words):  # noqa: PLR2004 - HTTP
        raise TicketFailure("the task does not fit into the model", evidence=evidence)
    if status is not None:
        raise TicketFailure(f"the model's API refused the request with {status}", evidence=evidence)
    if document.subtype != "success":
        raise TicketFailure("the model's program failed", evidence=evidence)
    raise ModelTrouble(f"the model's API could not be used: {one_line(words) or 'no reason was given'}")


def _result(document: _Document, answer: _Answer, done: Finished, redact: Redact) -> ModelResult:
    summary, question = (_fit(text or "", redact) for text in (answer.summary, answer.question))
    try:
        verdict = msgspec.convert(answer.verdict, Verdict)
    except msgspec.ValidationError as error:
        raise TicketFailure("the model returned a verdict that is none", evidence=summary) from error
    usage = document.usage or _Usage()
    read = (usage.input_tokens, usage.cache_creation_input_tokens, usage.cache_read_input_tokens)
    return ModelResult(
        verdict=verdict,
        summary=summary,
        question=question,
        input_tokens=sum(max(0, count or 0) for count in read),
        output_tokens=max(0, usage.output_tokens or 0),
        turns=max(0, document.num_turns or 0),
        cost_usd=max(0.0, document.total_cost_usd or 0.0),
        duration_s=max(0.0, (document.duration_ms or 0.0) / 1000) or done.duration,
    )
