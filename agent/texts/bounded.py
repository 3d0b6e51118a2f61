r"""The one place where text of others is cut, searched and parsed: of a model, a ticket, a repository, a program, a server.

Python's `re` steps back: an expression that looks harmless takes hours for one word of a megabyte, holds the interpreter
meanwhile, and no signal or time-out is heard. So each that sees others' text is made here, says whose text that is, is shown
no more of it than `longest`, and takes time in proportion to it. `tests/support/worst_words.py` finds all of them, and every
use of `re`, `fnmatch`, `difflib`, `tomllib`, `json`, `email`, `urllib` and their like that goes around this module, and tries
them uncut.

What keeps an expression linear: what repeats gives nothing back (`\s*+`), or ends where the next thing begins (`[^"]*"`); and
a search that failed does not begin again in the middle of what it has read, so it begins where a run begins
(`(?<!\w)\w++`), or takes the run whatever follows and lets the caller look at what that was.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
import tomllib
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, AnyStr, Final, Generic, TypeVar, overload

import msgspec

T = TypeVar("T")

LINE: Final = 4_096
"""Characters of what is one line or one name: a path, an address, what a program says."""
TEXT: Final = 1 << 20
"""Characters of a text that somebody reads, or bytes of an output."""
MOST_STEPS: Final = 400_000
"""For the keys of one TOML document, as `_steps` counts them: 50 ms of processor time."""
MOST_TABLES: Final = 100_000
"""Objects and lists in one JSON document: each takes up to 232 bytes, however few it is written with."""
MOST_VALUES: Final = 600_000
"""Commas in one: a value takes up to 60 bytes, and a quarter of a microsecond."""
MOST_DIGITS: Final = 40_000
"""For the numbers in one, as `_digits` counts them: 30 ms of processor time. Decoding holds the interpreter, whatever thread it is in."""
_WORD: Final = 100
"""Characters of a word that is compared with others."""

_LISTED: Final[list[Expression[Any]]] = []


class Unreadable(ValueError):
    """It is not what it should be, or too much of it; the text says why, as it stands behind a colon."""


class TooMuch(Unreadable):
    """It may be what it should be, and is more than is read."""


def ending(output: bytes, longest: int) -> bytes:
    """The end of an output, from the beginning of a line if there is one: half a line could hold half a secret."""
    if len(output) <= longest:
        return output
    _, _, whole = output[-longest:].partition(b"\n")
    return whole or output[-longest:]


# --- expressions --------------------------------------------------------------------------------------------------


class Expression(Generic[AnyStr]):
    """A regular expression that sees others' text.

    Args:
        name: where it is used, and what it finds.
        expression: linear; see the module.
        sees: whose text.
        longest: how much of it is looked at; characters, or bytes.
        flags: of `re`.
    """

    def __init__(self, name: str, expression: AnyStr, *, sees: str, longest: int = TEXT, flags: int = 0) -> None:
        self.name = name
        self.sees = sees
        self.longest = longest
        self.compiled: re.Pattern[AnyStr] = re.compile(expression, flags)
        _LISTED.append(self)


class Whole(Expression[AnyStr]):
    """Says whether a text is such a thing from end to end; one beyond `longest` is none."""

    def match(self, text: AnyStr) -> re.Match[AnyStr] | None:
        """The text's parts, None if it is none."""
        return None if len(text) > self.longest else self.compiled.fullmatch(text)


class Start(Expression[AnyStr]):
    """Finds a thing where it is asked for, and nowhere behind."""

    def match(self, text: AnyStr, at: int = 0) -> re.Match[AnyStr] | None:
        """The thing that begins at `at`, within the next `longest` characters."""
        return self.compiled.match(text, at, at + self.longest)


class Search(Expression[AnyStr]):
    """Says whether and where such a thing is in the first `longest` characters of a text."""

    def first(self, text: AnyStr, at: int = 0) -> re.Match[AnyStr] | None:
        """The first of them from there on."""
        return self.compiled.search(text, at, self.longest)


