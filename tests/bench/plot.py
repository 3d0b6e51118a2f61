"""Plots as plain SVG, pure: lines over a logarithmic x, one colour a series."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Final

from bench.measure import Measured

WIDTH: Final = 720
HEIGHT: Final = 300
LEFT: Final = 64
RIGHT: Final = 230
TOP: Final = 16
BOTTOM: Final = 34
COLOURS: Final = (
    "#3b78c2",
    "#c0392b",
    "#2e8b57",
    "#b8860b",
    "#7d3c98",
    "#16a2a2",
    "#555",
    "#d35400",
    "#8e9b1f",
    "#c2185b",
)
MANY: Final = 50.0
"""Where the largest value is so many times the smallest, y is logarithmic too."""


def lines(figures: Sequence[Measured]) -> str:
    """One plot of all figures that have a place on a line; empty without any."""
    points = [one for one in figures if one.series and one.x is not None]
    if not points:
        return ""
    series = list(dict.fromkeys(one.series for one in points))
    xs = sorted({float(one.x or 1) for one in points})
    values = [one.value for one in points]
    positive = [one for one in values if one > 0]
    logarithmic = bool(positive) and max(positive) > MANY * min(positive)
    low = min(positive) / 2 if logarithmic else min(0.0, *values)
    high = max(values) * (1.5 if logarithmic else 1.08) or 1.0

    def across(x: float) -> float:
        start, end = math.log10(xs[0]), math.log10(xs[-1])
        share = 0.5 if start == end else (math.log10(x) - start) / (end - start)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def down(value: float) -> float:
        if logarithmic:
            share = math.log10(max(value, low) / low) / math.log10(high / low)
        else:
            share = (value - low) / (high - low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    parts = [f'<line class="axis" x1="{LEFT}" y1="{down(tick):.1f}" x2="{WIDTH - RIGHT}" y2="{down(tick):.1f}"/>'
             f'<text x="{LEFT - 6}" y="{down(tick) + 4:.1f}" text-anchor="end">{_short(tick)}</text>'
             for tick in _ticks(low, high, logarithmic=logarithmic)]  # fmt: skip
    parts += [
        f'<text x="{across(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{_short(x)}</text>' for x in xs
    ]
    for number, name in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        mine = sorted((float(one.x or 1), one.value) for one in points if one.series == name)
        path = " ".join(f"{across(x):.1f},{down(value):.1f}" for x, value in mine)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{across(x):.1f}" cy="{down(value):.1f}" r="3" fill="{colour}"/>' for x, value in mine]
        parts.append(
            f'<text x="{WIDTH - RIGHT + 12}" y="{TOP + 12 + 17 * number}" style="fill: {colour}">{html.escape(name)}</text>'
        )
    unit = html.escape(points[0].unit)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img"><text x="4" y="12">{unit}</text>{"".join(parts)}</svg>'


def _ticks(low: float, high: float, *, logarithmic: bool) -> list[float]:
    if logarithmic:
        return [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
    step = 10.0 ** math.floor(math.log10(high - low))
    step = step / 2 if (high - low) / step < 3 else step
    return [step * n for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.2g}"
