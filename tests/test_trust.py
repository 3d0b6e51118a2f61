"""Every row of trust has demonstrations, and each of them is a test that there is (`make trust` runs them and prints the table)."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from support.trust import ROOT, Row, rows

ROWS = rows()


@cache
def named_in(name: str) -> frozenset[str]:
    """The tests of a file, by its text: nothing is run or imported."""
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize(("path", "row"), ROWS, ids=[path.stem for path, _ in ROWS])
def test_a_row_says_what_was_broken_what_holds_and_which_tests_show_it(path: Path, row: Row) -> None:
    assert row.row
    assert row.broken.strip()
    assert row.rule.strip()
    assert row.demonstration
    for demonstration in row.demonstration:
        name, _, test = demonstration.test.partition("[")[0].rpartition("::")
        assert demonstration.what.strip()
        assert demonstration.before.strip()
        assert test in named_in(name.partition("::")[0]), f"{path.name}: {demonstration.test} is gone"
