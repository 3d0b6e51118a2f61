"""Markdown of others, written anew with nothing in it that acts on its reader. Pure.

Safe by how it is made, not by a list of what is evil: the text is parsed with a parser that knows no link, no picture
and no HTML, and what it found (paragraphs, lists, emphasis, code, tables) is written anew. All else is text, in which every
character that could begin something is an entity; so a link, a picture or a tag is shown as it was written, and an address
is code. What a board or a forge reads out of plain text besides (mentions, macros, numbers of issues) is a `Dialect`: places
where a zero-width space parts what it looks for.

The cost is bounded: longer texts than `LONGEST` are cut, and one that is nested too deep is shown as it was written.
"""

from __future__ import annotations

import functools
import html
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from agent.texts import markup
from agent.texts.clean import visible

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token
    from markdown_it.tree import SyntaxTreeNode

LONGEST: Final = 8_000
"""Characters of one text: a twentieth of a second at worst."""
APART: Final = "\u200b"
"""Parts what would be read as one, and is not seen."""
_ROOM: Final = 4
"""How much more than is shown is looked at, for what is not seen in it."""
_DEEPEST: Final = 20
_CELLS: Final = 2_000
"""Cells of a table, as many as its widest line has for each of its lines; a text with more of them has no table."""
LANGUAGES: Final = frozenset({
    "bash", "c", "console", "cpp", "css", "diff", "go", "html", "ini", "java", "javascript", "js", "json", "kotlin", "lua", "make", "nix",
    "php", "py", "python", "ruby", "rust", "sh", "shell", "sql", "text", "toml", "ts", "typescript", "xml", "yaml", "yml",
})  # fmt: skip
"""What may stand behind a fence: some forges draw or fetch what others name (mermaid, geojson, plantuml)."""
_ENTITIES: Final = str.maketrans({sign: f"&#{ord(sign)};" for sign in "[\\`$|"} | {"<": "&lt;", "&": "&amp;"})
_EMPHASIS: Final = str.maketrans({"*": r"\*", "~": r"\~"})
_BEGINS: Final = "-+=#>:"
"""What begins a block, or is the line below a heading or a table's head."""
_ESCAPED: Final = (*_BEGINS, ".", ")", "*", "~", "_")
_ADDRESSES: Final = ("://", "www.", "mailto:", "data:", "javascript:", "vbscript:", "file:", "tel:", "xmpp:")
_ENDS: Final = frozenset("<>\"'`()[]{}|")
"""What ends an address, besides a space."""
_HOST: Final = frozenset(".-")
_SCHEME: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-")


class Dialect(Struct, frozen=True):
    """What an outlet reads out of plain text, and `APART` keeps it from.

    Attributes:
        words: are parted before their last character, in code too: for what looks at the text as it was written.
        macros: likewise, in running text alone.
        signs: are parted from a word behind them, in running text.
    """

    words: tuple[str, ...]
    macros: tuple[str, ...]
    signs: str

    def code(self, text: str) -> str:
        """Code, parted."""
        return _parted(text, self.words)

    def text(self, text: str) -> str:
        """Running text, parted."""
        whole = _parted(text, (*self.words, *self.macros))
        for sign in self.signs:
            whole = behind(whole, sign, APART)
        return whole


def block(text: str, dialect: Dialect, limit: int = LONGEST) -> str:
    """A whole text; what is too deep to be shown in full is fenced as it was written."""
    short = cut(text, min(limit, LONGEST))
    tokens = _parser(tables=_narrow(short)).parse(short)
    if any(token.level >= _DEEPEST - 1 for token in tokens):
        return fence(short, dialect)
    return "\n".join(_Writer(dialect).blocks(_tree(tokens)))


def inline(text: str, dialect: Dialect, limit: int = LONGEST) -> str:
    """One line: code and emphasis stay, everything else is text."""
    line = " ".join(visible(text[: _ROOM * limit]).split())
    short = line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
    return _Writer(dialect).line(_tree(_parser(tables=False).parseInline(short)))


def cut(text: str, limit: int) -> str:
    """Head and tail of what is seen of a text; what is far too long is cut before anything looks at it."""
    return markup.shortened(visible(markup.shortened(text, _ROOM * limit)).strip(), limit)


