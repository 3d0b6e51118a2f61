"""What ends a run: a repository that no run can work in, and work that cannot be committed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from agent.errors import TicketFailure
from agent.git import odd
from agent.git.folder import read_plain
from agent.git.odd import Listing
from agent.git.refs import names
from agent.git.worktree import Worktree

_MARKER: Final = re.compile(rb"(<{7}|>{7})(\s|\Z)")
_LEFT: Final = re.compile(r"(.+?):(\d+): leftover conflict marker\.?\n", re.DOTALL)
"""Git's report, one after the other; a name may have any character."""
_LARGEST: Final = 1 << 30
"""Bytes of a file in which conflict markers are looked for."""


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
    if what := await _odd(worktree, listing):
        raise TicketFailure(f"the work cannot be committed: {what}")
    if marked := await _marked(worktree, onto):
        raise TicketFailure(f"conflict markers were left in {names(marked)}")


async def _odd(worktree: Worktree, listing: Listing) -> str:
    if listing.links:
        wanted = "".join(f"{blob}\n" for blob in listing.links.values())
        blobs = await worktree.git("cat-file", "--batch", stdin=wanted.encode())
        out = odd.leading_out(odd.read_blobs(blobs.stdout, listing.links))
        if out:
            return f"{names(f'{path} -> {target}' for path, target in out.items())}: a symbolic link may not lead out of it"
    if listing.attributes:
        done = await worktree.git("ls-files", "-z", "--", ":(top,attr:filter=lfs)")
        if elsewhere := done.stdout.decode("utf-8", "replace").split("\0")[:-1]:
            return f"Git LFS keeps {names(elsewhere)}, and only a pointer would be here"
    return ""


async def _marked(worktree: Worktree, onto: str) -> list[str]:
    """Files in which this run added both ends of a conflict; a row of `=` alone is a heading somewhere."""
    off = "-blank-at-eol,-space-before-tab,-blank-at-eof,-indent-with-non-tab"
    done = await worktree.git("-c", f"core.whitespace={off}", "diff-index", "--cached", "--check", onto, ok=(0, 2))
    added: dict[str, set[int]] = {}
    for found in _LEFT.finditer(done.stdout.decode("utf-8", "surrogateescape")):
        added.setdefault(found[1], set()).add(int(found[2]))
    return [path for path, numbers in added.items() if _both_ends(worktree.path / path, numbers)]


def _both_ends(path: Path, numbers: set[int]) -> bool:
    lines = (read_plain(path, _LARGEST) or b"").split(b"\n")
    ends = {found[1] for number in numbers if number <= len(lines) and (found := _MARKER.match(lines[number - 1]))}
    return len(ends) == 2  # noqa: PLR2004 - both
