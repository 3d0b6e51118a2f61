"""The hunt: each mutant in its directed history, then in random ones, seed after seed, until the simulation catches it.

    python -m simulation.mutants_hunt [--seeds 20] [--first 0] [NAME ...]

A table mutant → killed by which invariant, in which history, after how many seeds. Exit code 1 if one survives both.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from loguru import logger
from msgspec import Struct

from simulation.loop import Stuck
from simulation.mutants import Mutant
from simulation.mutants_all import MUTANTS
from simulation.mutants_stage import play
from simulation.plan import Plan
from simulation.world import simulate


class Kill(Struct, frozen=True):
    """How a mutant was caught; empty invariants where it was not."""

    name: str
    directed: str
    random: str
    seeds: int
    seconds: float


def by_seeds(mutant: Mutant, first: int, seeds: int) -> tuple[str, int]:
    """The invariants that the first failing seed breaks, and how many seeds that took."""
    for n in range(seeds):
        with mutant.patch():
            try:
                violations = simulate(Plan(seed=first + n)).violations
            except Stuck as stuck:
                return f"seed {first + n}: {stuck}", n + 1
        if violations:
            names = list(dict.fromkeys(one.invariant for one in violations))
            return f"seed {first + n}: {'; '.join(names[:3])}", n + 1
    return "", seeds


def hunt(number: int, *, first: int, seeds: int) -> Kill:
    """Both ways."""
    logger.remove()
    mutant, started = MUTANTS[number], time.perf_counter()
    with mutant.patch():
        broken = play(mutant.scene)
    directed = broken.invariant if broken is not None and broken.invariant == mutant.kills else ""
    found, tried = by_seeds(mutant, first, seeds)
    return Kill(mutant.name, directed, found, tried, time.perf_counter() - started)


def main() -> int:
    """The whole hunt; 1 if a mutant survives."""
    parser = argparse.ArgumentParser(prog="simulation.mutants_hunt")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    numbers = [n for n, one in enumerate(MUTANTS) if not options.names or one.name in options.names]
    sys.stdout.write("| mutant | its directed history is ended by | random histories | seeds | s |\n|-|-|-|-|-|\n")
    kills = []
    with ProcessPoolExecutor(options.processes) as pool:
        for kill in pool.map(partial(hunt, first=options.first, seeds=options.seeds), numbers):
            kills.append(kill)
            row = (kill.name, kill.directed or "—", kill.random or "—", str(kill.seeds), f"{kill.seconds:.0f}")
            sys.stdout.write(f"| {' | '.join(row)} |\n")
            sys.stdout.flush()
    directed, random = sum(bool(one.directed) for one in kills), sum(bool(one.random) for one in kills)
    dead = sum(bool(one.directed or one.random) for one in kills)
    sys.stdout.write(f"\n{dead}/{len(kills)} killed: {directed} in directed histories, {random} in random ones\n")
    return int(dead < len(kills))


if __name__ == "__main__":
    sys.exit(main())
