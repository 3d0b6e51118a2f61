"""The objects of a mirror within bounds: what nothing leads to is of runs that failed, and goes.

Branches, HEAD and index of each worktree lead to what is not published yet, and nobody but this process writes here; so what
nothing leads to goes at once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.git.refs import TAGS
from agent.programs.runner import Finished

LOOSE: Final = 64 << 20
"""Bytes of objects outside of packs; with more, those that nothing leads to are removed."""
MANY: Final = 6_000
"""Objects outside of packs from which on git is asked whether it would tidy up: at about 6,700 it does."""
MANY_PACKS: Final = 50
"""Likewise for packs: with more it does."""
_MAY_FAIL: Final = (0, 1, 128)
"""Another fetch asks again."""


Local = Callable[..., Awaitable[Finished]]
"""`Mirror.local`: a command of git on the mirror."""


class _Counted(Struct, frozen=True):
    """What there is: objects outside of packs, packs, and bytes of those objects."""

    loose: int
    packs: int
    size: int


async def tidy(local: Local, folder: Path) -> None:
    """Pack refs and objects, and remove objects, as far as there are too many.

    Args:
        local: runs git there.
        folder: the mirror.
    """
    if await asyncio.to_thread(_has_files, folder / TAGS):  # thousands of them, each looked at again and again
        await local("pack-refs", "--all", ok=_MAY_FAIL)
    counted = await _count(local)
    if counted.loose > MANY or counted.packs > MANY_PACKS:
        now = ("-c", "gc.auto=6700", "-c", "gc.autoDetach=false", "-c", "gc.pruneExpire=now")
        await local(*now, "gc", "--auto", "--quiet", ok=_MAY_FAIL)
        counted = await _count(local)
    # The second takes long, and packs the rest.
    for words in (("prune", "--expire=now"), ("gc", "--prune=now", "--quiet")):
        if counted.size <= LOOSE:
            return
        await local(*words, ok=_MAY_FAIL)
        counted = await _count(local)


async def _count(local: Local) -> _Counted:
    done = await local("count-objects", "-v", ok=_MAY_FAIL)
    found = dict(line.split(": ", 1) for line in done.stdout.decode().splitlines() if ": " in line)
    loose, packs, size = (int(found.get(name, "0")) for name in ("count", "packs", "size"))
    return _Counted(loose, packs, size * 1024)


def _has_files(folder: Path) -> bool:
    return any(names for _, _, names in os.walk(folder))
