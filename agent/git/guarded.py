"""Which changes a person must see before they are at a branch: what decides what a forge's CI does (T12). Pure.

A push starts CI, and CI has a network and secrets: the files that say what runs there are a second box, without walls. So
what a run changed of them waits for a word, and one hash names exactly that change.
"""

from __future__ import annotations

import functools
import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from agent.errors import TicketFailure
from agent.git.refs import names

DIGITS: Final = 16
"""Of a hash that names a change, as people write it."""
MOST: Final = 2_000
"""Guarded paths of one change: nobody could look at more, and each is kept, sorted and hashed."""
_FIELDS: Final = 5


class Entry(Struct, frozen=True, order=True):
    """A path as a commit has it; zeros where it has it no more."""

    mode: str
    path: str
    blob: str

    @property
    def line(self) -> str:
        """What of it goes into the hash; no name can look like two lines."""
        path = self.path.replace("\\", "\\\\").replace("\n", "\\n")
        return f"{self.mode} {path} {self.blob}"


class Change(Struct, frozen=True):
    """A change of guarded paths that no person has seen."""

    hash: str
    paths: tuple[str, ...]
    diff: str = ""
    """As people read it; cut where it is long."""

    @property
    def reason(self) -> str:
        """Why a run stops at it, as it stands behind a colon."""
        return f"it changes {names(self.paths)}: a person must see that before it is at a branch"


def read_entries(raw: bytes) -> Iterator[Entry]:
    """The answer of `git diff-tree -r -z --raw --no-renames --no-abbrev`: the new side of each path, one after the other."""
    at = 0
    while (end := raw.find(b"\0", at)) >= 0:
        fields = raw[at:end].decode("ascii", "replace").removeprefix(":").split(" ")
        if raw.startswith(b":", at) and len(fields) == _FIELDS:
            at = end + 1
            end = raw.find(b"\0", at)
            end = len(raw) if end < 0 else end
            yield Entry(fields[1], raw[at:end].decode("utf-8", "surrogateescape"), fields[3])
        at = end + 1


class GuardedPaths(Struct, frozen=True):
    """What is guarded in one change: the patterns of the settings, and what guarded links lead to.

    Who reads a guarded file through a link reads what it leads to: so that decides as the link does, with all below it, and
    whatever is put in the place of a folder above it.
    """

    patterns: tuple[str, ...]
    led: tuple[str, ...] = ()
    """Sorted, each with a stroke behind, and none below another; see `by_links`."""

    def covers(self, path: str) -> bool:
        """Whether a path is guarded."""
        return is_guarded(path, self.patterns) or (bool(self.led) and self._is_led(f"{path.casefold()}/"))

    def _is_led(self, path: str) -> bool:
        at = bisect_right(self.led, path)
        return path.startswith(self.led[max(at - 1, 0) : at]) or any(
            one.startswith(path) for one in self.led[at : at + 1]
        )


def by_links(patterns: tuple[str, ...], places: Iterable[str]) -> GuardedPaths:
    """These patterns, and the places that guarded links lead to; "" is the topmost folder."""
    led: list[str] = []
    for place in sorted(f"{place.casefold()}/" if place else "" for place in places):
        if not led or not place.startswith(led[-1]):
            led.append(place)
    return GuardedPaths(patterns, tuple(led))


def guarded_entries(raw: bytes, paths: GuardedPaths) -> dict[str, Entry]:
    """The guarded ones among these entries, by path. What a run adds may be half a million paths, so mind where this runs.

    Raises:
        TicketFailure: they are more than a person could look at.
    """
    found: dict[str, Entry] = {}
    for one in read_entries(raw):
        if paths.covers(one.path):
            found[one.path] = one
            if len(found) > MOST:
                raise TicketFailure(f"it changes more than {MOST:,} guarded paths, which nobody could look at")
    return found


def guarded_names(raw: bytes, patterns: tuple[str, ...]) -> list[str]:
    """The guarded ones among the names of `git ls-tree -r -z --name-only`."""
    return guarded_among(raw.decode("utf-8", "replace").split("\0")[:-1], patterns)


def guarded_among(paths: Iterable[str], patterns: tuple[str, ...]) -> list[str]:
    """Those of these paths."""
    return [path for path in paths if is_guarded(path, patterns)]


def hash_of(entries: Iterable[Entry]) -> str:
    """The name of a change: SHA-256 over its sorted lines."""
    lines = sorted(entry.line for entry in entries)
    text = "".join(f"{line}\n" for line in lines)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:DIGITS]


def is_guarded(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a path is guarded, or something above what is (a link in the place of `.github`); the case does not matter.

    In a pattern `*` is any characters of a name, `**` any folders.
    """
    parts = path.casefold().split("/")
    return any(_covers(pattern, parts) for pattern in _near(parts[0], patterns))


@functools.lru_cache(maxsize=1024)
def _near(first: str, patterns: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The patterns, in their parts, that may cover a path which begins with this name: few, for most of a tree."""
    split = (tuple(pattern.casefold().strip("/").split("/")) for pattern in patterns)
    return tuple(one for one in split if one[0] == "**" or _fits(one[0], first))


def _covers(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether pattern and path agree as far as both go; a pattern that begins with `**` has nothing above it."""
    match pattern:
        case ["**", name]:  # the only kind that all of a tree is held against: much faster so
            start = name.partition("*")[0]
            return name in parts if start == name else any(one.startswith(start) and _fits(name, one) for one in parts)
    reached = {0}
    for part in parts:
        reached = _with_skips(pattern, reached)
        if len(pattern) in reached:
            return True  # below what the pattern matches
        reached = {
            at if pattern[at] == "**" else at + 1 for at in reached if pattern[at] == "**" or _fits(pattern[at], part)
        }
        if not reached:
            return False
    above = len(parts) in reached and "**" not in pattern[: len(parts)]
    return above or len(pattern) in _with_skips(pattern, reached)


def _with_skips(pattern: Sequence[str], reached: set[int]) -> set[int]:
    """`**` stands for no folder at all, too."""
    found = set(reached)
    for at in sorted(reached):
        place = at
        while place < len(pattern) and pattern[place] == "**":
            place += 1
            found.add(place)
    return found


def _fits(pattern: str, name: str) -> bool:
    """A name against a pattern in which `*` is any characters: the pieces in their order, each at its first place."""
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    if not name.startswith(first):
        return False
    at, *middle, last = len(first), *rest
    for piece in middle:
        found = name.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return name.endswith(last) and len(name) - len(last) >= at