def code(text: str, dialect: Dialect) -> str:
    """A name as inline code."""
    return markup.code(dialect.code(visible(text)))


def fence(text: str, dialect: Dialect, language: str = "text") -> str:
    """Lines as they were written."""
    return markup.fence(dialect.code(visible(text)), language)


def plain(line: str) -> str:
    """What `inline` has written, as it is read where nothing renders it."""
    for sign in _ESCAPED:
        line = line.replace(f"\\{sign}", sign)
    return html.unescape(line).replace(APART, "")


def behind(text: str, sign: str, by: str) -> str:
    """The text with something between a sign and a word that follows it at once; behind an `@` also an odd name of a host."""
    first, *rest = text.split(sign)
    odd = _HOST if sign == "@" else frozenset()
    return first + "".join(f"{sign}{by if _in_word(part[:1]) or part[:1] in odd else ''}{part}" for part in rest)


def between(text: str, first: str, last: str, by: str) -> str:
    """The text with something between two parts of a word, in whatever letters it is written.

    Args:
        text: any.
        first: its first part, in lower case.
        last: the rest, likewise.
        by: goes between them.
    """
    pieces, at, lower = [], 0, _lower(text)
    while (found := lower.find(first + last, at)) >= 0:
        middle = found + len(first)
        pieces += [text[at:middle], by]
        at = middle
    return "".join((*pieces, text[at:]))


def _parted(text: str, words: Iterable[str]) -> str:
    for word in words:
        apart = f"{word[:-1]}{APART}{word[-1]}"
        text = text.replace(word, apart).replace(word, apart)  # `[[[` holds it twice
    return text


def _in_word(sign: str) -> bool:
    return sign.isalnum() or sign == "_"


def _narrow(text: str) -> bool:
    """Whether its tables are small: each line of one has as many cells as its head, whatever it holds."""
    lines = text.split("\n")
    return max(line.count("|") + 1 for line in lines) * len(lines) <= _CELLS or "|" not in text


@functools.cache
def _parser(*, tables: bool) -> MarkdownIt:
    from markdown_it import MarkdownIt  # noqa: PLC0415 - most passes find nothing to do, and write nothing

    made = MarkdownIt("commonmark", {"html": False, "maxNesting": _DEEPEST}).enable("strikethrough")
    made.disable(["link", "image", "autolink", "html_inline", "html_block", "reference"])
    return made.enable("table") if tables else made


def _tree(tokens: Sequence[Token]) -> SyntaxTreeNode:
    from markdown_it.tree import SyntaxTreeNode  # noqa: PLC0415 - as above

    return SyntaxTreeNode(tokens)


