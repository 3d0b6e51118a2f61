"""What git's rules of a run would cost it: all patterns are tried on all paths below, and nothing bounds that.

A mebibyte of patterns and many files take hours, and one line of sixty letters (`/**/**/…`) on a deep path takes for ever.
So the work is estimated before git reads anything. What the base has, line by line, is its people's and does not count.
"""

from __future__ import annotations

import heapq
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.git.folder import RULES, read_opened, walk

WORK: Final = 100_000_000_000
"""Nanoseconds, about: on a machine that is five times as slow it is less than git's time-out."""
LARGEST: Final = 1 << 20
"""Bytes of a file with rules, which git holds in memory."""
_NAMED: Final = 50
"""Files that are named, the most expensive ones."""
_FILE: Final = 50_000
"""Nanoseconds for each file, ours included."""
_LINE: Final = 20_000
"""Likewise for each line, and besides for each path:"""
_PLAIN: Final = 10
"""of a pattern without a wildcard, or with one behind letters that fit no path;"""
_SHARE: Final = 8
"""of a wildcard, for each letter of the path, and once more for each so many letters of its own."""
_WILD: Final = (b"*", b"?", b"[")
_ACROSS: Final = (b"**/", rb"**\/")
"""What goes on at any folder: git tries all ways to deal them out."""
_MOST_ACROSS: Final = 30
_QUOTED: Final = b'"'
"""Begins an attribute's pattern in which any letter may be written as a number."""


class _Below(Struct):
    """What lies below a folder.

    Attributes:
        path: of the folder.
        names: how many files and folders.
        letters: how many their paths have together.
        depth: how many folders lie in each other.
        rules: the files with rules in the folder itself.
    """

    path: str
    names: int = 0
    letters: int = 0
    depth: int = 1
    rules: tuple[str, ...] = ()


class Costly(Struct, frozen=True):
    """Files with rules that git may not read.

    Attributes:
        large: that are larger than `LARGEST`.
        dear: without whose rules the rest would not cost too much, the dearest first; none if it does not.
    """

    large: tuple[str, ...] = ()
    dear: tuple[str, ...] = ()


def costly(folder: Path, known: Mapping[str, str]) -> Costly:
    """What git would read of a worktree, looked at once.

    Args:
        folder: the worktree; folders and files that are closed to us are opened, as they are for git later.
        known: what the base has of such files, by their paths; these lines do not count.
    """
    total = 0
    large: list[str] = []
    dearest: list[tuple[int, str]] = []
    for below in _folders(folder):
        for name in below.rules:
            path = f"{below.path}/{name}"[len(str(folder)) + 1 :]
            if (folder / path).lstat().st_size > LARGEST:
                large.append(path)
            elif total <= WORK:
                cost = _cost(read_opened(folder / path, LARGEST) or b"", os.fsencode(known.get(path, "")), below)
                total += cost
                heapq.heappush(dearest, (cost, path))
                if len(dearest) > _NAMED:
                    heapq.heappop(dearest)
    dear = []
    for cost, path in sorted(dearest, reverse=True):
        if total <= WORK:
            break
        dear.append(path)
        total -= cost
    return Costly(tuple(sorted(large)), tuple(dear))


def _folders(top: Path) -> Iterator[_Below]:
    """Every folder that is not empty, behind all that are in it."""
    above: list[_Below] = []
    for entry in walk(top):
        parent = entry.path[: -len(entry.name) - 1]
        while above and not f"{parent}/".startswith(f"{above[-1].path}/"):
            yield _left(above)
        if not above or above[-1].path != parent:
            above.append(_Below(parent))
        here = above[-1]
        here.names += 1
        here.letters += len(os.fsencode(entry.path)) - len(str(top))
        if entry.name in RULES and entry.is_file(follow_symlinks=False):
            here.rules += (entry.name,)
    while above:
        yield _left(above)


def _left(above: list[_Below]) -> _Below:
    """The last of these folders, which is over; what is in it counts for the one around it."""
    here = above.pop()
    if above:
        outer = above[-1]
        outer.names += here.names
        outer.letters += here.letters
        outer.depth = max(outer.depth, here.depth + 1)
    return here


def _cost(data: bytes, base: bytes, below: _Below) -> int:
    old = frozenset(base.split(b"\n"))
    cost = _FILE
    for line in data.split(b"\n"):
        if line not in old:
            cost += _of(line, below)
        if cost > WORK:
            break
    return cost


def _of(line: bytes, below: _Below) -> int:
    pattern = line.strip()
    if not pattern or pattern.startswith(b"#"):
        return _LINE
    quoted = pattern.startswith(_QUOTED)
    if not quoted and not any(one in pattern for one in _WILD):
        return _LINE + _PLAIN * below.names
    across = pattern.count(b"/") if quoted else sum(map(pattern.count, _ACROSS))
    across = min(across, _MOST_ACROSS)
    tried = quoted or b"[" in pattern or b"?" in pattern  # what is no letter is tried at each place
    own = 2 * len(pattern) if tried else len(pattern) // _SHARE
    return _LINE + (1 + own) * below.letters * math.comb(below.depth + across, across)
