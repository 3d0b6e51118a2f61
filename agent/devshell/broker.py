"""The Nix broker: what stands behind `nix develop` in the sandbox.

A process of the sandbox asks for a shell by its name, and gets the path of a saved script that it can read. Nothing else
that it says is believed: which repository, which files, how Nix is set, that is known here. One question at a time, a
bounded number of them, each within a limit; a caller that goes away cancels its question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec

from agent.devshell.flake import Flake, Saved
from agent.errors import AgentError, PodTrouble, TicketFailure
from agent.texts.bounded import Unreadable, from_json
from agent.texts.evidence import Redact

REQUEST_LIMIT: Final = 4096
"""Bytes of a question."""
ANSWERS: Final = 200
"""Questions of one run, of which most are answered by a saved shell."""
WAITING: Final = 8
"""Questions that wait for their turn."""
TIMEOUT: Final = 1800.0
"""Seconds for one of them, once it is its turn."""
_EVIDENCE: Final = 4000


class HasShells(Protocol):
    """What makes shells; see `agent.devshell.shells.Shells`."""

    async def get(self, flake: Flake, shell: str = "default", *, timeout: float) -> Saved:  # noqa: ASYNC109
        """The shell, saved."""
        ...


class _Question(msgspec.Struct, forbid_unknown_fields=True):
    shell: str = "default"


class Broker:
    """Answers the questions of one run.

    Args:
        flake: lists the files of the run's checkout, as they are now.
        shells: makes and keeps the shells.
        redact: takes out of the answers what must not be shown.
        timeout: seconds for one question.
        answers: how many questions in all.

    Attributes:
        trouble: why the host could not do it the last time; empty if it could.
    """

    def __init__(
        self,
        *,
        flake: Callable[[], Awaitable[Flake]],
        shells: HasShells,
        redact: Redact,
        timeout: float = TIMEOUT,
        answers: int = ANSWERS,
    ) -> None:
        self._flake = flake
        self._shells = shells
        self._redact = redact
        self._timeout = timeout
        self._left = answers
        self._waiting = 0
        self._turn = asyncio.Lock()
        self.trouble = ""

    async def __call__(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """The status and the document of an answer: `script` and `folder`, or `refused` and perhaps `evidence`."""
        try:
            question = from_json(body, _Question, longest=REQUEST_LIMIT)
        except Unreadable:
            return _refused(400, 'the question must be {"shell": "NAME"} and nothing more')
        if self._waiting >= WAITING:
            return _refused(429, f"{WAITING} calls of `nix develop` wait already: let them end first")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._answer(question.shell)
        finally:
            self._waiting -= 1

    async def _answer(self, shell: str) -> tuple[int, dict[str, Any]]:
        if self._left <= 0:
            return _refused(
                429, "this run has asked for development shells too often: work in the one that it has, without `nix`"
            )
        self._left -= 1
        self.trouble = ""
        try:
            async with asyncio.timeout(self._timeout):
                flake = await self._flake()
                saved = await self._shells.get(flake, shell, timeout=self._timeout)
        except TimeoutError:
            return _refused(403, f"the development shell was not ready after {self._timeout:.0f} s: make it smaller")
        except TicketFailure as failure:
            return _refused(403, self._redact(failure.reason), self._redact(failure.evidence)[-_EVIDENCE:])
        except PodTrouble as trouble:
            self.trouble = str(trouble)
            return _refused(503, f"no development shell can be made just now: {self._redact(self.trouble)}")
        except AgentError as error:
            return _refused(500, self._redact(str(error)))
        return 200, {"script": str(saved.script), "folder": str(flake.folder)}


def _refused(status: int, sentence: str, evidence: str = "") -> tuple[int, dict[str, Any]]:
    return status, {"refused": sentence} | ({"evidence": evidence} if evidence else {})
