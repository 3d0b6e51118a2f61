"""Pure: what a repository may hold that no run can work with: links out of it, submodules, files that live elsewhere.

It is read from git's index, so that the same eyes judge what a run starts from and what it made.
"""

from __future__ import annotations

import functools
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct

from agent.errors import TicketFailure
from agent.texts.bounded import globs

HOPS: Final = 40
"""Symbolic links in one path, as the kernel counts them."""
LONGEST_TARGET: Final = 4_095
"""Bytes of a link's target on Linux; with more it cannot be made."""
STEPS: Final = 1_000_000
"""Parts of paths that are followed for all links of a tree."""
DEEPEST: Final = 100
"""Folders within folders: what walks over a tree holds each open."""
LONGEST: Final = 2_000
"""Bytes of a path in a tree: git takes 4,095, and so does the kernel with all that stands before it."""
_LINK: Final = "120000"
_FILE: Final = "100"
_REPOSITORY: Final = "160000"
_NEW: Final = "?"
_SEEN: Final = ("H", "M")
_HEAD: Final = "head"
NESTED: Final = "{} is a git repository of its own, so its files cannot be committed"
FLAKE_FILES: Final = ("*.nix", "flake.lock", "*/flake.lock")
"""What decides about a development shell; more is for the settings to name."""


class Listing(Struct, frozen=True):
    """What the index holds, as far as somebody asks.

    Attributes:
        links: symbolic links, and the blob that holds the target.
        repositories: submodules, or repositories that a model made.
        hidden: files that git was told not to look at.
        folders: all that hold a file of the index themselves, and "" for the topmost; see `with_parents`.
        far: paths that are deeper or longer than what can be worked with; their folders are in none of the others.
        attributes: whether there are `.gitattributes`.
    """

    links: Mapping[str, str]
    repositories: tuple[str, ...]
    hidden: tuple[str, ...]
    folders: frozenset[str]
    attributes: bool
    far: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    """Folders that git, on some system, takes for a repository without a worktree, whose configuration it believes."""


def read_listing(raw: bytes) -> Listing:
    """The answer of `git ls-files -z -s -v`."""
    links: dict[str, str] = {}
    repositories: list[str] = []
    hidden: list[str] = []
    far: list[str] = []
    folders = {""}
    heads: list[str] = []
    attributes = False
    for line in _entries(raw):
        head, _, path = line.partition("\t")
        folder, _, name = path.rpartition("/")
        if _is_far(path):
            far.append(path)
        else:
            folders.add(folder)
        attributes = attributes or name == ".gitattributes"
        if name.casefold() == _HEAD and not _is_far(path):
            heads.append(folder)
        if not head.startswith(_SEEN):
            hidden.append(path)
        if head.startswith(_LINK, 2):
            links[path] = head.split(" ")[2]
        elif head.startswith(_REPOSITORY, 2):
            repositories.append(path)
    bare = tuple(_bare(heads, folders)) if heads else ()
    return Listing(links, tuple(repositories), tuple(hidden), frozenset(folders), attributes, tuple(far), bare)


def _bare(heads: list[str], folders: set[str]) -> Iterator[str]:
    known = {folder.casefold() for folder in with_parents(folders)}
    for folder in heads:
        above = f"{folder.casefold()}/" if folder else ""
        if {f"{above}objects", f"{above}refs"} <= known:
            yield folder


def _is_far(path: str) -> bool:
    return path.count("/") > DEEPEST or len(path.encode("utf-8", "surrogateescape")) > LONGEST


def with_parents(folders: Iterable[str]) -> Iterator[str]:
    """Folders and all that they lie in, each once; one after the other, since each of them may lie in a hundred more."""
    before = ""
    for folder in sorted(folders, key=lambda name: f"{name}/"):
        start = len(os.path.commonpath((before, folder))) if before else 0
        while (start := folder.find("/", start + 1)) > 0:
            yield folder[:start]
        yield folder
        before = folder


def read_blobs(raw: bytes, wanted: Mapping[str, str]) -> dict[str, str]:
    """The answer of `git cat-file --batch` to the blobs of `wanted`, in its order; by its keys."""
    found = {}
    start = 0
    for name in wanted:
        head = raw.index(b"\n", start)
        size = int(raw[start:head].split(b" ")[2])
        found[name] = _text(raw[head + 1 : head + 1 + size])
        start = head + size + 2
    return found


