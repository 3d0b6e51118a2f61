"""The folder of saved shells: what an entry consists of, when it is whole, and when it goes.

Of a derivation's key there are `KEY.rc` (the script), `KEY` (a link that keeps the environment from being collected),
`KEY.input…` (links that keep the flake's inputs) and, while somebody makes it, `KEY.lock`. The script is renamed into place
last and carries its own checksum, so it is the entry; what has no script is what a killed process left. Of a tree's key
there is `KEY.tree`, a link whose target is the name of that script.

No program of a run sees the folder, and none of Nix's can write there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.devshell.flake import Saved
from agent.devshell.saved import environment_of, packed
from agent.errors import PodTrouble
from agent.texts.bounded import LINE, Whole

LEFTOVER: Final = 24 * 3600.0
"""Seconds after which what has no script was left by a killed process, and is not in the making."""
_PART: Final = Whole(
    "entries: a part of a saved shell",
    r"(?P<key>(?:once-)?[0-9a-f]{40})(?:|\.rc|\.rc\.new|\.tree|\.tree\.new|-[0-9]++-link|\.input(?:-[0-9]++)?|\.lock)",
    sees="the names of files in the pod's own folder",
    longest=LINE,
)
"""The numbered links are of earlier versions, and so are keys that begin with a word."""
_SCRIPT: Final = Whole(
    "entries: a script", r"([0-9a-f]{40})\.rc", sees="the names of files in the pod's own folder", longest=LINE
)


class Entries:
    """Saved shells by key.

    Args:
        folder: ours alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    def environment(self, key: str) -> Path:
        """The link to an entry's environment."""
        return self.folder / key

    def inputs(self, key: str) -> Path:
        """What the links to a flake's inputs begin with."""
        return self.folder / f"{key}.input"

    def find(self, key: str) -> Saved | None:
        """The entry if it is whole and the store still has it; to be entered makes it young."""
        script = self._script(key)
        try:
            environment = environment_of(script.read_bytes())
            if environment is None or not self.environment(key).samefile(environment):
                return None
        except (OSError, ValueError):
            return None
        with contextlib.suppress(OSError):
            os.utime(script)
        return Saved(script, Path(environment))

    def save(self, key: str, script: bytes, environment: Path) -> Saved:
        """Make it an entry, at once or not at all.

        Raises:
            PodTrouble: the folder cannot be written.
        """
        new = self.folder / f"{key}.rc.new"
        with self._written():
            new.write_bytes(packed(script, str(environment)))
            new.rename(self._script(key))
        return Saved(self._script(key), environment)

    def of_tree(self, key: str) -> str:
        """The derivation's key that a tree's leads to, whether that entry is there or not; empty if none is known."""
        link = self._tree(key)
        with contextlib.suppress(OSError):
            if found := _SCRIPT.match(str(link.readlink())):
                os.utime(link, follow_symlinks=False)
                return found[1]
        return ""

    def lead(self, tree: str, key: str) -> None:
        """From now on the tree leads to this entry.

        Raises:
            PodTrouble: the folder cannot be written.
        """
        new = self.folder / f"{tree}.tree.new"
        with self._written():
            new.unlink(missing_ok=True)
            new.symlink_to(self._script(key).name)
            new.rename(self._tree(tree))

    def kept(self, key: str) -> frozenset[Path]:
        """The inputs that links of this entry keep."""
        links = (path for path in self._parts().get(key, ()) if path.suffix.startswith(".input"))
        return frozenset(path.readlink() for path in links)

    def clear(self, key: str) -> None:
        """Remove all of an entry but its lock, so that the store may collect it."""
        self._script(key).unlink(missing_ok=True)  # first: without it there is no entry
        for path in self._parts().get(key, ()):
            path.unlink(missing_ok=True)

    def prune(self, *, now: float, days: float, most: int) -> int:
        """Remove entries that nobody entered for that many days, all but the `most` entered last, and leftovers.

        Returns:
            How many were removed.
        """
        ages: dict[str, dict[str, float]] = {".rc": {}, ".tree": {}}
        broken = []
        for key, paths in self._parts().items():
            parts = {path.suffix: now - found for path in paths if (found := _changed(path)) is not None}
            kind = next((suffix for suffix in ages if suffix in parts), "")
            if kind:
                ages[kind][key] = parts[kind]
            elif min(parts.values(), default=LEFTOVER) >= LEFTOVER:
                broken.append(key)
        for known in ages.values():
            youngest = sorted(known, key=known.__getitem__)
            broken += {*youngest[most:], *(key for key in youngest if known[key] > days * 86400)}
        return sum(map(self._remove, broken))

    def _remove(self, key: str) -> bool:
        with self.lock(key) as mine:
            if mine:
                self.clear(key)
            return mine

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[bool]:
        """Whether the entry is ours to make or to remove, among all tasks and processes; nobody waits here.

        A lock goes with its process. Its file is removed by who holds it.

        Raises:
            PodTrouble: the folder cannot be written.
        """
        path = self.folder / f"{key}.lock"
        with self._written():
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            mine = _locked(handle, path)
            try:
                yield mine
            finally:
                if mine:
                    path.unlink(missing_ok=True)
        finally:
            os.close(handle)

    def _script(self, key: str) -> Path:
        return self.folder / f"{key}.rc"

    def _tree(self, key: str) -> Path:
        return self.folder / f"{key}.tree"

    def _parts(self) -> dict[str, list[Path]]:
        """What there is of each key, locks left out."""
        parts: dict[str, list[Path]] = {}
        with contextlib.suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                if path.suffix != ".lock" and (found := _PART.match(path.name)):
                    parts.setdefault(found["key"], []).append(path)
        return parts

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PodTrouble(
                f"the folder of saved development shells {self.folder} cannot be written: {error.strerror}"
            ) from error


def _changed(path: Path) -> float | None:
    with contextlib.suppress(FileNotFoundError):
        return path.lstat().st_mtime
    return None


def _locked(handle: int, path: Path) -> bool:
    """Whether the lock was free, and is still the one of that name: its last holder removed the file."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(handle), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
