"""Markdown as far as a board shows it: without HTML comments and their like. Pure.

What stands in code is shown, so it stays; but only where code is plain to see: a fence at the beginning of a line, or backticks
that open and close in one line. Whatever may make something else of it (HTML, a fence in a list, a backtick left open, a
table) ends that, and what looks hidden is left out from there on, code or not. What is left out is counted in its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from agent.texts.bounded import Every

_ENDS: Final = {"<!--": "-->", "<![CDATA[": "]]>", "<!": ">", "<?": "?>"}
_CONTAINERS: Final = " \t>*+-.)0123456789"
"""What may stand before a block in a quotation or a list."""
_FENCES: Final = ("```", "~~~")
_INDENT: Final = 3
"""Spaces before the end of a fence, at most."""
_MARKS: Final = Every("shown: what may begin code or HTML", r"`++|<(?=[!?/a-zA-Z])", sees="a text for a prompt")


def shown(text: str, longest: int) -> str:
    """The text without what no reader of the board sees of it.

    Args:
        text: clean.
        longest: how many characters are looked at; what is beyond is left out, where there is anything of the kind.
    """
    if not any(begin in text for begin in _ENDS):
        return text
    said = "\n".join(_Reader(text[:longest]).lines())
    return f"{said}\n[… {len(text) - longest} characters left out here …]" if len(text) > longest else said


def _note(count: int) -> str:
    return f"[… {count} characters that the board does not show …]"


class _Reader:
    """Goes through a text line by line, once."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._at = 0
        self._fence = ""
        self._end = ""
        """What ends that which is hidden now; empty if nothing is."""
        self._hidden = 0
        self._trusts = True
        """Whether a fence is one, and nothing hidden goes on behind an empty line unless it began a line."""
        self._balanced = True
        """Whether every backtick of this block, so far, was closed in its line."""
        self._ahead: dict[str, int] = {}
        """The last line of this block that holds an end."""

    def lines(self) -> Iterator[str]:
        """The lines that are left."""
        for number, line in enumerate(self._lines):
            self._at = number
            if self._end:
                if (left := self._over(line)) is not None:
                    yield left
            elif self._fence:
                yield self._fenced(line)
            elif not line.strip(" \t"):
                self._balanced, self._ahead = True, {}
                yield line
            else:
                yield self._line(line)
        if self._hidden:
            yield _note(self._hidden)

    def _over(self, line: str) -> str | None:
        """What follows of a line in which something hidden ends; None where it goes on."""
        at = line.find(self._end)
        if at < 0:
            self._hidden += len(line) + 1
            return None
        stop = at + len(self._end)
        note = _note(self._hidden + stop + 1)
        self._end, self._hidden, self._balanced = "", 0, False
        return note + self._rest(line[stop:], raw=True)

    def _fenced(self, line: str) -> str:
        ends = line.strip(" \t")
        indent = len(line) - len(line.lstrip(" "))
        if len(ends) >= len(self._fence) and not ends.strip(self._fence[0]) and indent <= _INDENT:
            self._fence, self._balanced, self._ahead = "", False, {}
        return line

    def _line(self, line: str) -> str:
        bare = line.lstrip(_CONTAINERS)
        begins = bare.startswith(_FENCES)
        if begins:
            self._ahead = {}
            size = len(bare) - len(bare.lstrip(bare[0]))
            if bare == line and self._trusts and "`" not in bare[size:]:
                self._fence = line[:size]
                return line
            self._trusts = False
        self._trusts = self._trusts and not _begins_html(bare)
        if "|" in line or bare.startswith("["):
            self._balanced = False
        return self._rest(line, raw=not self._trusts)

    def _rest(self, line: str, *, raw: bool) -> str:
        """The line without what is hidden in it.

        Args:
            line: a line, or what is left of one.
            raw: it is HTML, so what is hidden goes on until it ends; in running text only within the block.
        """
        pieces, kept, at, absent = [], 0, 0, set[str]()
        marks = [*_MARKS.all(line)]
        for number, mark in enumerate(marks):
            start = mark.start()
            if start < at:
                continue
            if mark[0] != "<":
                at = self._past(line, marks, number)
                continue
            begin = next((one for one in _ENDS if line.startswith(one, start)), "")
            if not begin:
                self._balanced = False
                continue
            first = not line[:start].lstrip(_CONTAINERS)
            raw, end = raw or first, _ENDS[begin]
            stop = -1 if end in absent else line.find(end, start + len(begin))
            if stop >= 0:
                at = stop + len(end)
                pieces += [line[kept:start], _note(at - start)]
                kept = at
                continue
            absent.add(end)
            if raw or self._goes_on(end):
                self._trusts = self._trusts and not (first and start)
                self._end, self._hidden = end, len(line) - start
                return "".join((*pieces, line[kept:start]))
        return "".join((*pieces, line[kept:]))

    def _past(self, line: str, marks: Sequence[re.Match[str]], number: int) -> int:
        """Where to go on from a run of backticks: behind the code that it begins, if it is surely code."""
        run = marks[number]
        escaped = run.start() > 0 and line[run.start() - 1] == "\\"
        closing = (marks[n].end() for n in range(number + 1, len(marks)) if marks[n][0] == run[0])
        stop = next(closing, 0) if self._balanced and not escaped else 0
        self._balanced = stop > 0
        return stop or run.end()

    def _goes_on(self, end: str) -> bool:
        """Whether what ends so does in a later line of this block: before an empty line, or a fence."""
        if end not in self._ahead:
            self._ahead[end] = -1
            for number in range(self._at + 1, len(self._lines)):
                line = self._lines[number]
                if not line.strip(" \t") or line.lstrip(_CONTAINERS).startswith(_FENCES):
                    break
                if end in line:
                    self._ahead[end] = number
        return self._ahead[end] > self._at


def _begins_html(line: str) -> bool:
    """Whether such a line may begin HTML that goes on: a tag, and no address in `<>`."""
    if not line.startswith("<"):
        return False
    name = line[1:].removeprefix("/")
    after = name.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
    return name[:1].isalpha() and after[:1] not in (":", "@", ".", "+")
