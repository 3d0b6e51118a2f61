"""Runs the scripts of nix/checks as the NixOS test driver would: as one text, with its names as globals."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from fleet.golden import CHECKS
from fleet.machine import Machine


def play(name: str, machines: Mapping[str, Machine], note: Callable[[str], None]) -> None:
    """Run the scenario `name`; an assertion in it, or a command that fails, is raised."""

    def told(text: str) -> None:
        sys.stdout.write(f"{name}: {text}\n")

    @contextlib.contextmanager
    def subtest(title: str) -> Iterator[None]:
        began = time.monotonic()
        told(f"{title} …")
        try:
            yield
        except BaseException:
            told(f"FAILED in: {title}")
            raise
        told(f"… {time.monotonic() - began:.1f} s")

    def start_all() -> None:
        for one in machines.values():
            one.start()

    names = {
        **{one.replace("-", "_"): machine for one, machine in machines.items()},
        "machines": list(machines.values()),
        "start_all": start_all,
        "subtest": subtest,
        "print": note,
        "__name__": "scenario",
    }
    text = "\n".join((CHECKS / f"{part}.py").read_text() for part in ("common", name))
    exec(compile(text, str(Path("nix/checks") / f"common.py+{name}.py"), "exec"), names)
