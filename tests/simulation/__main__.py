"""`python -m simulation`: many seeds on all cores, or one seed told in full. What `make simulate` runs."""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from loguru import logger
from msgspec import Struct, field

from simulation.plan import KINDS, Plan
from simulation.shrink import shortest
from simulation.world import Outcome, simulate

SEEDS: Final = 300
MOST_SHOWN: Final = 3
"""Failing seeds that are made shorter."""


class Told(Struct, kw_only=True):
    """What one seed comes to."""

    plan: Plan
    hours: float = 0.0
    faults: Counter[str]
    requests: int = 0
    passes: int = 0
    starts: int = 0
    pushes: int = 0
    events: Counter[str] = field(default_factory=Counter)
    violations: list[str]
    error: str = ""


def told(plan: Plan) -> Told:
    """Run a seed."""
    try:
        outcome = simulate(plan)
    except Exception:  # noqa: BLE001 - an error of the cycle is a finding like any other
        return Told(plan=plan, faults=Counter(), violations=["the cycle raised"], error=traceback.format_exc())
    return Told(
        plan=plan,
        hours=outcome.history.hours,
        faults=Counter(outcome.faults),
        requests=outcome.history.requests,
        passes=len(outcome.history.passes),
        starts=outcome.model_starts,
        pushes=outcome.pushes,
        events=Counter(outcome.events),
        violations=[str(one) for one in outcome.violations],
    )


def many(first: int, seeds: int, hours: float) -> int:
    """At least so many seeds and so many simulated hours; the exit code."""
    began, cores = time.monotonic(), len(os.sched_getaffinity(0))
    results: list[Told] = []
    with multiprocessing.Pool(cores) as pool:
        for one in pool.imap(told, _plans(first)):
            results.append(one)
            if one.violations:
                _say(f"seed {one.plan.seed}: {'; '.join(one.violations[:3])}")
            if len(results) >= seeds and sum(each.hours for each in results) >= hours:
                pool.terminate()
                break
    _print_figures(results, time.monotonic() - began, cores)
    failed = [one for one in results if one.violations]
    for one in failed[:MOST_SHOWN]:
        _say(f"\n=== seed {one.plan.seed}\n{one.error}")
        if not one.error:
            _print_history(shortest(simulate(one.plan)))
    return 1 if failed else 0


def _plans(first: int) -> Iterator[Plan]:
    for seed in itertools.count(first):
        yield Plan(seed=seed)


def _print_figures(results: list[Told], seconds: float, cores: int) -> None:
    hours = sum(one.hours for one in results)
    faults: Counter[str] = sum((one.faults for one in results), Counter())
    passes, requests = sum(one.passes for one in results), sum(one.requests for one in results)
    _say(f"seeds {len(results)} · simulated hours {hours:.0f} · {seconds:.0f} s on {cores} cores")
    _say(
        f"faults {faults.total()}, {faults.total() / hours:.1f} per simulated hour · model starts {sum(one.starts for one in results)}"
        f" · pushes {sum(one.pushes for one in results)} · passes {passes} · requests {requests}, {requests / passes:.1f} per pass"
    )
    events: Counter[str] = sum((one.events for one in results), Counter())
    _say("what the fleet said: " + ", ".join(f"{event} {count}" for event, count in events.most_common()))
    _say("by kind: " + ", ".join(f"{kind} {count}" for kind, count in faults.most_common()))
    _say(
        f"violations {sum(len(one.violations) for one in results)} in {sum(bool(one.violations) for one in results)} seeds"
    )


def _print_history(outcome: Outcome) -> None:
    _say(outcome.history.told())
    _say(f"hours {outcome.history.hours:.2f}, faults {outcome.faults}")
    for one in outcome.violations:
        _say(f"VIOLATION {one}")
    _say(f"again: {outcome.plan.command()}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """The command line."""
    if os.environ.get("PYTHONHASHSEED") != "0":  # whatever walks a set walks it in the same order again
        os.execve(
            sys.executable, [sys.executable, "-m", "simulation", *sys.argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"}
        )
    logger.remove()
    options = _parser().parse_args()
    if options.seed is None:
        return many(options.first, options.seeds, options.at_least)
    without = frozenset(filter(None, options.without.split(",")))
    if unknown := without - set(KINDS):
        _say(f"no such kinds: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
        return 2
    outcome = simulate(
        Plan(seed=options.seed, without=without, tickets=options.tickets, pods=options.pods, hours=options.hours)
    )
    if outcome.violations and options.shrink:
        outcome = shortest(outcome)
    _print_history(outcome)
    return 1 if outcome.violations else 0


def _parser() -> Any:
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="run at least so many")
    parser.add_argument("--at-least", type=float, default=0.0, metavar="HOURS", help="and so many simulated hours")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="tell one seed in full")
    parser.add_argument("--shrink", action="store_true", help="find a shorter history that fails the same way")
    parser.add_argument("--without", default="", help="kinds of faults that do not occur, by commas")
    parser.add_argument("--tickets", type=int, default=0, help="at most so many at the start")
    parser.add_argument("--pods", type=int, default=0, help="at most so many")
    parser.add_argument("--hours", type=float, default=0.0, help="how long faults last")
    return parser


if __name__ == "__main__":
    sys.exit(main())
