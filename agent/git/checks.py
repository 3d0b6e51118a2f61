"""What ends a run: a repository that no run can work in, and work that cannot be committed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.errors import TicketFailure
from agent.git import odd
from agent.git.folder import read_plain
from agent.git.odd import Listing
from agent.git.refs import names
from agent.git.worktree import Worktree
from agent.texts.bounded import LINE, Start

_MARKER: Final = Start("checks: a conflict marker", rb"(<{7}|>{7})(\s|\Z)", sees="a file that a run made", longest=LINE)
_DIGITS: Final = 12
_LEFT: Final = b": leftover conflict marker"
"""How each line of git's report ends, but for a full stop; the names in it may have any character."""
_LARGEST: Final = 32 << 20
"""Bytes of a file in which conflict markers are looked for."""
_NO_ATTRIBUTES: Final = {"GIT_ATTR_SOURCE": "4b825dc642cb6eb9a060e54bf8d69288fbee4904"}
"""The empty tree: `whitespace` in `.gitattributes` would add a report for each line of the repository (git 2.43 and later)."""


async def refuse_repository(worktree: Worktree, listing: Listing) -> None:
    """Judge what a run would start from; the index holds it.

    Raises:
        TicketFailure: it cannot be worked in, and why.
    """
    what = ""
    if listing.repositories:
        what = f"it has submodules ({names(listing.repositories)}), which are not fetched here"
    else:
        what = await _odd(worktree, listing)
    if what:
        raise TicketFailure(f"the repository {worktree.mirror.place} cannot be worked in: {what}")


async def refuse_work(worktree: Worktree, listing: Listing, onto: str) -> None:
    """Judge what a run made; the index holds it.

    Args:
        worktree: where it is.
        listing: of the index.
        onto: the commit below it, in which nothing is wrong.

    Raises:
        TicketFailure: it cannot be committed, and why.
    """
    if listing.repositories:
        raise TicketFailure(odd.NESTED.format(names(listing.repositories)))
    what = await _odd(worktree, listing) or await _bare(worktree, listing, onto)
    if what:
        raise TicketFailure(f"the work cannot be committed: {what}")
    if marked := await _marked(worktree, onto):
        raise TicketFailure(f"conflict markers were left in {names(marked)}")


async def _odd(worktree: Worktree, listing: Listing) -> str:
    if listing.far:
        return f"{names(listing.far)} is more than {odd.DEEPEST} folders deep, or longer than {odd.LONGEST} bytes"
    if listing.links:
        wanted = "".join(f"{blob}\n" for blob in listing.links.values())
        blobs = await worktree.git("cat-file", "--batch", stdin=wanted.encode())
        out = await asyncio.to_thread(lambda: odd.leading_out(odd.read_blobs(blobs.stdout, listing.links)))
        if out:
            return f"{names(f'{path} -> {target}' for path, target in out.items())}: a symbolic link may not lead out of it"
    if listing.attributes:
        done = await worktree.git("ls-files", "-z", "--", ":(top,attr:filter=lfs)")
        if elsewhere := done.stdout.decode("utf-8", "replace").split("\0")[:-1]:
            return f"Git LFS keeps {names(elsewhere)}, and only a pointer would be here"
    return ""


async def _bare(worktree: Worktree, listing: Listing, onto: str) -> str:
    """Whoever says `git status` in such a folder of a clone runs what its configuration names (`safe.bareRepository`, git-config(1))."""
    if not listing.bare:
        return ""
    known = odd.read_listing(await _index_of(worktree, onto)).bare
    new = [folder or "." for folder in listing.bare if folder not in known]
    return f"{names(new)} is laid out as a git repository, whose configuration git would believe" if new else ""


async def _index_of(worktree: Worktree, commit: str) -> bytes:
    """A commit's names as `read_listing` reads them."""
    listed = await worktree.git("ls-tree", "-r", "-z", "--name-only", commit)
    return await asyncio.to_thread(
        lambda: b"".join(b"H 100644 0 0\t%b\0" % one for one in listed.stdout.split(b"\0")[:-1])
    )


async def _marked(worktree: Worktree, onto: str) -> list[str]:
    """Files in which this run added both ends of a conflict; a row of `=` alone is a heading somewhere."""
    off = "-blank-at-eol,-space-before-tab,-blank-at-eof,-indent-with-non-tab"
    words = ("-c", f"core.whitespace={off}", "diff-index", "--cached", "--check", onto)
    done = await worktree.git(*words, env=_NO_ATTRIBUTES, ok=(0, 2))
    return await asyncio.to_thread(_with_both_ends, worktree.path, done.stdout)


def _with_both_ends(folder: Path, report: bytes) -> list[str]:
    added: dict[str, set[int]] = {}
    for path, number in read_markers(report):
        added.setdefault(path, set()).add(number)
    return [path for path, numbers in added.items() if _both_ends(folder / path, numbers)]


def read_markers(report: bytes) -> Iterator[tuple[str, int]]:
    """Pure: files and lines in git's report, `FILE:LINE: leftover conflict marker` one after the other.

    A name may have any character, and what git says of white space may stand before it. So it is either all since the
    marker before, or the last line of that.
    """
    start = 0
    while (end := report.find(_LEFT, start)) >= 0:
        name, _, number = report[start:end].rpartition(b":")
        if len(number) < _DIGITS and number.isdigit():
            for path in {name, name.rpartition(b"\n")[2]}:
                if 0 < len(path) <= LINE:
                    yield path.decode("utf-8", "surrogateescape"), int(number)
        start = end + len(_LEFT)
        start += report.startswith(b".", start)
        start += report.startswith(b"\n", start)


def _both_ends(path: Path, numbers: set[int]) -> bool:
    content = read_plain(path, _LARGEST) or b""
    ends, start, most = set(), 0, max(numbers)
    for number in range(1, most + 1):
        if number in numbers and (found := _MARKER.match(content, start)):
            ends.add(found[1])
        start = content.find(b"\n", start) + 1
        if not start:
            break
    return len(ends) == 2  # noqa: PLR2004 - both
