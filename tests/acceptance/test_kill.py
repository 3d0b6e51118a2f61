"""SIGKILL at every boundary of every effect: the restarted pod ends in the same board, branches and host as one never killed.

What may differ: the lines that tell of the interruption ("Taken over by …"); a claim ref that is left over after a failure
or a stop, which is harmless (DESIGN, section 3); the record of a claim that was never sent, which is kept for its lifetime.
`make kill` kills at every boundary. CI has a sample with each kind of effect, one half of it on every other day.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from agent.clock import SystemClock
from agent.devshell.client_options import private_store
from support.boards import embedded_board
from support.ending import Ending, differences, ending
from support.fleet import PATIENCE, Fleet
from support.git_repo import FLAKE, SETUP
from support.killer import Killer
from support.pods import write_settings

EVERY: Final = os.environ.get("AGENT_KILL") == "all"
"""Read before any test clears its environment."""
HALF: Final = datetime.now(UTC).toordinal() % 2
"""Which half of the sample is today's."""
PARTS: Final = 6 if EVERY else 1
"""Into how many tests a scenario is divided, for the workers."""
CYCLES: Final = 12
CHECK: Final = '[verify]\ncommands = ["../../../../../../killer/check"]\n'
"""The same in every history, since it is in the branch."""
RUN, NONCE = "7f9c0000-1111-4222-8333-444455556666", "0123456789abcdef"


class Scenario:
    """What is on the board, how the pod is set up, and at which boundaries CI kills it."""

    sections: Mapping[str, Mapping[str, Any]] = {}
    script: Mapping[str, Any] = {"files": {"work-{ticket}.txt": "done\n"}}
    sample: tuple[str, ...] = ()
    first = until = ""
    hand_at = ""
    programs: tuple[str, ...] = ("git", "nix", "bwrap")
    left_over: tuple[str, ...] = ()
    """Refs that may be there or not."""

    def prepare(self, fleet: Fleet) -> None:
        """Fill the board."""
        raise NotImplementedError

    def hand(self, fleet: Fleet) -> None:
        """What a person does at `hand_at`."""

    def pod(self, fleet: Fleet, killer: Killer) -> Path:
        """Its settings."""
        folder = fleet.folder / "pod-a"
        play = str(folder / "script.json")
        sections: dict[str, Any] = {
            "sandbox": {"kind": "none"},
            **self.sections,
            "model": {"command": [str(killer.folder / "model"), play]},
        }
        if sections["sandbox"]["kind"] != "none":
            sections["sandbox"] = {**sections["sandbox"], "readable": [*killer.readable, play]}
            sections["nix.settings"] = private_store(folder / "store")
        proxied = dataclasses.replace(fleet.board, url=killer.url)
        return write_settings(folder, proxied, {fleet.project: fleet.remote.url}, script=self.script, **sections)


class Standalone(Scenario):
    """A ticket under no Epic in a repository without a flake: the starter flake, the work, done."""

    sample: tuple[str, ...] = (
        "after claim on #1",
        "after git push SHA:refs/agent/claim/1",
        "before model end",
        "after verify",
        "after git push :refs/agent/claim/1",
        "after end the claim on #1 to In testing",
        "before remove repositories/shop/work/1",
    )

    def prepare(self, fleet: Fleet) -> None:
        template = fleet.folder / "template"
        (template / "stdenv").mkdir(parents=True)
        (template / "flake.nix").write_text(FLAKE)
        (template / "stdenv/setup").write_text(SETUP)
        fleet.remote.push("main", {"flake.nix": None, "stdenv/setup": None})
        fleet.add("Stand alone")

    def pod(self, fleet: Fleet, killer: Killer) -> Path:
        self.sections = {"nix": {"starter": str(fleet.folder / "template")}}
        return super().pod(fleet, killer)


class TakenOver(Scenario):
    """A pod that was killed while the model worked is killed again, in its take-over."""

    first = "after model start"
    sample: tuple[str, ...] = (
        "after take over on #1",
        "after model start",
    )

    def prepare(self, fleet: Fleet) -> None:
        fleet.add("Take over")


class BelowAnEpic(Scenario):
    """The only ticket of an Epic, and the Epic's release."""

    sample: tuple[str, ...] = (
        "before comment epic_taken on #1",
        "after end the claim on #1 to In testing",
    )

    def prepare(self, fleet: Fleet) -> None:
        epic = fleet.add("Checkout", kind="Epic")
        fleet.add("Form", parent=epic)


class Bug(Scenario):
    """A bug below an Epic, which is taken for it and given back."""

    sample: tuple[str, ...] = ("before end the claim on #1 to New",)

    def prepare(self, fleet: Fleet) -> None:
        epic = fleet.add("Checkout", kind="Epic")
        fleet.add("It is broken", kind="Bug", parent=epic)
        fleet.add("Wait for somebody", parent=epic, assignee="human")


class Failure(Scenario):
    """Checks that fail: the failed work is kept, a Spike asks, the ticket goes back."""

    script: Mapping[str, Any] = {"files": {"broken.txt": "1\n"}}
    sample: tuple[str, ...] = (
        "after git push +SHA:refs/agent/failed/1-RUN",
        "after comment failed on #1",
        "after create Spike",
        "after end the claim on #1 to New",
    )
    left_over = ("refs/agent/claim/1",)

    def prepare(self, fleet: Fleet) -> None:
        fleet.add("Break it")


