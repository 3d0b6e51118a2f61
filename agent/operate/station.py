"""What a pod is made of before anything is asked of the board."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from msgspec import Struct

from agent.board.client import Board
from agent.clock import Clock, Randomness
from agent.pod import Pod, connect, open_pod
from agent.programs.runner import Runner
from agent.settings import Ambient, Credentials, Settings
from agent.state_folder import StateFolder


class Station(Struct, frozen=True, kw_only=True):
    """The settings of one pod, its secrets, its surroundings, and who tells it the time, chance and runs its processes."""

    settings: Settings
    credentials: Credentials
    ambient: Ambient
    clock: Clock
    randomness: Randomness
    runner: Runner

    @property
    def folder(self) -> StateFolder:
        """Where this pod's state lives."""
        return StateFolder(Path(self.settings.state))

    def board(self) -> AbstractAsyncContextManager[Board]:
        """The board's client, before anything is known of the board."""
        return connect(self.settings, self.credentials, clock=self.clock, randomness=self.randomness)

    def open(self, *, look_only: bool = False) -> AbstractAsyncContextManager[Pod]:
        """The pod, connected to its board; with `look_only` its state folder stays as it is.

        Raises:
            BoardError: the board does not answer, or does not know the token.
            ConfigurationError: the board lacks something that a fleet cannot do without.
        """
        return open_pod(
            self.settings,
            self.credentials,
            self.ambient,
            clock=self.clock,
            randomness=self.randomness,
            runner=self.runner,
            look_only=look_only,
        )
