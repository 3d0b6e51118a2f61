"""The one door through which text of a model, a ticket or a program leaves, with a way out for every outlet. Pure.

Subjects, file names, reasons, summaries, questions and output are written by strangers, and each place where they go on
reads something out of plain text: the board mails whom it finds mentioned, a forge closes what it finds named and runs
what begins with `/`, a terminal obeys escapes, a browser loads pictures. What has passed the door is of the type of its
outlet, which is what the board's client and git's commits take; a test looks that nobody makes one elsewhere.

| outlet | what goes through | what is left of it |
|---|---|---|
| board, its Markdown | `line`, `quote`, `code`, `fence`, `link`, assembled by `board` | paragraphs, lists, emphasis, code, tables |
| board, its subjects | `subject` | one line of text |
| forge, its Markdown | `forge` | the same as on the board, quoted line by line |
| commit | `commit` | a subject, quoted lines, our trailers |
| terminal, log, messages in plain text | `terminal` | what is seen |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NewType

from agent.model import BoardText
from agent.texts import rewrite
from agent.texts.bounded import LINE, Every, Search, Start
from agent.texts.clean import INVISIBLE, visible
from agent.texts.rewrite import Dialect

ForgeText = NewType("ForgeText", str)
"""Markdown that may be written on a forge."""
CommitText = NewType("CommitText", str)
"""A whole message of a commit."""

SUBJECT: Final = 72
"""Characters of the first line of a commit's message."""

_LONG: Final = 4_000
"""Characters of what becomes one line that are looked at."""

_SEES: Final = "a text of a model or a ticket that leaves"
_MENTION: Final = (r"<(?=(?i:!--|/?mention|/?macro))", r"data-id=(?=\")", r"user(?=[#:]\S)", r"group(?=#)")
"""What OpenProject mails people for, in a text as it was written, in code too (create_from_model_service.rb); and comments."""
_MACRO: Final = (
    *(r"@(?=\w)", r"##(?=\w)", r"\{(?=\{)", r"\[(?=\[)", r"Label(?=:\S)", r"Value(?=:\S)"),
    *(rf"{word}(?=[#:]\S)" for word in ("attachment", "commit", "document", "export", "forum", "meeting", "message")),
    *(rf"{word}(?=[#:]\S)" for word in ("news", "project", "source", "version", "view", "wiki")),
)
"""What it replaces in running text, by values, cards, tables and links (text_formatting/matchers)."""
_REFERENCE: Final = (r"[#!&%~$](?=\w)", r":(?=\w)", r"GH-(?=\d)", r"[A-Z]-(?=\d)")
"""What forges link and close, and pictures that they have names for."""
_CODE: Final = Every("outlet: what a board reads in code", "|".join(_MENTION), sees=_SEES)
_BOARD: Final = Dialect(
    text=Every("outlet: what a board reads in text", "|".join(_MENTION + _MACRO), sees=_SEES), code=_CODE
)
_FORGE: Final = Dialect(
    text=Every("outlet: what a forge reads in text", "|".join(_MENTION + _MACRO + _REFERENCE), sees=_SEES), code=_CODE
)

_URL: Final = Start(
    "outlet: an address", r"https?://\S", sees="the operator's settings", longest=LINE, flags=re.IGNORECASE
)
_URL_SIGNS: Final = {sign: f"%{sign:02x}" for sign in range(0x3001) if chr(sign).isspace() or chr(sign) in "<>()[]\\"}
_APART: Final = Every(
    "outlet: what a forge reads in a commit",
    r"[@#](?=\w)|!(?=\d)|GH-(?=\d)|://(?=\S)|\*\*\*(?=NO_CI)",
    sees=_SEES,
    flags=re.IGNORECASE,
)
"""Mentions, issues, requests to merge, addresses of them; one word that switches checks off."""
_BRACKETS: Final = Every("outlet: brackets in a commit", r"\[([^\[\]\n]{0,60})\]", sees=_SEES)
_SWITCH: Final = Search(
    "outlet: what switches checks off", r"\bci\b|skip|actions", sees=_SEES, longest=LINE, flags=re.IGNORECASE
)
"""What stands in brackets where a commit's message switches a forge's checks off: `[skip ci]`, `[no ci]`, `[actions skip]`."""
_CLOSES: Final = Every(
    "outlet: words that close",
    r"\b((?:clos|fix|resolv|implement|reopen|complet)[a-z]{0,3})(?=:?\s{1,5}(?:issues?\s)?[A-Z][A-Z0-9_]{0,20}-\d)",
    sees=_SEES,
    flags=re.IGNORECASE,
)
"""Words before which a tracker's number, such as `SHOP-7`, would be closed."""
_FOLDED: Final = Every("outlet: what git folds", r"(fixup|squash|amend)!", sees=_SEES, flags=re.IGNORECASE)
"""What `git rebase` folds into another commit."""


