"""The expressions that see others' text, and the words that are worst for each of them.

A word is made from the expression's own parse tree: each of its pieces, alone and behind all that comes before it, repeated,
and then one character that does not fit. Whatever steps back, or begins again where it has looked already, does so here.
"""

from __future__ import annotations

import ast
import collections
import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from pathlib import Path
from re import _constants as op  # type: ignore[attr-defined] # not in the stubs
from re import _parser  # type: ignore[attr-defined] # likewise
from typing import Any, Final

import agent
from agent.server import bounded as server
from agent.texts import bounded

MEBIBYTE: Final = 1 << 20
LIMIT: Final = 0.05
"""Seconds of processor time for a word of a mebibyte."""
REFERENCE: Final = 0.0025
"""Seconds that an idle processor takes for a search of a quarter of a mebibyte in vain."""
_ENDS: Final = "\0\n!@Z"
_TOKENS: Final = 1_000
_FEW, _MANY = 4, 5_000
"""A repeat with a bound between them is worst where it is filled up to that, again and again."""
_OUTER: Final = 12
"""How many of its pieces are combined with each other."""
LISTED_WORDS: Final = (
    "a", "a ", " ", "\t \t", "\n", "\r\n", "-", "=", "://", "://a@", "<!--", "<", "`", "` ", "_", "_#1", "#1", "token", "token ", "token=",
    "cookie: ", "eyJ-", "eyJa.", "sk-", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "\x1b[", "\x1b]a", "a.", "a:1: ", "\u0130", "\ud800a", "\\", '"', "'", "A",
)  # fmt: skip
"""Words that attackers have used, for every expression."""


