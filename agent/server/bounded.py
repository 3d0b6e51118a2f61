r"""The one place where the board cuts, searches and parses what others wrote; the agent has one of its own.

An expression of `re` that steps back takes hours for a word of a megabyte, and holds the interpreter meanwhile. So each that
sees others' text is made here, says whose text that is and how much of it is looked at, and takes time in proportion to that:
what repeats gives nothing back (`\s*+`). Tests find them all, and whatever goes around this module.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

LINE = 4_096
"""Characters of a name, a number, an address."""
MOST_STEPS = 400_000
"""For the keys of one TOML document, as `_steps` counts them: 50 ms of processor time."""
_LISTED: list["Expression"] = []


class Unreadable(ValueError):
    """It is not what it should be, or too much of it; the text says why."""


class Expression:
    """A regular expression that sees others' text.

    Args:
        name: where it is used, and what it finds.
        expression: linear; see the module.
        sees: whose text.
    """

    longest = LINE

    def __init__(self, name: str, expression: str, *, sees: str) -> None:
        self.name = name
        self.sees = sees
        self.compiled = re.compile(expression, re.ASCII)
        _LISTED.append(self)


class Whole(Expression):
    """Says whether a text is such a thing from end to end; one beyond `longest` is none."""

    def match(self, text: str) -> re.Match[str] | None:
        """The text's parts, None if it is none."""
        return None if len(text) > self.longest else self.compiled.fullmatch(text)


class Start(Expression):
    """Says whether a text begins with such a thing."""

    def match(self, text: str) -> re.Match[str] | None:
        """The thing, None if it does not."""
        return self.compiled.match(text[: self.longest])


class Every(Expression):
    """Finds all such things in the first `longest` characters of a text."""

    def all(self, text: str) -> Iterator[re.Match[str]]:
        """All of them, in their order."""
        return self.compiled.finditer(text, 0, self.longest)


def listed() -> tuple[Expression, ...]:
    """All that were made by the modules that are loaded."""
    return tuple(_LISTED)


DAY = Whole("a day", r"\d{4}-\d\d-\d\d", sees="a property or a filter of a request")
INTEGER = Whole("a whole number", r"-?\d{1,18}", sees="a filter of a request")


def uncommented(text: str) -> str:
    """Markdown without its HTML comments; one that never ends is text."""
    return "".join(_outside(text))


def _outside(text: str) -> Iterator[str]:
    end = 0
    while (begin := text.find("<!--", end)) >= 0 and (close := text.find("-->", begin + 4)) >= 0:
        yield text[end:begin]
        end = close + 3
    yield text[end:]


def from_json(text: str | bytes, *, strict: bool = True, **parts: Callable[[str], Any]) -> Any:
    """A JSON document; `parts` as of `json.loads`.

    Raises:
        Unreadable: it is none, too deep, or has a number of thousands of digits.
    """
    try:
        return json.loads(text, strict=strict, **parts)  # type: ignore[arg-type] # its stubs want each by name
    except RecursionError as error:
        raise Unreadable("it is too deeply nested") from error
    except ValueError as error:
        raise Unreadable(str(error)) from error


def from_toml(text: str) -> dict[str, Any]:
    """A TOML document.

    Raises:
        Unreadable: it is none, or too much for us.
    """
    if _steps(text) > MOST_STEPS:
        raise Unreadable("its keys have too many parts: use fewer dots in a line, and tables that are less deep")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Unreadable(str(error)) from error
    except RecursionError as error:
        raise Unreadable("it is too deeply nested") from error
    except (ValueError, OverflowError) as error:
        raise Unreadable("a number or moment in it is beyond what can be read") from error


def _steps(text: str) -> int:
    """What the keys of a TOML document take at most: for each part of one the parser walks down all of its table."""
    lines = text.split("\n")
    deepest = max((line.count(".") for line in lines if line.lstrip().startswith("[")), default=0)
    return sum((deepest + dots) * (dots + 1) for dots in (line.count(".") for line in lines))


def host_of(origin: str) -> str | None:
    """The host, and its port, of an address that a browser sends; None if it is none."""
    try:
        return urlsplit(origin[:LINE]).netloc.lower()
    except ValueError:
        return None
