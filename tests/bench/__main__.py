"""`make bench`: every figure in one run, printed, in build/bench/results.json, and as a page of plots."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec
from loguru import logger

from bench import devshell, overhead, page
from bench.measure import Measured

FOLDER: Final = Path("build/bench")


async def measured() -> AsyncIterator[Measured]:
    """One figure after the other, as they are taken."""
    with tempfile.TemporaryDirectory(prefix="agent-bench-") as place:
        for one in await devshell.measure(Path(place) / "devshell"):
            yield one
        for sandbox in ("none", "bubblewrap"):
            for one in await overhead.measure(Path(place) / sandbox, sandbox):
                yield one


async def main() -> int:
    """Returns 1 when a goal was missed, so that nobody reads past it."""
    figures = []
    async for one in measured():
        figures.append(one)
        verdict = {None: "", True: f"  goal {one.goal}: met", False: f"  goal {one.goal}: MISSED"}[one.met]
        sys.stdout.write(f"{one.name:<58} {one.value:10.3f} {one.unit}{verdict}\n")
        sys.stdout.flush()
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
    (FOLDER / "index.html").write_text(page.render(figures), encoding="utf-8")
    sys.stdout.write(f"\n{FOLDER}/results.json and {FOLDER}/index.html were written.\n")
    return 1 if any(one.met is False for one in figures) else 0


if __name__ == "__main__":
    logger.remove()
    sys.exit(asyncio.run(main()))
