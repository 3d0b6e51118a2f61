"""A thread with the board's file: whoever asks waits, and nobody else does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from agent.server.store import Db, Store

T = TypeVar("T")


class Desk:
    """One connection, used by one thread, for one question after the other.

    Args:
        folder: where the board is kept.
        name: of the thread.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.store = Store(folder)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    def close(self) -> None:
        """Let go of the file; what is being answered is waited for."""
        self._thread.shutdown()
        self.store.close()

    async def do(self, work: Callable[[], T]) -> T:
        """Run something in the thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def read(self, work: Callable[[Db], T]) -> T:
        """Look something up."""
        return await self.do(lambda: self._transaction(work, write=False))

    async def write(self, work: Callable[[Db], T]) -> T:
        """Change something."""
        return await self.do(lambda: self._transaction(work, write=True))

    def _transaction(self, work: Callable[[Db], T], *, write: bool) -> T:
        with self.store.transaction(write=write) as db:
            return work(db)
