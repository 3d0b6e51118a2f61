"""Text that others wrote, made safe to stand in ours: Markdown fences, HTML comments, sizes.

Board texts, a model's summary and program output are written by strangers. The guarantees, each with a property test:
what `fence` and `quote` return is clean, cannot end early, and cannot open an HTML comment that swallows what follows
or forges one of our markers.
"""

from __future__ import annotations

import re
from typing import Final

from agent.texts.clean import clean

EVIDENCE_LINES: Final = 50
"""How many of the last lines of output a person gets to see."""

_LIVE_HTML: Final = re.compile(r"<(?=!--|/?mention)", re.IGNORECASE)
_BACKTICKS: Final = re.compile(r"`+")
_LINE_WIDTH: Final = 500


def shortened(text: str, limit: int) -> str:
    """At most about `limit` characters: head and tail, and between them a note that says how much is missing."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = limit - head
    return f"{text[:head]}\n[… {len(text) - limit} characters left out here …]\n{text[len(text) - tail :]}"


def one_line(text: str, limit: int = 200) -> str:
    """A text of any shape as one line of at most `limit` characters, without a way to open an HTML comment."""
    line = " ".join(_defused(clean(text)).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def code(text: str) -> str:
    """A name as inline code, whatever backticks it holds."""
    name = " ".join(clean(text).split())
    ticks = "`" * (_longest_run(name) + 1)
    pad = " " if name.startswith("`") or name.endswith("`") or not name else ""
    return f"{ticks}{pad}{name}{pad}{ticks}"


def link(text: str, url: str) -> str:
    """Inline code, as a link if there is somewhere to lead."""
    address = re.sub(r"[\s<>()\[\]\\]", lambda found: f"%{ord(found[0]):02x}", clean(url))
    return f"[{code(text)}]({address})" if address else code(text)


def fence(text: str) -> str:
    """Program output as a fenced block that its content cannot end."""
    body = clean(text).strip("\n")
    ticks = "`" * max(3, _longest_run(body) + 1)
    return f"{ticks}text\n{body}\n{ticks}"


def quote(text: str, limit: int = 8_000) -> str:
    """Markdown that others wrote, as a block quote: whatever it opens ends where the quote ends."""
    body = _defused(shortened(clean(text).strip(), limit))
    return "\n".join(f"> {line}".rstrip() for line in body.split("\n"))


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


def _defused(text: str) -> str:
    """A zero-width space takes the life out of HTML comments and OpenProject's mentions, in code spans too."""
    return _LIVE_HTML.sub("<\u200b", text)


def _longest_run(text: str) -> int:
    return max(map(len, _BACKTICKS.findall(text)), default=0)