class Sandboxed(Failure):
    """The same in bubblewrap; Nix, which is in there too, cannot be wrapped."""

    programs = ("git", "bwrap")
    sections: Mapping[str, Mapping[str, Any]] = {"sandbox": {"kind": "bubblewrap"}}
    sample: tuple[str, ...] = ("after model start",)


class Stopped(Scenario):
    """A person re-routes the ticket while the model works: the work is kept, what is the pod's goes back."""

    hand_at = "before model end"
    sample: tuple[str, ...] = ("after git push +SHA:refs/agent/kept/1-RUN",)
    left_over = ("refs/agent/claim/1",)

    def prepare(self, fleet: Fleet) -> None:
        fleet.add("Go elsewhere")

    def hand(self, fleet: Fleet) -> None:
        fleet.change(1, pod="pod-b")


class Expired(Scenario):
    """The claim of a dead pod, which this one has seen for long enough: the sweep frees it."""

    until = "before claim on #1"
    sample: tuple[str, ...] = ("after end the claim on #1 to New",)

    def prepare(self, fleet: Fleet) -> None:
        token = f"{RUN}.{NONCE} by pod-dead try 1 for 4h @ 2026-11-24T08:00Z"
        fleet.add("Left behind", run=token, pod="pod-dead", assignee="agent", status="In progress")
        state = fleet.folder / "pod-a" / "state"
        state.mkdir(parents=True)
        clock = SystemClock()
        seen = {token: {"at": clock.monotonic() - 100_000, "boot": clock.boot_id()}}
        (state / "state.json").write_text(json.dumps({"seen": seen}))


SCENARIOS: Final[dict[str, type[Scenario]]] = {
    one.__name__: one
    for one in (Standalone, Failure, BelowAnEpic, Bug, TakenOver, Stopped, Sandboxed, Expired)
}  # fmt: skip


def history(scenario: Scenario, folder: Path, at: int | None = None) -> tuple[Killer, Ending, list[str]]:
    """Cycles until one finds nothing to do, with a kill at one boundary; how it ended, and each cycle's outcome."""
    folder.mkdir()
    board = embedded_board(folder / "board")
    try:
        fleet = Fleet(board, "shop", folder)
        fleet.remote.push("main", {".agent.toml": CHECK})
        scenario.prepare(fleet)
        hand = (scenario.hand_at, lambda: scenario.hand(fleet)) if scenario.hand_at else None
        killer = Killer(
            board,
            folder / "killer",
            at,
            first=scenario.first,
            until=scenario.until,
            hand=hand,
            programs=scenario.programs,
        )
        with killer.watching(folder / "pod-a" / "state") as env:
            config = scenario.pod(fleet, killer)
            outcomes: list[str] = []
            while len(outcomes) < CYCLES and "nothing" not in outcomes:
                # After the last kill nothing counts any more: it meets the programs themselves.
                dead = outcomes.count("killed") == 1 + bool(scenario.first)
                killer.pod = fleet.start(config, "run", "--until-idle", env=None if dead else env)
                killer.pod.wait(PATIENCE)
                said = [
                    json.loads(line) for line in (config.parent / "log").read_text().splitlines() if line[:1] == "{"
                ]
                outcomes.append(said[-1]["outcome"] if killer.pod.returncode >= 0 else "killed")
            killer.pod = None
            return killer, ending(fleet, config), outcomes
    finally:
        board.close(wait=False)


def chosen(scenario: Scenario, boundaries: list[str], part: int) -> list[int]:
    """At which boundaries this test kills."""
    if EVERY:
        return list(range(part, len(boundaries), PARTS))
    missing = set(scenario.sample) - set(boundaries)
    assert not missing, f"there are no such boundaries any more: {missing}"
    todays = scenario.sample[HALF::2] or scenario.sample
    return [boundaries.index(one) for one in todays]


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_kill_at_any_boundary_ends_in_the_same_board_branches_and_host(
    name: str, part: int, tmp_path: Path, measured: Callable[[str], None]
) -> None:
    """I-29, I-47, I-50."""
    scenario = SCENARIOS[name]()
    undisturbed, expected, outcomes = history(scenario, tmp_path / "undisturbed")
    kills = 1 + bool(scenario.first)
    assert outcomes[-1] == "nothing"
    wrong = {}
    tried = chosen(scenario, undisturbed.boundaries, part)
    for at in tried:
        killer, found, outcomes = history(SCENARIOS[name](), tmp_path / str(at), at)
        what = differences(expected, found, besides=scenario.left_over)
        if killer.boundaries[: at + 1] != undisturbed.boundaries[: at + 1]:
            what.append(f"another way there: {killer.boundaries[max(0, at - 2) :]}")
        if (outcomes.count("killed"), outcomes[-1]) != (kills, "nothing"):
            what.append(f"the cycles ended {outcomes}")
        if what:
            wrong[f"{at}: {undisturbed.boundaries[at]}"] = what
    kinds = {re.sub(r"#?\d+", "N", one) for one in undisturbed.boundaries}
    measured(
        f"kill test {name} {part + 1}/{PARTS}: equal ends {len(tried) - len(wrong)}/{len(tried)} "
        f"(of {len(undisturbed.boundaries)} boundaries, {len(kinds)} kinds)"
    )
    assert wrong == {}
