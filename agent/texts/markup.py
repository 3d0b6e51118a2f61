"""Text that others wrote in the shapes in which it stands in ours: one line, code, a fence, the last lines, sizes. Pure.

What `code` and `fence` return cannot end early. It is not yet fit to leave: that is `agent.texts.outlet`.
"""

from __future__ import annotations

from typing import Final

from agent.texts.clean import clean, visible

EVIDENCE_LINES: Final = 50
"""How many of the last lines of output a person gets to see."""

_LINE_WIDTH: Final = 500


def shortened(text: str, limit: int) -> str:
    """At most about `limit` characters: head and tail, and between them a note that says how much is missing."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = limit - head
    return f"{text[:head]}\n[… {len(text) - limit} characters left out here …]\n{text[len(text) - tail :]}"


def one_line(text: str, limit: int = 200) -> str:
    """A text of any shape as one line of at most `limit` characters."""
    line = " ".join(visible(text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def code(text: str) -> str:
    """A name as inline code, whatever backticks it holds."""
    name = " ".join(clean(text).split())
    ticks = "`" * (_longest_run(name) + 1)
    pad = " " if name.startswith("`") or name.endswith("`") or not name else ""
    return f"{ticks}{pad}{name}{pad}{ticks}"


def fence(text: str, language: str = "text") -> str:
    """Lines as a fenced block that its content cannot end."""
    body = clean(text).strip("\n")
    ticks = "`" * max(3, _longest_run(body) + 1)
    return f"{ticks}{language}\n{body}\n{ticks}"


def last_lines(text: str, count: int = EVIDENCE_LINES) -> str:
    """The end of some output: that many lines, none of them endless."""
    lines = clean(text).rstrip().split("\n")[-count:]
    return "\n".join(line if len(line) <= _LINE_WIDTH else line[: _LINE_WIDTH - 1] + "…" for line in lines)


def spoken(seconds: float) -> str:
    """A duration for people: `4 h 30 min`, `12 min`, `8 s`."""
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if whole < 60:  # noqa: PLR2004 - a minute
        return f"{whole} s"
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "") if part)


def _longest_run(text: str) -> int:
    """How many backticks stand together at most."""
    least, most = 0, 1
    while "`" * most in text:
        least, most = most, 2 * most
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if "`" * middle in text else (least, middle)
    return least
