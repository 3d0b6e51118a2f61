"""What a pod holds when a pass begins: the run to finish, and what others have done to its claims meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from functools import partial

from loguru import logger

from agent import choose
from agent.attempt import Attempt, Place
from agent.board.query import one_of
from agent.claim import ending, rules
from agent.claim.ending import Cause, How
from agent.claim.protocol import Protocol
from agent.claim.value import Claim
from agent.errors import NotFound, PodTrouble, Refused, TicketFailure, TooLarge
from agent.execution import Execution
from agent.model import WorkPackage
from agent.places import Places
from agent.reporting import Reporter
from agent.state import State
from agent.texts import claim_token, report
from agent.texts.where import Where


class Runs:
    """Makes the runs of this pod's claims.

    Args:
        protocol: claims, with board, fleet and memory behind it.
        execution: how model and verify are run.
        tries: how often a run is tried.
        say: what the screen shows, one line at a time.
    """

    def __init__(self, protocol: Protocol, execution: Execution, *, tries: int, say: Callable[[str], None]) -> None:
        self.protocol = protocol
        self.execution = execution
        self._tries = tries
        self._say = say

    def attempt(self, claim: Claim, place: Place) -> Attempt:
        """The next try of a run, or its end."""
        reporter = self.reporter(claim, place)
        return Attempt(self.protocol, reporter, place=place, execution=self.execution, say=self._say)

    def reporter(self, claim: Claim, place: Place | None = None) -> Reporter:
        """How it ends on the board."""
        links = place.links if place is not None else None
        return Reporter(self.protocol, claim, tries=self._tries, links=links)


class Settling:
    """Reads what is this pod's, and ends what is so no more.

    Args:
        runs: of its claims.
        places: where their work is.
    """

    def __init__(self, runs: Runs, places: Places) -> None:
        self._protocol = runs.protocol
        self._board = runs.protocol.board
        self._memory = runs.protocol.memory
        self._execution = runs.execution
        self._runs = runs
        self._places = places

    async def read_mine(self, claims_seen: frozenset[str] | None) -> list[WorkPackage]:
        """What the board shows as this pod's, and everything that the state recorded.

        Args:
            claims_seen: every token on the board, where this pass has seen them.
        """
        fleet, fields = self._protocol.fleet, self._board.fields
        kinds = fleet.executable | fleet.epics
        filters = [one_of(fields.pod, [fleet.pod]), one_of("status", [fleet.active]), one_of("type", kinds)]
        found: dict[int, WorkPackage] = {}
        if self._may_hold_something(claims_seen):
            found = {one.id: one for one in await self._board.work_packages(filters, "what is mine")}
        for number in sorted(self._memory.state.tickets() - found.keys()):
            try:
                found[number] = await self._board.work_package(number, "what the state recorded")
            except (NotFound, Refused):
                await self._leave_lost(number, "it is gone or hidden from the fleet")
                self._memory.forget_ticket(number)
            except TooLarge as large:
                logger.warning("#{} is left alone: {}", number, large)
        return list(found.values())

    def _may_hold_something(self, claims_seen: frozenset[str] | None) -> bool:
        """False where this pass has seen every token on the board, and none in this pod's name."""
        if claims_seen is None:
            return True
        return any(token.pod == self._protocol.fleet.pod for token in map(claim_token.parse, claims_seen) if token)

    async def settle(self, mine: Iterable[WorkPackage]) -> tuple[WorkPackage, Claim] | None:
        """The run to finish, if there is one; what a person has changed meanwhile is given back on the way."""
        fleet = self._protocol.fleet
        unfinished = None
        for item in mine:
            await self._forget_ended(item)
            claim = Claim.mine(self._memory.state, item)
            if claim is None:
                await self._judge_foreign(item)
                continue
            moved = (item.project, item.type) != (claim.project, claim.type)
            if choose.is_unfinished(item, fleet) and not moved:
                unfinished = unfinished or (item, claim)
            elif item.type not in fleet.epics:
                await self._let_go(item, claim)
        return unfinished

    async def _judge_foreign(self, item: WorkPackage) -> None:
        """A token in this pod's name that is no claim of this work package: a copy is given back, with a word."""
        shown, fleet = Claim.shown(item), self._protocol.fleet
        if shown is None:
            return
        original = self._memory.state.held_elsewhere(item.id, item.run)
        if original is not None:
            logger.warning("#{} is a copy of #{}, and of its claim: it goes back", item.id, original)
            run, number = shown.token.run, original
            how = How(cause=Cause.COPIED, word=lambda _: report.copied(run, original=number))
            await ending.end(self._protocol, shown, how)
        elif shown.token.pod == fleet.pod and item.status == fleet.active:
            logger.error(
                "#{} carries a token in the name of {} that this pod never wrote: another host has this name, "
                "or the state folder was lost. It is left to expire, or to `agent release {}`.",
                item.id, fleet.pod, item.id,
            )  # fmt: skip

    async def _forget_ended(self, item: WorkPackage) -> None:
        """Forget the tokens that have ended: older than the shown one, replaced by another's, or too old to land still.

        One that is newer than the shown one may still be on its way. What a run had done that the board does not show
        any more is kept first.
        """
        why = "the claim is another's now" if item.run else "the claim was cleared"
        await self._leave_lost(item.id, why, item.run)
        now = self._memory.now()
        claims = self._memory.state.of_ticket(item.id)
        known = self._memory.state.recorded(item.id, item.run)
        shown = next((n for n, claim in enumerate(claims) if claim == known), None)
        for n, claim in enumerate(claims):
            replaced = shown is None and bool(item.run)
            if n != shown and (replaced or (shown is not None and n < shown) or claim.left(now.at, now.boot) <= 0):
                self._memory.forget(item.id, claim.token)

    async def _leave_lost(self, ticket: int, why: str, shown: str = "") -> None:
        """A run that had begun to work, and that the board shows no more: its end is this pod's to finish."""
        token = claim_token.parse(shown)
        claims = (Claim.recorded(one) for one in self._memory.state.of_ticket(ticket) if one.branch)
        begun = [one for one in claims if one is not None and (token is None or one.token.run != token.run)]
        if not begun:
            return
        claim = begun[-1]
        try:
            place = await self._places.of(claim.project)
        except PodTrouble as trouble:
            logger.warning("#{}: what its run had done stays on this host: {}", ticket, trouble)
            await self._runs.reporter(claim).lost(why, partial(self._stays, claim, str(trouble)))
        else:
            await self._runs.attempt(claim, place).lost(why)
        for one in begun:
            self._memory.forget(ticket, one.record.token)

    async def _stays(self, claim: Claim, trouble: str) -> Where:
        """End what runs here for a claim whose repository cannot be used: what lies there stays."""
        await self._execution.clear(claim.token.run)
        return self._runs.reporter(claim).stays(trouble)

    async def _let_go(self, item: WorkPackage, claim: Claim) -> None:
        """A person changed the ticket while this pod was away: the work is kept, what is still ours goes back."""
        why = rules.ticket_lost(item, claim, claim.epic, self._protocol.fleet) or "this pod was away"
        try:
            place = await self._places.of(claim.project)
        except PodTrouble as trouble:
            logger.warning("#{}: its work stays on this host: {}", item.id, trouble)
            await self._runs.reporter(claim).stopped(why, partial(self._stays, claim, str(trouble)))
        else:
            await self._runs.attempt(claim, place).abandon(why)

    async def clear_litter(self, mine: Iterable[WorkPackage], going_on: int | None) -> None:
        """What a pod that died after its run's last step could not clear away any more."""
        state = self._memory.state
        living = (Claim.mine(state, one) for one in mine)
        await self._execution.tidy({claim.token.run for claim in living if claim is not None})
        for ticket, project in state.litter.items():
            if ticket != going_on:
                with contextlib.suppress(PodTrouble, TicketFailure, OSError):
                    await (await self._places.of(project)).repository.discard(ticket)
            self._memory.change(partial(State.without_litter, ticket=ticket))

    async def can_resume(self, item: WorkPackage, claim: Claim) -> bool:
        """Whether the repository and this host can be used; at the end of its lifetime the claim is given back if not.

        Raises:
            PodTrouble: this host cannot work at all.
        """
        if await self._places.answers(item.project):
            return True
        now = self._memory.now()
        if claim.record.left(now.at, now.boot) <= 0:
            trouble = self._places.troubles[item.project]
            await self._runs.reporter(claim).give_up(trouble, partial(self._stays, claim, trouble))
        return False
