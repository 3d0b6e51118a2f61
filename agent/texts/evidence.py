"""Pure: output of programs made fit for a ticket, and secrets taken out of any text.

Nothing that is a known secret or looks like a credential leaves the host in a comment, or stands in the log.
"""

from __future__ import annotations

import base64
import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from agent.texts.clean import clean
from agent.texts.markup import EVIDENCE_LINES

Redact = Callable[[str], str]

REDACTED: Final = "[redacted]"
CHARACTERS: Final = 8_000
"""How many characters of a program's output support a failure, at most."""
_SHORTEST: Final = 4
"""A known secret shorter than this is not searched for: it would blacken ordinary words."""

_SECRETS: Final = (
    re.compile(r"(?<=://)[^/\s@]+@"),
    re.compile(
        r"(?i)\b(?:authorization|proxy-authorization|x-api-key|private-token|cookie)\b[\"']?\s*[:=]\s*[^\r\n\x1b]+"
    ),
    re.compile(r"(?i)\b(?:bearer|basic)\s+[a-z0-9+/_.=~-]{8,}"),
    re.compile(r"\b(?:sk-|opapi-|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AKIA|AIza|npm_|pypi-)[A-Za-z0-9_-]{8,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
    re.compile(
        r"(?i)\b[a-z0-9_]*(?:token|secret|password|passwd|api_?key)[a-z0-9_]*[\"']?\s*[:=]\s*[\"']?[^\s\"']{6,}"
    ),
)


def redactor(secrets: Iterable[str] = ()) -> Redact:
    """A function that takes known secrets, in every form in which they travel, and whatever looks like one out of a text."""
    forms = {form for secret in secrets if len(secret) >= _SHORTEST for form in _forms(secret)}
    known = sorted(forms, key=len, reverse=True)

    def redact(text: str) -> str:
        for form in known:
            text = text.replace(form, REDACTED)
        for pattern in _SECRETS:
            text = pattern.sub(REDACTED, text)
        return text

    return redact


def _forms(secret: str) -> Iterator[str]:
    """The secret itself, in a URL, and in the Basic authorisation of the board (`apikey`) and of git's forges."""
    yield secret
    yield urllib.parse.quote(secret, safe="")
    for user in ("apikey:", "x-access-token:", "oauth2:", ":", ""):
        yield base64.b64encode(f"{user}{secret}".encode("utf-8", "replace")).decode().rstrip("=")


def last_words(*outputs: bytes, redact: Redact) -> str:
    """The last lines of what a program wrote, cleaned and redacted; several streams one after the other."""
    text = "\n".join(part for output in outputs if (part := output.decode("utf-8", "replace").strip("\n")))
    safe = redact(clean(text))  # before the cut: half a secret would not be known
    return "\n".join(safe.rstrip().splitlines()[-EVIDENCE_LINES:])[-CHARACTERS:]
