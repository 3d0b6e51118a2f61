"""The rows of trust, tried: `python -m support.trust` runs every row's demonstrations and prints a table of them.

A row is a file of `tests/trust`: what attackers broke, the rule that holds since, and its demonstrations, each a test and what
its attack did before the rule was there. Without `--run` the table is printed as it is written.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
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
    """Run tests; each node's own word for how it ended, the worst of its parameters."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "worksteal", f"--junitxml={report}"]
        subprocess.run([*command, "-o", "junit_family=xunit1", *tests], cwd=ROOT, check=False)
        found: dict[str, set[str]] = {}
        for case in ET.parse(report).iter("testcase"):
            node = f"{case.get('file')}::{str(case.get('name')).partition('[')[0]}"
            word = next((kind for kind in ("failure", "error", "skipped") if case.find(kind) is not None), "holds")
            found.setdefault(node, set()).add(word)
    worst = ("failure", "error", "skipped", "holds")
    return {node: min(words, key=worst.index) for node, words in found.items()}


def main(run: bool) -> int:
    """Returns 0 if every demonstration holds."""
    known = rows()
    tests = sorted({one.test.partition("[")[0] for _, row in known for one in row.demonstration})
    ended = outcomes(tests) if run else {}
    table = Table("row", "attack", "before", "now" if run else "test", show_lines=True)
    for _, row in known:
        for one in row.demonstration:
            table.add_row(
                row.row, one.what, one.before, ended.get(one.test.partition("[")[0], "not run") if run else one.test
            )
    console = Console(width=None if sys.stdout.isatty() else 160, markup=False)
    console.print(table)
    left = [test for test in tests if ended.get(test) != "holds"] if run else []
    console.print(
        f"{len(tests) - len(left)} of {len(tests)} demonstrations hold" if run else f"{len(tests)} demonstrations"
    )
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main("--run" in sys.argv[1:]))