class Every(Expression[AnyStr]):
    """Finds all such things in the first `longest` characters of a text."""

    def all(self, text: AnyStr) -> Iterator[re.Match[AnyStr]]:
        """All of them, in their order."""
        return self.compiled.finditer(text, 0, self.longest)

    def replaced(self, text: AnyStr, new: AnyStr | Callable[[re.Match[AnyStr]], AnyStr]) -> AnyStr:
        """The text with something else in their place; what is beyond `longest` is left out."""
        return self.compiled.sub(new, text[: self.longest])


def listed() -> tuple[Expression[Any], ...]:
    """All that were made by the modules that are loaded."""
    return tuple(_LISTED)


def globs(patterns: Iterable[str]) -> Callable[[str, int], object]:
    """Whether one of the operator's patterns fits a name from a position on; `*` stands for any characters, `/` too."""
    return re.compile("|".join(map(fnmatch.translate, patterns))).match


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that somebody may have meant; empty if none is like it."""
    return next(iter(difflib.get_close_matches(word[:_WORD], tuple(known), n=1)), "")


# --- documents ----------------------------------------------------------------------------------------------------


@overload
def from_json(raw: bytes | bytearray | str, *, longest: int) -> Any: ...
@overload
def from_json(raw: bytes | bytearray | str, kind: type[T], *, longest: int) -> T: ...
def from_json(raw: bytes | bytearray | str, kind: Any = Any, *, longest: int) -> Any:
    """A JSON document, of that kind if one is given.

    Raises:
        Unreadable: it is none, or not of that kind, or too much for us.
    """
    if len(raw) > longest:
        raise TooMuch(f"it is longer than {_size(longest)}")
    if _crowded(raw.encode("utf-8", "replace") if isinstance(raw, str) else raw):
        raise TooMuch("it holds more values, or longer numbers, than anything of its kind")
    try:
        return msgspec.json.decode(raw, type=kind)
    except RecursionError as error:
        raise Unreadable("it is too deeply nested") from error
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise Unreadable(str(error)) from error


def _crowded(raw: bytes | bytearray) -> bool:
    """Whether it holds more than our memory and time should; what stands in texts is looked at only where that matters."""
    if not _many(raw.count(b"[") + raw.count(b"{"), raw.count(b","), _digits(raw.translate(_SIGNS, b".+-"))):
        return False
    tables = values = digits = 0
    for signs, texts in _outside(raw):
        tables += signs.count(b"[") + signs.count(b"{")
        values += max(signs.count(b","), texts // 2)  # a value has two texts at most, or this is no JSON
        digits += _digits(signs)
        if _many(tables, values, digits):
            return True
    return False


def _outside(raw: bytes | bytearray) -> Iterator[tuple[bytes, int]]:
    """What counts of that which stands between texts, piece by piece, and how many of these there are."""
    inside = escaped = 0
    for start in range(0, len(raw), _PIECE):
        piece = raw[start + escaped : start + _PIECE].replace(b"\\\\", b"")
        escaped = piece.endswith(b"\\")
        bare = piece.replace(b'\\"', b"").translate(_SIGNS, _WORDS).replace(b'""', b"")
        parts = bare.split(b'"')
        yield b" ".join(parts[inside::2]), len(parts) // 2
        inside ^= len(parts) % 2 == 0


def _many(tables: int, values: int, digits: int) -> bool:
    return tables > MOST_TABLES or values > MOST_VALUES or digits > MOST_DIGITS


def _digits(signs: bytes | bytearray) -> int:
    """How many numbers take long, those of six bytes most of all: `1e308` is worth 20 of sixteen digits."""
    return 20 * signs.count(b"e00") + signs.count(b"0" * 16)


_PIECE: Final = 1 << 16
_SIGNS: Final = bytes.maketrans(b"123456789E", b"000000000e")
_WORDS: Final = bytes(sign for sign in range(256) if sign not in b'"[{,0123456789eE')
"""What says nothing about the number of values, nor of their digits."""


def from_toml(text: str, *, longest: int) -> dict[str, Any]:
    """A TOML document.

    Raises:
        Unreadable: it is none, or too much for us.
    """
    if len(text) > longest:
        raise Unreadable(f"it is longer than {_size(longest)}")
    if _steps(text) > MOST_STEPS:
        raise Unreadable("its keys have too many parts: use fewer dots in a line, and tables that are less deep")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Unreadable(str(error)) from error
    except RecursionError as error:
        raise Unreadable("it is too deeply nested") from error
    except (ValueError, OverflowError) as error:  # 5,000 digits, or a moment that no calendar has
        raise Unreadable("a number or moment in it is beyond what can be read") from error


def _steps(text: str) -> int:
    """What the keys of a TOML document take at most: for each part of one the parser walks down all of its table."""
    lines = text.split("\n")
    deepest = max((line.count(".") for line in lines if line.lstrip().startswith("[")), default=0)
    return sum((deepest + dots) * (dots + 1) for dots in (line.count(".") for line in lines))


def _size(longest: int) -> str:
    return f"{longest >> 20} MiB" if longest >= 1 << 20 else f"{longest >> 10} KiB"


# --- addresses ----------------------------------------------------------------------------------------------------


def split_url(address: str) -> urllib.parse.SplitResult:
    """The parts of an address.

    Raises:
        Unreadable: it is none.
    """
    try:
        return urllib.parse.urlsplit(address[:LINE])
    except ValueError as error:
        raise Unreadable(str(error)) from error


def joined(base: str, address: str) -> str:
    """An address that may be relative to another.

    Raises:
        Unreadable: it is none.
    """
    try:
        return urllib.parse.urljoin(base[:LINE], address[:LINE])
    except ValueError as error:
        raise Unreadable(str(error)) from error


def unquoted(text: str) -> str:
    """The text behind `%2F` and its like."""
    return urllib.parse.unquote(text[:LINE])


def parameters(query: str) -> dict[str, list[str]]:
    """The parameters of an address.

    Raises:
        Unreadable: they are none.
    """
    try:
        return urllib.parse.parse_qs(query[:LINE], keep_blank_values=True)
    except ValueError as error:
        raise Unreadable(str(error)) from error


# --- what goes around this module, and why it may -----------------------------------------------------------------

WRITERS: Final = (
    "json.dumps",
    "msgspec.json.encode",
    "msgspec.json.format",
    "shlex.quote",
    "urllib.parse.SplitResult",
    "urllib.parse.quote",
    "urllib.parse.urlencode",
    "urllib.parse.urlunsplit",
)
"""They read nothing, and write in proportion to what they are given."""
ELSEWHERE: Final[Mapping[str, str]] = {
    "agent/cli/board.py": "an argument of the operator",
    "agent/demo/": "an outsider in a process of its own, which reads its own recipes and what its own stage says",
    "agent/devshell/broker_shim.py": "runs in the box, as a process of the model",
    "agent/page/markdown.py": "texts of the board, weighed before",
    "agent/pod.py": "the pod's own file",
    "agent/relay/meter.py": "an answer of the API, bounded, of which only the counts become objects",
    "agent/relay/record.py": "the pod's own file",
    "agent/relay/request.py": "a request of the box, bounded and counted before: a key that stands twice must be found",
    "agent/server/description.py": "the board's own routes",
    "agent/server/journals.py": "what the board itself wrote into its database",
    "agent/settings/readers.py": "the operator's settings",
    "agent/state_folder.py": "the pod's own file",
    "agent/texts/branches.py": "a subject, cut before",
    "agent/texts/rewrite.py": "texts that leave, cut before",
    "agent/texts/trail.py": "comments of the board, cut before",
}
"""Files or folders, and whose text it is that they look at."""
