"""Spikes: the one child that asks a person, made once per failed run (DESIGN, section 3, failure)."""

from __future__ import annotations

from typing import Final

from loguru import logger

from agent.board.query import one_of
from agent.claim.protocol import Protocol
from agent.claim.swap import Outcome, swap
from agent.errors import Conflict, Refused, TooLarge, Unreachable
from agent.model import BoardText, Changes, Draft, Fleet, WorkPackage
from agent.texts import report, trail
from agent.texts.report import Event

POSTS: Final = 4
"""How often a Spike's creation is tried: each time after a look for one that landed unheard."""


class Spikes:
    """Finds, makes and tidies the Spikes of tickets."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._board = protocol.board

    async def of_ticket(self, ticket: int) -> list[WorkPackage]:
        """Every Spike below a ticket in full, open or closed, oldest first."""
        fleet = self._protocol.fleet
        below = [one_of("parent", [ticket]), one_of("type", fleet.spikes)]
        return await self._board.work_packages(below, "Spikes of the ticket")

    async def of_run(self, ticket: WorkPackage, run: str) -> list[WorkPackage]:
        """The fleet's own with this run's marker: one of them, even a closed one, means that a person was asked."""
        marked = [one for one in await self.of_ticket(ticket.id) if _run_of(one) == run]
        return [one for one in marked if await self._asks(one, ticket.project)]

    async def _asks(self, spike: WorkPackage, project: int) -> bool:
        """Whether its text is the fleet's question, perhaps with the answer of somebody who counts: a marker can be copied.

        To ask twice is better than not at all, so a journal that is too long to be read says no.
        """
        fleet = self._protocol.fleet
        if not _is_by(spike, fleet):
            return False
        try:
            journal = await self._board.activities(spike.id, f"who wrote Spike #{spike.id}")
        except TooLarge as large:
            logger.warning("Spike #{} is not taken for a question of ours: {}", spike.id, large)
            return False
        return all(fleet.counts(one, project) for one in trail.described_by(journal) - fleet.users)

    async def ask(self, ticket: WorkPackage, run: str, description: BoardText, known: int = 0) -> int:
        """The number of this run's Spike, made unless it is there.

        Args:
            ticket: below which.
            run: whose question it is.
            description: the question, with its marker.
            known: the Spike that this run has made before, whatever a person has written into it since; 0 if none.

        Raises:
            Refused: the board does not let this account create one there.
            Unreachable: nobody knows whether it was made.
        """
        if known and any(one.id == known for one in await self.of_ticket(ticket.id)):
            return known
        responsible = self._responsible(ticket)
        for left in reversed(range(POSTS)):
            there = await self.of_run(ticket, run)
            if there:
                return there[0].id
            draft = Draft(
                project=ticket.project,
                type=min(self._protocol.fleet.spikes),
                subject=report.spike_subject(ticket.id, ticket.subject),
                description=description,
                parent=ticket.id,
                responsible=responsible,
            )
            try:
                return await self._checked(
                    await self._board.create(draft, f"Spike for #{ticket.id}", notify=True), ticket
                )
            except (Unreachable, Conflict) as unsettled:
                if not left:
                    raise
                logger.info("#{}: the Spike is not settled, looking again: {}", ticket.id, unsettled)
            except Refused as refusal:
                if responsible is None or refusal.attribute != "responsible":
                    raise
                responsible = None
        raise AssertionError("unreachable")

    async def _checked(self, made: WorkPackage, ticket: WorkPackage) -> int:
        """An unknown type becomes the default one without a word (reference, section 4), and a Task would be worked on."""
        if made.type in self._protocol.fleet.spikes and made.parent == ticket.id:
            return made.id
        await self._close(made)
        raise Refused(f"The board made #{made.id} for a Spike, of another type or elsewhere: see `agent doctor`")

    async def close_surplus(self, ticket: int) -> None:
        """Of several open Spikes of one run the lowest stays: a POST that was given up may land late."""
        fleet = self._protocol.fleet
        opened: dict[str, list[WorkPackage]] = {}
        for spike in await self.of_ticket(ticket):
            run = _run_of(spike)
            if run and spike.status not in fleet.closed and _is_by(spike, fleet):
                opened.setdefault(run, []).append(spike)
        several = {run: mine for run, mine in opened.items() if len(mine) > 1}
        asking = {run: [one for one in mine if await self._asks(one, one.project)] for run, mine in several.items()}
        surplus = [(run, mine[0].id, spike) for run, mine in asking.items() for spike in mine[1:]]
        for run, stays, spike in surplus:
            if Event.SPIKE_DUPLICATE not in await self._protocol.events(spike.id, run):
                await self._protocol.say(spike.id, report.spike_duplicate(run, stays=stays), "a Spike too many")
            await self._close(spike)

    async def reopen(self, spike: WorkPackage, run: str, line: str, *, said: bool, never: bool) -> bool:
        """Open a Spike again that was closed by somebody whose word does not count; the sentence first, so that it is there.

        Args:
            spike: as it was read.
            run: whose run asks again.
            line: why, as it stands on the Spike.
            said: whether that is there already.
            never: whether such a closing counts as little the next time.

        Returns:
            Whether it is open now; False where the workflow refuses it.
        """
        if not said:
            text = report.spike_reopened(run, why=line, never=never)
            await self._protocol.say(spike.id, text, "closed by whom?", notify=True)
        fleet, board = self._protocol.fleet, self._board
        done = await swap(
            board,
            lambda: board.work_package(spike.id, "the Spike to open again"),
            lambda now: Changes(status=fleet.ready) if now.status in fleet.closed else None,
            f"open Spike #{spike.id} again",
        )
        if done.outcome is Outcome.UNSETTLED:
            raise Unreachable(f"Spike #{spike.id} could not be opened again: the board does not settle it")
        if done.refusal is not None:
            logger.warning("Spike #{} cannot be opened again: {}", spike.id, done.refusal)
        return done.outcome in (Outcome.WRITTEN, Outcome.LEFT)

    async def _close(self, spike: WorkPackage) -> None:
        fleet, board = self._protocol.fleet, self._board
        preferred = [*(one for one in fleet.done if one in fleet.closed), *sorted(fleet.closed)]
        for status in dict.fromkeys(preferred):
            wanted = Changes(status=status)
            done = await swap(
                board,
                lambda: board.work_package(spike.id, "the Spike to close"),
                lambda now: wanted if now.status not in fleet.closed else None,  # noqa: B023 - awaited at once
                f"close surplus Spike #{spike.id}",
                start=spike,
            )
            if done.outcome is not Outcome.REFUSED:
                if done.written is None:
                    logger.info("Spike #{} is left to the next sweep: {}", spike.id, done.outcome.value)
                return
            if isinstance(done.refusal, Refused) and done.refusal.attribute != "status":
                raise done.refusal

    def _responsible(self, ticket: WorkPackage) -> int | None:
        """The ticket's, else its author if a person."""
        fleet = self._protocol.fleet
        if ticket.responsible is not None and ticket.responsible.kind == "users":
            return ticket.responsible.id
        author = ticket.author
        return author.id if author is not None and author.id not in fleet.users else None


def _is_by(spike: WorkPackage, fleet: Fleet) -> bool:
    return spike.author is not None and spike.author.id in fleet.users


def _run_of(spike: WorkPackage) -> str:
    mark = report.parse_marker(spike.description)
    return mark.run if mark is not None else ""
