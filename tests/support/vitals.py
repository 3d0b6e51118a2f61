"""Every event loop and every process of ours that a test has at work is watched, whatever the test is about.

Nobody has to say which tests are hostile: no loop stands for more than 250 ms of processor time and no process takes more than
300 MiB in any of them. In the process of the tests it is what a test adds that counts, since pytest and what it has collected
are no orchestrator. A command of ours in a process of its own watches itself (`watched/sitecustomize.py`), and leaves a word
where something was wrong.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from support.heartbeat import STANDS, Heart
from support.memory import MOST, forget_peak, peak

IDLE: Final = 70
"""MiB that a pod has before anybody hands it anything: what a test may add in its own process is the rest."""
_WORDS: Final = Path(tempfile.gettempdir()) / f"agent-vitals-{os.getpid()}"
_PLACE: Final = "TEST_VITALS"
_hearts: set[Heart] = set()
_stood: list[float] = []


def watch_loops() -> None:
    """From now on each loop of this process beats while it runs; those of a virtual time do not."""
    run_forever = asyncio.BaseEventLoop.run_forever

    def beats(self: asyncio.BaseEventLoop) -> None:
        if type(self).time is not asyncio.BaseEventLoop.time:
            return run_forever(self)
        heart = Heart(self)
        _hearts.add(heart)
        try:
            return run_forever(self)
        finally:
            heart.look()
            heart.stop()
            _hearts.discard(heart)
            _stood.append(heart.longest)

    asyncio.BaseEventLoop.run_forever = beats  # type: ignore[method-assign]


def watched() -> dict[str, str]:
    """For the environment of a command of ours: it watches itself."""
    return {"PYTHONPATH": str(Path(__file__).with_name("watched")), _PLACE: str(_WORDS)}


def watch_this_process() -> None:
    """For a command of ours: whatever is wrong with it is told when it ends, to the test that started it."""
    place = os.environ.pop(_PLACE, "")
    os.environ.pop("PYTHONPATH", None)
    sys.modules.setdefault("trio", None)  # type: ignore[arg-type]  # Selenium's: no pod has it, but httpcore loads it here
    if not place:
        return
    watch_loops()
    atexit.register(_tell, place, " ".join(map(os.path.basename, sys.orig_argv[1:4])))


def _tell(place: str, command: str) -> None:
    wrong = list(_wrong(peak(), MOST))
    if wrong:
        with open(place, "a", encoding="utf-8") as words:  # noqa: PTH123 - at the end of a process there may be no more
            words.write("".join(f"`{command}`: {one}\n" for one in wrong))


def _wrong(took: float, most: float) -> Iterator[str]:
    stood = max((*_stood, *(heart.longest for heart in tuple(_hearts))), default=0.0)
    if stood > STANDS:
        yield f"the event loop stood for {stood:.3f} s of processor time; more than {STANDS:.3f} s are too long"
    if took > most:
        yield f"{took:.0f} MiB were taken; more than {most:.0f} are too many"


@contextmanager
def vital_signs() -> Iterator[None]:
    """Inside, and in what outlived the test before, nothing of ours stands or grows.

    Raises:
        AssertionError: something did; unless the block raises itself.
    """
    before = forget_peak()
    try:
        yield
        wrong = [*_wrong(peak() - before, MOST - IDLE), *_told()]
    finally:
        forget()
    assert not wrong, "; ".join(wrong)


def forget() -> None:
    """What was wrong until now is nobody's fault."""
    _WORDS.unlink(missing_ok=True)
    _stood.clear()
    for heart in tuple(_hearts):  # a server that ends beside the next test takes its own out
        heart.longest = 0.0


def _told() -> list[str]:
    return _WORDS.read_text(encoding="utf-8").splitlines() if _WORDS.exists() else []
