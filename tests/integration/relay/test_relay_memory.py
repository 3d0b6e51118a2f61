"""The relay lives in the pod's process: what a client or an API sends is bounded before it becomes objects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from support.heartbeat import STANDS

MOST: Final = 300
"""MiB of the pod's process."""
SCRIPT: Final = Path(__file__).parents[2] / "support/relay_hostile.py"


def played(sent: str, answered: str, *, packed: int = 0) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), sent, answered, str(packed)],
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_plain_request_is_answered_and_counted() -> None:
    found = played("plain", "plain")
    assert (found["status"], found["tokens"]) == (200, 7)


@pytest.mark.parametrize("unit", ["{},", '"",', "[", "\\\\"])
def test_a_request_that_would_become_a_million_objects_is_refused_before_it_does(
    unit: str, measured: Callable[[str], None]
) -> None:
    found = played(unit, "plain")
    measured(f"relay, 32 MiB of {unit}: {found['peak']} MiB, the loop stood {1000 * found['stood']:.0f} ms at most")
    assert (found["status"], found["tokens"]) == (400, 0)
    assert found["peak"] < MOST
    assert found["stood"] < STANDS


def test_a_request_that_is_one_long_text_is_passed_on() -> None:
    text = '"' + "\\\\n \\u00e9😀" * 1_000 + '",'
    found = played(text, "plain")
    assert (found["status"], found["tokens"]) == (200, 7)
    assert found["peak"] < MOST
    assert found["stood"] < STANDS


@pytest.mark.parametrize(
    "unit",
    [
        '{"type":"message","usage":{"input_tokens":3},"content":[|{},',
        "data: |x",
        "|data:\n",
        '|data: {"type":"content_block_delta"}\n\n',
    ],
)
def test_an_api_that_never_comes_to_an_end_is_cut(unit: str, measured: Callable[[str], None]) -> None:
    found = played("plain", unit)
    measured(f"relay, an API without an end ({unit!r}): {found['peak']} MiB, stood {1000 * found['stood']:.0f} ms")
    assert found["sent"] < 64 << 20
    assert found["peak"] < MOST
    assert found["stood"] < STANDS


@pytest.mark.parametrize("packed", [1, 2, pytest.param(3, marks=pytest.mark.proof)])
def test_an_api_that_packs_its_answer_fills_nothing(packed: int, measured: Callable[[str], None]) -> None:
    found = played("plain", "plain", packed=packed)
    measured(f"relay, 500 MiB packed {packed} times: {found['peak']} MiB, stood {1000 * found['stood']:.0f} ms")
    assert found["status"] == (200 if packed == 1 else 502), "one layer is unpacked, and cut"
    assert found["peak"] < MOST
    assert found["stood"] < STANDS
