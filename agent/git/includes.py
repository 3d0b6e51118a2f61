"""Pure: which files of a tree a definition of CI takes in: GitLab's `include`, GitHub's and Gitea's `uses: ./…`, Azure's `template`.

What is taken in decides as the definition does. What a definition *calls*, a script or a Makefile, is no part of it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from agent.git.odd import regular_files

DEEPEST: Final = 5
"""Files that take in others that take in others."""
MOST: Final = 500
"""Definitions of one tree that are read."""
LONGEST: Final = 256 << 10
"""Characters of one that are looked at."""
_KEYS: Final = ("include", "local", "template", "uses")
_ENDS: Final = (".yml", ".yaml")
_ACTIONS: Final = ("action.yml", "action.yaml")
_APART: Final = str.maketrans(dict.fromkeys("\"'[]{},\t\r", " "))


def definitions(listed: bytes) -> dict[str, str]:
    """What may be one among the answer of `git ls-tree -r -z`: the paths and their blobs."""
    return {path: blob for path, blob in regular_files(listed) if path.casefold().endswith(_ENDS)}


def taken_in(texts: Mapping[str, str], known: Collection[str]) -> set[str]:
    """The files that these definitions name, and the folders of actions.

    Args:
        texts: definitions, by their paths.
        known: all that may be taken in.
    """
    return {
        found
        for place, text in texts.items()
        for word in _words(text[:LONGEST])
        for found in _found(word, place, known)
    }


def _words(text: str) -> Iterator[str]:
    """What stands behind one of the keys, and in the list behind `include:`."""
    listed, indent = False, 0
    for line in text.split("\n"):
        bare = line.strip(" \t\r")
        if not bare or bare.startswith("#"):
            continue
        depth = len(line) - len(line.lstrip(" "))
        if not bare.startswith("-") and depth <= indent:
            listed = False
        key = "include" if listed and bare.startswith("-") else ""
        for word in bare.translate(_APART).split():
            if word.endswith(":"):
                key = word[:-1].lower()
            elif key in _KEYS:
                yield word
        if bare.endswith("include:"):
            listed, indent = True, depth


def _found(word: str, place: str, known: Collection[str]) -> Iterator[str]:
    """Relative to the topmost folder, or to the definition's own."""
    path = word.partition("@")[0]
    for one in dict.fromkeys((path.lstrip("/"), f"{posixpath.dirname(place)}/{path}".lstrip("/"))):
        plain = posixpath.normpath(one)
        if plain.startswith(".."):
            continue
        above = plain.partition("*")[0].rpartition("/")[0]
        is_action = plain != "." and any(f"{plain}/{name}" in known for name in _ACTIONS)
        if plain in known or is_action:
            yield plain
        elif "*" in plain and above and plain.endswith(_ENDS):
            yield above
