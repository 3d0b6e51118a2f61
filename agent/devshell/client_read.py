"""What is read of the store, by ourselves: a lock file, a derivation, a profile. Bounded, and never through a link."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from agent.devshell.client_options import Store
from agent.devshell.closure import DERIVATION_LIMIT, MOST_OF_ALL, Derivation, derivation
from agent.devshell.flake import ShellRefused
from agent.devshell.inputs import LOCK_LIMIT
from agent.errors import PodTrouble, TicketFailure

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def lock_of(store: Store, copy: str) -> bytes:
    """The lock file of a repository's copy in a store; empty if it has none.

    Raises:
        TicketFailure: it is no ordinary file.
    """
    content = _content(store, f"{copy}/flake.lock", LOCK_LIMIT + 1)
    if content is None:
        raise TicketFailure("`flake.lock` is no ordinary file: restore the committed one")
    return content


def derivation_in(store: Store, path: str) -> Derivation:
    """A derivation of a store.

    Raises:
        ShellRefused: it is of a form that is not known, or endless.
        PodTrouble: it is not there.
    """
    return next(derivations_in(store, (path,)))


def derivations_in(store: Store, paths: Iterable[str]) -> Iterator[Derivation]:
    """Derivations of a store, one after the other: not for the loop, since each may take a second, and all of them half a minute.

    Raises:
        ShellRefused: as of `derivation_in`, or they are too large together.
        PodTrouble: one is not there.
    """
    left = MOST_OF_ALL
    for path in paths:
        content = _content(store, path, DERIVATION_LIMIT + 1)
        if not content:
            raise PodTrouble(f"the Nix store has lost {path}: it may be collecting garbage")
        if len(content) > DERIVATION_LIMIT:
            raise ShellRefused(f"the build {path} is larger than {DERIVATION_LIMIT >> 20} MiB: make it smaller")
        left -= len(content)
        if left < 0:
            raise ShellRefused(
                f"what the development shell is built from is described in more than {MOST_OF_ALL >> 20} MiB: make it smaller"
            )
        try:
            yield derivation(path, content)
        except ValueError as error:
            raise ShellRefused(f"the development shell is made in a way that is not known here: {error}") from error


def result_in(store: Store, path: str) -> str:
    """The beginning of a build's result; empty if there is none."""
    return (_content(store, path, 1 << 16) or b"").decode("utf-8", "replace")


def followed(profile: Path) -> str:
    """What a profile of Nix leads to, in at most two steps; empty if it is none."""
    with contextlib.suppress(OSError):
        first = profile.parent / profile.readlink()
        return str(first.readlink()) if first.parent == profile.parent else str(first)
    return ""


def _content(store: Store, path: str, limit: int) -> bytes | None:
    """At most so many bytes of an ordinary file; none of them if it is missing, None if it is something else.

    What builds in a repository's own store can write there: none of the folders on the way may be a link either.
    """
    *folders, name = Path(path).relative_to(store.folder).parts
    with contextlib.ExitStack() as stack:
        try:
            place = os.open(store.real, _FOLDER)
            stack.callback(os.close, place)
            for folder in folders:
                place = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=place)
                stack.callback(os.close, place)
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place)
        except FileNotFoundError:
            return b""
        except OSError:
            return None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            return None
        with os.fdopen(handle, "rb") as file:
            return file.read(limit)
