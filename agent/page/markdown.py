"""Markdown of any origin as HTML that the page may show. Pure.

Safe by how it is made, not by cleaning afterwards: HTML in a text is text, images are links to them, a link leads to http,
https, mailto or a work package of this board, and every tag and attribute is one of `ALLOWED`. HTML comments, among them
the fleet's markers, are not shown, as OpenProject does not show them.

The cost is bounded: a text beyond `LONGEST`, or one nested too deep to be shown in full, is shown as it was written.
"""

from __future__ import annotations

import html
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from agent.texts.bounded import LINE, Every, Whole

ALLOWED: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(("p", "br", "hr", "h3", "h4", "h5", "h6", "strong", "em", "s", "code", "pre"), frozenset[str]()),
    **dict.fromkeys(("ul", "li", "blockquote", "table", "thead", "tbody", "tr"), frozenset[str]()),
    "a": frozenset({"href", "rel", "target"}),
    "ol": frozenset({"start"}),
    "td": frozenset({"align"}),
    "th": frozenset({"align"}),
}
"""The tags that are ever written, and their attributes."""

LONGEST: Final = 30_000
"""What one text may weigh as Markdown: a second of the server's time at worst."""

_DEAR: Final = {"[": 8, "\n": 8, "*": 4, "_": 4, "|": 4, "#": 4, "~": 4}
"""What may begin something takes as long as so many other characters more: links, blocks, emphasis, cells, numbers."""
_DEEPEST: Final = 40
_SHORT: Final = 4_000
_HEADINGS: Final = {"h1": "h3", "h2": "h4", "h3": "h5", "h4": "h6", "h5": "h6"}
_COMMENT: Final = "<!--"
_END: Final = "-->"
_SEES: Final = "a description or comment on the page"
_HREF: Final = Whole(
    "page: where a link may lead",
    r"https?://[^/].*+|mailto:[^/].*+|#wp=[0-9]{1,18}",
    sees=_SEES,
    longest=LONGEST,
    flags=re.IGNORECASE | re.DOTALL,
)
_OURS: Final = Every(
    "page: an address or a number in running text",
    r"#(?<![\w/#&.-]#)([1-9][0-9]{0,17})(?![\w-])|http(?<!\whttp)s?://[^\s<>\"]{1,2000}",
    sees=_SEES,
    longest=LONGEST,
    flags=re.ASCII,
)
_ALIGN: Final = Whole("page: a column", r"text-align:(left|center|right)", sees=_SEES, longest=LINE)
_TRAILING: Final = ".,;:!?'*_~"


def render(text: str) -> str:
    """The text as HTML; what is too long or too deep as it was written."""
    if weight(text) <= LONGEST:
        found = _rendered(text)
        return plain(text) if found is None else found
    end = bisect_right(range(min(len(text), LONGEST)), LONGEST, key=lambda end: weight(text[:end])) - 1
    cut = max(text.rfind("\n\n", 0, end), 0) or max(text.rfind("\n", 0, end), 0)
    found = _rendered(text[:cut])
    return plain(text) if found is None else found + plain(text[cut:].lstrip("\n"))


def plain(text: str) -> str:
    """The text as it was written, without comments."""
    shown = "".join(_uncommented(text)).strip("\n")
    return f"<pre>{html.escape(shown)}</pre>" if shown.strip() else ""


def weight(text: str) -> int:
    """What it costs to render, in characters."""
    return len(text) + sum(more * text.count(sign) for sign, more in _DEAR.items())


def _uncommented(text: str) -> Iterator[str]:
    end = 0
    while (begin := text.find(_COMMENT, end)) >= 0 and (close := text.find(_END, begin + len(_COMMENT))) >= 0:
        yield text[end:begin]
        end = close + len(_END)
    yield text[end:]


def _rendered(text: str) -> str | None:
    """None where something would be left out. An open panel asks for the same texts again and again."""
    return _short(text) if len(text) <= _SHORT else _long(text)


def _made_of(text: str) -> str | None:
    tokens = _MARKDOWN.parse(text)
    if any(token.level >= _DEEPEST - 1 for token in tokens):
        return None
    return str(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))


