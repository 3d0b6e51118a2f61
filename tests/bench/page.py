"""The page of plots: a bar for each figure, pure."""

from __future__ import annotations

import html
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from bench.measure import Measured

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
p.how {{ opacity: .7; margin: .2rem 0 }}
</style>
<h1>agent: measured</h1>
{sections}
</html>
"""


def render(figures: Sequence[Measured]) -> str:
    """One table for each way of measuring; bars are scaled within figures of one unit of it."""
    return _PAGE.format(
        sections="\n".join(_section(how, list(some)) for how, some in groupby(figures, lambda one: one.how))
    )


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
