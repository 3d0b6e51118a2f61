"""The log of a board that strangers can reach: whatever they do, it does not fill the disk.

All that any library of the process says goes through `agent.logs`, where it becomes clean lines, and from there through a stream
that lets a burst pass and afterwards so much a second. What is left out is counted, and the count is said.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from time import monotonic
from typing import Final, TextIO

from loguru import logger

BURST: Final = 256 << 10
"""Characters at once."""
RATE: Final = 256
"""Characters a second from there on: 22 million a day."""
LONGEST: Final = 16 << 10
"""Characters of one entry, a traceback among them."""


class Bounded(io.StringIO):
    """A stream that lets so much pass.

    Args:
        stream: where it leads.
        clock: seconds.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._stream = stream
        self._clock = clock
        self._left = float(BURST)
        self._at = clock()
        self._omitted = 0

    def write(self, text: str) -> int:
        """One entry, or nothing of it."""
        now = self._clock()
        self._left = min(float(BURST), self._left + RATE * (now - self._at))
        self._at = now
        shown = text if len(text) <= LONGEST else f"{text[:LONGEST]} …\n"
        if self._omitted:
            shown = f"{self._omitted} entries of this log were left out: there were too many\n{shown}"
        if len(shown) > self._left:
            self._omitted += 1
        else:
            self._left -= len(shown)
            self._omitted = 0
            self._stream.write(shown)
        return len(text)

    def flush(self) -> None:
        """What has passed."""
        self._stream.flush()


class _Handed(logging.Handler):
    """The standard library's log, handed on to ours."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        logger.opt(exception=error).log(record.levelname, "{}", record.getMessage())


def listen() -> None:
    """Take all that libraries say."""
    logging.basicConfig(handlers=[_Handed()], level=logging.WARNING, force=True)
