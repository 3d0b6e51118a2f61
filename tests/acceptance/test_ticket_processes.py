"""What a ticket costs beside its model and its checks, in processes: exact, so that it cannot grow unseen."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from agent.devshell.client_options import private_store
from agent.programs.processes import Processes
from agent.programs.runner import Finished, Job
from support.boards import embedded_board
from support.fleet import Fleet
from support.needs import needs
from support.nix_client import writable
from support.pods import opened

pytestmark = [pytest.mark.nix, needs("nix")]
TICKETS = 3
"""The first one warms the pod up."""
GIT = {
    "the remote": {"ls-remote": 2, "fetch": 1, "push": 2},
    "the claim": {"hash-object": 1},
    "room for objects": {"count-objects": 1},
    "the worktree": {"for-each-ref": 1, "reset": 1, "clean": 1, "ls-files": 1, "ls-tree": 1},
    "the judge": {"ls-tree": 1, "cat-file": 1},
    "the files of the two shells": {"ls-files": 2},
    "the snapshot": {"ls-files": 2, "add": 1, "write-tree": 1, "rev-parse": 1, "diff-index": 1},
    "the commit": {"commit-tree": 1, "update-ref": 1},
    "the clean checkout": {"for-each-ref": 1, "pack-objects": 2, "reset": 1},
    "it was made before": {"diff-tree": 1, "ls-files": 1, "update-index": 1},
    "two for the next ticket": {"read-tree": 2},
    "what a person must see": {"diff-tree": 1},
    "the links of CI": {"ls-tree": 1},
}
"""Each has its reason; of all of them, those for the next ticket alone write every file, and they run beside model and checks."""
NIX = ("flake", "eval")
"""The commit that is pushed is copied and evaluated; the one that the run starts from is known."""


class Noting(Processes):
    """Notes the word that says what each process does."""

    def __init__(self) -> None:
        super().__init__()
        self.git: Counter[str] = Counter()
        self.nix: list[str] = []

    async def run(self, job: Job) -> Finished:
        argv = job.argv[3:] if Path(job.argv[0]).name == "nice" else job.argv
        words = list(argv[1:])
        match Path(argv[0]).name:
            case "git":
                while words[0] == "-c":
                    del words[:2]
                self.git[words[0]] += 1
            case "nix" | "nix-store":
                self.nix.append(words[0])
        return await super().run(job)


async def test_the_processes_of_a_ticket_are_these(tmp_path: Path) -> None:
    board = embedded_board(tmp_path / "board")
    fleet = Fleet(board, "shop", tmp_path)
    for number in range(TICKETS):
        fleet.add(f"Ticket {number}")
    runner, seen = Noting(), []
    try:
        config = fleet.pod("pod-a", **{"nix.settings": private_store(tmp_path / "store")})
        async with opened(config, runner=runner) as pod:
            for _ in range(TICKETS):
                runner.git.clear()
                runner.nix.clear()
                result = await pod.cycle(lambda _: None).run()
                for repository in pod.repositories.values():
                    await repository.spares.prepared()
                assert result.end is not None
                assert result.end.kind == "done", result
                seen.append((Counter(runner.git), tuple(runner.nix)))
    finally:
        board.close()
        writable(tmp_path / "store")
    wanted = sum(map(Counter, GIT.values()), Counter[str]())
    assert seen[1:] == [(wanted, NIX)] * 2, [(found - wanted, wanted - found) for found, _ in seen]
