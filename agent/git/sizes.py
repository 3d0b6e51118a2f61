"""What git would read, before it does: a sparse file of a terabyte for hours, a repository's own configuration.

Nothing is opened. Git lists the names, and reads its rules for that; so these are looked at first.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.errors import TicketFailure
from agent.git import odd, rules
from agent.git.blame import GitFailed, shown
from agent.git.folder import RULES, entries, walk
from agent.git.refs import names
from agent.git.worktree import Worktree

LARGEST: Final = 100 << 20
"""Bytes of one file: forges take no larger ones."""
MOST_NAMES: Final = 500_000
"""New files of one run: with more, git and forges are no use either."""
MOST_NAMED: Final = 10_000
"""Paths that are put away at once; what is more is found when it is looked again."""
SMALL: Final = 20_000
"""This part of what a run may add is small: of such files there may be a million, and they count together, not by name."""


class Excess(Struct, frozen=True):
    """What git must not read.

    Attributes:
        reason: a sentence.
        paths: what has to go before it may read the rest.
    """

    reason: str
    paths: tuple[str, ...]


async def excess(worktree: Worktree, onto: str) -> Excess | None:
    """What git would add, if it is too much; and repositories, whose configuration a model wrote.

    A file that is no larger than in the commit `onto` is its repository's, and does not count.
    """
    folder = worktree.path
    if found := await _rules(worktree, onto):
        return found
    try:
        listed = (await worktree.git("ls-files", "-z", "--cached", "--others", "--exclude-standard")).stdout
    except GitFailed as failed:
        if not failed.crowded:
            raise
        return await asyncio.to_thread(_crowded, folder, failed.said)
    if (count := listed.count(b"\0")) > MOST_NAMES:
        known = (await worktree.git("ls-tree", "-r", "-z", "--name-only", onto)).stdout.count(b"\0")
        if count - known > MOST_NAMES:
            reason = f"{count - known:,} names are new, and a run may add {MOST_NAMES:,}"
            return await asyncio.to_thread(_crowded, folder, reason)
    if inner := await asyncio.to_thread(_repositories, folder, listed):
        return Excess(odd.NESTED.format(names(map(shown, inner))), tuple(f"{path}/.git" for path in inner))
    most = worktree.mirror.disk
    largest, total = await asyncio.to_thread(_measured, folder, listed)
    if largest <= LARGEST and total <= most:
        return None
    before = await worktree.git("ls-tree", "-r", "-l", "-z", onto)
    return await asyncio.to_thread(_judged, folder, listed, total, before.stdout, most)


async def refuse_excess(worktree: Worktree, onto: str) -> None:
    """Raise if there is any.

    Raises:
        TicketFailure: and what.
    """
    if found := await excess(worktree, onto):
        raise TicketFailure(found.reason)


def _measured(folder: Path, listed: bytes) -> tuple[int, int]:
    """The largest of these files, and all together."""
    largest = total = 0
    for name in _names(listed):
        size = _size_of(folder, name)
        total += size
        largest = max(largest, size)
    return largest, total


def _judged(folder: Path, listed: bytes, total: int, before: bytes, most: int) -> Excess | None:
    small = most // SMALL
    same = set()
    for line in _names(before):
        head, _, name = line.partition(b"\t")
        known = head.rpartition(b" ")[2]
        if known.isdigit() and (size := _size_of(folder, name)) <= int(known):
            total -= size
            if size > small:
                same.add(name)
    sizes = ((_size_of(folder, name), name) for name in _names(listed) if name not in same)
    largest = heapq.nlargest(MOST_NAMED, (one for one in sizes if one[0] > small))
    if large := [(size, os.fsdecode(name)) for size, name in largest if size > LARGEST]:
        reason = f"{names([shown(large[0][1])])} has {_size(large[0][0])}, and one file may have {_size(LARGEST)}"
        return Excess(reason, tuple(path for _, path in large))
    if total <= most:
        return None
    reason = f"what is new has {_size(total)} together, and `sandbox.disk` allows {_size(most)}"
    if not largest:
        return _crowded(folder, reason)
    reason += f"; the largest is {names([shown(os.fsdecode(largest[0][1]))])}"
    gone = []
    for size, name in largest:
        gone.append(os.fsdecode(name))
        total -= size
        if total <= most:
            break
    return Excess(reason, tuple(gone))


def _names(listed: bytes) -> Iterator[bytes]:
    """What stands before each NUL; one after the other, since there may be millions."""
    start = 0
    while (end := listed.find(b"\0", start)) >= 0:
        yield listed[start:end]
        start = end + 1


def _repositories(folder: Path, listed: bytes) -> list[str]:
    """Those that git would look into: it lists new ones with a stroke behind, and known names may have become some."""
    found = []
    for name in _names(listed):
        path = os.fsdecode(name.removesuffix(b"/"))
        if name.endswith(b"/") or (os.path.lexists(f"{folder}/{path}/.git") and not (folder / path).is_symlink()):
            found.append(path)
            if len(found) == MOST_NAMED:
                break
    return found


def _size_of(folder: Path, name: bytes) -> int:
    """Of a file, if it is there and is one."""
    try:
        at = os.lstat(b"%b/%b" % (os.fsencode(folder), name))
    except OSError:
        return 0
    return at.st_size if stat.S_ISREG(at.st_mode) else 0


async def _rules(worktree: Worktree, onto: str) -> Excess | None:
    """Files with rules that are too large, or on which git would work too long; for that the lines of `onto` do not count."""
    folder = worktree.path
    found = await asyncio.to_thread(rules.costly, folder, {})
    if large := found.large[:MOST_NAMED]:
        reason = f"{names(map(shown, large))} is larger than {_size(rules.LARGEST)}, and git would read it whole"
        return Excess(reason, large)
    if not found.dear:
        return None
    listed = (await worktree.git("ls-tree", "-r", "-l", "-z", onto)).stdout
    blobs = await asyncio.to_thread(_rules_in, listed)
    asked = "".join(f"{blob}\n" for blob in blobs.values()).encode()
    told = (await worktree.git("cat-file", "--batch", stdin=asked)).stdout
    known = await asyncio.to_thread(odd.read_blobs, told, blobs)
    if not (dear := (await asyncio.to_thread(rules.costly, folder, known)).dear):
        return None
    reason = f"git would take too long with the patterns in {names(map(shown, dear))}: write fewer or plainer ones"
    return Excess(reason, dear)


def _rules_in(listed: bytes) -> dict[str, str]:
    """The blobs of files with rules, by their paths."""
    found = {}
    for line in _names(listed):
        head, _, name = line.partition(b"\t")
        path = os.fsdecode(name)
        mode, _, blob, size = head.decode("ascii").split()
        if path.rpartition("/")[2] in RULES and mode.startswith("100") and int(size) <= rules.LARGEST:
            found[path] = blob
    return found


def _crowded(folder: Path, reason: str) -> Excess:
    """Too many names: the folder at the top with most of them has to go; where they are no folder's, nothing helps."""
    most, fullest, loose = 0, ".", 0
    for entry in entries(str(folder)):
        if not entry.is_dir(follow_symlinks=False):
            loose += len(entry.path)
        elif entry.name != ".git" and (size := sum(len(one.path) for one in walk(Path(entry.path)))) > most:
            most, fullest = size, entry.name
    if loose > most:
        return Excess(f"{reason}; most of the names are in the topmost folder", ())
    return Excess(f"{reason}; most of the names are in {names([shown(fullest)])}", (fullest,))


def _size(count: int) -> str:
    for unit, name in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{count} bytes"
