"""What a sandbox sees of a folder with thousands of entries: some of them, and more while it runs.

The Nix store holds what all repositories of a host ever built. A run sees the entries that its shell consists of, each as a
mount of its own (`holder`). What is added later is seen by the processes that already run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from agent.errors import PodTrouble

PATIENCE: Final = 30.0
"""Seconds within which a running sandbox shows what was added; it takes milliseconds."""
_HOLDER: Final = Path(__file__).with_name("holder.py")


class Shelf(Struct, frozen=True):
    """A folder of which some entries are seen.

    Attributes:
        real: where it is on this host.
        seen: where it is in the sandbox.
    """

    real: Path
    seen: Path


class View:
    """What is seen by the sandboxes of one run.

    Args:
        shelves: the folders; none of their entries is seen until it is shown.
        shown: entries of the first of them that are seen from the beginning.
        python: runs the helper; the one that runs us if none is given.
    """

    def __init__(self, shelves: Sequence[Shelf], *, shown: Iterable[str] = (), python: str = "") -> None:
        self.shelves = tuple(shelves)
        self._python = python or sys.executable
        self._names: list[dict[str, bool]] = [{} for _ in self.shelves]
        if self.shelves:
            self._note(0, shown, early=False)
        self._boxes: set[_Box] = set()

    async def show(self, shelf: int, names: Iterable[str], *, early: bool = False) -> None:
        """From now on, and when this returns, these entries of a shelf are seen in every sandbox of the run.

        Args:
            shelf: which of the shelves.
            names: entries.
            early: whether the sandbox itself needs them to begin, as its /bin/sh on NixOS.

        Raises:
            PodTrouble: a running sandbox cannot be given them.
        """
        if new := self._note(shelf, names, early=early):
            await asyncio.gather(*(box.show(shelf, new) for box in self._boxes))

    def _note(self, shelf: int, names: Iterable[str], *, early: bool) -> list[str]:
        known = self._names[shelf]
        new = [name for name in dict.fromkeys(names) if name not in known]
        if bad := [name for name in new if not _plain(name)]:
            raise PodTrouble(f"{bad[0]!r} is no name in {self.shelves[shelf].seen}")
        known.update(dict.fromkeys(new, early))
        return new

    def shown(self, shelf: int) -> tuple[str, ...]:
        """What is seen of a shelf."""
        return tuple(self._names[shelf])

    @contextlib.contextmanager
    def within(self, place: Path, written: Mapping[Path, Path] = MappingProxyType({})) -> Iterator[tuple[str, ...]]:
        """What goes before the command of a sandbox whose own folder is `place`, so that it can bind `folders`.

        Args:
            place: of the sandbox; outside of it.
            written: folders of this host by their place in the sandbox. What is seen at such a place is seen in that
                folder, beside what the sandbox writes there; names are left in it.

        Raises:
            PodTrouble: nothing can be written there.
        """
        if not self.shelves:
            yield ()
            return
        try:
            for number, _ in enumerate(self.shelves):
                (place / "real" / str(number)).mkdir(parents=True)
            for name in ("view", "new"):
                (place / name).mkdir()
            for number, shelf in enumerate(self.shelves):
                if shelf.seen in written:
                    (place / "new" / str(number)).symlink_to(written[shelf.seen])
            box = _Box(place, *(self._first(early=early) for early in (True, False)))
        except OSError as error:
            raise PodTrouble(f"the sandbox cannot write to {place}: {error.strerror}") from error
        self._boxes.add(box)
        try:
            reals = (str(shelf.real) for shelf in self.shelves)
            yield (self._python, "-I", "-S", str(_HOLDER), str(place), *reals, "--")
        finally:
            self._boxes.discard(box)
            box.close()

    def _first(self, *, early: bool) -> list[tuple[int, str]]:
        return [(number, name) for number, names in enumerate(self._names) for name in names if names[name] == early]

    def folders(self, place: Path) -> tuple[tuple[Path, Path], ...]:
        """What is to be bound from where, and its place in the sandbox."""
        return tuple((place / "view" / str(number), shelf.seen) for number, shelf in enumerate(self.shelves))


class _Box:
    """One running sandbox; asked through a pipe that it reads when it has come so far."""

    def __init__(self, place: Path, *first: Sequence[tuple[int, str]]) -> None:
        self._place = place
        self._waiting: dict[int, asyncio.Future[str]] = {}
        self._count = len(first) - 1
        self._rest = b""
        for number, entries in enumerate(first):
            self._write(number, entries)
        for name in ("asked", "shown", "gate"):
            os.mkfifo(place / name, 0o600)
        # Both ends are ours too: neither side waits for the other to open it, and none of them ever ends by itself.
        self._asked, self._shown = (
            os.open(place / name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC) for name in ("asked", "shown")
        )
        asyncio.get_running_loop().add_reader(self._shown, self._read)

    async def show(self, shelf: int, names: Sequence[str]) -> None:
        self._count += 1
        number = self._count
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._write(number, [(shelf, name) for name in names])
            os.write(self._asked, f"{number}\n".encode())
            async with asyncio.timeout(PATIENCE):
                error = await answer
        except (OSError, TimeoutError) as problem:
            error = str(problem) or f"no answer within {PATIENCE:.0f} s"
        finally:
            self._waiting.pop(number, None)
        if error:
            raise PodTrouble(f"the running sandbox cannot be shown more of the Nix store: {error}")

    def _write(self, number: int, entries: Iterable[tuple[int, str]]) -> None:
        text = "".join(f"{shelf} {name}\n" for shelf, name in entries)
        (self._place / f"view-{number}").write_text(text, "utf-8")

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._shown, 1 << 12):
                *lines, self._rest = (self._rest + data).split(b"\n")
                for line in lines:
                    number, _, error = line.decode("utf-8", "replace").partition(" ")
                    self._settle(int(number), error)

    def _settle(self, number: int, error: str) -> None:
        waiting = self._waiting.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(error)

    def close(self) -> None:
        """The sandbox is over: whoever waits need not any more."""
        asyncio.get_running_loop().remove_reader(self._shown)
        for handle in (self._asked, self._shown):
            os.close(handle)
        for number in tuple(self._waiting):
            self._settle(number, "")


def _plain(name: str) -> bool:
    """Whether it is the name of one entry, on one line."""
    return name not in ("", ".", "..") and "/" not in name and name.isprintable()