def expressions() -> list[Any]:
    """All of both owners, once every module of the agent is loaded."""
    for found in pkgutil.walk_packages(agent.__path__, "agent."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    return [*bounded.listed(), *server.listed()]


def words(expression: Any, size: int = MEBIBYTE) -> Iterator[str | bytes]:
    """The worst words of this many characters, or bytes."""
    compiled = expression.compiled
    tree = _parser.parse(compiled.pattern, compiled.flags & ~re.DEBUG)
    heads, pieces = _pieces(tree, "")
    whole = _sample(tree)
    alone = list(dict.fromkeys(piece for piece in (*pieces, whole, whole[:-1], whole[1:]) if piece))
    units = dict.fromkeys(alone)
    units |= dict.fromkeys(one + two for one in alone[:_OUTER] for two in alone[:_OUTER] if one != two)
    units |= dict.fromkeys(one + 100 * two for one, two in heads if one)
    for one, two, most in _bounded(tree, ""):
        units |= dict.fromkeys((one, one + most * two) if one else ())
    units |= dict.fromkeys(LISTED_WORDS)
    starts = list(dict.fromkeys(["", *(one for one, _ in heads)]))
    for unit in units:
        for start in starts if unit in pieces else [""]:
            yield _typed(_repeated(start, unit, size, compiled), compiled)


def _repeated(start: str, unit: str, size: int, compiled: Any) -> str:
    few = start + 3 * unit
    end = next((end for end in _ENDS if not compiled.fullmatch(_typed(few + end, compiled))), "\0")
    return start + unit * ((size - len(start)) // len(unit)) + end


def _typed(text: str, compiled: Any) -> Any:
    return text.encode("utf-8", "surrogatepass") if isinstance(compiled.pattern, bytes) else text


def cost(expression: Any, word: Any, limit: float = LIMIT) -> float:
    """Seconds of processor time that the expression takes for a word, uncut; the best of three, where the first is too long."""
    best = _once(expression, word)
    for _ in range(2):
        if best > limit:
            best = min(best, _once(expression, word))
    return best


def _once(expression: Any, word: Any) -> float:
    compiled = expression.compiled
    began = time.process_time()
    match type(expression).__name__:
        case "Whole":
            compiled.fullmatch(word)
        case "Start":
            at = 0
            for _ in range(_TOKENS):  # each alike: that it looks far ahead shows in a thousand
                found = compiled.match(word, at)
                if found is None or found.end() == at:
                    break
                at = found.end()
        case "Search":
            compiled.search(word)
        case _:
            collections.deque(compiled.finditer(word), maxlen=0)
    return time.process_time() - began


def slowness() -> float:
    """How much longer this processor takes now than an idle one, at most four times: neighbours take of its caches."""
    least = min(_reference() for _ in range(3))
    return min(4.0, max(1.0, least / REFERENCE))


def _reference() -> float:
    began = time.process_time()
    collections.deque(re.finditer(r"\bb", "a " * (MEBIBYTE // 8)), maxlen=0)
    return time.process_time() - began


def _pieces(tree: Any, before: str) -> tuple[list[tuple[str, str]], list[str]]:
    """What may repeat, each with what comes before it; and every piece."""
    heads: list[tuple[str, str]] = []
    pieces: list[str] = []
    for node in tree:
        sample = _node(node)
        kind, value = node
        pieces.append(sample)
        inner: list[Any] = []
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            heads.append((before, _sample(value[2])))
            inner = [value[2]]
        elif kind is op.SUBPATTERN:
            inner = [value[3]]
        elif kind is op.ATOMIC_GROUP:
            inner = [value]
        elif kind is op.BRANCH:
            inner = value[1]
        elif kind in (op.ASSERT, op.ASSERT_NOT):
            inner = [value[1]]
        elif kind is op.GROUPREF_EXISTS:
            inner = [one for one in value[1:] if one is not None]
        for one in inner:
            more = _pieces(one, before)
            heads += more[0]
            pieces += more[1]
        before += sample
    return heads, pieces


def _bounded(tree: Any, before: str) -> Iterator[tuple[str, str, int]]:
    """What may repeat so many times and no more, with what comes before it."""
    for node in tree:
        kind, value = node
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            if _FEW < value[1] < _MANY:
                yield before, _sample(value[2]), value[1]
            yield from _bounded(value[2], before)
        elif kind is op.SUBPATTERN:
            yield from _bounded(value[3], before)
        elif kind is op.ATOMIC_GROUP:
            yield from _bounded(value, before)
        elif kind is op.BRANCH:
            for one in value[1]:
                yield from _bounded(one, before)
        before += _node(node)


def _sample(tree: Any) -> str:
    return "".join(map(_node, tree))


def _node(node: Any) -> str:  # noqa: PLR0911 - one for each kind
    """A text that fits, or nearly: what looks around and refers back is taken for nothing."""
    kind, value = node
    if kind is op.LITERAL:
        return chr(value)
    if kind is op.IN:
        return str(_member(value))
    if kind is op.NOT_LITERAL:
        return "a" if value != ord("a") else "b"
    if kind is op.ANY:
        return "a"
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        return str(_sample(value[2]) * max(1, min(value[0], 100)))
    if kind is op.SUBPATTERN:
        return _sample(value[3])
    if kind is op.ATOMIC_GROUP:
        return _sample(value)
    if kind is op.BRANCH:
        return _sample(value[1][0])
    return ""


_CATEGORIES: Final = {
    op.CATEGORY_DIGIT: "1", op.CATEGORY_SPACE: " ", op.CATEGORY_WORD: "a",
    op.CATEGORY_NOT_DIGIT: "a", op.CATEGORY_NOT_SPACE: "a", op.CATEGORY_NOT_WORD: "-",
}  # fmt: skip


def _member(members: Any) -> str:
    """A character of a set."""
    signs: list[str] = [
        chr(value) if kind is op.LITERAL else chr(value[0]) if kind is op.RANGE else _CATEGORIES.get(value, "a")
        for kind, value in members
        if kind is not op.NEGATE
    ]
    if members[0][0] is not op.NEGATE:
        return signs[0]
    return next(sign for sign in "a -\n1.~\0" if not _in(sign, members[1:]))


def _in(sign: str, members: Any) -> bool:
    for kind, value in members:
        if kind is op.LITERAL and ord(sign) == value:
            return True
        if kind is op.RANGE and value[0] <= ord(sign) <= value[1]:
            return True
        if kind is op.CATEGORY and (
            (value is op.CATEGORY_SPACE and sign.isspace())
            or (value is op.CATEGORY_DIGIT and sign.isdigit())
            or (value is op.CATEGORY_WORD and (sign.isalnum() or sign == "_"))
        ):
            return True
    return False


# --- who goes around the owners -----------------------------------------------------------------------------------

WATCHED: Final = (
    "re", "fnmatch", "difflib", "tomllib", "json", "urllib", "msgspec.json", "msgspec.toml", "msgspec.yaml", "email",
    "http.cookies", "html.parser", "xml", "csv", "configparser", "plistlib", "pickle", "ast", "mimetypes", "shlex",
    "ipaddress", "unicodedata", "markdown_it",
)  # fmt: skip
"""What reads or searches text. Of `email` and `http.cookies` it is known that a word of some kilobytes takes them seconds."""
HARMLESS: Final = frozenset(
    f"re.{name}" for name in ("ASCII", "DOTALL", "IGNORECASE", "MULTILINE", "VERBOSE", "Match", "Pattern")
) | {"unicodedata.category"}
OWNERS: Final = ("agent/texts/bounded.py", "agent/server/bounded.py")


def uses(root: Path) -> Iterator[tuple[str, str]]:
    """Each use of a watched module outside of its owners: the file, and the name of what is used."""
    for file in sorted(root.rglob("*.py")):
        place = file.relative_to(root.parent).as_posix()
        if place not in OWNERS:
            yield from ((place, name) for name in sorted(used(file.read_text(encoding="utf-8"))))


def used(source: str) -> set[str]:
    """The full names of what a source uses of the watched modules, under whatever name it brings them in."""
    tree = ast.parse(source)
    known: dict[str, str] = {}
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {
                one.asname or one.name.split(".")[0]: one.name if one.asname else one.name.split(".")[0]
                for one in node.names
            }
            found |= {one.name for one in node.names if one.asname is None and "." in one.name}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            known |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
            found |= {f"{node.module}.{one.name}" for one in node.names}
    for node in ast.walk(tree):
        parts: list[str] = []
        value = node
        while isinstance(value, ast.Attribute):
            parts.insert(0, value.attr)
            value = value.value
        if isinstance(value, ast.Name) and value.id in known:
            found.add(".".join((known[value.id], *parts)))
    watched = {name for name in found if any(name == one or name.startswith(f"{one}.") for one in WATCHED)}
    whole = {
        name
        for name in watched
        if name not in WATCHED and name not in ("urllib.parse", "urllib.error", "urllib.request")
    }
    return whole - HARMLESS
