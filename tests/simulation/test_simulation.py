"""The first seeds of the simulation, in every test run; `make simulate` goes on from there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from simulation.plan import KINDS, Plan
from simulation.world import simulate

SEEDS = 10
AT_ONCE = 5
LEAST_FAULTS = 20.0
"""Per simulated hour, on average."""


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_no_history_breaks_an_invariant(first: int, measured: Callable[[str], None]) -> None:
    outcomes = [simulate(Plan(seed=seed)) for seed in range(first, first + AT_ONCE)]
    hours = sum(one.history.hours for one in outcomes)
    faults = sum(one.history.faults for one in outcomes)
    measured(
        f"simulation, seeds {first:02} to {first + AT_ONCE - 1:02}: {hours:.0f} simulated hours, {faults / hours:.0f} faults an hour, "
        f"{sum(one.model_starts for one in outcomes)} model starts"
    )
    for one in outcomes:
        assert not one.violations, "\n".join([*map(str, one.violations), one.plan.command()])
    assert faults / hours >= LEAST_FAULTS


def test_a_seed_tells_the_same_history_again() -> None:
    first, second = simulate(Plan(seed=7)), simulate(Plan(seed=7))
    assert first.history.told() == second.history.told()
    assert first.faults == second.faults


def test_a_history_without_any_fault_is_finished_and_breaks_nothing() -> None:
    outcome = simulate(Plan(seed=3, without=frozenset(KINDS)))
    assert not outcome.violations
    assert outcome.history.faults == 0
    assert outcome.model_starts > 0
