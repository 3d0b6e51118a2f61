"""Makes a failing history shorter: fewer kinds of faults, pods, tickets and hours, as long as it still fails the same way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from simulation.plan import KINDS, Plan
from simulation.world import Outcome, simulate

PATIENCE: Final = 240.0
"""Seconds after which the shortest one so far is good enough."""


def shortest(outcome: Outcome, *, patience: float = PATIENCE) -> Outcome:
    """The shortest history found that breaks the same invariant."""
    invariant = outcome.violations[0].invariant
    end = time.monotonic() + patience
    best, again = outcome, True
    while again:
        again = False
        for plan in _shorter(best):
            if time.monotonic() > end:
                return best
            tried = simulate(plan)
            if any(one.invariant == invariant for one in tried.violations):
                best, again = tried, True
                break
    return best


def _shorter(outcome: Outcome) -> Iterator[Plan]:
    """Plans with less in them, the boldest first."""
    plan = outcome.plan
    happened = [kind for kind in KINDS if kind in outcome.faults and kind not in plan.without]
    for size in (len(happened), len(happened) // 2, len(happened) // 4, 2, 1):
        if size < 1 or (size == len(happened) and size > 1 and len(happened) > 40):
            continue
        for first in range(0, len(happened), size):
            yield replace(plan, without=plan.without | set(happened[first : first + size]))
    hours = plan.hours or outcome.hours
    for part in (0.25, 0.5, 0.75):
        if hours * part > 0.2:
            yield replace(plan, hours=round(hours * part, 2))
    for tickets in (1, 2, 4, 7):
        if not plan.tickets or tickets < plan.tickets:
            yield replace(plan, tickets=tickets)
    for pods in (1, 2, 3):
        if pods < outcome.pods:
            yield replace(plan, pods=pods)