def leading_out(targets: Mapping[str, str]) -> dict[str, str]:
    """The links of a tree that lead out of it, with their targets; and those that cannot be followed in `STEPS`.

    Each is followed as the kernel would, through the tree's other links; where it ends need not exist.

    Args:
        targets: all links of the tree.
    """
    links = _Links(targets)
    return {path: target for path, target in targets.items() if links.leads_out(path)}


def tree_links(raw: bytes) -> dict[str, str]:
    """The links among the answer of `git ls-tree -r -z`, and the blobs that hold their targets."""
    found = {}
    for line in _entries(raw):
        if line.startswith(_LINK):
            head, _, path = line.partition("\t")
            found[path] = head.split(" ")[2]
    return found


def regular_files(raw: bytes) -> Iterator[tuple[str, str]]:
    """The files among the same, with their blobs."""
    for line in _entries(raw):
        if line.startswith(_FILE):
            head, _, path = line.partition("\t")
            yield path, head.split(" ")[2]


def led_to(targets: Mapping[str, str], starts: Iterable[str]) -> set[str]:
    """What decides what is found by way of these links: the links on their ways, where they end, and the links below that.

    An end need not exist; "" is the topmost folder.

    Args:
        targets: all links of the tree.
        starts: some of them.

    Raises:
        TicketFailure: they cannot be followed in `STEPS`.
    """
    links, paths = _Links(targets), sorted(targets)
    found: set[str] = set()
    followed: set[str] = set()
    todo = list(starts)
    while todo:
        if (path := todo.pop()) in followed:
            continue
        followed.add(path)
        for place in set(links.way(path)[0]) - found:
            found.add(place)
            above = f"{place}/" if place else ""
            first, last = bisect_left(paths, above), bisect_left(paths, f"{place}0") if place else len(paths)
            todo += paths[first:last]
    if links.exhausted:
        raise TicketFailure("where its symbolic links lead cannot be found out: they are too many, or lead too far")
    return found


class _Links:
    """The links of a tree as the tree that they are in, so that each step costs the same however deep it is."""

    def __init__(self, targets: Mapping[str, str]) -> None:
        self._left = STEPS
        self._top: _Folder = _Folder({})
        for path, target in targets.items():
            folder = self._top
            for part in path.split("/"):
                folder = folder.entries.setdefault(part, _Folder({}))
            folder.target = target

    @property
    def exhausted(self) -> bool:
        """Whether some could not be followed."""
        return self._left < 0

    def leads_out(self, path: str) -> bool:
        """Out of the tree, or it cannot be followed."""
        return self.way(path)[1]

    def way(self, path: str) -> tuple[list[str], bool]:
        """The links that a path passes, then its end, if it has one; and whether it leads out, or cannot be followed."""
        passed: list[str] = []
        at: list[tuple[str, _Folder]] = [("", self._top)]
        todo = path.split("/")[::-1]
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if len(at) == 1:
                    return passed, True
                at.pop()
                continue
            entry = at[-1][1].entries.get(part, _NOWHERE)
            at.append((part, entry))
            if entry.target is None:
                continue
            passed.append("/".join(name for name, _ in at[1:]))
            at.pop()
            if entry.target.startswith("/") or len(entry.target) > LONGEST_TARGET or self.exhausted:
                return passed, True
            if len(passed) > HOPS:
                return passed, False
            ahead = entry.target.split("/")[::-1]
            self._left -= len(ahead)
            todo += ahead
        return [*passed, "/".join(name for name, _ in at[1:])], False


class _Folder(Struct):
    """A folder that has a link somewhere below it, or a link."""

    entries: dict[str, _Folder]
    target: str | None = None


_NOWHERE: Final = _Folder({})


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
    for line in _entries(raw):
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
    return globs(words)


def _entries(raw: bytes) -> Iterator[str]:
    """What stands before each NUL; one after the other, since there may be a million of them."""
    start = 0
    while (end := raw.find(b"\0", start)) >= 0:
        yield _text(raw[start:end])
        start = end + 1


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
