"""What `agent doctor` says, pure: one finding a line, each with the way to mend it."""

from __future__ import annotations

import enum
from typing import Final

from msgspec import Struct


class Kind(enum.StrEnum):
    """How a finding counts."""

    OK = "ok"
    WARN = "warn"
    """It works, and an operator should know."""
    FAIL = "FAIL"
    """A pod cannot work, or not safely, until it is mended."""
    UNKNOWN = "??"
    """It could not be checked without changing something, and why."""


class Finding(Struct, frozen=True):
    """One line: what was looked at, what was found, and how to mend it."""

    kind: Kind
    area: str
    text: str
    remedy: str = ""


LEAST_GIT: Final = (2, 40)
_LONGEST_NUMBER: Final = 9


def too_old(program: str, said: str) -> bool:
    """Whether a program says of itself that it is older than what we use of it; one that says nothing of the kind is not."""
    words = said.split()
    if program != "git" or len(words) <= len(("git", "version")):
        return False
    numbers = [
        int(one) for one in words[2].split(".") if one.isascii() and one.isdecimal() and len(one) < _LONGEST_NUMBER
    ]
    return len(numbers) > 0 and tuple(numbers[:2]) < LEAST_GIT


def ok(area: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding(Kind.OK, area, text)


def warn(area: str, text: str, remedy: str = "") -> Finding:
    """It works, and an operator should know."""
    return Finding(Kind.WARN, area, text, remedy)


def fail(area: str, text: str, remedy: str) -> Finding:
    """It must be mended."""
    return Finding(Kind.FAIL, area, text, remedy)


def unknown(area: str, text: str, remedy: str = "") -> Finding:
    """It could not be checked."""
    return Finding(Kind.UNKNOWN, area, text, remedy)
