"""Pure: output of programs made fit for a ticket. Nothing that looks like a credential leaves the host in a comment."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from agent.texts.clean import clean

LINES: Final = 50
"""Lines of output that support a failure."""
CHARACTERS: Final = 8_000
"""…and no more than this many characters of them."""
_SHORTEST: Final = 6
"""A known secret shorter than this is not searched for: it would blacken ordinary words."""

_SECRETS: Final = (
    re.compile(r"(?<=://)[^/\s@]+@"),
    re.compile(r"(?i)\b(?:authorization|proxy-authorization|x-api-key|private-token|cookie)\b[\"']?\s*[:=]\s*[^\r\n]+"),
    re.compile(r"(?i)\b(?:bearer|basic)\s+[a-z0-9+/_.=~-]{8,}"),
    re.compile(r"\b(?:sk-|opapi-|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AKIA|AIza|npm_|pypi-)[A-Za-z0-9_-]{8,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
    re.compile(
        r"(?i)\b[a-z0-9_]*(?:token|secret|password|passwd|api_?key)[a-z0-9_]*[\"']?\s*[:=]\s*[\"']?[^\s\"']{6,}"
    ),
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Known secrets and what looks like a credential, replaced by `[redacted]`."""
    for secret in sorted((one for one in secrets if len(one) >= _SHORTEST), key=len, reverse=True):
        text = text.replace(secret, "[redacted]")
    for pattern in _SECRETS:
        text = pattern.sub("[redacted]", text)
    return text


def last_lines(*outputs: bytes, secrets: Iterable[str] = ()) -> str:
    """The last lines of what a program wrote, cleaned and redacted; several streams one after the other."""
    text = "\n".join(part for output in outputs if (part := output.decode("utf-8", "replace").strip("\n")))
    safe = redact(clean(text), secrets)  # before the cut: half a secret would not be known
    return "\n".join(safe.rstrip().splitlines()[-LINES:])[-CHARACTERS:]
