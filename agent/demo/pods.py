"""The two pods: a settings file each, `agent run --until-idle` as processes, and `agent explain` for what they see."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from agent.demo.board import HUMAN, PODS, Stage
from agent.demo.coder import KEY_FILE, Coder
from agent.demo.hands import Hands
from agent.demo.processes import AGENT, Child, ask
from agent.demo.project import BASE
from agent.devshell.client_options import private_store

NAMES: Final = ("pod-a", "pod-b")


class Pass(Struct, frozen=True, kw_only=True):
    """What a pod said about one pass that worked on a ticket."""

    pod: str
    ticket: int
    rung: int
    kind: str
    branch: str
    commit: str
    spike: int | None
    reason: str


class Seen(Struct, frozen=True, kw_only=True):
    """A reason that `agent explain ID` gave, and when it was asked."""

    reason: str
    ticket: int
    detail: str
    pod: str
    when: str


class Pods:
    """Both pods, with what they have said so far.

    Args:
        folder: of the demo.
        stage: the board.
        repository: what they push to.
        env: the environment of their processes.
        coder: who codes.
        sandbox: the kind of sandbox, as in the settings.
    """

    def __init__(
        self, folder: Path, stage: Stage, repository: Path, env: Mapping[str, str], coder: Coder, *, sandbox: str
    ) -> None:
        self._env = env
        self._folder = folder
        users = [_account(stage, login) for login in PODS]
        for name, login in zip(NAMES, PODS, strict=True):
            place = folder / name
            place.mkdir()
            secret(place / "token", stage.tokens[login])
            if coder.key:
                secret(place / KEY_FILE, coder.key)
            settings = configuration(
                name, stage, repository, coder, store=place / "store", users=users, sandbox=sandbox
            )
            (place / "agent.toml").write_text(settings, encoding="utf-8")
        secret(folder / "human-token", stage.tokens[HUMAN])
        self._running: dict[str, Child] = {}

    def start(self) -> None:
        """Both, at the same time."""
        for name in NAMES:
            argv = [*AGENT, "run", "--until-idle", "--json", "--config", str(self._settings(name))]
            self._running[name] = Child(name, argv, env=self._env, log=self._folder / f"{name}.log")

    def passes(self) -> list[Pass]:
        """What they have done since the last call."""
        said = [(name, one) for name, child in self._running.items() for one in child.documents()]
        return [_pass(name, one) for name, one in said if one.get("ticket") is not None]

    def running(self) -> tuple[str, ...]:
        """Those that are at work."""
        return tuple(name for name, child in self._running.items() if child.running)

    def failures(self) -> list[str]:
        """Those that ended otherwise than they should, with the end of their log."""
        return [
            f"{name} ended with exit code {child.returncode}. Its log ends:\n{child.last_words()}"
            for name, child in self._running.items()
            if child.returncode not in (0, None)
        ]

    def stop(self) -> None:
        """Both, in order."""
        for child in self._running.values():
            child.stop()

    def overview(self, name: str) -> dict[str, int]:
        """Ask a pod what keeps it from what it does not take: each reason, with the first ticket that it names."""
        answer = self._explain(name)
        return {one["reason"]: one["first"][0]["id"] for one in answer["reasons"] if one["first"]}

    def why(self, name: str, ticket: int, when: str) -> list[Seen]:
        """Ask a pod why it does not take this ticket."""
        return [
            Seen(reason=one["reason"], ticket=ticket, detail=one["detail"], pod=name, when=when)
            for one in self._explain(name, str(ticket))["reasons"]
        ]

    def _explain(self, name: str, *ticket: str) -> Any:
        arguments = ["explain", *ticket, "--json", "--config", str(self._settings(name))]
        return ask(arguments, env=self._env, folder=self._folder)

    def _settings(self, name: str) -> Path:
        return self._folder / name / "agent.toml"


def configuration(
    name: str, stage: Stage, repository: Path, coder: Coder, *, store: Path, users: Iterable[int], sandbox: str
) -> str:
    """The settings of one pod, as TOML. JSON's strings and lists are TOML's."""
    lines = [
        f"pod = {json.dumps(name)}",
        'state = "state"',
        "[board]",
        f"url = {json.dumps(stage.url)}",
        'token_file = "token"',
        f"fleet_users = {json.dumps(list(users))}",
        f"[repositories.{stage.project}]",
        f"url = {json.dumps(str(repository))}",
        f"base = {json.dumps(BASE)}",
        "[model]",
        *coder.settings,
        "[sandbox]",
        f"kind = {json.dumps(sandbox)}",
        f"readable = {json.dumps(coder.readable)}",
        "[nix.settings]",
        *(f"{key} = {json.dumps(value)}" for key, value in private_store(store).items()),
    ]
    return "\n".join(lines) + "\n"


def secret(file: Path, token: str) -> None:
    """Write a token where only its owner reads it."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(token + "\n")


def _account(stage: Stage, login: str) -> int:
    with Hands(stage.url, stage.tokens[login], stage.project) as hands:
        return hands.me()


def _pass(name: str, one: Mapping[str, Any]) -> Pass:
    end = one.get("end") or {}
    return Pass(
        pod=name,
        ticket=one["ticket"],
        rung=one["rung"],
        kind=end.get("kind", "given back"),
        branch=end.get("branch", ""),
        commit=end.get("commit", ""),
        spike=end.get("spike"),
        reason=one.get("reason", ""),
    )
