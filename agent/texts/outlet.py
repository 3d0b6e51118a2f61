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
| chat, mail | `message` | what is seen, with no address and no mention that works |
| terminal, log | `terminal`, `json_line` | what is seen |
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Final, NewType

from agent.model import BoardText
from agent.texts import rewrite, tickets
from agent.texts.clean import INVISIBLE, visible
from agent.texts.rewrite import Dialect, behind

ForgeText = NewType("ForgeText", str)
"""Markdown that may be written on a forge."""
CommitText = NewType("CommitText", str)
"""A whole message of a commit."""

SUBJECT: Final = 72
"""Characters of the first line of a commit's message."""

_LONG: Final = 4_000
"""Characters of what becomes one line that are looked at."""

_MENTIONS: Final = ("<!--", "<mention", 'data-id="', "user#", 'user:"', "group#")
"""What OpenProject mails people for, in a text as it was written, in code too (create_from_model_service.rb); and comments."""
_MACROS: Final = (
    *("##", "{{", "[[", "Label:", "Value:", "user:", "group:"),
    *(f"{word}{sign}" for word in ("attachment", "commit", "document", "export", "forum", "meeting") for sign in ":#"),
    *(f"{word}{sign}" for word in ("message", "news", "project", "source", "version", "view", "wiki") for sign in ":#"),
)
"""What it replaces in running text, by values, cards, tables and links (text_formatting/matchers)."""
_BOARD: Final = Dialect(_MENTIONS, _MACROS, "@")
_FORGE: Final = Dialect(_MENTIONS, _MACROS, "@#!&%~$:")
"""What forges link and close besides, and pictures that they have names for (`:name:`)."""

_NO_LINK: Final = frozenset("<>()[]\\")
_SWITCHES: Final = ("skip", "actions", "no ci", "no-ci", "ci skip")
"""What stands in brackets where a commit's message switches a forge's checks off: `[skip ci]`, `[no ci]`, `[actions skip]`."""
_BRACKET: Final = 60
_REFERENCES: Final = ("issue:", "work_item:", "epic:", "merge_request:")
"""What GitLab reads as `#7` where it stands in brackets."""
_ACTING: Final = (
    ("***", "no_ci"),
    ("--", "skip-ci"),
    ("--", "ci-skip"),
    ("skip-", "checks:"),
    ("www.", ""),
    ("mailto:", ""),
    ("cu-", ""),
)
"""What switches checks off, is a link, or sets a ClickUp task's status, wherever it stands; in two parts."""
_NUMBERED: Final = "&%~$"
"""What GitLab links before a number: epics, milestones, labels, snippets."""
_LINKS: Final = ("](", "][", "]:", "[[", "{{", "#[")
_TAGS: Final = ("/", "!", "?")
_ENTITY: Final = 40
_PICTURE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-")
"""What names of pictures are made of."""
_FOLDED: Final = ("fixup!", "squash!", "amend!")
"""With what begins the subject of a commit that `git rebase` folds into another."""


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
    signs = (f"%{ord(sign):02x}" if sign in _NO_LINK or sign.isspace() else sign for sign in visible(url[:_LONG]))
    address = "".join(signs)
    return f"[{code(text)}]({address})" if address.lower().startswith(("http://", "https://")) else code(text)


def subject(start: str, text: str = "", limit: int = 255) -> BoardText:
    """The subject of a work package: words of ours, then one line of others', which no board renders, but looks at."""
    words = _BOARD.code(" ".join(visible(text[:_LONG]).split()))
    room = limit - len(start)
    return BoardText(start + (words if len(words) <= room else words[: room - 1].rstrip() + "…"))


# --- the forge ----------------------------------------------------------------------------------------------------


def forge(text: str, limit: int = rewrite.LONGEST) -> ForgeText:
    """Markdown for a forge, quoted line by line, so that no line begins with a command.

    A quotation is also what GitLab looks past when it looks for quick actions.
    """
    whole = rewrite.block(text, _FORGE, limit)
    return ForgeText(_quoted(tickets.parted(whole, rewrite.APART, bare=rewrite.APART)))


def commit(subject: str, body: str, trailers: Mapping[str, str]) -> CommitText:
    """The message of a commit of ours.

    Subject and body may be others' words: nothing in them is a command, a mention, closes an issue, keeps the forge from its
    checks or is a trailer; each line of the body is quoted.
    """
    first = _inert(" ".join(visible(subject[:_LONG]).split())).lstrip("/# ")
    if first.startswith("::"):  # to a runner that prints it
        first = first.lstrip(":/# ")
    for word in _FOLDED:
        if first.lower().startswith(word):
            first = f"{first[: len(word) - 1]}:{first[len(word) :]}"
    first = first[:SUBJECT].rstrip()
    words = _inert(rewrite.cut(body, rewrite.LONGEST))
    ours = "\n".join(f"{key}: {' '.join(visible(value).split())}" for key, value in trailers.items())
    parts = (first or "Work on a ticket", _quoted(words) if words else "", ours)
    return CommitText("\n\n".join(filter(None, parts)) + "\n")


