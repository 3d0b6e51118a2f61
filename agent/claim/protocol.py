"""What every verb of a claim needs: the board, who is who, what the pod remembers, and its voice on a ticket."""

from __future__ import annotations

from typing import Final

from loguru import logger
from msgspec.structs import replace

from agent.board.client import Board
from agent.board.discovery import assignable_in, users_of
from agent.claim.memory import Memory
from agent.clock import Clock, Randomness
from agent.errors import Conflict, NotFound, Refused, TooLarge, Unreachable
from agent.model import BoardText, Fleet, WorkPackage
from agent.texts import report, trail

COMMENTS: Final = 3
"""How often a comment is posted when the board does not answer: each time after a look for the one before."""


class Protocol:
    """One pod's side of the protocol; its verbs are `taking`, `checking` and `ending`.

    Args:
        board: where claims are.
        fleet: who is who, as it was discovered.
        memory: what the pod has recorded.
        clock: for lifetimes.
        randomness: for run ids and nonces.
        lifetime: of a claim, in seconds.
    """

    def __init__(
        self,
        board: Board,
        fleet: Fleet,
        memory: Memory,
        *,
        clock: Clock,
        randomness: Randomness,
        lifetime: int,
    ) -> None:
        self.board = board
        self._fleet = fleet
        self.memory = memory
        self.clock = clock
        self.randomness = randomness
        self.lifetime = lifetime
        self.refusals: dict[int, Refused] = {}
        """Work packages whose claim the board refused in this cycle, and its words."""
        self.doubtful = False
        """Whether the board refused something that the discovery promised: it may be out of date."""

    @property
    def fleet(self) -> Fleet:
        """Who is who, with the claims that are mine at this moment."""
        refused = frozenset(self.memory.state.refused.items())
        return replace(self._fleet, mine=self.memory.mine, refused=refused)

    async def who_counts(self, project: int) -> Fleet:
        """The same, with whom work in a project can be assigned to now: before a word lets something through."""
        now = users_of(await assignable_in(self.board, project) or ())
        return replace(self.fleet, assignable={**self._fleet.assignable, project: now})

    def note_refusal(self, item: WorkPackage, refusal: Refused) -> None:
        """As it is, this one cannot be claimed: another is taken until it changes."""
        self.refusals[item.id] = refusal
        self.doubtful = True
        self.memory.change(lambda state: state.with_refused(item.id, item.lock_version))

    async def say(self, number: int, text: BoardText, purpose: str, *, notify: bool = False) -> None:
        """A comment, at most once: after an unanswered POST its marker is looked for."""
        marker = report.parse_marker(text)
        for left in reversed(range(COMMENTS)):
            try:
                await self.board.comment(number, text, purpose, notify=notify)
            except NotFound:
                return
            except (Unreachable, Conflict) as unsettled:
                if marker is not None and marker.event in await self.events(number, marker.run):
                    return
                if not left:
                    raise
                logger.info("#{}: the comment is not settled, once more: {}", number, unsettled)
            else:
                return

    async def events(self, number: int, run: str) -> frozenset[str]:
        """What comments of the fleet's users with this run's markers say already.

        Nothing, where others wrote more there than is read: to say something twice is better than to stand before it.
        """
        try:
            activities = await self.board.activities(number, "what was said already")
        except TooLarge as large:
            logger.warning("#{}: what was said already is not known: {}", number, large)
            return frozenset()
        marks = trail.markers(activities, self.fleet.users)
        return frozenset(mark.event for _, mark in marks if mark.run == run)
