"""What a ticket costs beside the model and its checks: a warm pod, the embedded board, a small repository and a large one."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from agent.clock import SystemClock, SystemRandomness
from agent.devshell.client_options import private_store
from agent.pod import open_pod
from agent.programs.processes import Processes
from agent.programs.runner import Finished, Job
from agent.settings import ambient, credentials, load
from bench.measure import Measured, at_most
from support.boards import embedded_board
from support.fleet import Fleet
from support.git_repo import FLAKE, PROJECT
from support.pods import MODEL as MODEL_PROGRAM
from support.pods import Requests, write_settings

TICKETS: Final = 7
"""The first two warm the pod up and do not count."""
WARM_UP: Final = 2
GOAL_S: Final = 1.5
MODEL, VERIFY, BESIDE = "model", "verify", "beside"
CHECKED_S: Final = 6
"""How long the large repository's checks take."""
SLOWER: Final = 1.2
"""How much longer they may take in a clean checkout and a box, the checkout itself not counted."""
PATHS: Final = 1000
FILES: Final = 3000
CLOSURE: Final = """deps = derivation {
              inherit system;
              name = "deps";
              builder = "/bin/sh";
              args = [ "-c" "echo $all > $out" ];
              all = builtins.genList (n: derivation {
                inherit system;
                name = "dep-${toString n}";
                builder = "/bin/sh";
                args = [ "-c" "echo ${toString n} > $out" ];
              }) COUNT;
            };
            SOME_VAR =""".replace("COUNT", str(PATHS - 3))
"""The shell's own path, its setup and `deps` are the rest."""
LARGE: Final = {
    **{f"src/part{n // 100}/file{n}.py": f"NUMBER = {n}\n" * 40 for n in range(FILES - len(PROJECT))},
    "flake.nix": FLAKE.replace("SOME_VAR =", CLOSURE),
    ".agent.toml": f'[verify]\ncommands = ["sleep {CHECKED_S}"]\n',
}
"""What the large repository has besides the small one's."""


class Timed(Processes):
    """The real runner; adds up the seconds of each kind of process."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: defaultdict[str, float] = defaultdict(float)

    async def run(self, job: Job) -> Finished:
        started = time.perf_counter()
        try:
            return await super().run(job)
        finally:
            self.seconds[_kind(job)] += time.perf_counter() - started


def _kind(job: Job) -> str:
    words = " ".join(job.argv)
    if Path(job.argv[0]).name == "nice":  # spare checkouts, which nobody waits for
        return BESIDE
    if "scripted_model" in words:
        return MODEL
    if "unittest" in words or f"sleep {CHECKED_S}" in words:
        return VERIFY
    if job.argv[0].endswith("git"):
        return "git, remote" if any(one in job.argv for one in ("push", "fetch", "ls-remote")) else "git, local"
    return "nix and preflight"


class Verifying:
    """How long the checks took in all, from the pod's own words: the clean checkout, its shell, the commands."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since = 0.0

    def __call__(self, words: str) -> None:
        if words == "verifying":
            self._since = time.perf_counter()
        elif self._since:
            self.seconds, self._since = time.perf_counter() - self._since, 0.0


