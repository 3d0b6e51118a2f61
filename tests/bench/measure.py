"""What a measurement is: a named value with its goal, and how it was taken."""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Measured(Struct, frozen=True, kw_only=True):
    """One figure. `met` is None where there is no goal."""

    name: str
    value: float
    unit: str
    how: str
    goal: str = ""
    met: bool | None = None


def at_most(name: str, value: float, unit: str, bound: float, how: str) -> Measured:
    """A figure with an upper bound as its goal."""
    return Measured(name=name, value=value, unit=unit, how=how, goal=f"≤ {bound:g} {unit}", met=value <= bound)


def at_least(name: str, value: float, unit: str, bound: float, how: str) -> Measured:
    """A figure with a lower bound as its goal."""
    return Measured(name=name, value=value, unit=unit, how=how, goal=f"≥ {bound:g} {unit}", met=value >= bound)


MILLI: Final = 1000.0
"""Milliseconds in a second."""
