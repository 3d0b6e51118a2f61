"""What a build without a daemon changed in the store besides its results: nothing, or the store is not used again.

Where no daemon builds, builders run in the jail of Nix and can write to all of its store, to what other shells are made of
too. Nothing in such a store proves what it held before: not its database, which they can write as well. What a builder
cannot set is the time of a file's last change that the kernel keeps, so a look before and one after tell.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final

from agent.programs.removal import remove_folder

_FIELDS: Final = ("st_dev", "st_ino", "st_mode", "st_size", "st_mtime_ns", "st_ctime_ns")


def stamps(store: Path) -> dict[str, bytes]:
    """For each thing in a store, by its name: a digest over the inodes, sizes and times of all that is in it."""
    found: dict[str, bytes] = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(store) as entries:
        for entry in entries:
            found[entry.name] = _stamp(entry.path)
    return found


def _stamp(path: str) -> bytes:
    """Of one thing; what cannot be looked at counts as it is: to close a folder changes it."""
    digest, todo = hashlib.sha256(), [path]
    while todo:
        place = todo.pop()
        try:
            status = os.lstat(place)
            inside = sorted(os.listdir(place)) if stat.S_ISDIR(status.st_mode) else []  # noqa: PTH208 - names alone
        except OSError as error:
            digest.update(f"{error.errno}\0".encode())
            continue
        fields = "\0".join(str(getattr(status, name)) for name in _FIELDS)
        digest.update(f"{os.fsencode(place)!r}\0{fields}\0".encode())
        todo += [f"{place}/{name}" for name in inside]
    return digest.digest()


def spoilt(before: Mapping[str, bytes], after: Mapping[str, bytes], results: Collection[str] = ()) -> tuple[str, ...]:
    """Pure: what was there before a build and is not as it was.

    Args:
        before: stamps.
        after: stamps.
        results: what it was to make; a build that was killed may have left some of it.
    """
    return tuple(
        name
        for name, stamp in sorted(before.items())
        if after.get(name) != stamp and name.removesuffix(".lock") not in results
    )


def thrown_away(folders: Iterable[Path]) -> None:
    """Empty the folders of a store: nothing of it can be trusted, and it is made anew by whoever needs it.

    Raises:
        OSError: something cannot be removed.
    """
    for folder in folders:
        for entry in folder.iterdir() if folder.is_dir() else ():
            remove_folder(entry)
