"""Boards to test against: the embedded one, started for a test, and a real OpenProject, started once for the whole run."""

import asyncio
import fcntl
import json
import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent import server
from agent.page.app import Page

API = "/api/v3"
POD, RUN = "Agent pod", "Agent run"
TIMEOUT = 60.0

# Read before any test clears its environment.
_GIVEN = os.environ.get("AGENT_TEST_OPENPROJECT")
_IN_CI = os.environ.get("CI") == "true"
CONTROLLER = "AGENT_TEST_CONTROLLER"
"""The process with which a booted OpenProject goes, if it is not the test run itself."""
_CONTROLLER = os.environ.get(CONTROLLER)
CONTROL = Path(__file__).resolve().parents[3] / "shared" / "openproject" / "openproject"

_BACKLOG = """
users = [
  { login = "agent2", name = "Second Agent", projects = ["shop", "blog"] },
  { login = "reader", name = "Rita Reader", role = "Reader", projects = ["shop", "blog"] },
  { login = "outsider", name = "Otto Outsider", projects = [] },
  { login = "deutsch", name = "Dora Deutsch", language = "de", projects = ["shop", "blog"] },
]
projects = [
  { identifier = "shop", name = "Web shop" },
  { identifier = "blog", name = "Blog" },
  { identifier = "vault", name = "Vault", members = [] },
]
"""


@dataclass(frozen=True)
class Board:
    """A running board: where it is, who may use it, and its ids by name."""

    kind: str
    url: str
    tokens: Mapping[str, str]
    users: Mapping[str, int]
    projects: Mapping[str, int]
    fields: Mapping[str, int]
    types: Mapping[str, int]
    statuses: Mapping[str, int]
    priorities: Mapping[str, int]
    folder: Path | None = None
    """Where its files are, if they are at hand."""
    _clients: dict[str, httpx.Client] = field(default_factory=dict, repr=False)
    _server: "_ServerThread | None" = None

    def client(self, account: str = "agent") -> httpx.Client:
        """Raw HTTP in the name of an account; paths are below /api/v3."""
        if account not in self._clients:
            auth = ("apikey", self.tokens[account])
            self._clients[account] = httpx.Client(base_url=self.url + API, auth=auth, timeout=TIMEOUT)
        return self._clients[account]

    @property
    def pod(self) -> str:
        """The API's name of the field Agent pod."""
        return f"customField{self.fields[POD]}"

    @property
    def run(self) -> str:
        """The API's name of the field Agent run."""
        return f"customField{self.fields[RUN]}"

    def close(self, *, wait: bool = True) -> None:
        """Let go of connections, and of the server if it was started for this board alone.

        Args:
            wait: until it is over. At the end of a test, what it sleeps for that (0.2 s) is slept beside the next.
        """
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        if self._server:
            self._server.stop(wait=wait)


def embedded_board(folder: Path) -> Board:
    """An embedded board with the accounts and projects that `openproject()` has, served on a free port from a thread."""
    accounts = server.create(folder)
    imported = server.import_backlog(folder, _BACKLOG)
    running = _ServerThread(folder)
    tokens = {**accounts.tokens, **imported.tokens}
    with httpx.Client(base_url=running.url + API, auth=("apikey", tokens["admin"]), timeout=TIMEOUT) as admin:

        def ids(path: str, key: str = "name") -> dict[str, int]:
            return {entry[key]: entry["id"] for entry in admin.get(path).json()["_embedded"]["elements"]}

        types = ids("/types")
        schema = admin.get(f"/work_packages/schemas/{imported.projects['shop']}-{types['Task']}").json()
        return Board(
            kind="embedded",
            url=running.url,
            tokens=tokens,
            users=ids("/principals?pageSize=-1", "login"),
            projects=dict(imported.projects),
            fields={
                entry["name"]: int(key.removeprefix("customField"))
                for key, entry in schema.items()
                if key.startswith("customField")
            },
            types=types,
            statuses=ids("/statuses"),
            priorities=ids("/priorities"),
            folder=folder,
            _server=running,
        )


def openproject() -> Board:
    """The real OpenProject: the one that AGENT_TEST_OPENPROJECT (a board.json) names, else one booted for this run."""
    if _GIVEN:
        return _described(Path(_GIVEN))
    if not CONTROL.exists():
        missing(f"no OpenProject: AGENT_TEST_OPENPROJECT is not set and {CONTROL} does not exist")
    if os.geteuid() != 0:
        missing("no OpenProject: AGENT_TEST_OPENPROJECT is not set and only root can boot one")
    controller = int(_CONTROLLER or (os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()))
    folder = Path(tempfile.gettempdir()) / f"agent-openproject-{controller}"
    folder.mkdir(exist_ok=True)
    # One of the run's workers boots it, the others wait.
    with (folder / "boot.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "board.json").exists():
            _boot(folder, controller)
    return _described(folder / "board.json")


def can_be_booted() -> bool:
    """Whether this run has to boot a server of its own, and can."""
    return not _GIVEN and CONTROL.exists() and os.geteuid() == 0


def missing(reason: str) -> None:
    if _IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)


def _described(path: Path) -> Board:
    described: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    del described["version"]
    return Board(kind="openproject", **described, folder=path.parent)


def _boot(folder: Path, controller: int) -> None:
    # Stopped and removed when the test run ends, however it ends.
    watch = 'while kill -0 "$1" 2> /dev/null; do sleep 0.5; done; "$2" stop "$3"; rm -rf "$3"'
    subprocess.run(["setsid", "-f", "sh", "-c", watch, "watch", str(controller), str(CONTROL), str(folder)], check=True)
    command = [str(CONTROL), "start", str(folder), "--port", str(_free_ports())]
    started = subprocess.run(command, capture_output=True, text=True, check=False)
    if started.returncode != 0:
        pytest.fail(f"OpenProject did not start: {started.stderr[-2000:]}")


def _free_ports() -> int:
    """The first of three free ports in a row, as OpenProject, PostgreSQL and memcached want them."""
    for first in range(20_000 + os.getpid() % 5_000, 30_000, 3):
        if all(_is_free(first + step) for step in range(3)):
            return first
    raise RuntimeError("no three free ports in a row")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


class _ServerThread:
    """`serve` on an event loop of its own."""

    def __init__(self, folder: Path) -> None:
        self.url = ""
        self._listening = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, args=(folder,), daemon=True)
        self._thread.start()
        if not self._listening.wait(TIMEOUT):
            raise RuntimeError("the embedded board did not start")

    def _run(self, folder: Path) -> None:
        self.page = Page(folder)
        self._task = self._loop.create_task(server.serve(folder, "127.0.0.1", 0, self._on_listening, self.page))
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        finally:
            self.page.close()
            self._loop.close()

    def _on_listening(self, url: str) -> None:
        self.url = url
        self._listening.set()

    def stop(self, *, wait: bool = True) -> None:
        if self._task and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._task.cancel)
            if wait:
                self._thread.join(TIMEOUT)
