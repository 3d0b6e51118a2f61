"""Pods for tests: settings for the installed command, and the same pod in this process with its requests counted."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from agent.clock import Clock, Randomness, SystemClock, SystemRandomness
from agent.pod import Pod, open_pod
from agent.programs.processes import Processes
from agent.programs.runner import Runner
from agent.settings import ambient, credentials, load
from support.boards import Board

NIX = {"sandbox": "false", "build-users-group": "", "substituters": ""}
"""A Nix that needs neither a daemon nor a cache."""

MODEL = Path(__file__).with_name("scripted_model.py")


async def read_whole(answer: httpx.Response) -> httpx.Response:
    """The same answer, all of which is here: what comes from the network can be read only once."""
    raw = b"".join([piece async for piece in answer.aiter_raw()])
    await answer.aclose()
    return httpx.Response(answer.status_code, headers=answer.headers.raw, stream=httpx.ByteStream(raw))


class Requests(httpx.AsyncBaseTransport):
    """The network, with a record of what went over it: method and path, and the seconds until the answer."""

    def __init__(self, inner: httpx.AsyncBaseTransport | None = None) -> None:
        self._inner = inner or httpx.AsyncHTTPTransport()
        self.sent: list[tuple[str, str, float]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        started = time.perf_counter()
        answer = await read_whole(await self._inner.handle_async_request(request))
        self.sent.append((request.method, request.url.path, time.perf_counter() - started))
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()

    @property
    def seconds(self) -> float:
        """How long the board took for all of them."""
        return sum(took for _, _, took in self.sent)

    def until_comment_on(self, ticket: int) -> list[tuple[str, str, float]]:
        """The requests up to and with the first comment on this ticket."""
        ends = [
            n for n, (method, path, _) in enumerate(self.sent) if method == "POST" and f"/{ticket}/activities" in path
        ]
        return self.sent[: ends[0] + 1]


def write_settings(
    folder: Path,
    board: Board,
    repositories: Mapping[str, str],
    *,
    pod: str = "pod-a",
    account: str = "agent",
    script: Mapping[str, Any] | None = None,
    accounts: Mapping[str, Any] | None = None,
    **sections: Mapping[str, Any],
) -> Path:
    """An `agent.toml` with its token file; returns its path.

    Args:
        folder: for everything of this pod.
        board: the board.
        repositories: address by project.
        pod: its name.
        account: whose token.
        script: what the scripted model does, see `scripted_model.py`.
        accounts: more of the table `board`: `people`, `integrations`, `fleet_users`.
        sections: more tables, such as `execution={"timeout": "30s"}`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    token = folder / "token"
    token.write_text(board.tokens[account])
    token.chmod(0o600)
    play = folder / "script.json"
    play.write_text(json.dumps(script or {}))
    lines = [f'pod = "{pod}"', f"state = {json.dumps(str(folder / 'state'))}"]
    tables: dict[str, dict[str, Any]] = {
        "board": {"url": board.url, "token_file": str(token), **(accounts or {})},
        "model": {"kind": "command", "command": [sys.executable, str(MODEL), str(play)]},
        "nix.settings": dict(NIX),
        "sandbox": {"kind": "none"},
    }
    for name, more in sections.items():
        kept = {} if more.get("kind") == "claude" else tables.get(name, {})
        tables[name] = {**kept, **more}
    for project, url in repositories.items():
        tables[f"repositories.{project}"] = {"url": url, **sections.get(f"repositories.{project}", {})}
    for name, table in tables.items():
        lines.append(f"[{name}]")
        lines += [
            f"{json.dumps(key)} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)
        ]
    path = folder / "agent.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


@asynccontextmanager
async def opened(
    config: Path,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    clock: Clock | None = None,
    randomness: Randomness | None = None,
    runner: Runner | None = None,
) -> AsyncIterator[Pod]:
    """The pod of these settings, in this process, with real processes and a real network."""
    settings = load(str(config), environ={"HOME": str(config.parent)})
    surroundings = ambient(environ={"PATH": os.environ["PATH"], "HOME": str(config.parent)})
    async with open_pod(
        settings,
        credentials(settings, environ={}),
        surroundings,
        clock=clock or SystemClock(),
        randomness=randomness or SystemRandomness(),
        runner=runner or Processes(),
        transport=transport,
    ) as pod:
        yield pod
