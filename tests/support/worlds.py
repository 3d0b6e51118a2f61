"""What the tests need on a real OpenProject beyond its seeds: imported once for a server, since an import costs 20 s."""

from __future__ import annotations

import contextlib
import fcntl
import json
import random
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TextIO

import msgspec
from msgspec import Struct

from support.backlogs import Backlog, into_openproject
from support.boards import CONTROL, Board, missing, openproject
from support.crowds import CROWDS, big, crowd, mixed
from support.random_boards import random_backlog

SIZE: Final = 1000
"""Tickets in front of the available one."""

BIG: Final = 10_000
"""Work packages of the large ordinary project."""

SAMPLES: Final = 6
"""Random boards for the comparison of scan and ladder."""

POOL: Final = 24
"""Empty projects for tests that want one of their own."""


ASKED_IN_FULL: Final = ("blocked-above", "spiked-by-a-person", "containers")
"""The reasons that ask the board in a way of their own; the others differ in a filter."""
FEW: Final = 200
"""Tickets of those on the server in `make test`, which takes 20 ms for each that is read in full: a scan's batches, and no more."""
FEW_MIXED: Final = 400
"""Tickets of all reasons together there."""


class World(Struct, frozen=True):
    """What was imported: ids by key, and the projects whose names begin with the mark of this import."""

    mark: str
    ids: Mapping[str, int]
    folder: str

    def crowd(self, reason: str) -> str:
        """The project with the crowd of this reason, or of all ("mixed"); in the whole world."""
        return f"{self.mark}-{reason}"

    def few(self, reason: str) -> str:
        """The project with fewer of this reason, which is `ASKED_IN_FULL` or all of them ("mixed")."""
        return f"{self.mark}-few-{reason}"

    def sample(self, number: int) -> str:
        """The project with a random board."""
        return f"{self.mark}-sample-{number}"

    def empty_project(self) -> str:
        """An empty project that no other test has."""
        with _locked(Path(self.folder) / "pool.lock") as counter:
            counter.seek(0)
            number = int(counter.read() or 0)
            assert number < POOL, "the pool of empty projects is used up: raise POOL"
            counter.seek(0)
            counter.truncate()
            counter.write(str(number + 1))
        return f"{self.mark}-pool-{number}"


def samples(mark: str) -> list[Backlog]:
    """The random boards of an import; the same mark gives the same boards."""
    return [random_backlog(random.Random(f"{mark}{n}"), f"{mark}-sample-{n}", 60) for n in range(SAMPLES)]


def world(board: Board) -> World:
    """The world on this server, imported by whoever asks first: as much of it as `make test` looks at."""
    if not can_be_filled(board):
        missing("this OpenProject was not booted here, so it cannot be filled with thousands of tickets")
    assert board.folder is not None
    known = board.folder / "world.json"
    with _locked(board.folder / "world.lock"):
        if known.exists() and _is_there(board, json.loads(known.read_text())["mark"]):
            return msgspec.json.decode(known.read_bytes(), type=World)
        (board.folder / "pool.lock").unlink(missing_ok=True)
        mark = f"w{secrets.token_hex(3)}"
        pool = Backlog(tuple(f"{mark}-pool-{number}" for number in range(POOL)), ())
        parts = [crowd(reason, f"{mark}-few-{reason}", FEW) for reason in ASKED_IN_FULL]
        ids = _import(board.folder, pool, mixed(f"{mark}-few-mixed", FEW_MIXED), *samples(mark), *parts)
        made = World(mark, ids, str(board.folder))
        known.write_bytes(msgspec.json.encode(made))
        return made


def whole_world(board: Board) -> World:
    """The world with what only `make proof` and the benchmarks look at: every crowd, and the large ordinary project.

    All that searches through it costs each request of `make test` some milliseconds, so it is not there from the start.
    """
    small = world(board)
    assert board.folder is not None
    known = board.folder / f"whole-{small.mark}.json"
    with _locked(board.folder / "world.lock"):
        if not known.exists():
            crowds = [crowd(reason, small.crowd(reason), SIZE) for reason in CROWDS]
            crowds.append(mixed(small.crowd("mixed"), SIZE))
            ids = _import(board.folder, big(f"{small.mark}-big", BIG), *crowds)
            known.write_bytes(msgspec.json.encode(World(small.mark, {**small.ids, **ids}, small.folder)))
        return msgspec.json.decode(known.read_bytes(), type=World)


def _import(folder: Path, *parts: Backlog) -> dict[str, int]:
    together = Backlog(
        tuple(one for part in parts for one in part.projects),
        tuple(one for part in parts for one in part.work_packages),
        tuple(one for part in parts for one in part.relations),
    )
    return into_openproject(folder, CONTROL, together)


def filled_openproject() -> Board:
    """The real OpenProject with its world: nothing is imported while a test looks at it."""
    board = openproject()
    if can_be_filled(board):
        world(board)
    return board


def can_be_filled(board: Board) -> bool:
    """Whether its tables are at hand: it runs from the image, in a folder of this machine."""
    return board.folder is not None and (board.folder / "root").is_dir()


def _is_there(board: Board, mark: str) -> bool:
    """Whether the server still has it: it may have been reset."""
    return board.client("agent").get(f"/projects/{mark}-pool-0").status_code == 200


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[TextIO]:
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
