"""What a ticket costs beside the model and its checks: a warm pod, a small repository, the embedded board."""

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
from support.pods import MODEL as MODEL_PROGRAM
from support.pods import Requests, write_settings

TICKETS: Final = 7
"""The first two warm the pod up and do not count."""
WARM_UP: Final = 2
GOAL_S: Final = 1.5
MODEL, VERIFY = "model", "verify"


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
    if "scripted_model" in words:
        return MODEL
    if "unittest" in words:
        return VERIFY
    if job.argv[0] == "git":
        return "git, remote" if any(one in job.argv for one in ("push", "fetch", "ls-remote")) else "git, local"
    return "nix and preflight"


async def measure(folder: Path, sandbox: str) -> list[Measured]:
    """The median ticket of a warm pod, and what it is made of."""
    board = embedded_board(folder / "board")
    fleet = Fleet(board, "shop", folder)
    for number in range(TICKETS):
        fleet.add(f"Ticket {number}")
    sections: dict[str, Any] = {"sandbox": _sandbox(sandbox, folder), "nix.settings": private_store(folder / "store")}
    config = write_settings(folder / "pod", board, {"shop": str(fleet.remote.path)}, **sections)
    settings = load(str(config), environ={"HOME": str(folder)})
    surroundings = ambient(environ={"PATH": os.environ["PATH"], "HOME": str(folder)})
    runner, requests = Timed(), Requests()
    tickets: list[tuple[float, Mapping[str, float]]] = []
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
            result = await pod.cycle(lambda _: None).run()
            whole = time.perf_counter() - started
            assert result.end is not None, result
            assert result.end.kind == "done", result
            parts = dict(runner.seconds)
            parts["the board"] = requests.seconds
            tickets.append((whole, parts))
    board.close()
    plain = {
        MODEL: await _plainly(
            fleet.remote.clone, (sys.executable, str(MODEL_PROGRAM), str(folder / "pod" / "script.json"))
        ),
        VERIFY: await _plainly(fleet.remote.clone, ("/bin/sh", "-c", "python3 -m unittest -q")),
    }
    return _figures(tickets[WARM_UP:], plain, sandbox)


def _sandbox(kind: str, folder: Path) -> dict[str, object]:
    """The scripted model and its Python are no part of the host's programs."""
    here = Path(__file__).resolve().parents[1]
    return {"kind": kind, "readable": [str(here), sys.prefix, sys.base_prefix, str(folder / "pod" / "script.json")]}


async def _plainly(folder: Path, argv: tuple[str, ...], stdin: bytes = b"") -> float:
    """The seconds that a command takes without us."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "AGENT_RUN": "plain"}
    runner = Processes()
    taken = []
    for _ in range(TICKETS):
        done = await runner.run(Job(argv=argv, cwd=folder, env=env, stdin=stdin))
        taken.append(done.duration)
    return statistics.median(taken)


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
