"""The state of a pod, on disk before anything depends on it."""

from __future__ import annotations

from collections.abc import Callable

from agent.clock import Clock
from agent.state import Reading, RecordedClaim, State
from agent.state_folder import StateFolder
from agent.texts.claim_token import Key


class Memory:
    """The present state; every change is saved before the call returns.

    Args:
        folder: where it is kept; the caller holds its lock.
        clock: for the moments that are recorded.
        kept: save changes; else they end with this object, for commands that do not hold the lock.
    """

    def __init__(self, folder: StateFolder, clock: Clock, *, kept: bool = True) -> None:
        self._folder = folder
        self._clock = clock
        self._kept = kept
        self.state = folder.load()

    def change(self, step: Callable[[State], State]) -> None:
        """Replace the state by what `step` makes of it."""
        after = step(self.state)
        if after != self.state:
            if self._kept:
                self._folder.save(after)
            self.state = after

    def now(self) -> Reading:
        """This moment by the boot clock."""
        return Reading(self._clock.monotonic(), self._clock.boot_id())

    @property
    def mine(self) -> frozenset[Key]:
        """The claims whose end is not known."""
        return frozenset(key for claim in self.state.claims if (key := claim.key) is not None)

    def record(self, claim: RecordedClaim) -> None:
        """Remember a claim; before it is sent, since the answer may be lost."""
        self.change(lambda state: state.with_claim(claim))

    def forget(self, ticket: int, token: str) -> None:
        """The end of this claim is known."""
        self.change(lambda state: state.without(ticket, token))

    def forget_ticket(self, ticket: int) -> None:
        """The work package is gone, or its run has its verdict."""
        self.change(lambda state: state.without_ticket(ticket))
