"""Pure: what Claude Code writes while it works (`--output-format stream-json`), a JSON object a line, read for people.

The lines are of a program that may be killed in the middle of one, behind the output of a shell's hook, and full of what
a model and its tools said: nothing here trusts their form.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import msgspec

Event: TypeAlias = Mapping[str, Any]
_SHOWN: Final = ("command", "file_path", "pattern", "verdict")
"""What of a tool's input says best what it was about; the rest may be whole files."""


def events(stdout: bytes) -> list[Event]:
    """The events among the lines of an output."""
    found: list[Event] = []
    for line in stdout.splitlines():
        if line.startswith(b"{"):
            try:
                event = msgspec.json.decode(line)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                continue
            if isinstance(event, dict) and isinstance(event.get("type"), str):
                found.append(event)
    return found


def waits_for_the_api(seen: Iterable[Event]) -> bool:
    """Whether the program had begun and no tool was at work: what was silent then was the API."""
    open_calls: set[str] = set()
    began = False
    for event in seen:
        began = began or event["type"] == "system"
        for block in _blocks(event):
            match block:
                case {"type": "tool_use", "id": str(name)}:
                    open_calls.add(name)
                case {"type": "tool_result", "tool_use_id": str(name)}:
                    open_calls.discard(name)
    return began and not open_calls


def story(seen: Iterable[Event]) -> str:
    """What the model said, called and got back, as text."""
    return "\n".join(line for event in seen for line in _lines(event))


def _lines(event: Event) -> Iterator[str]:
    match event:
        case {"type": "system", "subtype": "api_retry", "attempt": attempt, "max_retries": most}:
            yield f"[the API answered {event.get('error_status') or 'nothing'}: repeat {attempt} of {most}]"
    for block in _blocks(event):
        match block:
            case {"type": "text", "text": str(text)} if event["type"] == "assistant":
                yield text
            case {"type": "tool_use", "name": str(name), "input": {**inputs}}:
                yield f"> {name} " + " ".join(str(inputs[one]) for one in _SHOWN if one in inputs)
            case {"type": "tool_result", "content": content}:
                yield from _texts(content)


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        yield from (one["text"] for one in content if isinstance(one, dict) and isinstance(one.get("text"), str))


def _blocks(event: Event) -> list[Any]:
    match event:
        case {"type": "assistant" | "user", "message": {"content": [*blocks]}}:
            return blocks
    return []
