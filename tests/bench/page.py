"""The page of plots and the report: a line over what varies, a bar for every other figure, a table of all; pure."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

from bench.measure import Measured
from bench.plot import lines

_MET: Final[Mapping[bool | None, str]] = {None: "", True: "met", False: "**missed**"}

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>agent: measured</title>
<style>
:root {{ color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }}
body {{ max-width: 56rem; margin: 2rem auto; padding: 0 1rem }}
td {{ padding: .1rem .6rem .1rem 0; vertical-align: middle }}
td.value {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }}
.bar {{ height: .9rem; min-width: 1px; background: #3b78c2; border-radius: 2px }}
.missed {{ color: #c0392b }} .met {{ color: #2e8b57 }}
svg text {{ font-size: 12px; fill: currentColor }}
svg .axis {{ stroke: currentColor; opacity: .15 }}
p.how {{ opacity: .7; margin: .2rem 0 }}
</style>
<h1>agent: measured</h1>
{sections}
</html>
"""


def render(figures: Sequence[Measured]) -> str:
    """A plot for each group of figures, then a table of bars for each way of measuring, scaled within one unit."""
    return _PAGE.format(sections="\n".join(_group(name, some) for name, some in grouped(figures)))


def grouped(figures: Sequence[Measured]) -> list[tuple[str, list[Measured]]]:
    """The figures by group, in the order in which the groups came."""
    names = list(dict.fromkeys(one.group for one in figures))
    return [(name, [one for one in figures if one.group == name]) for name in names]


def _group(name: str, figures: Sequence[Measured]) -> str:
    tables = "\n".join(_section(how, list(some)) for how, some in groupby(figures, lambda one: one.how))
    title = f"<h2>{html.escape(name[:1].upper() + name[1:])}</h2>\n" if name else ""
    plot = lines(figures)
    return f"{title}{plot}\n<details>\n<summary>figures</summary>\n{tables}\n</details>" if plot else title + tables


def markdown(figures: Sequence[Measured]) -> str:
    """The report: a table for each group, and how each was taken."""
    parts = ["# agent: measured", "", _verdicts(figures)]
    for name, some in grouped(figures):
        parts += ["", f"## {name[:1].upper() + name[1:] or 'Further figures'}"]
        for how, those in groupby(some, lambda one: one.how):
            parts += ["", how[:1].upper() + how[1:] + ".", "", "| figure | value | unit | goal | |", "|-|-:|-|-|-|"]
            parts += [
                f"| {one.name} | {one.value:,.3f} | {one.unit} | {one.goal} | {_MET[one.met]} |".replace("  ", " ")
                for one in those
            ]
    return "\n".join(parts) + "\n"


def _verdicts(figures: Sequence[Measured]) -> str:
    goals = [one for one in figures if one.met is not None]
    missed = [f"{one.name} ({one.value:.3f}, goal {one.goal})" for one in goals if not one.met]
    said = f"{len(goals) - len(missed)} of {len(goals)} goals are met."
    return f"{said} Missed: {'; '.join(missed)}." if missed else said


def _section(how: str, figures: Sequence[Measured]) -> str:
    rows = "\n".join(_row(one, max(abs(other.value) for other in figures if other.unit == one.unit)) for one in figures)
    return f'<p class="how">{html.escape(how)}</p>\n<table>\n{rows}\n</table>'


def _row(one: Measured, longest: float) -> str:
    width = 0.0 if longest == 0 else 18 * abs(one.value) / longest
    verdict = (
        "" if one.met is None else f'<span class="{"met" if one.met else "missed"}">{html.escape(one.goal)}</span>'
    )
    return (
        f'<tr><td>{html.escape(one.name)}</td><td class="value">{one.value:.3f} {html.escape(one.unit)}</td>'
        f'<td><div class="bar" style="width: {width:.2f}rem"></div></td><td>{verdict}</td></tr>'
    )
