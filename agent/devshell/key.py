"""The keys of a shell: hashes over everything that decides what it holds.

There are four. `derivation_key` is what a shell is saved by: the derivation names all that it is made from. `tree_key` is
what leads there without an evaluation, in every run: the whole tree, since a flake can read any file of it. `commit_key` leads there
without a copy of the tree, where git has just made it. `key_of` leads
there within one run, fast, by those files alone that usually decide: what it overlooks harms nobody but that run, as verify
asks with a tree of its own.

The files of the last are read by themselves.
Never the ids in git's index: they know nothing of unstaged edits, and a file of `git add -N` has the id of the empty
file there whatever it holds, while Nix evaluates the work tree. `look` reads, the rest is pure.

The folder belongs to the model: a listed file may be a pipe that nobody writes to, a link to a device, a link out of
the folder, or without end. None of these is opened.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.devshell.flake import Flake, ShellRefused

FORMAT: Final = "2"
"""Counts up when what is saved under a key changes its shape."""
LARGEST: Final = 32 << 20
"""Bytes that all files of a key may have together: one sparse file of a terabyte would be read for hours."""
MOST: Final = 100_000
"""Files of a key."""
_HOPS: Final = 40
"""Symbolic links in one path, as the kernel counts them."""


class Fact(Struct, frozen=True):
    """One thing that is there.

    Attributes:
        path: relative to the flake's folder.
        kind: `file`, `program` (an executable file), `link`, `folder`, `outside` (of the folder) or `other`.
        content: the SHA-256 of a file, the target of a link.
    """

    path: str
    kind: str
    content: bytes = b""


class Look(Struct, frozen=True):
    """A flake's files at one moment.

    Attributes:
        facts: what they are, in an order of their own.
        stamps: inode, size and times of each: a file that was changed and changed back in the meantime differs here.
    """

    facts: tuple[Fact, ...]
    stamps: tuple[tuple[int, ...], ...]


class Surroundings(Struct, frozen=True, kw_only=True):
    """What decides about a shell besides the files.

    Attributes:
        shell: its name.
        system: as in `devShells.<system>`.
        version: what Nix says about itself.
        options: the settings of Nix that differ from the host's.
        scope: whose shells these are; two repositories with the same flake need not have the same files besides.
    """

    shell: str
    system: str
    version: str
    options: Mapping[str, str]
    scope: str = ""


def host_system() -> str:
    """Nix's word for this machine."""
    return f"{platform.machine()}-{platform.system().lower()}"


def key_of(facts: tuple[Fact, ...], around: Surroundings) -> str:
    """Pure: of these files; 40 hexadecimal digits, as all keys."""
    files = [part for fact in facts for part in (fact.path, fact.kind, fact.content)]
    return _digest(("files", around.shell, *_machine(around)), _options(around), files)


def tree_key(tree: str, allowed: Sequence[str], around: Surroundings) -> str:
    """Pure: of a whole tree.

    Args:
        tree: its hash, as Nix says it.
        allowed: the inputs that are taken; what the tree pins is refused or not by them.
        around: what decides besides.
    """
    return _digest(("tree", tree, around.shell, *_machine(around)), _options(around), sorted(allowed))


def commit_key(commit: str, allowed: Sequence[str], around: Surroundings) -> str:
    """Pure: of a checkout that git has just made of this commit; else as `tree_key`."""
    return tree_key(f"commit {commit}", allowed, around)


def derivation_key(drv: str, around: Surroundings) -> str:
    """Pure: of a derivation, by its path; what it is called in the flake decides nothing any more."""
    return _digest(("derivation", drv, *_machine(around)), _options(around))


def _machine(around: Surroundings) -> tuple[str, ...]:
    return (FORMAT, around.system, around.version, around.scope)


def _options(around: Surroundings) -> list[str]:
    return [part for item in sorted(around.options.items()) for part in item]


def _digest(*groups: Sequence[str | bytes]) -> str:
    """Every field has its length before it, so no two different values look alike."""
    digest = hashlib.sha256()
    for group in groups:
        digest.update(len(group).to_bytes(8, "big"))
        for part in group:
            data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogateescape")
            digest.update(len(data).to_bytes(8, "big"))
            digest.update(data)
    return digest.hexdigest()[:40]


def look(flake: Flake) -> Look:
    """Read the flake's files.

    Raises:
        ShellRefused: they are larger than any flake's, or more.
    """
    if len(flake.files) > MOST:
        raise ShellRefused(
            f"more than {MOST} files make the development shell: keep `*.nix` files and symbolic links few, "
            "or let git ignore them"
        )
    reader = _Reader(flake.folder)
    facts: dict[tuple[str, str], Fact] = {}
    for name in sorted(set(flake.files)):
        for fact in reader.facts(name):
            facts[fact.path, fact.kind] = fact
    return Look(tuple(facts[place] for place in sorted(facts)), tuple(sorted(reader.stamps)))


class _Reader:
    """Reads below one folder and never outside of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folders: set[str] = set()
        self._left = LARGEST
        self.stamps: set[tuple[int, ...]] = set()

    def facts(self, name: str) -> Iterator[Fact]:
        """All links on the way to `name`, and what is at their end, under the name that was asked for."""
        ahead, way, hops = name.split("/")[::-1], list[str](), 0
        while ahead:
            part = ahead.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not way:
                    yield Fact(name, "outside")
                    return
                way.pop()
                continue
            way.append(part)
            target = self._target("/".join(way))
            if target is None:
                continue
            yield Fact("/".join(way), "link", os.fsencode(target))
            hops += 1
            if target.startswith("/") or hops > _HOPS:
                yield Fact(name, "outside")
                return
            way.pop()
            ahead += target.split("/")[::-1]
        yield from self._end(name, self._folder.joinpath(*way))

    def _target(self, place: str) -> str | None:
        """Where a symbolic link points; None for anything else."""
        if place in self._folders:
            return None
        path = self._folder / place
        try:
            found = path.lstat()
            if stat.S_ISLNK(found.st_mode):
                self._stamp(found)
                return str(path.readlink())
        except (OSError, ValueError):
            return None
        if stat.S_ISDIR(found.st_mode):
            self._folders.add(place)
        return None

    def _end(self, name: str, path: Path) -> Iterator[Fact]:
        try:
            # Without waiting: a pipe opens at once, and is looked at before anything is read.
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            self._stamp_parent(path)
            return  # for Nix too it does not exist, whether the index still has it or not
        except OSError as error:
            yield Fact(name, "other", str(error.errno).encode())
            return
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):  # a submodule or a link to a folder is one, a pipe is none
                yield Fact(name, "folder" if stat.S_ISDIR(found.st_mode) else "other")
                return
            self._stamp(found)
            content = self._sum(name, handle)
        finally:
            os.close(handle)
        yield Fact(name, "program" if found.st_mode & stat.S_IXUSR else "file", content)

    def _sum(self, name: str, handle: int) -> bytes:
        digest = hashlib.sha256()
        while part := os.read(handle, 1 << 16):
            digest.update(part)
            self._left -= len(part)
            if self._left < 0:
                raise ShellRefused(
                    f"the files that make the development shell are larger than {LARGEST >> 20} MiB together, "
                    f"`{name}` among them: keep data out of `*.nix` files"
                )
        return digest.digest()

    def _stamp(self, found: os.stat_result) -> None:
        self.stamps.add((found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))

    def _stamp_parent(self, path: Path) -> None:
        """A file that is not there has no times, so those of the nearest folder stand for it."""
        for folder in path.parents:
            with contextlib.suppress(OSError):
                self._stamp(folder.lstat())
                return