_short = lru_cache(maxsize=2048)(_made_of)
_long = lru_cache(maxsize=32)(_made_of)


# --- rules that are added to the library's ------------------------------------------------------------------------


def _comment_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A comment that has its lines for itself, in place of the rule for HTML."""
    begin = state.bMarks[start] + state.tShift[start]
    if state.is_code_block(start) or not state.src.startswith(_COMMENT, begin):
        return False
    close = state.src.find(_END, begin + len(_COMMENT), state.eMarks[end - 1])
    if close < 0:
        return False
    last = bisect_left(state.eMarks, close, start, end)
    if state.src[close + len(_END) : state.eMarks[last]].strip():
        return False
    if any(state.sCount[line] < state.blkIndent and not state.isEmpty(line) for line in range(start, last + 1)):
        return False
    if not silent:
        state.line = last + 1
    return True


def _comment_inline(state: StateInline, silent: bool) -> bool:  # noqa: ARG001 - called so
    """A comment within a line."""
    if not state.src.startswith(_COMMENT, state.pos):
        return False
    close = state.src.find(_END, state.pos + len(_COMMENT), state.posMax)
    if close < 0:
        return False
    state.pos = close + len(_END)
    return True


def _finish(state: StateCore) -> None:
    """Tags and attributes are ours; addresses and numbers of work packages in running text become links."""
    for token in state.tokens:
        _judge(token)
        if token.type == "inline":
            token.children = list(_judged(token.children or []))


def _judged(tokens: list[Token]) -> Iterator[Token]:
    linked = False
    for token in tokens:
        if token.type == "image":
            shown = _text(token.content or "image")
            yield from [shown] if linked else _link(str(token.attrs.get("src", "")), shown)
        elif token.type == "text" and not linked:
            yield from _linkified(token.content)
        else:
            linked = token.type == "link_open" or (linked and token.type != "link_close")
            _judge(token)
            yield token


def _linkified(text: str) -> Iterator[Token]:
    end = 0
    for found in _OURS.all(text):
        shown = found[0] if found[1] else _address(found[0])
        href = f"#wp={found[1]}" if found[1] else _MARKDOWN.normalizeLink(shown)
        if found.start() > end:
            yield _text(text[end : found.start()])
        yield from _link(href, _text(shown))
        end = found.start() + len(shown)
    if end < len(text):
        yield _text(text[end:])


def _address(found: str) -> str:
    """Without the punctuation that belongs to the sentence around it."""
    address = found.rstrip(_TRAILING)
    while address.endswith(")") and address.count(")") > address.count("("):
        address = address[:-1].rstrip(_TRAILING)
    return address


def _link(href: str, shown: Token) -> list[Token]:
    """What leads nowhere allowed is only shown."""
    if not _leads(href):
        return [shown]
    opening = Token("link_open", "a", 1, attrs={"href": href})
    _judge(opening)
    return [opening, shown, Token("link_close", "a", -1)]


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _judge(token: Token) -> None:
    """Its tag and attributes, no others than those that are allowed; headings begin below those of the page."""
    token.tag = _HEADINGS.get(token.tag, token.tag)
    token.info = ""  # it would be a class
    if not token.attrs:
        return
    attrs = dict(token.attrs)
    if align := _ALIGN.match(str(attrs.get("style", ""))):
        attrs["align"] = align[1]  # the page's policy forbids styles in attributes
    if not str(attrs.get("href", "#")).startswith("#"):
        attrs |= {"rel": "noopener noreferrer nofollow", "target": "_blank"}
    allowed = ALLOWED.get(token.tag, frozenset())
    token.attrs = {name: value for name, value in attrs.items() if name in allowed}


def _leads(href: str) -> bool:
    return _HREF.match(href) is not None


class _Markdown(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802 - the library's name
        return _leads(url)


def _made() -> MarkdownIt:
    made = _Markdown("commonmark", {"html": False, "maxNesting": _DEEPEST}).enable(["table", "strikethrough"])
    made.block.ruler.at("html_block", _comment_block, {"alt": ["paragraph", "reference", "blockquote"]})
    made.inline.ruler.at("html_inline", _comment_inline)
    made.core.ruler.after("inline", "finish", _finish)
    return made


_MARKDOWN: Final = _made()
