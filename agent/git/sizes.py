"""What git would read, before it does: a sparse file of a terabyte for hours, a repository's own configuration.

Nothing is opened. Git lists the names, and reads its rules for that; so these are looked at first.
"""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.errors import TicketFailure
from agent.git import odd
from agent.git.blame import GitFailed, shown
from agent.git.folder import RULES, entries
from agent.git.refs import names
from agent.git.worktree import Worktree

LARGEST: Final = 100 << 20
"""Bytes of one file: forges take no larger ones."""
LARGEST_RULES: Final = 1 << 20
"""Bytes of a file with git's rules, which it holds in memory."""


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
    if rules := await asyncio.to_thread(_large_rules, worktree.path):
        return Excess(
            f"{names(map(shown, rules))} is larger than {_size(LARGEST_RULES)}, and git would read it whole", rules
        )
    try:
        listed = await worktree.git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    except GitFailed as failed:
        if not failed.crowded:
            raise
        fullest = await asyncio.to_thread(_fullest, worktree.path)
        return Excess(f"{failed.said}; most of the names are in {names([shown(fullest)])}", (fullest,))
    if inner := await asyncio.to_thread(_repositories, worktree.path, listed.stdout):
        return Excess(odd.NESTED.format(names(map(shown, inner))), tuple(f"{path}/.git" for path in inner))
    sizes = await asyncio.to_thread(_sizes, worktree.path, listed.stdout)
    most = worktree.mirror.disk
    if max(sizes.values(), default=0) <= LARGEST and sum(sizes.values()) <= most:
        return None
    before = await worktree.git("ls-tree", "-r", "-l", "-z", onto)
    return await asyncio.to_thread(_judged, sizes, before.stdout, most)


async def refuse_excess(worktree: Worktree, onto: str) -> None:
    """Raise if there is any.

    Raises:
        TicketFailure: and what.
    """
    if found := await excess(worktree, onto):
        raise TicketFailure(found.reason)


def _judged(sizes: dict[bytes, int], before: bytes, most: int) -> Excess | None:
    for line in before.split(b"\0")[:-1]:
        head, _, name = line.partition(b"\t")
        known = head.rpartition(b" ")[2]
        if known.isdigit() and sizes.get(name, 0) <= int(known):
            sizes.pop(name, None)
    largest = sorted(sizes, key=lambda name: -sizes[name])
    if large := [name for name in largest if sizes[name] > LARGEST]:
        path = os.fsdecode(large[0])
        reason = f"{names([shown(path)])} has {_size(sizes[large[0]])}, and one file may have {_size(LARGEST)}"
        return Excess(reason, tuple(map(os.fsdecode, large)))
    total = sum(sizes.values())
    if total <= most:
        return None
    reason = f"what is new has {_size(total)} together, and `sandbox.disk` allows {_size(most)}"
    reason += f"; the largest is {names([shown(os.fsdecode(largest[0]))])}"
    gone = []
    for name in largest:
        gone.append(os.fsdecode(name))
        total -= sizes[name]
        if total <= most:
            break
    return Excess(reason, tuple(gone))


def _repositories(folder: Path, listed: bytes) -> list[str]:
    """Those that git would look into: it lists new ones with a stroke behind, and known names may have become some."""
    found = []
    for name in listed.split(b"\0")[:-1]:
        path = os.fsdecode(name.removesuffix(b"/"))
        place = folder / path
        if name.endswith(b"/") or (os.path.lexists(place / ".git") and not place.is_symlink()):
            found.append(path)
    return found


def _sizes(folder: Path, listed: bytes) -> dict[bytes, int]:
    """Of each file that is there."""
    found = {}
    top = os.fsencode(folder)
    for name in listed.split(b"\0")[:-1]:
        try:
            at = os.lstat(b"%b/%b" % (top, name))
        except OSError:
            continue
        if stat.S_ISREG(at.st_mode):
            found[name] = at.st_size
    return found


def _large_rules(folder: Path) -> tuple[str, ...]:
    """Files with rules that are too large; folders that are closed to us are opened, as they are for git later."""
    found = []
    waiting = [str(folder)]
    while waiting:
        for entry in entries(waiting.pop()):
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif entry.name in RULES and entry.stat(follow_symlinks=False).st_size > LARGEST_RULES:
                found.append(str(Path(entry.path).relative_to(folder)))
    return tuple(sorted(found))


def _fullest(folder: Path) -> str:
    """Where most of the names are; counted to its end, one after the other."""
    counts = {entry.name: _bytes_of_names(entry) for entry in entries(str(folder)) if entry.name != ".git"}
    return max(counts, key=lambda name: counts[name], default=".")


def _bytes_of_names(top: os.DirEntry[str]) -> int:
    total, waiting = 0, [top]
    while waiting:
        entry = waiting.pop()
        total += len(entry.path)
        if entry.is_dir(follow_symlinks=False):
            waiting += entries(entry.path)
    return total


def _size(count: int) -> str:
    for unit, name in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{count} bytes"
