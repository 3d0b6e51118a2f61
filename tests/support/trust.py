"""The rows of trust, tried: `python -m support.trust` runs every row's demonstrations and prints a table of them.

A row is a file of `tests/trust`: what attackers broke, the rule that holds since, and its demonstrations, each a test and what
its attack did before the rule was there. Without `--run` the table is printed as it is written.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

ROOT: Final = Path(__file__).parents[2]
ROWS: Final = ROOT / "tests" / "trust"


class Demonstration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One attack of a row."""

    what: str
    test: str
    """A node id, from the root of the repository."""
    before: str
    """What the attack did before the rule was there."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of `tests/trust`."""

    row: str
    broken: str
    rule: str
    demonstration: tuple[Demonstration, ...]


def rows() -> list[tuple[Path, Row]]:
    """Every row, by its file's name."""
    return [(path, msgspec.toml.decode(path.read_bytes(), type=Row)) for path in sorted(ROWS.glob("*.toml"))]


def outcomes(tests: list[str]) -> dict[str, str]:
    """Run tests, with a line as each ends; by node id how it ended, the worst of its parameters."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-v", "-n", "2", "--dist", "worksteal", f"--junitxml={report}"]
        subprocess.run(
            [*command, "-o", "junit_family=xunit1", "-o", "console_output_style=count", *tests], cwd=ROOT, check=False
        )
        found: dict[str, set[str]] = {}
        for case in ET.parse(report).iter("testcase") if report.exists() else ():
            node = f"{case.get('file')}::{case.get('name')}"
            word = next((kind for kind in ("failure", "error", "skipped") if case.find(kind) is not None), "holds")
            for name in (node, node.partition("[")[0]):
                found.setdefault(name, set()).add(word)
    worst = ("failure", "error", "skipped", "holds")
    return {name: min(words, key=worst.index) for name, words in found.items()}


def main(run: bool) -> int:
    """Returns 0 if every demonstration holds."""
    known, began = rows(), time.monotonic()
    tests = sorted({one.test for _, row in known for one in row.demonstration})
    ended = outcomes(tests) if run else {}
    table = Table("row", "attack", "before", "now" if run else "test", show_lines=True)
    for _, row in known:
        for one in row.demonstration:
            table.add_row(row.row, one.what, one.before, ended.get(one.test, "not run") if run else one.test)
    console = Console(width=None if sys.stdout.isatty() else 160, markup=False)
    console.print(table)
    if not run:
        console.print(f"{len(tests)} demonstrations")
        return 0
    left = [test for test in tests if ended.get(test) != "holds"]
    console.print(
        f"{len(tests) - len(left)} of {len(tests)} demonstrations hold, after {(time.monotonic() - began) / 60:.0f} minutes"
    )
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main("--run" in sys.argv[1:]))
