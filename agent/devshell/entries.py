"""The folder of saved shells: what an entry consists of, when it is whole, and when it goes.

Of a key there are `KEY.rc` (the script), `KEY` and `KEY-1-link` (Nix's profile, which keeps the environment from being
collected), `KEY.input…` (links that keep the flake's inputs) and, while somebody makes it, `KEY.lock`. The script is renamed
into place last and carries its own checksum, so it is the entry; what has no script is what a killed process left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.devshell.flake import Saved
from agent.devshell.saved import environment_of, packed
from agent.errors import PodTrouble

LEFTOVER: Final = 24 * 3600.0
"""Seconds after which what has no script was left by a killed process, and is not in the making."""
_PART: Final = re.compile(r"(?P<key>(?:once-)?[0-9a-f]{40})(?:|\.rc|\.rc\.new|-\d+-link|\.input(?:-\d+)?|\.lock)")


class Entries:
    """Saved shells by key.

    Args:
        folder: ours alone; the sandbox reads the scripts in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    def profile(self, key: str) -> Path:
        """Nix's profile of an entry."""
        return self.folder / key

    def inputs(self, key: str) -> Path:
        """What the links to a flake's inputs begin with."""
        return self.folder / f"{key}.input"

    def find(self, key: str) -> Saved | None:
        """The entry if it is whole and the store still has it; to be entered makes it young."""
        script = self._script(key)
        try:
            environment = environment_of(script.read_bytes())
            if environment is None or not self.profile(key).samefile(environment):
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
        scripts: dict[str, float] = {}
        broken = []
        for key, paths in self._parts().items():
            ages = {path.suffix: now - found for path in paths if (found := _changed(path)) is not None}
            if ".rc" in ages:
                scripts[key] = ages[".rc"]
            elif min(ages.values(), default=LEFTOVER) >= LEFTOVER:
                broken.append(key)
        youngest = sorted(scripts, key=scripts.__getitem__)
        old = [key for key in youngest if scripts[key] > days * 86400]
        return sum(map(self._remove, {*youngest[most:], *old, *broken}))

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

    def _parts(self) -> dict[str, list[Path]]:
        """What there is of each key, locks left out."""
        parts: dict[str, list[Path]] = {}
        with contextlib.suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                if path.suffix != ".lock" and (found := _PART.fullmatch(path.name)):
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
