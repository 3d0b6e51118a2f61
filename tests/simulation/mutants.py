"""Protocol bugs, switched on one at a time: each patches one thing of the shipped code and must be caught.

A mutant's docstring is the sentence of DESIGN that it breaks. Beside it stand the invariant that kills it and the
directed history in which that happens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Final

from msgspec import Struct

from agent.board.client import Board
from agent.errors import Conflict
from agent.model import Changes, WorkPackage
from simulation.mutants_stage import Scene


class Mutant(Struct, frozen=True, kw_only=True):
    """A protocol bug.

    Attributes:
        name: of the bug.
        breaks: the sentence of DESIGN.
        kills: the invariant that catches it.
        scene: the directed history in which it does.
        patch: switches it on.
    """

    name: str
    breaks: str
    kills: str
    scene: Scene
    patch: Callable[[], AbstractContextManager[None]]


def mutant(kills: str, scene: Scene) -> Callable[[Callable[[], Iterator[None]]], Mutant]:
    """Make a mutant of what switches it on."""

    def make(switch: Callable[[], Iterator[None]]) -> Mutant:
        breaks = " ".join((switch.__doc__ or "").split())
        return Mutant(name=switch.__name__, breaks=breaks, kills=kills, scene=scene, patch=contextmanager(switch))

    return make


@contextmanager
def patched(owner: Any, name: str, new: Any) -> Iterator[None]:
    """`owner.name` is `new` inside."""
    old = vars(owner)[name]
    setattr(owner, name, new)
    try:
        yield
    finally:
        setattr(owner, name, old)


INSIDE: Final[ContextVar[Any]] = ContextVar("inside", default=None)


@contextmanager
def inside(what: Any) -> Iterator[None]:
    """A mark for one task and what it starts: to patch something for its sake would patch it for all pods."""
    token = INSIDE.set(what)
    try:
        yield
    finally:
        INSIDE.reset(token)


def without_lock(purpose: str) -> AbstractContextManager[None]:
    """PATCHes for this purpose write over whatever is there."""
    shipped = Board.patch

    async def patch(self: Board, item: WorkPackage, wanted: Changes, why: str, *, notify: bool = False) -> WorkPackage:
        while purpose in why:
            item = await self.work_package(item.id, "the present lockVersion")
            with contextlib.suppress(Conflict):
                return await shipped(self, item, wanted, why, notify=notify)
        return await shipped(self, item, wanted, why, notify=notify)

    return patched(Board, "patch", patch)


def failing(caught: type[Exception], raised: type[Exception]) -> AbstractContextManager[None]:
    """A claim that meets one error takes it for another."""
    shipped = Board.patch

    async def patch(self: Board, item: WorkPackage, wanted: Changes, why: str, *, notify: bool = False) -> WorkPackage:
        try:
            return await shipped(self, item, wanted, why, notify=notify)
        except caught as error:
            if "claim #" in why:
                raise raised(str(error)) from error
            raise

    return patched(Board, "patch", patch)
