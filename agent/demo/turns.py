"""What a scripted Messages API says: turns, and the scripts that choose them by what was asked."""

from __future__ import annotations

import enum
import itertools
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from msgspec import Struct

Body: TypeAlias = Mapping[str, Any]


class Call(Struct, frozen=True):
    """A tool that the model calls."""

    tool: str
    input: Mapping[str, Any]


class Answer(Struct, frozen=True, kw_only=True):
    """The model says something, calls tools, or both. Without a `stop_reason` it is the ordinary one."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    stop_reason: str = ""
    input_tokens: int = 100
    output_tokens: int = 20

    def content(self) -> list[dict[str, Any]]:
        """Its content blocks. A session drops a tool call whose id it has seen, so no id comes twice."""
        text = [{"type": "text", "text": self.text}] if self.text or not self.calls else []
        calls = [
            {"type": "tool_use", "id": f"toolu_{secrets.token_hex(8)}", "name": one.tool, "input": dict(one.input)}
            for one in self.calls
        ]
        return [*text, *calls]


class Refusal(Struct, frozen=True):
    """An HTTP error, as the API words it; with `inside` it comes as an event in a stream that began well."""

    status: int
    kind: str = "api_error"
    message: str = "scripted"
    headers: Mapping[str, str] = {}
    inside: bool = False


class Trouble(enum.Enum):
    """An API that misbehaves."""

    SILENT = "no headers, for as long as the server lives"
    DROPPED = "the connection is closed without an answer"
    STALLED = "a stream that begins, and then nothing for as long as the server lives"
    CUT = "a stream that ends in its middle"
    NONSENSE = "status 200, and no message"


Turn: TypeAlias = Answer | Refusal | Trouble
Script: TypeAlias = Callable[[Body], Turn]


class Seen(Struct, frozen=True):
    """A request: its headers by lower-case name, its body read."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Body

    def results(self) -> list[str]:
        """What the tools said that the model called last; errors too."""
        return [_text(one.get("content", "")) for one in _blocks(self.body["messages"][-1]) if "tool_use_id" in one]


# -- scripts -----------------------------------------------------------------------------------------------------------


def in_order(*turns: Turn) -> Script:
    """Each request takes the next turn; the last one repeats."""
    left = itertools.chain(turns, itertools.repeat(turns[-1]))
    lock = threading.Lock()

    def script(_body: Body) -> Turn:
        with lock:
            return next(left)

    return script


def by_answers(*turns: Turn) -> Script:
    """By how often the model has answered since the last prompt, so that a repeated request gets the same turn."""
    return lambda body: turns[min(answered(body), len(turns) - 1)]


def call(tool: str, **inputs: Any) -> Answer:
    """One tool call."""
    return Answer(calls=(Call(tool, inputs),))


def verdict(name: str, summary: str = "Scripted.", **more: str) -> Answer:
    """How a run ends."""
    return call("StructuredOutput", verdict=name, summary=summary, **more)


def prompt_of(body: Body, containing: str = "") -> str:
    """The last message of the user that is a prompt, not the result of a tool."""
    return next((text for text, _ in _prompts(body, containing)), "")


def answered(body: Body, containing: str = "") -> int:
    """How often the model has answered since that prompt."""
    return next((answers for _, answers in _prompts(body, containing)), 0)


def _prompts(body: Body, containing: str) -> Iterator[tuple[str, int]]:
    """Each prompt from the last one back, and how many answers stand behind it."""
    answers = 0
    for message in reversed(body["messages"]):
        answers += message["role"] == "assistant"
        if message["role"] == "user" and not any("tool_use_id" in one for one in _blocks(message)):
            text = _text(message["content"])
            if containing in text:
                yield text, answers


def _blocks(message: Body) -> list[dict[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _text(content: Any) -> str:
    return "\n".join(one.get("text", "") for one in _blocks({"content": content}))
