"""Many real pods on one board, one of them killed every few seconds: everything is done, and nothing twice.

`python -m support.soak --minutes 10 --tickets 200` on the embedded board as a process of its own, `--board openproject`
on the real one. A person takes part: closes every Spike, and what made the ticket fail is gone then.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from agent.programs.survivors import marked
from support import fresh_clone
from support.boards import Board, embedded_board, openproject
from support.fleet import AGENT, Fleet
from support.git_repo import git
from support.pods import write_settings
from support.vitals import watched

PODS: Final = 8
MODEL: Final = Path(__file__).with_name("soak_model.py")
MODEL_S: Final = 0.3
"""How long the model works, so that some are killed while it does."""
FAILING: Final = 0.05
"""The part of the tickets that fail once."""
JUDGE: Final = '[verify]\ncommands = ["python3 -m unittest -q", "ls work/*.txt"]\n'
REST_S: Final = 1.0
"""How long a pod that found nothing to do is not started again: eight that start over and over leave the others no processor."""
LAST_PASS_S: Final = 120.0
SPIKES: Final = "Spike"
_MARKER: Final = re.compile(r"<!-- agent run=(\S+) event=(\w+) -->\s*$")


class Soak:
    """The fleet, its tickets and the hand that kills.

    Args:
        fleet: an empty project, with its repository.
        seed: of what is drawn.
        pods: how many.
    """

    def __init__(self, fleet: Fleet, *, seed: int = 0, pods: int = PODS) -> None:
        self.fleet = fleet
        self.random = random.Random(seed)
        self.tickets: list[int] = []
        self.epics: list[int] = []
        self.failing: set[int] = set()
        self.kills = 0
        self.passes: Counter[str] = Counter()
        self._folder = fleet.folder / "soak"
        self._folder.mkdir()
        fleet.remote.push("main", {".agent.toml": JUDGE}, "What no ticket is done without")
        self._play = self._folder / "script.json"
        self._pods: dict[Path, subprocess.Popen[str] | None] = {self._settings(n): None for n in range(pods)}
        self.write_script()

    def _settings(self, number: int) -> Path:
        fleet, name = self.fleet, f"pod-{number}"
        more: dict[str, Any] = {"board.statuses": {"done": ["Closed"]}}
        return write_settings(
            fleet.folder / name,
            fleet.board,
            {fleet.project: fleet.remote.url},
            pod=name,
            model={"command": [sys.executable, str(MODEL), str(self._play), str(self._folder)]},
            **more,
        )

    def write_script(self) -> None:
        """What the model does; it is read at each start."""
        stuck = {"verdict": "stuck", "summary": "Which way?", "question": "Left or right?", "files": {}}
        script = {
            "sleep": MODEL_S,
            "files": {"work/{ticket}.txt": "done\n"},
            "per_ticket": {str(one): stuck for one in self.failing},
        }
        new = self._play.with_suffix(".new")
        new.write_text(json.dumps(script))
        new.replace(self._play)

    # -- the backlog -----------------------------------------------------------------------------------------------

    def fill(self, count: int) -> None:
        """So many more tickets: two fifths in Epics of ten, a tenth bugs, one in eight waits for another."""
        fleet, draw = self.fleet, self.random
        made: list[int] = []
        epics = [fleet.add(f"Epic {n}", kind="Epic") for n in range(max(1, count // 25))]
        for n in range(count):
            kind = "Bug" if n % 10 == 3 else "Task"
            parent = draw.choice(epics) if draw.random() < 0.4 else None
            made.append(
                fleet.add(f"Ticket {n}", kind=kind, parent=parent, priority=draw.choice(["Low", "Normal", "High"]))
            )
            if made[:-1] and draw.random() < 1 / 8:
                fleet.relate(draw.choice(made[:-1]), "blocks", made[-1])
        self.tickets += made
        self.epics += epics
        self.failing |= {one for one in made if draw.random() < FAILING}
        self.write_script()

    # -- the run ---------------------------------------------------------------------------------------------------

    def work_off(self, *, until: float, kills_until: float, every: float) -> bool:
        """Keep the pods going, and kill one now and then, until everything is done or the time is over.

        Args:
            until: by the monotonic clock, when to give up.
            kills_until: when to stop killing.
            every: seconds between two kills, on average.
        """
        next_kill = next_look = time.monotonic() + every
        rest: dict[Path, float] = {}
        try:
            while (now := time.monotonic()) < until:
                for config, pod in self._pods.items():
                    if pod is not None and pod.poll() is not None:
                        self._pods[config] = None
                        rest[config] = now + REST_S
                    if self._pods[config] is None and now >= rest.get(config, 0.0):
                        self._pods[config] = self._start(config)
                if now >= next_kill and now < kills_until:
                    self._kill_one()
                    next_kill = now + self.random.uniform(0.5, 1.5) * every
                if now >= next_look:
                    next_look = now + 1
                    self._answer_spikes()
                    if not self.open_tickets() and not self.held():
                        self._last_words()
                        return True
                time.sleep(0.05)
            return False
        finally:
            self._stop()

    def _start(self, config: Path) -> subprocess.Popen[str]:
        return self.fleet.start(config, "run", "--until-idle")

    def _kill_one(self) -> None:
        living = [config for config, one in self._pods.items() if one is not None and one.poll() is None]
        if not living:
            return
        config = self.random.choice(living)
        pod = self._pods[config]
        assert pod is not None
        pod.kill()
        pod.wait()
        self._pods[config] = None
        self.kills += 1

    def _stop(self) -> None:
        living = [one for one in self._pods.values() if one is not None]
        for one in living:
            if one.poll() is None:
                one.send_signal(signal.SIGTERM)
        for one in living:
            one.wait(60)
        self._pods = dict.fromkeys(self._pods)

    def _last_words(self) -> None:
        """A pod that was killed between its last change and the comment on it says so in its next pass."""
        self._stop()
        passes = [self._start(config) for config in self._pods]
        for one in passes:
            one.wait(LAST_PASS_S)

    def _answer_spikes(self) -> None:
        for spike in self._list(SPIKES, status="o"):
            ticket = int(spike["_links"]["parent"]["href"].rsplit("/", 1)[1])
            self.failing.discard(ticket)
            self.write_script()
            self.fleet.change(spike["id"], status="Closed")

    def _list(self, kind: str, *, status: str = "*") -> list[dict[str, Any]]:
        filters = [
            {"type": {"operator": "=", "values": [str(self.fleet.board.types[kind])]}},
            {"status": {"operator": status, "values": []}},
        ]
        path = f"/projects/{self.fleet.project}/work_packages?pageSize=1000&filters={json.dumps(filters)}"
        return self.fleet.request("GET", path)["_embedded"]["elements"]  # type: ignore[no-any-return]

    def open_tickets(self) -> list[int]:
        """What is not done."""
        return [one["id"] for kind in ("Bug", "Task") for one in self._list(kind, status="o")]

    def held(self) -> list[int]:
        """Whatever still carries a token."""
        run = self.fleet.board.run
        return [one["id"] for kind in ("Bug", "Task", "Epic") for one in self._list(kind) if one[run]]

    # -- the judgement ---------------------------------------------------------------------------------------------

    def violations(self) -> list[str]:
        """What must not be, one sentence each."""
        return list(self._wrong())

    def _wrong(self) -> Iterator[str]:
        fleet = self.fleet
        yield from (f"#{one} is not done" for one in self.open_tickets())
        yield from (f"#{one} is still held" for one in self.held())
        log = git(fleet.remote.path, "log", "--branches=agent/[0-9]*", "--format=%B%x00").split("\0")
        commits = Counter(int(one) for text in log for one in re.findall(r"^Work-Package: #(\d+)$", text, re.MULTILINE))
        spikes = Counter(_marker(one["description"]["raw"] or "")[0] for one in self._list(SPIKES))
        yield from (f"run {run} has {count} Spikes" for run, count in spikes.items() if count > 1)
        for ticket in self.tickets:
            if commits[ticket] != 1:
                yield f"#{ticket} has {commits[ticket]} commits"
            told = Counter(_marker(text) for text in fleet.comments(ticket))
            events = Counter(event for _, event in told.elements())
            if events["completed"] != 1 or events["pushed"] != 1:
                yield f"#{ticket} was reported {events['completed']} and {events['pushed']} times"
            for (run, event), count in told.items():
                if count > 1 and event not in ("taken_over", "interrupted", ""):
                    yield f"#{ticket} says {event} {count} times for run {run}"
        for epic in self.epics:
            told = Counter(_marker(text) for text in fleet.comments(epic))
            yield from (
                f"Epic #{epic} says {event} {n} times for {run}" for (run, event), n in told.items() if n > 1 and event
            )
            taken = sum(n for (_, event), n in told.items() if event == "epic_taken")
            given = sum(n for (_, event), n in told.items() if event in ("epic_released", "expired"))
            if taken != given:
                yield f"Epic #{epic} was taken {taken} times and given back {given} times"
            if fleet.status(epic) not in ("Closed", "New") or (fleet.status(epic) == "New" and fleet.children(epic)):
                yield f"Epic #{epic} is {fleet.status(epic)}"
        yield from fresh_clone.wrong(fleet.remote.path, self._folder)
        yield from (f"two models at once on #{path.stem}" for path in self._folder.glob("*.two-models"))
        runs = {run for ticket in self.tickets for run, _ in map(_marker, fleet.comments(ticket)) if run}
        yield from (f"processes of run {run} are alive" for run in runs if marked(run))

    def figures(self) -> dict[str, Any]:
        """What happened."""
        outcomes: Counter[str] = Counter()
        kinds: Counter[str] = Counter()
        troubles: Counter[str] = Counter()
        for config in self._pods:
            for line in (config.parent / "log").read_text(errors="replace").splitlines():
                if not line.startswith("{"):
                    continue
                with contextlib.suppress(ValueError):
                    one = json.loads(line)
                    outcomes[one["outcome"]] += 1
                    kinds[(one.get("end") or {}).get("kind", "-")] += one["outcome"] == "worked"
                    troubles[one["reason"][:100]] += one["outcome"] == "trouble"
        taken = sum(_marker(text)[1] == "taken_over" for one in self.tickets for text in self.fleet.comments(one))
        started = (self._folder / "started").read_text().splitlines() if (self._folder / "started").exists() else []
        return {
            "tickets": len(self.tickets),
            "epics": len(self.epics),
            "kills": self.kills,
            "take-overs": taken,
            "model starts": len(started),
            "spikes": len(self._list(SPIKES)),
            "passes": dict(outcomes),
            "ends": dict(kinds),
            "troubles": {reason: count for reason, count in troubles.items() if count},
            "claim refs left": sum("claim" in ref for ref in self.fleet.remote.refs()),
        }


def _marker(text: str) -> tuple[str, str]:
    found = _MARKER.search(text)
    return (found[1], found[2]) if found else ("", "")


@contextlib.contextmanager
def board_process(folder: Path) -> Iterator[Board]:
    """The embedded board as its users run it: a process of its own."""
    made = embedded_board(folder)
    made.close()
    argv = [str(AGENT), "board", "serve", str(folder), "--listen", "127.0.0.1:0", "--json"]
    with (
        folder.with_suffix(".log").open("w") as log,
        subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **watched()}
        ) as serving,
    ):
        assert serving.stdout is not None
        url = json.loads(serving.stdout.readline())["url"]
        board = dataclasses.replace(made, url=url, _clients={}, _server=None)
        try:
            yield board
        finally:
            board.close()
            serving.terminate()
            serving.wait(30)


def main() -> int:
    """Batches of tickets until the time is over; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--tickets", type=int, default=200, help="in a batch")
    parser.add_argument("--pods", type=int, default=PODS)
    parser.add_argument("--every", type=float, default=3, help="seconds between two kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--board", choices=["embedded", "openproject"], default="embedded")
    wanted = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    started = time.monotonic()
    end = started + 60 * wanted.minutes
    with contextlib.ExitStack() as stack:
        if wanted.board == "embedded":
            fleet = Fleet(stack.enter_context(board_process(folder / "board")), "shop", folder)
        else:
            from support.worlds import world  # noqa: PLC0415 - needs the real server

            board = openproject()
            fleet = Fleet(board, world(board).empty_project(), folder)
        soak = Soak(fleet, seed=wanted.seed, pods=wanted.pods)
        finished = True
        while finished and time.monotonic() < end:
            soak.fill(wanted.tickets)
            finished = soak.work_off(until=end + 300, kills_until=end, every=wanted.every)
            sys.stdout.write(f"{time.monotonic() - started:.0f} s: {json.dumps(soak.figures())}\n")
            sys.stdout.flush()
        wrong = soak.violations()
        sys.stdout.write("\n".join(wrong or ["everything is done, and nothing twice"]) + "\n")
    if not wrong:
        shutil.rmtree(folder)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
