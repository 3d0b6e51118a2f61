"""What a run has used, on disk at every moment: a budget holds over a kill and a resume."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import msgspec
from loguru import logger
from msgspec.structs import replace

from agent.errors import PodTrouble
from agent.relay.meter import Budget, Prices, Usage, after, exceeded


class Record:
    """The usage of one run, kept in a file.

    A turn is begun before its request is sent and counted as it comes in, so the file is never behind the API by more
    than a part of one answer. A disk may take a second for that; the loop goes on meanwhile, and whoever is counted waits.

    Args:
        file: where it is kept; it need not exist, and its folder need not either.
        prices: what counts from now on; what was paid stays as it was.
        budget: what the run may use in all, over every resume.

    Attributes:
        usage: what was used.
        trouble: why the file cannot be written; empty while it can. Nothing is sent meanwhile.

    Raises:
        PodTrouble: the file cannot be read.
    """

    def __init__(self, file: Path, prices: Prices, budget: Budget) -> None:
        self.trouble = ""
        self.usage = _load(file)
        self._file = file
        self._prices = prices
        self._budget = budget
        self._before = self.usage
        self._factor = 1.0
        self._one = threading.Lock()
        self._writing: set[asyncio.Future[None]] = set()

    async def begin(self, factor: float = 1.0) -> str:
        """Begin a turn that costs so many times the plain price; or say why there is none."""
        refused = exceeded(self.usage, self._budget)
        if refused:
            if refused != self.usage.refused:
                await self._keep(replace(self.usage, refused=refused))
            return refused
        self._before, self._factor = self.usage, factor
        try:
            await self._keep(after(self._before, Usage(), self._prices))
        except asyncio.CancelledError:  # nothing is asked
            _ = self._write(self._before)
            raise
        if self.trouble:
            self.usage = self._before
        return self.trouble

    async def count(self, answer: Usage) -> None:
        """What the present turn has counted so far."""
        usage = after(self._before, answer, self._prices, self._factor)
        if usage != self.usage:
            await self._keep(usage)

    async def undo(self) -> None:
        """The present turn was none: the API did not take it."""
        await self._keep(self._before)

    async def settled(self) -> None:
        """All is on disk, also what nobody waited for any more."""
        await asyncio.gather(*self._writing)

    async def _keep(self, usage: Usage) -> None:
        await asyncio.shield(self._write(usage))

    def _write(self, usage: Usage) -> asyncio.Future[None]:
        """Begin to write it: to its end, whoever is cancelled."""
        self.usage = usage
        writing = asyncio.get_running_loop().run_in_executor(None, self._write_newest)
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        return writing

    def _write_newest(self) -> None:
        with self._one:  # the last one to write writes what came last
            try:
                _write(self._file, msgspec.json.encode(self.usage) + b"\n")
                self.trouble = ""
            except OSError as error:
                self.trouble = f"the usage record {self._file} cannot be written: {error.strerror}"
                logger.warning("relay: {}", self.trouble)


def spent(file: Path) -> Usage | None:
    """What the record in a file says; None where there is none that can be read."""
    try:
        return _load(file) if file.exists() else None
    except PodTrouble:
        return None


def _load(file: Path) -> Usage:
    try:
        usage = msgspec.json.decode(file.read_bytes(), type=Usage)
    except FileNotFoundError:
        return Usage()
    except OSError as error:
        raise PodTrouble(f"the usage record {file} cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise PodTrouble(
            f"the usage record {file} is damaged ({error}): what the run has spent is not known; "
            "mend it, or remove it to begin again at nothing"
        ) from error
    counts = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens, usage.turns)
    if min(*counts, usage.usd) < 0:
        raise PodTrouble(f"the usage record {file} is damaged (a count below 0): mend it, or remove it to begin again")
    return replace(usage, refused="")  # the budget may be another one today


def _write(file: Path, raw: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(file.name + ".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as stream:  # noqa: PTH123 - born private
        stream.write(raw)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(file)
