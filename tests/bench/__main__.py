"""`make bench`: every figure in one run, printed, in build/bench/results.json, as a report and as a page of plots."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import Final

import msgspec
from loguru import logger

from bench import devshell, herd, organisation, overhead, page, process, scale
from bench.measure import Measured

FOLDER: Final = Path("build/bench")


async def _process(place: Path) -> AsyncIterator[Measured]:
    for one in process.measure(place):
        yield one


async def _devshell(place: Path) -> AsyncIterator[Measured]:
    for one in await devshell.measure(place):
        yield one


async def _overhead(place: Path) -> AsyncIterator[Measured]:
    for sandbox in ("none", "bubblewrap"):
        for one in await overhead.measure(place / sandbox, sandbox):
            yield one
    for one in await overhead.measure(place / "large", "bubblewrap", large=True):
        yield one


async def _organisation(_: Path) -> AsyncIterator[Measured]:
    for one in organisation.measure():
        yield one


PARTS: Final[dict[str, Callable[[Path], AsyncIterator[Measured]]]] = {
    "process": _process,
    "devshell": _devshell,
    "overhead": _overhead,
    "scale": scale.measure,
    "openproject": scale.measure_openproject,
    "herd": herd.measure,
    "organisation": _organisation,
}
"""What can be measured by itself: `python -m bench scale herd`."""


async def measured(wanted: Collection[str]) -> AsyncIterator[Measured]:
    """One figure after the other, as they are taken."""
    with tempfile.TemporaryDirectory(prefix="agent-bench-") as place:
        for name in wanted:
            async for one in PARTS[name](Path(place) / name):
                yield one


async def main(wanted: Collection[str]) -> int:
    """Returns 1 when a goal was missed, so that nobody reads past it.

    Args:
        wanted: parts of `PARTS`.
    """
    figures = []
    async for one in measured(wanted):
        figures.append(one)
        verdict = {None: "", True: f"  goal {one.goal}: met", False: f"  goal {one.goal}: MISSED"}[one.met]
        sys.stdout.write(f"{one.name:<58} {one.value:10.3f} {one.unit}{verdict}\n")
        sys.stdout.flush()
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
    (FOLDER / "index.html").write_text(page.render(figures), encoding="utf-8")
    (FOLDER / "report.md").write_text(page.markdown(figures), encoding="utf-8")
    sys.stdout.write(f"\n{FOLDER}/results.json, report.md and index.html were written.\n")
    return 1 if any(one.met is False for one in figures) else 0


if __name__ == "__main__":
    logger.remove()
    sys.exit(asyncio.run(main(sys.argv[1:] or tuple(PARTS))))
