"""A board, a repository, and pods as the installed command: what the acceptance tests play with."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from support.boards import Board
from support.git_repo import Remote, git
from support.pods import write_settings
from support.vitals import watched

AGENT: Final = Path(sys.executable).with_name("agent")
PATIENCE: Final = 120.0
"""Seconds after which a pod that should have ended counts as hanging."""

EITHER_IN_PROOF: Final = (
    "embedded",
    pytest.param("openproject", marks=[pytest.mark.openproject, pytest.mark.proof]),
)
"""Servers for a test that `make test` plays on the embedded board alone, since what it asks of a real one is asked elsewhere."""

Json = dict[str, Any]


class Fleet:
    """One project of a board with its repository, seen through a person's eyes.

    Args:
        board: either server.
        project: an empty project on it, by identifier.
        folder: for the repository and the pods.
    """

    def __init__(self, board: Board, project: str, folder: Path) -> None:
        self.board = board
        self.project = project
        self.folder = folder
        self.remote = Remote(folder / "remote")
        self.boxed_judge = False
        """Whether the checks ask about the sandbox, so that nobody else can run them."""
        self._person = board.client("human")
        self._project = self.request("GET", f"/projects/{project}")["id"]

    # -- what a person does ----------------------------------------------------------------------------------------

    def request(self, method: str, path: str, body: Json | None = None, account: str = "human") -> Json:
        """A raw request that must succeed."""
        answer = self.board.client(account).request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else {}

    def add(self, subject: str, **more: Any) -> int:
        """A new work package; its id. Arguments as in `create`."""
        return int(self.create(subject, **more)["id"])

    def create(
        self, subject: str, *, kind: str = "Task", parent: int | None = None, account: str = "human", **more: Any
    ) -> Json:
        """A new work package as the board answers it. `more` as in `change`."""
        body = {"subject": subject, **self._body(more)}
        links = {"type": f"types/{self.board.types[kind]}", "project": f"projects/{self._project}"}
        if parent is not None:
            links["parent"] = f"work_packages/{parent}"
        body["_links"] = {**{key: {"href": f"/api/v3/{path}"} for key, path in links.items()}, **body.get("_links", {})}
        return self.request("POST", "/work_packages?notify=false", body, account)

    def change(self, number: int, *, account: str = "human", **more: Any) -> Json:
        """Change a work package: `status`, `priority`, `assignee` by name; `pod`, `run`, `due`, `text`, `subject`."""
        while True:
            body = {"lockVersion": self.get(number)["lockVersion"], **self._body(more)}
            answer = self.board.client(account).patch(f"/work_packages/{number}?notify=false", json=body)
            if answer.status_code != httpx.codes.CONFLICT:
                assert answer.is_success, answer.text
                return answer.json()  # type: ignore[no-any-return]

    def _body(self, more: Mapping[str, Any]) -> Json:
        board, body, links = self.board, {}, {}
        names = {"pod": board.pod, "run": board.run, "due": "dueDate", "subject": "subject"}
        for key, value in more.items():
            if key in names:
                body[names[key]] = value
            elif key == "text":
                body["description"] = {"raw": value}
            elif key == "status":
                links["status"] = {"href": f"/api/v3/statuses/{board.statuses[value]}"}
            elif key == "kind":
                links["type"] = {"href": f"/api/v3/types/{board.types[value]}"}
            elif key == "parent":
                links["parent"] = {"href": f"/api/v3/work_packages/{value}"}
            elif key == "priority":
                links["priority"] = {"href": f"/api/v3/priorities/{board.priorities[value]}"}
            elif key == "assignee":
                links["assignee"] = {"href": value and f"/api/v3/users/{board.users[value]}"}
            else:
                raise AssertionError(f"{key}?")
        return {**body, **({"_links": links} if links else {})}

    def relate(self, source: int, kind: str, target: int) -> None:
        """`source` `kind` `target`, as in 41 blocks 42."""
        body = {"type": kind, "_links": {"to": {"href": f"/api/v3/work_packages/{target}"}}}
        self.request("POST", f"/work_packages/{source}/relations", body)

    def say(self, number: int, text: str, account: str = "human") -> None:
        """Comment on a work package."""
        self.request("POST", f"/work_packages/{number}/activities?notify=false", {"comment": {"raw": text}}, account)

    # -- what a person sees ----------------------------------------------------------------------------------------

    def get(self, number: int) -> Json:
        """A work package as the board shows it."""
        return self.request("GET", f"/work_packages/{number}")

    def status(self, number: int) -> str:
        """The name of its status."""
        return str(self.get(number)["_links"]["status"]["title"])

    def pod_of(self, number: int) -> str | None:
        """The field `Agent pod`."""
        return self.get(number)[self.board.pod]  # type: ignore[no-any-return]

    def run_of(self, number: int) -> str | None:
        """The field `Agent run`."""
        return self.get(number)[self.board.run]  # type: ignore[no-any-return]

    def assignee(self, number: int) -> str | None:
        """The name of the assignee."""
        return self.get(number)["_links"]["assignee"].get("title")  # type: ignore[no-any-return]

    def comments(self, number: int) -> list[str]:
        """The raw text of every comment, oldest first."""
        elements = self.request("GET", f"/work_packages/{number}/activities")["_embedded"]["elements"]
        return [one["comment"]["raw"] for one in elements if one["comment"]["raw"]]

    def open_tickets(self) -> list[int]:
        """The ids of all work packages that are not closed."""
        filters = json.dumps([{"status": {"operator": "o", "values": []}}])
        path = f"/projects/{self.project}/work_packages?pageSize=1000&filters={filters}"
        return [int(one["id"]) for one in self.request("GET", path)["_embedded"]["elements"]]

    def first_lines(self, number: int) -> list[str]:
        """The first line of each comment, without the board's own notes about children."""
        lines = [text.splitlines()[0] for text in self.comments(number)]
        return [line for line in lines if not re.fullmatch(r"_.*#\d+_", line)]

    def children(self, number: int) -> list[int]:
        """The ids of its children."""
        return [int(one["href"].rsplit("/", 1)[1]) for one in self.get(number)["_links"].get("children", [])]

    def branches(self) -> list[str]:
        """The branches of the remote."""
        return git(self.remote.path, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()

    def kept(self) -> list[str]:
        """The names of work that is at no branch."""
        found = git(self.remote.path, "for-each-ref", "--format=%(refname)", "refs/agent/kept", "refs/agent/failed")
        return [one.removeprefix("refs/") for one in found.split()]

    def log(self, branch: str) -> str:
        """The messages on a branch beyond main."""
        return git(self.remote.path, "log", "--format=%B", f"main..{branch}")

    def file(self, branch: str, name: str) -> str:
        """A file as a branch has it."""
        return git(self.remote.path, "show", f"{branch}:{name}")

    # -- pods ------------------------------------------------------------------------------------------------------

    def pod(self, name: str = "pod-a", *, script: Mapping[str, Any] | None = None, **more: Any) -> Path:
        """The settings of a pod, new or changed."""
        urls = {self.project: self.remote.url}
        return write_settings(self.folder / name, self.board, urls, pod=name, script=script, **more)

    def cycle(self, config: Path, *, code: int = 0, env: Mapping[str, str] | None = None) -> Json:
        """`agent cycle --json`: the result document."""
        done = self.agent("--config", str(config), "--json", command=("cycle",), env=env)
        assert done.returncode == code, f"exit {done.returncode}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}

    def agent(
        self, *options: str, command: Sequence[str], env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Any command, to its end."""
        argv = [str(AGENT), *command, *options]
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=PATIENCE, env=self._env(env), check=False, cwd=self.folder
        )

    def start(self, config: Path, *command: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """A pod that goes on by itself; `cycle` unless another command is named."""
        argv = [str(AGENT), *(command or ("cycle",)), "--config", str(config), "--json"]
        with (config.parent / "log").open("a") as out:
            return subprocess.Popen(
                argv, stdout=out, stderr=subprocess.STDOUT, text=True, env=self._env(env), cwd=self.folder
            )

    def _env(self, more: Mapping[str, str] | None) -> dict[str, str]:
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.folder),
            "COLUMNS": "80",
            **watched(),
            **(more or {}),
        }


def wait_until(true: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
