"""An event loop in virtual time: nothing ever waits, and the same history happens again for the same seed."""

from __future__ import annotations

import asyncio
from typing import Any


class Stuck(RuntimeError):
    """Everybody waits and nobody will ever be woken."""


class VirtualLoop(asyncio.BaseEventLoop):
    """When nothing is ready, the time is that of the next timer; no selector, no thread, no wall clock."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._selector = self

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        """What `BaseEventLoop` asks its selector: here time passes in no time."""
        if timeout is None:
            raise Stuck("everybody waits and nobody will ever be woken")
        if timeout > 0:
            self._now = max(self._now, self._scheduled[0].when())  # type: ignore[attr-defined]
        return []

    def _process_events(self, events: list[Any]) -> None:
        assert not events

    def _write_to_self(self) -> None:
        """Nobody is outside."""
