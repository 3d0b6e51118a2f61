"""Pure: what a coding model's program left behind, judged. The result document is Claude Code's (claude-cli.md, 3, 4).

`subtype` is `success` for every API error, texts differ between versions, and exit 0 without a document happens. So the
order is: limits of ours, the document, `subtype`, the HTTP status, and only then words.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from agent.errors import PodTrouble, TicketFailure
from agent.programs.runner import Ended, Finished
from agent.texts.clean import clean
from agent.texts.evidence import Redact, last_words
from agent.texts.markup import spoken

Verdict = Literal["done", "already_done", "stuck"]
LONGEST: Final = 4_000
"""Characters of a model's own words that go on a ticket."""
_TROUBLE: Final = (401, 402, 403, 404, 408, 409, 429)
_SERVER: Final = 500
_FINAL: Final = re.compile(r"prompt is too long|output token maximum", re.IGNORECASE)
_CREDIT: Final = re.compile(r"credit balance", re.IGNORECASE)
_LIMITS: Final = {
    "error_max_turns": "the model reached its limit of turns",
    "error_max_budget_usd": "the model reached its limit of money",
    "error_max_structured_output_retries": "the model never gave its verdict in the form that was asked for",
    "error_during_execution": "the model was interrupted",
}


class ModelTrouble(PodTrouble):
    """The model cannot be asked now: its API, the account or the way there."""


class ModelResult(Struct, frozen=True, kw_only=True):
    """A run that reached a verdict.

    `input_tokens` counts what was read from and written to the cache too. `duration_s` is in seconds, `cost_usd` in
    dollars by the program's own price table.
    """

    verdict: Verdict
    summary: str = ""
    question: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
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


def judge(done: Finished, *, redact: Redact) -> ModelResult:
    """The verdict of a run.

    Args:
        done: the process that is over.
        redact: takes out of the model's words what must not be shown.

    Raises:
        ModelTrouble: the model could not be asked; not the ticket's fault.
        TicketFailure: anything else without a verdict; with the last lines of output.
    """
    evidence = last_words(done.stdout, done.stderr, redact=redact)
    if done.ended is not Ended.COMPLETED:
        raise TicketFailure(_over(done), evidence=evidence)
    document = _read(done.stdout)
    if document is None:
        raise TicketFailure(
            f"the model's program ended with exit code {done.returncode} and without a result", evidence=evidence
        )
    if document.is_error:
        _raise(document, _fit(_words(document), redact))
    if done.returncode != 0:
        raise TicketFailure(f"the model's program ended with exit code {done.returncode}", evidence=evidence)
    if document.num_turns == 0:
        raise TicketFailure("the model was never asked", evidence=_fit(_words(document), redact))
    answer = document.structured_output
    if answer is None:
        raise TicketFailure("the model returned no verdict", evidence=_fit(_words(document), redact))
    return _result(document, answer, done, redact)


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
            return msgspec.json.decode(candidate, type=_Document)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
    return None


def _words(document: _Document) -> str:
    return document.result or "\n".join(str(error) for error in document.errors or ())


def _fit(text: str, redact: Redact) -> str:
    return redact(clean(text)).strip()[:LONGEST]


def _raise(document: _Document, words: str) -> None:
    if reason := _LIMITS.get(document.subtype):
        raise TicketFailure(reason, evidence=words)
    status = document.api_error_status
    if status is not None and (status in _TROUBLE or status >= _SERVER):
        raise ModelTrouble(f"the model's API answered {status}")
    if _CREDIT.search(words):
        raise ModelTrouble(f"the model's API answered {status or 'no'}: the credit balance is too low")
    if document.stop_reason == "refusal":
        raise TicketFailure("the model refused the task", evidence=words)
    if document.terminal_reason == "prompt_too_long" or status == 413 or _FINAL.search(words):  # noqa: PLR2004 - HTTP
        raise TicketFailure("the task does not fit into the model", evidence=words)
    if status is not None:
        raise TicketFailure(f"the model's API refused the request with {status}", evidence=words)
    if document.subtype != "success":
        raise TicketFailure("the model's program failed", evidence=words)
    raise ModelTrouble("the model's API could not be used")


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
        cost_usd=max(0.0, document.total_cost_usd or 0.0),
        duration_s=max(0.0, (document.duration_ms or 0.0) / 1000) or done.duration,
    )
