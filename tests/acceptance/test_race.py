"""Eight pods, one ticket, one winner: over real HTTP, with the claim as it ships."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.boards import embedded_board, openproject
from support.fleet import Fleet
from support.worlds import world

CONTENDERS = 8
TESTS = Path(__file__).resolve().parents[1]


@contextmanager
def contenders(fleet: Fleet) -> Iterator[list[subprocess.Popen[str]]]:
    """Eight processes that wait for tickets; every other one with another account, two with one pod's name."""
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    racing = []
    for n in range(CONTENDERS):
        config = fleet.pod(f"pod-{n}", account=("agent", "agent2")[n % 2])
        if n == CONTENDERS - 1:
            config.write_text(config.read_text().replace(f'pod = "pod-{n}"', 'pod = "pod-0"'))
        argv = [sys.executable, str(TESTS / "support" / "contender.py"), str(config)]
        racing.append(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env))
    try:
        for one in racing:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        yield racing
    finally:
        for one in racing:
            assert one.stdin is not None
            one.stdin.close()
        for one in racing:
            one.wait(30)
            assert one.stdout is not None
            one.stdout.close()


def race(racing: list[subprocess.Popen[str]], shown: str, head_start: float) -> int:
    """One round: how many won."""

    def ask(one: subprocess.Popen[str]) -> str:
        assert one.stdin is not None
        assert one.stdout is not None
        one.stdin.write(f"{moment} {shown}\n")
        one.stdin.flush()
        return one.stdout.readline()

    moment = time.monotonic() + head_start
    with ThreadPoolExecutor(CONTENDERS) as everybody:
        answers = list(everybody.map(ask, racing))
    assert set(answers) <= {"won\n", "lost\n"}, answers
    return answers.count("won\n")


@pytest.mark.parametrize(
    ("kind", "rounds", "head_start"),
    [("embedded", 200, 0.03), pytest.param("openproject", 50, 0.05, marks=pytest.mark.openproject)],
)
def test_claim_race_winner_histogram_is_always_one(
    kind: str, rounds: int, head_start: float, tmp_path: Path, measured: Callable[[str], None]
) -> None:
    """I-01, I-02, I-03, I-07: at any moment at most one holder, whatever the accounts and names."""
    board = embedded_board(tmp_path / "board") if kind == "embedded" else openproject()
    fleet = Fleet(board, "shop" if kind == "embedded" else world(board).empty_project(), tmp_path)
    with contenders(fleet) as racing:
        tickets = [json.dumps(fleet.create(f"Prize {n}")) for n in range(rounds)]
        started = time.monotonic()
        histogram = Counter(race(racing, shown, head_start) for shown in tickets)
        seconds = time.monotonic() - started
    measured(f"claim race on {kind}: {CONTENDERS} contenders, winners per round {dict(histogram)}, {seconds:.0f} s")
    board.close()
    assert histogram == {1: rounds}
