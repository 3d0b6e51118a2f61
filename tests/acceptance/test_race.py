"""Two or eight pods, one ticket, one winner: over real HTTP, with the claim as it ships."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.server import import_backlog
from support.boards import embedded_board, openproject
from support.fleet import Fleet
from support.worlds import world

TESTS = Path(__file__).resolve().parents[1]
LOSS = 0.7
"""The chance that a claim's answer is lost, in every second round."""

Racer = subprocess.Popen[str]


@contextmanager
def contenders(fleet: Fleet, count: int) -> Iterator[list[Racer]]:
    """Processes that wait for tickets, every other one with another account; the last has name and account of the first."""
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    racing: list[Racer] = []
    for n in range(count):
        twin = n == count - 1
        config = fleet.pod(f"pod-{n}", account=("agent", "agent2")[0 if twin else n % 2])
        if twin:
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


def prizes(fleet: Fleet, count: int) -> list[dict[str, Any]]:
    """So many tickets as the board shows them."""
    if fleet.board.kind != "embedded" or fleet.board.folder is None:
        return [fleet.create(f"Prize {n}") for n in range(count)]
    entry = '[[work_packages]]\nkey = "p{0}"\nsubject = "Prize {0}"\nproject = "shop"\n'
    import_backlog(fleet.board.folder, "".join(entry.format(n) for n in range(count)))
    shown = fleet.request("GET", "/work_packages?filters=[]&pageSize=1000")
    return shown["_embedded"]["elements"]  # type: ignore[no-any-return]


def race(racing: Sequence[Racer], ticket: Mapping[str, Any], chance: float) -> list[tuple[str, str]]:
    """One round: what each said, and its token if it won."""

    def ask(one: Racer) -> tuple[str, str]:
        assert one.stdin is not None
        assert one.stdout is not None
        one.stdin.write(f"{moment} {chance} {json.dumps(ticket)}\n")
        one.stdin.flush()
        said, _, token = one.stdout.readline().strip().partition(":")
        return said, token.strip()

    moment = time.monotonic() + 0.01 + 0.0025 * len(racing)
    with ThreadPoolExecutor(len(racing)) as everybody:
        answers = list(everybody.map(ask, racing))
    assert {said for said, _ in answers} <= {"won", "won unheard", "lost"}, answers
    return answers


@pytest.mark.parametrize(
    ("kind", "ways", "rounds"),
    [
        ("embedded", 8, 60),
        pytest.param("openproject", 8, 14, marks=pytest.mark.openproject),
        pytest.param("embedded", 2, 500, marks=pytest.mark.proof),
        pytest.param("embedded", 8, 500, marks=pytest.mark.proof),
        pytest.param("openproject", 8, 50, marks=[pytest.mark.openproject, pytest.mark.proof]),
    ],
)
def test_claim_race_winner_histogram_is_always_one(
    kind: str, ways: int, rounds: int, tmp_path: Path, measured: Callable[[str], None]
) -> None:
    """I-01, I-02, I-03, I-07, I-10: one holder, whatever the accounts and names, and whichever answers are lost.

    Of two, every other pair are two processes with one name and one account; of eight, two of them always are.
    """
    board = embedded_board(tmp_path / "board") if kind == "embedded" else openproject()
    fleet = Fleet(board, "shop" if kind == "embedded" else world(board).empty_project(), tmp_path)
    histograms: dict[str, Counter[int]] = defaultdict(Counter)
    unheard, wrong = 0, []
    with contenders(fleet, max(ways, 3)) as racing:
        tickets = prizes(fleet, rounds)
        started = time.monotonic()
        for n, ticket in enumerate(tickets):
            lossy, twins = n % 2 == 1, ways == 2 and n % 4 >= 2
            some = racing if ways > 2 else [racing[0], racing[2 if twins else 1]]
            answers = race(some, ticket, LOSS if lossy else 0.0)
            tokens = [token for said, token in answers if said != "lost"]
            unheard += sum(said == "won unheard" for said, _ in answers)
            histograms[("twins" if twins else "others") + (" lossy" if lossy else "")][len(tokens)] += 1
            if tokens != [fleet.run_of(ticket["id"])]:
                wrong.append((ticket["id"], tokens))
        seconds = time.monotonic() - started
    together = sum(histograms.values(), Counter())
    details = ", ".join(f"{name} {dict(one)}" for name, one in sorted(histograms.items()))
    measured(
        f"claim race on {kind}: {ways} contenders, winners per round {dict(together)} ({details}), "
        f"{unheard} won by an answer that was lost, {seconds:.0f} s"
    )
    board.close()
    assert together == {1: rounds}
    assert wrong == []
    assert unheard > rounds / 20
