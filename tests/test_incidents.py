"""Every incident of the field that the project knows of (incidents.md) has a test here that would have caught it, or a reason."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
REFERENCE = TESTS.parents[1] / "shared" / "reference" / "incidents.md"
TABLE: dict[str, dict[str, Any]] = tomllib.loads((TESTS / "incidents.toml").read_text(encoding="utf-8"))
IDS = [f"I-{number:02}" for number in range(1, 72)]


@cache
def named_in(name: str) -> frozenset[str]:
    """The tests of a file, by its text: nothing is run or imported."""
    tree = ast.parse((TESTS / name).read_text(encoding="utf-8"))
    found = {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
    return frozenset(one for one in found if one.startswith("test_"))


def test_every_incident_is_in_the_table_once_in_order() -> None:
    assert list(TABLE) == IDS


def test_the_table_has_every_row_of_the_reference() -> None:
    if not REFERENCE.exists():
        pytest.skip(f"{REFERENCE} is not there")
    assert re.findall(r"^\| (I-\d\d) \|", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE) == IDS


@pytest.mark.parametrize("incident", IDS)
def test_its_tests_exist_or_it_says_why_there_is_none(incident: str) -> None:
    row = TABLE[incident]
    assert row.keys() <= {"holds", "tests", "not_here"}
    assert row["holds"].strip()
    assert ("tests" in row) != ("not_here" in row)
    assert row.get("tests", ["x"])
    for node in row.get("tests", ()):
        name, _, test = node.partition("::")
        assert (TESTS / name).is_file(), f"{incident}: {name} is gone"
        assert test in named_in(name), f"{incident}: {node} is gone"


def test_whatever_names_an_incident_names_one_that_there_is() -> None:
    """Tests may name further rows that they guard; the table holds those that have to be there."""
    for path in sorted(TESTS.rglob("test_*.py")):
        for incident in re.findall(r"\bI-\d\d\b", path.read_text(encoding="utf-8")):
            assert incident in TABLE, f"{path} names {incident}"
