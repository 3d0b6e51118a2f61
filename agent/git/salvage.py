"""What can be kept of a worktree, whatever a model left in it: the rest is put away, piece by piece."""

from __future__ import annotations

import asyncio
from pathlib import Path, PurePosixPath
from typing import Final

from agent.git import blame
from agent.git.blame import GitFailed
from agent.git.folder import remove
from agent.git.sizes import excess
from agent.git.worktree import Worktree
from agent.programs.runner import Finished

_TRIES: Final = 100
"""How many things that cannot be held are put away."""
_FATAL: Final = 128
_NO_ATTRIBUTES: Final = {"GIT_ATTR_SOURCE": "4b825dc642cb6eb9a060e54bf8d69288fbee4904"}
"""The empty tree: bytes are kept as they are (git 2.43 and later)."""


async def tree_to_keep(worktree: Worktree, onto: str) -> str:
    """The tree of what is there and not ignored; of a repository within it the files are kept.

    Args:
        worktree: nobody works in it any more.
        onto: the commit below.

    Raises:
        GitFailed: nothing can be kept.
    """
    try:
        return await _tree(worktree, onto)
    except OSError as error:
        raise GitFailed(f"the work in {worktree.path} cannot be kept: {error}", str(error)) from error


async def _tree(worktree: Worktree, onto: str) -> str:
    for left in reversed(range(_TRIES)):  # behind a repository there may be another one
        if not (wrong := await excess(worktree, onto)):
            break
        gone = [await _put_away(worktree, path) for path in wrong.paths]
        if not left or not any(gone):
            raise GitFailed(f"the work in {worktree.path} cannot be kept: {wrong.reason}", wrong.reason)
    env: dict[str, str] = {}
    done = await worktree.add_all(keep=True)
    for _ in range(_TRIES):
        if done.returncode == _FATAL and not env:
            env = _NO_ATTRIBUTES
        elif not await _put_away(
            worktree, blame.culprit(done.stderr) if done.returncode == _FATAL else blame.no_file(done)
        ):
            inner = await _inner(worktree, done)
            if done.returncode == _FATAL or not inner:
                break
            await _take_apart(worktree, inner)
        done = await worktree.add_all(keep=True, env=env)
    if done.returncode == _FATAL:
        raise worktree.mirror.failed("add", done)
    return await worktree.answer("write-tree")


async def _take_apart(worktree: Worktree, repositories: tuple[str, ...]) -> None:
    """Of repositories within it, the files are kept."""
    for path in repositories:
        await _put_away(worktree, f"{path}/.git")
    words = "".join(f"{path}\0" for path in repositories).encode("utf-8", "surrogateescape")
    await worktree.git("update-index", "--force-remove", "-z", "--stdin", stdin=words)


async def _inner(worktree: Worktree, done: Finished) -> tuple[str, ...]:
    """Repositories within it."""
    if path := blame.nested(done):
        return (path,) if _inside(worktree.path, f"{path}/.git") else ()
    return (await worktree.listing()).repositories


async def _put_away(worktree: Worktree, path: str) -> bool:
    """Whether something is gone now. A path that git names may be forged by a name with a line feed: it stays inside."""
    if not path or not _inside(worktree.path, path):
        return False
    await asyncio.to_thread(remove, worktree.path / path)
    return True


def _inside(root: Path, path: str) -> bool:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or parts == (".git",):
        return False
    for part in parts[:-1]:
        root /= part
        if root.is_symlink() or not root.is_dir():
            return False
    return (root / parts[-1]).is_symlink() or (root / parts[-1]).exists()
