"""The scenarios of nix/checks on five hosts with real systemd: what the VM tests run, without virtual machines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

import pytest

from fleet import disk
from fleet.golden import HOSTS
from fleet.machine import Machine
from fleet.scenario import play
from fleet.stage import missing as missing_here
from fleet.stage import stage
from support.boards import missing

SCENARIOS = ("cycle", "race", "escalation", "crash", "watchdog", "cache", "hardening", "upgrade")


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Machine]]:
    """All hosts, switched on once for all scenarios."""
    if reason := missing_here() or disk.missing():
        missing(reason)
    logs = tmp_path_factory.mktemp("consoles")
    with stage() as standing, contextlib.ExitStack() as powered:
        made: dict[str, Machine] = {}
        for name, address in HOSTS.items():
            disk.furnish(standing.disk(name), name)
            standing.cable(name, address)
            made[name] = Machine(name, standing, disk.shown(), logs / name)
            powered.callback(made[name].release)
        for machine in made.values():
            machine.start()
        yield made


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str, machines: Mapping[str, Machine], measured: Callable[[str], None]) -> None:
    play(scenario, machines, lambda text: measured(f"fleet: {text}"))