# --- the board ----------------------------------------------------------------------------------------------------


def board(*blocks: str) -> BoardText:
    """A text of ours for the board, of blocks whose words of others have passed the functions below."""
    return BoardText("\n\n".join(filter(None, blocks)))


def line(text: str, limit: int = 200) -> str:
    """A reason or the like within a line of ours; code and emphasis stay."""
    return rewrite.inline(text, _BOARD, limit)


def quote(text: str, limit: int = rewrite.LONGEST) -> str:
    """Markdown, as a block quote: whatever it opens ends where the quote ends."""
    return _quoted(rewrite.block(text, _BOARD, limit))


def code(text: str) -> str:
    """A name: a branch, a pod, a command."""
    return rewrite.code(text, _BOARD)


def fence(text: str) -> str:
    """Output of a program."""
    return rewrite.fence(text, _BOARD)


def link(text: str, url: str) -> str:
    """A name that leads to an address of the operator's own; without one it is code alone."""
    address = visible(url).translate(_URL_SIGNS)
    return f"[{code(text)}]({address})" if _URL.match(address) else code(text)


def subject(start: str, text: str = "", limit: int = 255) -> BoardText:
    """The subject of a work package: words of ours, then one line of others', which no board renders."""
    words = " ".join(visible(text[:_LONG]).split())
    room = limit - len(start)
    return BoardText(start + (words if len(words) <= room else words[: room - 1].rstrip() + "…"))


# --- the forge ----------------------------------------------------------------------------------------------------


def forge(text: str, limit: int = rewrite.LONGEST) -> ForgeText:
    """Markdown for a forge, quoted line by line, so that no line begins with a command.

    A quotation is also what GitLab looks past when it looks for quick actions.
    """
    return ForgeText(_quoted(rewrite.block(text, _FORGE, limit)))


def commit(subject: str, body: str, trailers: Mapping[str, str]) -> CommitText:
    """The message of a commit of ours.

    Subject and body may be others' words: nothing in them is a command, a mention, closes an issue, keeps the forge from its
    checks or is a trailer; each line of the body is quoted.
    """
    first = _FOLDED.replaced(
        _inert(" ".join(visible(subject[:_LONG]).split())).lstrip("/# "), lambda found: f"{found[1]}:"
    )[:SUBJECT].rstrip()
    words = _inert(rewrite.cut(body, rewrite.LONGEST))
    ours = "\n".join(f"{key}: {' '.join(visible(value).split())}" for key, value in trailers.items())
    parts = (first or "Work on a ticket", _quoted(words) if words else "", ours)
    return CommitText("\n\n".join(filter(None, parts)) + "\n")


def with_trailer(message: CommitText, key: str, value: str) -> CommitText:
    """One more trailer of ours below those that are there."""
    return CommitText(f"{message.rstrip()}\n{key}: {value}\n")


def _inert(text: str) -> str:
    """Plain text, seen as it is: commits hold no invisible characters, so what would act gets a space or loses a bracket."""
    apart = _CLOSES.replaced(_APART.replaced(text, lambda found: f"{found[0]} "), lambda found: f"{found[1]} -")
    return _BRACKETS.replaced(apart, lambda found: f"({found[1]})" if _SWITCH.first(found[1]) else found[0])


def _quoted(text: str) -> str:
    return "\n".join(f"> {one}" if one else ">" for one in text.split("\n"))


# --- what is read as it is ----------------------------------------------------------------------------------------


def terminal(text: str) -> str:
    r"""Text for a terminal, a log or a message without markup: `\n` and `\t` are all that moves the cursor."""
    return visible(text)


def json_line(document: str) -> str:
    """A JSON document that somebody may look at in a terminal: the same value, its invisible characters spelt out."""
    return INVISIBLE.replaced(document, _spelt)


def _spelt(found: re.Match[str]) -> str:
    return "".join(f"\\u{unit}" for unit in found[0].encode("utf-16-be").hex(" ", 2).split())
