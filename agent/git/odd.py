"""Pure: what a repository may hold that no run can work with: links out of it, submodules, files that live elsewhere.

It is read from git's index, so that the same eyes judge what a run starts from and what it made.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

HOPS: Final = 40
"""Symbolic links in one path, as the kernel counts them."""
_LINK: Final = "120000"
_REPOSITORY: Final = "160000"
_NEW: Final = "?"
_SEEN: Final = ("H", "M")
NESTED: Final = "{} is a git repository of its own, so its files cannot be committed"
FLAKE_FILES: Final = ("*.nix", "flake.lock", "*/flake.lock")
"""What decides about a development shell; more is for the settings to name."""


class Listing(Struct, frozen=True):
    """What the index holds, as far as somebody asks.

    Attributes:
        links: symbolic links, and the blob that holds the target.
        repositories: submodules, or repositories that a model made.
        hidden: files that git was told not to look at.
        folders: all that hold a file of the index, "" for the topmost.
        attributes: whether there are `.gitattributes`.
    """

    links: Mapping[str, str]
    repositories: tuple[str, ...]
    hidden: tuple[str, ...]
    folders: frozenset[str]
    attributes: bool


def read_listing(raw: bytes) -> Listing:
    """The answer of `git ls-files -z -s -v`."""
    links: dict[str, str] = {}
    repositories: list[str] = []
    hidden: list[str] = []
    folders = {""}
    attributes = False
    for line in _text(raw).split("\0")[:-1]:
        head, _, path = line.partition("\t")
        folder, _, name = path.rpartition("/")
        folders.add(folder)
        attributes = attributes or name == ".gitattributes"
        if not head.startswith(_SEEN):
            hidden.append(path)
        if head.startswith(_LINK, 2):
            links[path] = head.split(" ")[2]
        elif head.startswith(_REPOSITORY, 2):
            repositories.append(path)
    folders |= {folder[: found.start()] for folder in folders for found in re.finditer("/", folder)}
    return Listing(links, tuple(repositories), tuple(hidden), frozenset(folders), attributes)


def read_blobs(raw: bytes, wanted: Mapping[str, str]) -> dict[str, str]:
    """The answer of `git cat-file --batch` to the blobs of `wanted`, in its order; by its keys."""
    found = {}
    for name in wanted:
        head, _, raw = raw.partition(b"\n")
        size = int(head.split(b" ")[2])
        found[name] = _text(raw[:size])
        raw = raw[size + 1 :]
    return found


def leading_out(targets: Mapping[str, str]) -> dict[str, str]:
    """The links of a tree that lead out of it, with their targets.

    Each is followed as the kernel would, through the tree's other links; where it ends need not exist.

    Args:
        targets: all links of the tree.
    """
    return {path: target for path, target in targets.items() if _leads_out(path, targets)}


def _leads_out(path: str, targets: Mapping[str, str]) -> bool:
    at = path.split("/")
    todo: list[str] = []
    for _ in range(HOPS):
        target = targets.get("/".join(at))
        if target is not None:
            if target.startswith("/"):
                return True
            at.pop()
            todo = [*target.split("/"), *todo]
        while todo:
            part = todo.pop(0)
            if part in ("", "."):
                continue
            if part == "..":
                if not at:
                    return True
                at.pop()
                continue
            at.append(part)
            if "/".join(at) in targets:
                break
        else:
            return False
    return False


def flake_files(raw: bytes, patterns: tuple[str, ...] = ()) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which files of `git ls-files -z -s -t -c -o` decide about a development shell: all of them, and the new ones.

    All symbolic links do: a file may be reached through one.

    Args:
        raw: the answer.
        patterns: names besides `FLAKE_FILES`; `*` stands for any characters, `/` too, and a folder for all that is in it.
    """
    wanted = _pattern((*FLAKE_FILES, *patterns))
    known: set[str] = set()
    new: set[str] = set()
    for line in _text(raw).split("\0")[:-1]:
        if line.startswith(_NEW):
            if wanted(line, 2) and not line.endswith("/"):  # that would be a repository
                new.add(line[2:])
            continue
        start = line.index("\t") + 1
        if wanted(line, start) or line.startswith(_LINK, 2):
            known.add(line[start:])
    return tuple(sorted(known | new)), tuple(sorted(new))


@functools.lru_cache(maxsize=64)
def _pattern(patterns: tuple[str, ...]) -> Callable[[str, int], object]:
    """One expression for all of them: a large repository has many names."""
    words = [word for one in patterns for word in (one.rstrip("/"), one.rstrip("/") + "/*")]
    return re.compile("|".join(map(fnmatch.translate, words))).match


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
