"""Pure: output of programs made fit for a ticket, and secrets taken out of any text.

Nothing that is a known secret or looks like a credential leaves the host in a comment, or stands in the log. Whoever hides
things from us chooses the text, so looking takes time in proportion to it: all places are found in one text that is never
looked at again, and what is beyond `LONGEST` is left out.
"""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from agent.texts.bounded import Every, Search, ending
from agent.texts.clean import clean
from agent.texts.markup import EVIDENCE_LINES

Redact = Callable[[str], str]

REDACTED: Final = "[redacted]"
CHARACTERS: Final = 8_000
"""How many characters of a program's output support a failure, at most."""
LONGEST: Final = 256 * 1024
"""Characters of a text that may hold secrets; bytes of output in which the last lines are looked for."""
_SHORTEST: Final = 4
"""A known secret shorter than this is not searched for: it would blacken ordinary words."""
_SEES: Final = "what a program, a model, a server or the log says, in lower case"

# Each takes the whole run of a word, so that no search begins again inside it; `credential` is what tells that it is one.
_SECRETS: Final = tuple(
    Every(f"redaction: {name}", expression, sees=_SEES)
    for name, expression in {
        "a header": (
            r"(?:authorization|x-api-key|private-token|cookie)(?P<credential>[\"']?\s*+[:=]\s*+[^\r\n\x1b]++)?"
        ),
        "an authorization": r"(?:bearer|basic)(?P<credential>\s++[a-z0-9+/_.=~-]{8,}+)?",
        "a token by its beginning": (
            r"\b(?:sk-|opapi-|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|akia|aiza|npm_|pypi-)"
            r"(?P<credential>[a-z0-9_-]{8,}+)"
        ),
        "a JSON web token": r"eyj[a-z0-9_-]*+(?P<credential>\.[a-z0-9_-]++\.[a-z0-9_-]*+)?",
        "a setting": (
            r"(?:token|secret|password|passwd|api_?key)[a-z0-9_]*+"
            r"(?P<credential>[\"']?\s*+[:=]\s*+[\"']?[^\s\"']{6,}+)?"
        ),
    }.items()
)
_USER: Final = Every("redaction: the user of an address", r"://([^/\s@]++@)", sees=_SEES)
_KEY: Final = Search("redaction: where a private key begins", r"-----begin [a-z0-9 ]{0,40}private key-----", sees=_SEES)
_KEY_END: Final = Search("redaction: where it ends", r"-----end [a-z0-9 ]{0,40}private key-----", sees=_SEES)
_NAME: Final = "abcdefghijklmnopqrstuvwxyz0123456789_"
"""What may stand before a word such as `token` and belongs to it."""


def redactor(secrets: Iterable[str] = ()) -> Redact:
    """A function that takes known secrets, in every form in which they travel, and whatever looks like one out of a text."""
    forms = {form for secret in secrets if len(secret) >= _SHORTEST for form in _forms(secret)}
    known = sorted(forms, key=len, reverse=True)
    more = len(known[0]) if known else 0

    def redact(text: str) -> str:
        text = text[: LONGEST + more]  # half a secret would not be known
        for form in known:
            text = text.replace(form, REDACTED)
        return _without_credentials(text[:LONGEST])

    return redact


def _without_credentials(text: str) -> str:
    lower = text.replace("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", "i").lower()  # the only one that would become two
    users = (found.span(1) for found in _USER.all(lower))
    places = sorted((*users, *_keys(lower), *(place for search in _SECRETS for place in _credentials(search, lower))))
    parts, end = [], 0
    for start, stop in places:
        if start >= end:
            parts += [text[end:start], REDACTED]
        end = max(end, stop)
    return "".join((*parts, text[end:]))


def _credentials(search: Every[str], lower: str) -> Iterator[tuple[int, int]]:
    end = 0
    for found in search.all(lower):
        if found["credential"] is not None:
            name = lower[end : found.start()].rstrip(_NAME)
            yield end + len(name), found.end()
        end = found.end()


def _keys(lower: str) -> Iterator[tuple[int, int]]:
    end = 0
    while begin := _KEY.first(lower, end):
        last = _KEY_END.first(lower, begin.end())
        end = last.end() if last else len(lower)
        yield begin.start(), end


def _forms(secret: str) -> Iterator[str]:
    """The secret itself, in a URL, and in the Basic authorisation of the board (`apikey`) and of git's forges."""
    yield secret
    yield urllib.parse.quote(secret, safe="")
    for user in ("apikey:", "x-access-token:", "oauth2:", ":", ""):
        yield base64.b64encode(f"{user}{secret}".encode("utf-8", "replace")).decode().rstrip("=")


def last_words(*outputs: bytes, redact: Redact) -> str:
    """The last lines of what a program wrote, cleaned and redacted; several streams one after the other."""
    each = LONGEST // max(1, len(outputs))
    ends = (ending(output, each).decode("utf-8", "replace").strip("\n") for output in outputs)
    safe = redact(clean("\n".join(filter(None, ends))))  # before the cut: half a secret would not be known
    return "\n".join(safe.rstrip().splitlines()[-EVIDENCE_LINES:])[-CHARACTERS:]
