"""What keeps a path of a local store from being collected: a link in the store's state, and one of ours that it goes with.

Written here and not by `nix-store --add-root`, which would have to see the pod's folder of saved shells. No link is followed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.devshell.client_options import Store
from agent.errors import PodTrouble

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def root(store: Store, link: Path, path: Path) -> None:
    """Make `link` lead to `path`, which is in the store, and keep that from being collected while the link is there.

    Raises:
        PodTrouble: the links cannot be made.
    """
    ours = hashlib.sha256(os.fsencode(link.parent)).hexdigest()[:16]
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        _linked(link.name, str(path), _opened(link.parent))
        with _inside(store.state, "gcroots", f"agent-{ours}") as place:
            for name in os.listdir(place):  # noqa: PTH208 - of a descriptor
                if not os.path.lexists(link.parent / name):
                    with contextlib.suppress(OSError):  # no link of ours
                        os.unlink(name, dir_fd=place)
            _linked(link.name, store.called(path), os.dup(place))
    except OSError as error:
        raise PodTrouble(f"the development shell cannot be kept: {error.strerror} ({error.filename})") from error


def _opened(folder: Path) -> int:
    return os.open(folder, _FOLDER)


@contextlib.contextmanager
def _inside(folder: Path, *names: str) -> Iterator[int]:
    """A folder some steps below another; made if it is missing."""
    with contextlib.ExitStack() as stack:
        place = _opened(folder)
        stack.callback(os.close, place)
        for name in names:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=place)
            place = os.open(name, _FOLDER, dir_fd=place)
            stack.callback(os.close, place)
        yield place


def _linked(name: str, target: str, place: int) -> None:
    """A link by that name in the folder, at once or not at all; closes the folder."""
    new = f".{name}.new"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new, dir_fd=place)
        os.symlink(target, new, dir_fd=place)
        os.replace(new, name, src_dir_fd=place, dst_dir_fd=place)
    finally:
        os.close(place)
