"""The board of the demo: the embedded one, or a real OpenProject. Both end up with the sample backlog and three accounts."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

import agent
from agent.demo import backlog
from agent.demo.hands import Hands
from agent.demo.processes import AGENT, Child, ask
from agent.demo.trouble import DemoError, NotHere

PODS: Final = ("agent", "agent2")
"""The accounts that the two pods act as."""
HUMAN: Final = "human"
PROJECTS: Final = ("shop", "blog")
"""Projects of the test server that may be empty."""
SCRIPT: Final = Path(agent.__file__).resolve().parents[2] / "shared" / "openproject" / "openproject"
"""Beside the checkout, where the project's own machines have it."""
STOPS: Final = 60
_LAST_PORT: Final = 65_530


class Stage(Struct, frozen=True, kw_only=True):
    """A board with the backlog on it."""

    kind: str
    url: str
    project: str
    tokens: Mapping[str, str]
    """By account: those of the pods and the human."""
    ids: Mapping[str, int]
    """The tickets by their key in the backlog."""
    page: str = ""
    """The link that opens the board's page and signs the human in; only a board that is thrown away is shown so."""
    stays: bool = False
    """Whether the board, and so the tickets, are there when the demo is over."""


@contextmanager
def embedded(folder: Path, env: Mapping[str, str]) -> Iterator[Stage]:
    """`agent board init`, `import` and `serve`, below `folder`; stopped at the end.

    Raises:
        DemoError: it does not come up.
    """
    place = str(folder / "board")
    accounts = ask(["board", "init", place, "--json"], env=env, folder=folder)["tokens"]
    imported = ask(["board", "import", place, str(backlog.save(folder)), "--json"], env=env, folder=folder)
    argv = [*AGENT, "board", "serve", place, "--listen", "127.0.0.1:0", "--json"]
    server = Child("board", argv, env=env, log=folder / "board.log")
    try:
        listening = server.next(30.0)
        if listening is None:
            raise DemoError(f"The board does not come up. Its log ends:\n{server.last_words()}")
        tokens = {**accounts, **imported["tokens"]}
        yield Stage(
            kind="embedded board",
            url=listening["url"],
            project=next(iter(imported["projects"])),
            tokens=tokens,
            ids=imported["work_packages"],
            page=f"{listening['url']}/#token={tokens[HUMAN]}",
        )
    finally:
        server.stop()


@contextmanager
def openproject(given: Path | None, project: str | None, env: Mapping[str, str]) -> Iterator[Stage]:
    """A real OpenProject: one that runs already, or one booted here and stopped at the end.

    Args:
        given: the `board.json` of a running one.
        project: where to play; else in the first of `PROJECTS` that is empty.
        env: for its script.

    Raises:
        NotHere: there is none, it does not answer, or none of its projects is empty.
    """
    with contextlib.ExitStack() as stack:
        known = _read(given) if given is not None else stack.enter_context(_booted(env))
        tokens = {name: known["tokens"][name] for name in (*PODS, HUMAN)}
        wanted = [project] if project else [one for one in PROJECTS if one in known["projects"]]
        for one in wanted:
            with Hands(known["url"], tokens[HUMAN], one) as hands:
                if _has_tickets(hands):
                    continue
                yield Stage(
                    kind=f"OpenProject {known['version']}",
                    url=known["url"],
                    project=one,
                    tokens=tokens,
                    ids=backlog.write(hands),
                    stays=given is not None,
                )
                return
        raise NotHere(
            f"On {known['url']} there is no empty project ({', '.join(wanted)}), and the demo touches nobody's tickets. "
            "Name an empty one with --project, or reset that server (`openproject reset DIR`)."
        )


def _has_tickets(hands: Hands) -> bool:
    try:
        return bool(hands.tickets())
    except DemoError as error:
        raise NotHere(str(error)) from error


def _read(given: Path) -> dict[str, Any]:
    try:
        known: dict[str, Any] = msgspec.json.decode(given.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise NotHere(
            f"{given} (--openproject, $AGENT_DEMO_OPENPROJECT) cannot be read: {error}. It is the `board.json` of a running "
            "server."
        ) from error
    return known


@contextmanager
def _booted(env: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    if not SCRIPT.exists():
        raise NotHere(
            f"There is no OpenProject to boot: {SCRIPT} is missing. Let $AGENT_DEMO_OPENPROJECT name the board.json of a "
            "running one, or play on the embedded board: `agent demo`."
        )
    if os.geteuid() != 0:
        raise NotHere(
            "Booting an OpenProject needs root. Let $AGENT_DEMO_OPENPROJECT name the board.json of a running one, or play "
            "on the embedded board: `agent demo`."
        )
    # A folder of its own: the server's users must be able to enter it, and nobody else needs the demo's.
    place = Path(tempfile.mkdtemp(prefix="agent-demo-openproject-"))
    place.chmod(0o711)
    try:
        failed, said = _script("start", str(place), "--port", str(_free_ports()), env=env)
        if failed:
            raise DemoError(f"OpenProject does not come up: {said.strip()[-1500:]}")
        yield _read(place / "board.json")
    finally:
        # One that was interrupted as it started cannot be stopped before it knows its own process id.
        for _ in range(STOPS):
            if not _script("stop", str(place), env=env)[0]:
                break
            time.sleep(1.0)
        shutil.rmtree(place, ignore_errors=True)


def _script(*arguments: str, env: Mapping[str, str]) -> tuple[int, str]:
    """Run the server's script; its exit code and what it said. When the demo is interrupted it ends with all it started."""
    with subprocess.Popen(  # noqa: S603 - the script beside the checkout, and paths of ours
        [str(SCRIPT), *arguments],
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, said


def _free_ports() -> int:
    """The first of three free ports in a row."""
    while True:
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
        if port <= _LAST_PORT and all(_is_free(one) for one in (port, port + 1, port + 2)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as one, contextlib.suppress(OSError):
        one.bind(("127.0.0.1", port))
        return True
    return False