async def measure(folder: Path, sandbox: str, *, large: bool = False) -> list[Measured]:
    """The median ticket of a warm pod, and what it is made of."""
    board = embedded_board(folder / "board")
    fleet = Fleet(board, "shop", folder)
    if large:
        fleet.remote.push("main", LARGE, "Grown")
    for number in range(TICKETS):
        fleet.add(f"Ticket {number}")
    sections: dict[str, Any] = {"sandbox": _sandbox(sandbox, folder), "nix.settings": private_store(folder / "store")}
    config = write_settings(folder / "pod", board, {"shop": str(fleet.remote.path)}, **sections)
    settings = load(str(config), environ={"HOME": str(folder)})
    surroundings = ambient(environ={"PATH": os.environ["PATH"], "HOME": str(folder)})
    runner, requests = Timed(), Requests()
    tickets: list[tuple[float, Mapping[str, float]]] = []
    verified: list[float] = []
    async with open_pod(
        settings,
        credentials(settings, environ={}),
        surroundings,
        clock=SystemClock(),
        randomness=SystemRandomness(),
        runner=runner,
        transport=requests,
    ) as pod:
        for _ in range(TICKETS):
            runner.seconds.clear()
            requests.sent.clear()
            started = time.perf_counter()
            verifying = Verifying()
            result = await pod.cycle(verifying).run()
            whole = time.perf_counter() - started
            assert result.end is not None, result
            assert result.end.kind == "done", result
            parts = dict(runner.seconds)
            parts.pop(BESIDE, None)
            parts["the board"] = requests.seconds
            tickets.append((whole, parts))
            verified.append(verifying.seconds)
    board.close()
    plain = {
        MODEL: await _plainly(
            fleet.remote.clone, (sys.executable, str(MODEL_PROGRAM), str(folder / "pod" / "script.json"))
        ),
        VERIFY: await _plainly(fleet.remote.clone, ("/bin/sh", "-c", _command(large=large))),
    }
    figures = _figures(tickets[WARM_UP:], plain, f"{sandbox}, {PATHS} paths and {FILES} files" if large else sandbox)
    if large:
        checkout = await _checkout(fleet.remote.clone)
        taken, bare = statistics.median(verified[WARM_UP:]), plain[VERIFY]
        how = f"median of {TICKETS - WARM_UP}; checks of {CHECKED_S} s, their clean checkout ({checkout:.2f} s) not counted"
        figures.append(at_most("clean verify over the bare command", (taken - checkout) / bare, "times", SLOWER, how))
        figures.append(Measured(name="… the checkout counted", value=taken / bare, unit="times", how=how))
    return figures


def _command(*, large: bool) -> str:
    return f"sleep {CHECKED_S}" if large else "python3 -m unittest -q"


async def _checkout(clone: Path) -> float:
    """The seconds that git takes for a clean checkout, without us."""
    taken = []
    for number in range(WARM_UP + 1):
        place = clone.with_name(f"checkout-{number}")
        taken.append(await _once(clone, ("git", "worktree", "add", "--quiet", "--detach", str(place), "origin/main")))
    return min(taken)


def _sandbox(kind: str, folder: Path) -> dict[str, object]:
    """The scripted model and its Python are no part of the host's programs."""
    here = Path(__file__).resolve().parents[1]
    return {"kind": kind, "readable": [str(here), sys.prefix, sys.base_prefix, str(folder / "pod" / "script.json")]}


async def _plainly(folder: Path, argv: tuple[str, ...]) -> float:
    """The seconds that a command takes without us."""
    return statistics.median([await _once(folder, argv) for _ in range(WARM_UP + 1)])


async def _once(folder: Path, argv: tuple[str, ...]) -> float:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "AGENT_RUN": "plain"}
    return (await Processes().run(Job(argv=argv, cwd=folder, env=env))).duration


def _figures(tickets: list[tuple[float, Mapping[str, float]]], plain: dict[str, float], sandbox: str) -> list[Measured]:
    """Entering shell and sandbox is ours, so of model and checks only what they take without us is left out."""
    how = f"median of {len(tickets)} tickets of a warm pod, embedded board, sandbox.kind = {sandbox}"
    whole = statistics.median(took for took, _ in tickets) - sum(plain.values())
    figures = [at_most(f"overhead of a ticket, {sandbox}", whole, "s", GOAL_S, how)]
    parts: dict[str, float] = {
        kind: statistics.median(one.get(kind, 0.0) for _, one in tickets)
        for kind in {kind for _, one in tickets for kind in one}
    }
    parts["entering shell and sandbox"] = sum(parts.pop(kind) - plain[kind] for kind in plain)
    parts["our own code"] = whole - sum(parts.values())
    for kind, value in sorted(parts.items(), key=lambda one: -one[1]):
        figures.append(Measured(name=f"… of it {kind}, {sandbox}", value=value, unit="s", how=how))
    return figures