class _Writer:
    """Writes what was parsed in the one form that every reader of Markdown understands alike."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    # -- blocks ----------------------------------------------------------------------------------------------------

    def blocks(self, parent: SyntaxTreeNode, *, tight: bool = False) -> list[str]:
        """The lines of all that a node holds."""
        lines: list[str] = []
        for number, node in enumerate(parent.children):
            if number and not tight:
                lines.append("")
            lines += self._block(node, alone=number == 0 or parent.children[number - 1].type != node.type)
        return lines

    def _block(self, node: SyntaxTreeNode, *, alone: bool) -> Iterator[str]:
        match node.type:
            case "heading":
                yield f"{'#' * int(node.tag[1])} {self.line(node.children[0])}"
            case "fence" | "code_block":
                language = node.info.strip().lower()
                shown = language if language in LANGUAGES else "text"
                yield from fence(node.content, self._dialect, shown).split("\n")
            case "hr":
                yield "***"
            case "blockquote":
                yield from (f"> {line}".rstrip() for line in self.blocks(node) or [""])
            case "bullet_list" | "ordered_list":
                yield from self._list(node, alone=alone)
            case "table":
                yield from self._table(node)
            case _:
                for one in node.children:
                    yield from self._lines(one)

    def _list(self, node: SyntaxTreeNode, *, alone: bool) -> Iterator[str]:
        """Two lists in a row have other marks, else they would be one."""
        tight = any(one.type == "paragraph" and one.hidden for item in node.children for one in item.children)
        first = int(node.attrs.get("start", 1))
        for number, item in enumerate(node.children):
            if number and not tight:
                yield ""
            ordered = f"{first + number}{'.' if alone else ')'}"
            mark = ("-" if alone else "+") if node.type == "bullet_list" else ordered
            for index, line in enumerate(self.blocks(item, tight=tight) or [""]):
                yield f"{' ' * (len(mark) + 1) if index else mark + ' '}{line}".rstrip()

    def _table(self, node: SyntaxTreeNode) -> Iterator[str]:
        for part in node.children:
            for row in part.children:
                cells = [self.line(one, cell=True) for cell in row.children for one in cell.children or [cell]]
                yield f"| {' | '.join(cells)} |"
            if part.type == "thead":
                yield f"|{' --- |' * len(part.children[0].children)}"

    # -- lines -----------------------------------------------------------------------------------------------------

    def line(self, node: SyntaxTreeNode, *, cell: bool = False) -> str:
        """Inline content as one line."""
        return " ".join(self._lines(node, cell=cell))

    def _lines(self, node: SyntaxTreeNode, *, cell: bool = False) -> list[str]:
        """Inline content, each line so that it begins no block."""
        pieces: list[str] = []
        for piece in filter(None, self._inline(node, cell=cell)):  # an empty one parts nothing
            if piece.startswith("`") and pieces and pieces[-1].endswith("`"):
                pieces.append(APART)  # two runs of backticks would be one
            pieces.append(piece)
        lines = "".join(pieces).split("\n")
        return [_guarded(line) for line in lines]

    def _inline(self, node: SyntaxTreeNode, *, cell: bool) -> Iterator[str]:
        for one in node.children:
            match one.type:
                case "inline":
                    yield from self._inline(one, cell=cell)
                case "softbreak":
                    yield "\n"
                case "hardbreak":
                    yield "\\\n"
                case "code_inline":
                    yield from self._code(one.content, cell=cell)
                case "em" | "strong" | "s":
                    yield one.markup
                    yield from self._inline(one, cell=cell)
                    yield one.markup
                case _:
                    yield from self._text(one.content, cell=cell)

    def _text(self, text: str, *, cell: bool) -> Iterator[str]:
        """Text, in which an address is code: to be read and copied, and not to be followed by a click or by itself."""
        end = 0
        for start, stop in _addresses(text):
            yield self._escaped(text[end:start])
            yield from self._code(text[start:stop], cell=cell)
            end = stop
        yield self._escaped(text[end:])

    def _code(self, text: str, *, cell: bool) -> Iterator[str]:
        if cell and "|" in text:  # a cell ends there, in code too
            yield self._escaped(text)
        else:
            yield code(text, self._dialect)

    def _escaped(self, text: str) -> str:
        first, *rest = self._dialect.text(text).translate(_ENTITIES).translate(_EMPHASIS).split("_")
        pieces = [first]
        for part in rest:  # within a word it is no emphasis
            inside = pieces[-1][-1:].isalnum() and part[:1].isalnum()
            pieces += ["_" if inside else r"\_", part]
        return "".join(pieces)


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    """Where addresses stand in a text, from their scheme to what ends them."""
    lower, at = _lower(text), 0
    while found := [place for one in _ADDRESSES if (place := lower.find(one, at)) >= 0]:
        start = stop = min(found)
        while start > at and text[start - 1] in _SCHEME:
            start -= 1
        while stop < len(text) and text[stop] not in _ENDS and not text[stop].isspace():
            stop += 1
        yield start, stop
        at = stop


def _lower(text: str) -> str:
    """Of the same length."""
    return text.lower() if text.isascii() else "".join(one.lower() if one.isascii() else one for one in text)


def _guarded(line: str) -> str:
    """A line that begins nothing."""
    digits = len(line) - len(line.lstrip("0123456789"))
    if digits and line[digits : digits + 1] in (".", ")"):
        return f"{line[:digits]}\\{line[digits:]}"
    return f"\\{line}" if line[:1] in _BEGINS and line else line
