"""A clean checkout of one commit, to verify what will be pushed: nothing is in it but what git has.

What a run left besides lies elsewhere: what git ignores, an empty folder, bytes that git writes another way, a program that
the last ticket compiled. Only folders that base names are carried over, from the last checkout of the same branch owner
that passed and was pushed: never from a worktree, where a model could lay them out, nor from work that nobody took.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from loguru import logger

from agent.errors import PodTrouble
from agent.git import published
from agent.git.blame import GitFailed, blamed
from agent.git.folder import remove
from agent.git.mirror import Mirror
from agent.git.spare import Spares
from agent.git.tree import JailPaths, Tree
from agent.git.worktree import Worktree

_PLACE: Final = "checks"
"""The folder of the checkouts; each is made anew."""
_CARRIED: Final = "carried"
"""The folder of what the last checkout that was pushed left for the next, by branch owner."""
_PASSED: Final = "passed"
"""Likewise, of what one left that passed, until it is pushed."""


class Checkout(Tree):
    """A clean checkout while it is verified.

    Args:
        worktree: made of the commit.
        commit: which.
        carry: folders that may be carried over, as relative paths without links.
        carried: those that were.
        spares: of the repository.
    """

    def __init__(
        self, worktree: Worktree, commit: str, carry: Sequence[str], carried: tuple[str, ...], spares: Spares
    ) -> None:
        super().__init__(worktree, made_of="" if carried else commit)
        self._spares = spares
        self._carry = tuple(carry)
        self.carried = carried
        """The folders that came from the last checkout that passed."""

    @property
    def ties(self) -> tuple[Path, ...]:
        """See `Tree.ties`."""
        return (published.objects_of(self._mirror),)

    async def jail_paths(self) -> JailPaths:
        """See `Tree.jail_paths`."""
        return JailPaths(readable=self.ties, instead=(), nested=(self._worktree.admin,))

    def begun(self) -> None:
        """See `Tree.begun`: the next run will need a worktree, and a checkout."""
        self._spares.prepare(2)

    async def passed(self) -> None:
        """It passed: once it is pushed, the next one may get what is to be carried over."""
        with contextlib.suppress(OSError):  # nothing to carry over is always right
            await asyncio.to_thread(self._keep)

    def _keep(self) -> None:
        fresh = _passed(self._worktree)
        remove(fresh)
        fresh.mkdir(parents=True)
        for name in self._carry:
            source, target = _plain(self.path, name), fresh / name
            if source is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(OSError):  # closed to us: then it is not carried over
                    source.rename(target)


@asynccontextmanager
async def checked_out(worktree: Worktree, commit: str, carry: Sequence[str], spares: Spares) -> AsyncIterator[Checkout]:
    """A checkout beside a worktree.

    Raises:
        TicketFailure: git cannot make it of what a model left.
    """
    mirror, owner = worktree.mirror, worktree.owner
    place = Worktree(mirror, owner, name=f"{_PLACE}-{owner}", place=_PLACE)
    place.admin = place.pointer  # a repository of its own, as whoever clones has one
    try:
        with blamed(mirror.folder):
            try:
                await _make(place, commit, spares)
            except GitFailed as failed:  # before anybody is blamed: what it is made of may be damaged
                logger.warning("the checkout for #{} is made once more: {}", owner, failed)
                await published.forget(mirror)
                await _make(place, commit, spares)
        carried = [name for name in carry if await _carry_over(worktree, place.path, name)]
        yield Checkout(place, commit, carry, tuple(carried), spares)
    finally:
        with contextlib.suppress(OSError):  # the next one tries it again
            await place.remove()


async def _make(place: Worktree, commit: str, spares: Spares) -> None:
    await place.remove()
    index = await spares.take(place.path, commit)
    await published.clone(place.mirror, place.admin, commit)
    if index:
        index.rename(place.admin / "index")
    await place.git("reset", "--hard", "--quiet", commit)
    if index:
        await _as_if_new(place)


async def _as_if_new(place: Worktree) -> None:
    """Times as if all files were written now, one after the other: `make` goes by them, and what changed would be newer."""
    listed = await place.git("ls-files", "-z")
    await asyncio.to_thread(_touch, os.fsencode(place.path), listed.stdout)
    await place.git("update-index", "-q", "--refresh")


def _touch(top: bytes, listed: bytes) -> None:
    """A folder has the time of the last thing that was made in it."""
    known = {b""}
    for name in listed.split(b"\0")[:-1]:
        folder = above = name.rpartition(b"/")[0]
        while above not in known:
            known.add(above)
            above = above.rpartition(b"/")[0]
            os.utime(b"%b/%b" % (top, above))
        os.utime(b"%b/%b" % (top, name), follow_symlinks=False)
        os.utime(b"%b/%b" % (top, folder))


async def clear_checkouts(mirror: Mirror) -> None:
    """Nothing is verified now: put away what a killed pod left."""
    await mirror.trash.put(mirror.folder / _PLACE, mirror.folder / _PASSED)


async def hand_on(worktree: Worktree) -> None:
    """What passed is pushed: from now on that is carried over, and what was before no more."""
    with contextlib.suppress(OSError):  # nothing to carry over is always right
        await asyncio.to_thread(_hand_on, worktree)


def _hand_on(worktree: Worktree) -> None:
    fresh, kept = _passed(worktree), _carried(worktree)
    if fresh.exists():
        remove(kept)
        kept.parent.mkdir(parents=True, exist_ok=True)
        fresh.rename(kept)


async def forget_carried(worktree: Worktree) -> None:
    """The branch owner is done."""
    await worktree.mirror.trash.put(_carried(worktree))


def _carried(worktree: Worktree) -> Path:
    return worktree.mirror.folder / _CARRIED / str(worktree.owner)


def _passed(worktree: Worktree) -> Path:
    return worktree.mirror.folder / _PASSED / str(worktree.owner)


async def _carry_over(worktree: Worktree, checkout: Path, name: str) -> bool:
    """A copy: if these checks fail, the next ones get what the last good ones left."""
    source, target = _plain(_carried(worktree), name), checkout / name
    if source is None or not _made(checkout, name):
        return False
    try:
        await worktree.mirror.copy(source, target)
    except PodTrouble as trouble:
        logger.warning("`{}` is not carried over: {}", name, trouble)
        await asyncio.to_thread(remove, target)
        return False
    return True


def _plain(root: Path, name: str) -> Path | None:
    """The folder of this name, if no part of its path is anything but a folder: a link could lead anywhere."""
    path = root
    for part in name.split("/"):
        path /= part
        if not _is_folder(path):
            return None
    return path


def _made(root: Path, name: str) -> bool:
    """Whether it is not there yet, as what git has and is pushed, and the folders above it are there, or could be made."""
    path = root
    for part in name.split("/")[:-1]:
        path /= part
        with contextlib.suppress(OSError):
            path.mkdir(exist_ok=True)
        if not _is_folder(path):
            return False
    return not os.path.lexists(root / name)


def _is_folder(path: Path) -> bool:
    """Not by a link; what is closed to us is none."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False
