"""A pod's repository over a real remote, and faults between it and git."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.git.mirror import Mirror
from agent.git.repo import Repository
from agent.git.spare import Spares
from agent.git.trash import Trash
from agent.git.tree import Tree
from agent.git.workspace import Workspace
from agent.programs.processes import Processes
from agent.programs.runner import Finished, Job
from agent.texts import outlet
from agent.texts.evidence import redactor
from agent.texts.outlet import CommitText
from support.git_repo import Remote

RUN = "7f9c0000-0000-4000-8000-000000000001"
NEXT = "8e8e0000-0000-4000-8000-000000000002"
TOKEN = f"{RUN}.aa11 by pod-a try 1 for 4h @ 2026-11-24T08:00Z"
OTHER = f"{NEXT}.bb22 by pod-b try 1 for 4h @ 2026-11-24T09:00Z"
BRANCH = "agent/42-checkout"
CLAIM = "refs/agent/claim/42"
KEPT = "agent/kept/42-7f9c0000"


class Faulty(Processes):
    """The real runner; `fault` may look at each command and answer in its stead, before or after it ran."""

    fault: Callable[[list[str], Finished | None], Finished | None] = staticmethod(lambda _argv, _done: None)

    async def run(self, job: Job) -> Finished:
        if answer := self.fault(list(job.argv), None):
            return answer
        done = await super().run(job)
        return self.fault(list(job.argv), done) or done


class Bench:
    """A remote, and a pod's repository on it.

    Args:
        folder: for all of it.
        spares: how many checkouts there are before they are needed.
    """

    def __init__(self, folder: Path, *, spares: int = 0) -> None:
        self.folder = folder
        self._spares = spares
        self.remote = Remote(folder / "forge")
        self.runner = Faulty(grace=0.3)
        self.repo = self.pod("state")

    def pod(self, name: str) -> Repository:
        mirror = Mirror(
            url=self.remote.url,
            base="main",
            folder=self.folder / name,
            runner=self.runner,
            redact=redactor(),
            path=os.environ["PATH"],
        )
        mirror.trash = Trash(mirror.folder / "trash", pause=0)  # nobody closes this pod
        return Repository(mirror, Spares(mirror, self._spares))

    async def open(
        self, run: str = RUN, *, owner: int = 42, branch: str = BRANCH, repo: Repository | None = None
    ) -> Workspace:
        repo = repo or self.repo
        await repo.fetch()
        return await repo.open(owner, branch, run)

    async def claim(self, text: str = TOKEN, expected: str | None = None) -> str:
        return await self.repo.set_claim(42, text, expected)


def message(run: str = RUN, ticket: int = 42) -> CommitText:
    return outlet.commit("Do the work", "", {"Work-Package": f"#{ticket}", "Agent-Pod": "pod-a", "Agent-Run": run})


def write(workspace: Tree, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        path = workspace.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def read(workspace: Tree, name: str) -> str | None:
    path = workspace.path / name
    return path.read_text() if path.is_file() else None


async def work(workspace: Workspace, files: Mapping[str, str], run: str = RUN) -> str:
    write(workspace, files)
    snapshot = await workspace.snapshot()
    assert snapshot.changed
    return await workspace.commit(snapshot.tree, message(run))
