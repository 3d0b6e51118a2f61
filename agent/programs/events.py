"""Pure: what Claude Code writes while it works (`--output-format stream-json`), a JSON object a line, read for people.

The lines are of a program that may be killed in the middle of one, behind the output of a shell's hook, and full of what
a model and its tools said: nothing here trusts their form.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from agent.texts.bounded import LINE, Unreadable, from_json

Event: TypeAlias = Mapping[str, Any]
_SHOWN: Final = ("command", "file_path", "pattern", "verdict")
"""What of a tool's input says best what it was about; the rest may be whole files."""
_LONGEST: Final = 16 << 20
"""Bytes of one line."""
MOST: Final = 50_000
"""Lines of an output that are looked at, its last ones: 0.1 s of processor time for the worst. A run of a day writes fewer."""


def events(stdout: bytes) -> Iterator[Event]:
    """The events among the last lines of an output; one after the other, since all together may fill the memory."""
    start = _last_lines(stdout)
    while start < len(stdout):
        end = stdout.find(b"\n", start)
        end = len(stdout) if end < 0 else end
        if stdout.startswith(b"{", start):
            try:
                event = from_json(stdout[start:end], longest=_LONGEST)
            except Unreadable:
                event = None
            if isinstance(event, dict) and isinstance(event.get("type"), str):
                yield event
        start = end + 1


def began(stdout: bytes) -> bool:
    """Whether the program that writes events did start: one of it is there, or more lines than are looked at."""
    return _last_lines(stdout) > 0 or any(True for _ in events(stdout))


def _last_lines(stdout: bytes) -> int:
    """Where the last `MOST` lines begin."""
    if stdout.count(b"\n") <= MOST:
        return 0
    start = len(stdout)
    for _ in range(MOST + 1):
        start = stdout.rfind(b"\n", 0, start)
    return start + 1


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


def story(seen: Iterable[Event], longest: int) -> str:
    """The last that the model said, called and got back, as text of about `longest` characters."""
    told: deque[str] = deque()
    size = 0
    for event in seen:
        for line in _lines(event):
            told.append(line[-longest:])
            size += len(told[-1]) + 1
            while size - len(told[0]) > longest:
                size -= len(told.popleft()) + 1
    return "\n".join(told)


def _lines(event: Event) -> Iterator[str]:
    match event:
        case {"type": "system", "subtype": "api_retry", "attempt": int(attempt), "max_retries": int(most)}:
            status = event.get("error_status")
            yield f"[the API answered {status if isinstance(status, int) else 'nothing'}: repeat {attempt} of {most}]"
    for block in _blocks(event):
        match block:
            case {"type": "text", "text": str(text)} if event["type"] == "assistant":
                yield text
            case {"type": "tool_use", "name": str(name), "input": {**inputs}}:
                yield f"> {name} " + " ".join(_short(inputs[one]) for one in _SHOWN if one in inputs)
            case {"type": "tool_result", "content": content}:
                yield from _texts(content)


def _short(value: Any) -> str:
    return value[:LINE] if isinstance(value, str) else f"({type(value).__name__})"


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
