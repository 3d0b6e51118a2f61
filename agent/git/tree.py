"""The files that a run's programs live in, a worktree or a clean checkout, as far as whoever surrounds them must know."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from agent.git.blame import blamed
from agent.git.flake import FlakeFiles
from agent.git.worktree import Worktree


class JailPaths(Struct, frozen=True):
    """Paths for a sandbox, all of them read-only.

    Attributes:
        readable: as they are.
        instead: folders that lie at another path inside: where they are on this host, and where inside.
        nested: below one of those, or below the folder.
    """

    readable: tuple[Path, ...]
    instead: tuple[tuple[Path, Path], ...]
    nested: tuple[Path, ...]


class Tree(ABC):
    """Files in a folder, and their ties to the mirror.

    Args:
        worktree: the folder and its ties.
        made_of: the commit that git has just made the folder of, with nothing in it besides; empty if it was there before.
    """

    def __init__(self, worktree: Worktree, *, made_of: str = "") -> None:
        self._worktree = worktree
        self._made_of = made_of
        self._mirror = worktree.mirror
        self._flake = FlakeFiles(worktree)

    @property
    def path(self) -> Path:
        """The folder that programs work in."""
        return self._worktree.path

    @property
    def project(self) -> str:
        """The project that the repository belongs to, by identifier: the name of the mirror's folder."""
        return self._mirror.folder.name

    def made_of(self) -> str:
        """The commit that all files are as git has just made them; empty if there may be others.

        It is said once: whoever asks is about to let programs of others in, and nobody looks at every file after that.
        """
        commit, self._made_of = self._made_of, ""
        return commit

    @abstractmethod
    def begun(self) -> None:
        """A program of the run begins: beside it there is time."""

    async def flake_files(self, patterns: Sequence[str] = ()) -> tuple[str, ...]:
        """The files that decide about a development shell, by their relative names: one process, no file is read.

        Every `*.nix`, `flake.lock` and symbolic link and what the patterns name, tracked or new and not ignored. A
        listed file may be gone, or be no file at all. Bytes that are no UTF-8 are escaped as `os.fsdecode` does.

        Args:
            patterns: names besides; `*` stands for any characters, `/` too, and a folder for all that is in it.
        """
        with blamed(self._mirror.folder):
            return await self._flake.files(patterns)

    async def show_to_nix(self, patterns: Sequence[str] = ()) -> None:
        """Let Nix see those of `flake_files` that are new: in a git checkout it sees only what the index names."""
        with blamed(self._mirror.folder):
            await self._flake.show(patterns)

    @property
    def ties(self) -> tuple[Path, ...]:
        """The folders outside that the `.git` of the folder refers to."""
        return (self._mirror.path,)

    @abstractmethod
    async def jail_paths(self) -> JailPaths:
        """What git needs inside a sandbox to look and not to write, besides the folder: no more than a fresh clone has.

        Raises:
            GitFailed: it cannot be had.
        """
