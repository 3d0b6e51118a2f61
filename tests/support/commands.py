"""The installed command as a process."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent import server
from support.boards import Board, embedded_board
from support.git_repo import Remote
from support.pods import write_settings
from support.vitals import watched

AGENT: Final = str(Path(sys.executable).with_name("agent"))


@dataclass(frozen=True)
class Done:
    """A command that is over."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its standard output as one document."""
        return json.loads(self.out)


def environment() -> dict[str, str]:
    """What a command inherits: nothing of the test's own settings."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8", **watched()}


def agent(*arguments: str, env: Mapping[str, str] | None = None, timeout: float = 120) -> Done:
    """Run `agent …` to its end."""
    done = subprocess.run(
        [AGENT, *arguments],
        env={**environment(), **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`agent …` while the block lasts; killed at its end if it still runs."""
    process = subprocess.Popen(
        [AGENT, *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def eventually(
    true: Callable[[], object], what: str, *, by: subprocess.Popen[str] | None = None, seconds: float = 60
) -> None:
    """Wait for something that another process does; if it does not, what that process said."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end or (by is not None and by.poll() is not None):
            said = ""
            if by is not None:
                by.kill()
                said = "".join(by.communicate())
            raise AssertionError(f"not within {seconds:.0f} s: {what}\n{said}")
        time.sleep(0.05)


@dataclass(frozen=True)
class Station:
    """An embedded board, a repository and the settings of one pod."""

    board: Board
    remote: Remote
    config: Path

    def agent(self, *arguments: str) -> Done:
        """Run `agent … --config` these settings."""
        return agent(*arguments, "--config", str(self.config))


@contextmanager
def station(folder: Path, **settings: Any) -> Iterator[Station]:
    """A fresh one; `settings` go to `write_settings`."""
    board = embedded_board(folder / "board")
    remote = Remote(folder / "git")
    try:
        yield Station(board, remote, write_settings(folder / "pod", board, {"shop": remote.url}, **settings))
    finally:
        board.close(wait=False)


def fill(board: Board, text: str) -> dict[str, int]:
    """Put a backlog on an embedded board; ids by key."""
    assert board.folder is not None
    return dict(server.import_backlog(board.folder, text).work_packages)


def operate(board: Board, *statements: str) -> None:
    """What an administrator would click together, on an embedded board, in SQL."""
    assert board.folder is not None
    with sqlite3.connect(board.folder / "board.sqlite3", timeout=10) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def update(board: Board, number: int, account: str = "human", **changes: Any) -> dict[str, Any]:
    """A person changes a work package; links are given as `status="/api/v3/statuses/1"`."""
    client = board.client(account)
    item = client.get(f"/work_packages/{number}").raise_for_status().json()
    links = {key: {"href": value} for key, value in changes.items() if key in ("status", "assignee", "parent")}
    plain = {key: value for key, value in changes.items() if key not in links}
    body = {"lockVersion": item["lockVersion"], **plain, "_links": links}
    done: dict[str, Any] = client.patch(f"/work_packages/{number}", json=body).raise_for_status().json()
    return done


def read(board: Board, number: int) -> dict[str, Any]:
    """A work package as a person sees it."""
    found: dict[str, Any] = board.client("human").get(f"/work_packages/{number}").raise_for_status().json()
    return found


def first_lines(board: Board, number: int) -> list[str]:
    """The first line of each comment."""
    activities = board.client("human").get(f"/work_packages/{number}/activities").raise_for_status().json()
    comments = [one["comment"]["raw"] for one in activities["_embedded"]["elements"]]
    return [one.splitlines()[0] for one in comments if one]
