"""An idle `agent cycle` as a whole process, beside an empty typer command that imports httpx: what a timer pays each minute."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from bench.measure import MILLI, Measured, at_most
from support.boards import embedded_board
from support.fleet import AGENT, Fleet

ROUNDS: Final = 25
GOAL: Final = 1.5
GROUP: Final = "process start"
EMPTY: Final = """\
import httpx
import typer

app = typer.Typer(add_completion=False)


@app.command()
def main() -> None:
    httpx.URL("http://board")


app()
"""

HIDDEN: Final = (
    'raise ImportError("the browser tests bring it along; where only the agent is installed there is none")\n'
)
"""In the place of trio, which httpx loads wherever it finds it."""


class Took(Struct, frozen=True, order=True):
    """Seconds of one process: by the clock, and on a processor."""

    wall: float
    cpu: float


def measure(folder: Path) -> list[Measured]:
    """Best of some rounds, the programs taken in turn."""
    board = embedded_board(folder / "board")
    try:
        config = Fleet(board, "shop", folder).pod()
        empty = folder / "empty.py"
        empty.write_text(EMPTY)
        hidden = folder / "hidden"
        hidden.mkdir()
        (hidden / "trio.py").write_text(HIDDEN)
        programs = {
            "python": (sys.executable, "-c", "pass"),
            "empty": (sys.executable, str(empty)),
            "idle": (str(AGENT), "cycle", "--config", str(config)),
        }
        taken: dict[str, list[Took]] = {name: [] for name in programs}
        for _ in range(ROUNDS):
            for name, argv in programs.items():
                taken[name].append(_run(argv, folder, hidden))
    finally:
        board.close()
    return _figures(
        {name: Took(min(one.wall for one in some), min(one.cpu for one in some)) for name, some in taken.items()}
    )


def _run(argv: tuple[str, ...], folder: Path, hidden: Path) -> Took:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(hidden)}
    started = time.perf_counter()
    process = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(process.pid, 0)
    took = Took(time.perf_counter() - started, usage.ru_utime + usage.ru_stime)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.returncode == 0, said
    return took


def _figures(best: Mapping[str, Took]) -> list[Measured]:
    how = f"best of {ROUNDS} in turn; embedded board with nothing on it, discovery cached; without trio, which only tests need"
    words = {
        "python": "python -c pass",
        "empty": "an empty typer command that imports httpx",
        "idle": "an idle agent cycle",
    }
    return [
        *(
            Measured(
                name=f"{words[name]}, {kind}", value=getattr(best[name], key) * MILLI, unit="ms", how=how, group=GROUP
            )
            for kind, key in (("whole process", "wall"), ("on a processor", "cpu"))
            for name in words
        ),
        at_most(
            "idle agent cycle over the empty command",
            best["idle"].wall / best["empty"].wall,
            "times",
            GOAL,
            how,
            group=GROUP,
        ),
        Measured(
            name="… on a processor", value=best["idle"].cpu / best["empty"].cpu, unit="times", how=how, group=GROUP
        ),
    ]
