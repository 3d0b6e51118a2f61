"""SIGKILL at every boundary of every effect: the restarted pod ends in the same board, branches and host as one never killed."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from support.boards import embedded_board
from support.ending import Ending, differences, ending
from support.fleet import PATIENCE, Fleet
from support.killer import Killer
from support.pods import write_settings

EVERY: Final = os.environ.get("AGENT_KILL") == "all"
"""Read before any test clears its environment."""
CYCLES: Final = 12

STARTER = """{
  outputs = { self }: {
    devShells.x86_64-linux.default = derivation {
      name = "starter"; system = "x86_64-linux"; builder = "/bin/bash"; args = [ "-c" "export > $out" ];
      outputs = [ "out" ]; stdenv = ./stdenv;
    };
  };
}
"""


class Scenario:
    """What is on the board, and how the pod is set up."""

    sections: Mapping[str, Mapping[str, Any]] = {}
    script: Mapping[str, Any] = {"files": {"work-{ticket}.txt": "done\n"}}

    def prepare(self, fleet: Fleet) -> None:
        raise NotImplementedError

    def pod(self, fleet: Fleet, killer: Killer) -> Path:
        """Its settings."""
        folder = fleet.folder / "pod-a"
        play = str(folder / "script.json")
        sections = {
            "sandbox": {"kind": "none"},
            **self.sections,
            "model": {"command": [str(killer.folder / "model"), play]},
        }
        if sections["sandbox"]["kind"] != "none":
            sections["sandbox"] = {**sections["sandbox"], "readable": [*killer.readable, play]}
        proxied = dataclasses.replace(fleet.board, url=killer.url)
        return write_settings(folder, proxied, {fleet.project: fleet.remote.url}, script=self.script, **sections)


class Standalone(Scenario):
    """A ticket under no Epic in a repository without a flake: the starter flake, the work, done."""

    def prepare(self, fleet: Fleet) -> None:
        template = fleet.folder / "template"
        (template / "stdenv").mkdir(parents=True)
        (template / "flake.nix").write_text(STARTER)
        (template / "stdenv/setup").write_text("export PATH=/usr/local/bin:/usr/bin:/bin\n")
        fleet.remote.push("main", {"flake.nix": None, "stdenv/setup": None})
        fleet.add("Stand alone")

    def pod(self, fleet: Fleet, killer: Killer) -> Path:
        self.sections = {**self.sections, "nix": {"starter": str(fleet.folder / "template")}}
        return super().pod(fleet, killer)


class BelowAnEpic(Scenario):
    """The only ticket of an Epic, and the Epic's release."""

    def prepare(self, fleet: Fleet) -> None:
        epic = fleet.add("Checkout", kind="Epic")
        fleet.add("Form", parent=epic)


class Bug(Scenario):
    """A bug below an Epic, which is taken for it and given back; then the Epic's own task."""

    def prepare(self, fleet: Fleet) -> None:
        epic = fleet.add("Checkout", kind="Epic")
        fleet.add("It is broken", kind="Bug", parent=epic)
        fleet.add("Wait for it", parent=epic, assignee="human")


class Failure(Scenario):
    """Checks that fail: the failed work is kept, a Spike asks, the ticket goes back."""

    script: Mapping[str, Any] = {"files": {"broken.txt": "1\n"}}

    def prepare(self, fleet: Fleet) -> None:
        fleet.add("Break it")


class Sandboxed(Failure):
    """The same in bubblewrap, where a survivor dies with the pod."""

    sections: Mapping[str, Mapping[str, Any]] = {"sandbox": {"kind": "bubblewrap"}}


SCENARIOS: Final = {one.__name__: one for one in (Standalone, BelowAnEpic, Bug, Failure, Sandboxed)}
CHECK: Final = '[verify]\ncommands = ["../../../../../../killer/check"]\n'


def history(scenario: Scenario, folder: Path, at: int | None = None) -> tuple[Killer, Ending, list[str]]:
    """Cycles until one finds nothing to do, with a kill at one boundary; how it ended."""
    folder.mkdir()
    board = embedded_board(folder / "board")
    try:
        fleet = Fleet(board, "shop", folder)
        fleet.remote.push("main", {".agent.toml": CHECK})
        scenario.prepare(fleet)
        killer = Killer(board, folder / "killer", at)
        with killer.watching(folder / "pod-a" / "state") as env:
            config = scenario.pod(fleet, killer)
            outcomes = []
            for _ in range(CYCLES):
                killer.pod = fleet.start(config, env=env)
                killer.pod.wait(PATIENCE)
                lines = (config.parent / "log").read_text().splitlines()
                last = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
                outcomes.append(last.get("outcome", "?") if killer.pod.returncode >= 0 else "killed")
                if outcomes[-1] == "nothing":
                    break
            return killer, ending(fleet, config), outcomes
    finally:
        board.close()