def with_trailer(message: CommitText, key: str, value: str) -> CommitText:
    """One more trailer of ours below those that are there."""
    return CommitText(f"{message.rstrip()}\n{key}: {value}\n")


def _inert(text: str) -> str:
    """Plain text, seen as it is: commits hold no invisible characters, so what would act gets a space or loses a bracket."""
    text = _parted(text, "\\", string.punctuation)  # Markdown would take it away, and leave what stands around it
    for sign in ("@", "#", "!", "://"):
        text = behind(text, sign, " ")
    for sign in _NUMBERED:
        text = _parted(text, sign, string.digits)
    for first, last in _ACTING:
        text = rewrite.between(text, first, last, " ")
    start, *rest = text.split("[")
    text = start + "".join(_unswitched(part) for part in rest)
    text = _unrendered(text)
    return tickets.parted(_unpictured(text), " ", bare="- ")


def _parted(text: str, sign: str, before: str) -> str:
    """The text with a blank behind a sign, where one of these follows it at once."""
    doubled = f"{sign} {sign}" if sign in before else sign * 2
    text = text.replace(sign * 2, doubled).replace(sign * 2, doubled)
    first, *rest = text.split(sign)
    return sign.join((first, *(f" {part}" if part[:1] and part[:1] in before else part for part in rest)))


def _unrendered(text: str) -> str:
    """Without what Markdown makes of it: a forge fills in the description of a pull request with what a commit says."""
    for sign in _LINKS:
        apart = f"{sign[0]} {sign[1]}"
        text = text.replace(sign, apart).replace(sign, apart)  # `[[[` holds it twice
    start, *rest = text.split("<")
    text = start + "".join(f"< {part}" if part[:1].isalpha() or part[:1] in _TAGS else f"<{part}" for part in rest)
    start, *rest = text.split("&")
    text = start + "".join(f"& {part}" if _is_entity(part) else f"&{part}" for part in rest)
    for fence in ("```", "~~~"):
        start, *rest = text.split(fence)
        text = start + "".join(f"{fence}{_undrawn(part)}" for part in rest)
    return text


def _is_entity(part: str) -> bool:
    name, end, _ = part[:_ENTITY].partition(";")
    return bool(end) and name.removeprefix("#").isalnum()


def _undrawn(part: str) -> str:
    """What stands behind a fence, which is drawn as what it names."""
    named = part.lstrip("`~")
    word = named[:_LONG].partition("\n")[0].strip("`~ \t").partition(" ")[0]
    drawn = word and word.lower() not in rewrite.LANGUAGES
    return f"{part[: len(part) - len(named)]}text {named}" if drawn else part


def _unswitched(part: str) -> str:
    """What stands behind a bracket, which stays one unless it switches checks off."""
    inside, end, after = part.partition("]")
    plain = " ".join(inside.split()).lower()
    switches = end and len(plain) <= _BRACKET and any(one in plain for one in _SWITCHES)
    if switches or plain.startswith(_REFERENCES):
        return f"({inside}){after}"
    return f"[{part}"


def _unpictured(text: str) -> str:
    """Without names between colons, which forges show as pictures: `:gitea:`."""
    first, *rest = text.split(":")
    between = len(rest) - 1
    pictures = (
        number < between and bool(part) and not part.isdigit() and _PICTURE.issuperset(part)
        for number, part in enumerate(rest)
    )
    return first + "".join(f": {part}" if picture else f":{part}" for part, picture in zip(rest, pictures, strict=True))


def _quoted(text: str) -> str:
    return "\n".join(f"> {one}" if one else ">" for one in text.split("\n"))


# --- what is read as it is ----------------------------------------------------------------------------------------


def terminal(text: str) -> str:
    r"""Text for a terminal or a log: `\n` and `\t` are all that moves the cursor."""
    return visible(text)


def message(text: str, limit: int = rewrite.LONGEST) -> str:
    """Text for a chat or a mail: nothing in it is fetched for a preview, or calls somebody."""
    return _inert(rewrite.cut(text, limit))


def json_line(document: str) -> str:
    """A JSON document that somebody may look at in a terminal: the same value, its invisible characters spelt out."""
    return INVISIBLE.replaced(document, _spelt)


def _spelt(found: re.Match[str]) -> str:
    return "".join(f"\\u{unit}" for unit in found[0].encode("utf-16-be").hex(" ", 2).split())
