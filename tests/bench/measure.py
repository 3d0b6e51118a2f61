"""What a measurement is: a named value with its goal, and how it was taken."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct


class Measured(Struct, frozen=True, kw_only=True):
    """One figure. `met` is None where there is no goal.

    Attributes:
        group: figures of one plot.
        series: figures that a line joins; empty for a bar of its own.
        x: where on that line.
    """

    name: str
    value: float
    unit: str
    how: str
    goal: str = ""
    met: bool | None = None
    group: str = ""
    series: str = ""
    x: float | None = None


def at_most(name: str, value: float, unit: str, bound: float, how: str, **more: Any) -> Measured:
    """A figure with an upper bound as its goal; `more` as in `Measured`."""
    return Measured(name=name, value=value, unit=unit, how=how, goal=f"≤ {bound:g} {unit}", met=value <= bound, **more)


def at_least(name: str, value: float, unit: str, bound: float, how: str, **more: Any) -> Measured:
    """A figure with a lower bound as its goal; `more` as in `Measured`."""
    return Measured(name=name, value=value, unit=unit, how=how, goal=f"≥ {bound:g} {unit}", met=value >= bound, **more)


MILLI: Final = 1000.0
"""Milliseconds in a second."""
