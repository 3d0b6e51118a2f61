"""How a run ends on the board: done, failed, interrupted, stopped (DESIGN, sections 3 and 5).

Every step looks first whether it is done, so that a kill between any two of them and a restart end in the same board.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from loguru import logger
from msgspec import Struct
from msgspec.structs import replace

from agent import epics
from agent.claim import checking, ending
from agent.claim.ending import Cause, How
from agent.claim.protocol import Protocol
from agent.claim.value import Claim
from agent.errors import LifetimeOver, NotFound, Refused, Superseded
from agent.git.kept import Kept
from agent.model import BoardText, WorkPackage
from agent.spikes import Spikes
from agent.state import RecordedClaim, RecordedFailure
from agent.texts import report, trail
from agent.texts.report import Event
from agent.texts.where import NOWHERE, Where

TROUBLED_RELEASES: Final = 3
"""After so many releases for a pod's trouble, with nobody saying a word, the trouble comes with the ticket."""

TAKEN_FOR_A_BUG: Final = "it was taken for a bug only"
"""Why an Epic goes back with a bug."""

_OWN_ENDS: Final = frozenset(
    {Event.PUSHED, Event.ALREADY_DONE, Event.FAILED, Event.STOPPED, Event.GIVEN_BACK, Event.REFUSED}
)
"""What a run says of its own end: then nothing of it is left to be said."""

Leave = Callable[[], Awaitable[Where]]
"""Ends what runs on this host for a run, and keeps what is in its worktree."""

CHANGED_TEXTS: Final = 2
"""How often a ticket whose text changed during the run is worked on again."""


class Links(Struct, frozen=True):
    """Where people look at branches and commits; both give "" where no address is known."""

    branch: Callable[[str], str] = lambda _: ""
    commit: Callable[[str], str] = lambda _: ""


class Reporter:
    """The report of one run.

    Args:
        protocol: the claim's protocol.
        claim: the claim, with what the state remembers of it.
        tries: how often a run is tried before its pod gives it back.
        links: addresses for people.
    """

    def __init__(self, protocol: Protocol, claim: Claim, *, tries: int, links: Links | None = None) -> None:
        self.claim = claim
        self._protocol = protocol
        self._board = protocol.board
        self._memory = protocol.memory
        self._spikes = Spikes(protocol)
        self.tries = tries
        self._links = links or Links()
        self._run = claim.token.run
        self._said: frozenset[str] | None = None if claim.token.attempt > 1 else frozenset()

    @property
    def record(self) -> RecordedClaim:
        """What the state remembers of the claim."""
        return self.claim.record

    # -- the fence -------------------------------------------------------------------------------------------------

    async def fence(self) -> WorkPackage:
        """Immediately before each effect: still mine, and within the lifetime.

        Raises:
            Superseded: it is not.
            LifetimeOver: nothing may be written any more.
        """
        now = self._memory.now()
        if self.record.left(now.at, now.boot) <= 0:
            raise LifetimeOver(f"#{self.claim.ticket}: the lifetime of the claim is over")
        return await checking.check(self._protocol, self.claim)

    async def once(self, event: Event, text: BoardText, *, notify: bool = False) -> None:
        """A comment on the ticket, unless this run has written it before."""
        if event not in await self.events():
            await self._protocol.say(self.claim.ticket, text, event.value, notify=notify)
            self._said = (self._said or frozenset()) | {event.value}

    async def events(self) -> frozenset[str]:
        """What this run has said already; asked of the board once, and only after a take-over."""
        if self._said is None:
            self._said = await self._protocol.events(self.claim.ticket, self._run)
        return self._said

    def remember(self, record: RecordedClaim) -> None:
        """Keep a change of the record, on disk before anything depends on it."""
        self.claim = replace(self.claim, record=record)
        self._memory.record(record)

    # -- done ------------------------------------------------------------------------------------------------------

    async def done(self, branch: str, commit: str, *, changed_text: bool = False, pushed: bool = True) -> None:
        """The result is on the remote: say so, then the last PATCH.

        Args:
            branch: where it is.
            commit: which one it is.
            changed_text: the ticket's text changed during the run, so that it goes back to ready.
            pushed: by this run; False where an earlier one had done the work already.

        Raises:
            Superseded: the ticket is not ours any more; the branch is, and stays.
        """
        commit_url, branch_url = self._links.commit(commit), self._links.branch(branch)
        await self.fence()
        if self.record.starter and pushed:
            url = self._links.commit(self.record.starter)
            text = report.starter_added(self._run, commit=self.record.starter, commit_url=url)
            await self.once(Event.STARTER_ADDED, text)
        if self.record.completion:
            await self.once(Event.COMPLETED, self.record.completion)
        say, event = (report.pushed, Event.PUSHED) if pushed else (report.already_done, Event.ALREADY_DONE)
        where = say(self._run, branch=branch, commit=commit, branch_url=branch_url, commit_url=commit_url)
        await self.once(event, where)
        if changed_text:
            text = report.text_changed(self._run, commit=commit, commit_url=commit_url)
            await self.once(Event.TEXT_CHANGED, text)
            await self._last_patch(Cause.TEXT_CHANGED, (self._protocol.fleet.ready,))
        else:
            self._leave_worktree()
            await self._last_patch(Cause.DONE, self._protocol.fleet.done)
            self._memory.change(lambda state: state.without_text(self.claim.ticket))
        await self._settle()

    def _leave_worktree(self) -> None:
        """A worktree that no other ticket shares is needed no more; noted, for a pod that dies before it is cleared away."""
        if self.claim.epic is None:
            self._memory.change(lambda state: state.with_litter(self.claim.ticket, self.claim.project))

    async def _last_patch(self, cause: Cause, statuses: tuple[int, ...]) -> None:
        """The first of these statuses that the workflow allows."""

        async def fence() -> WorkPackage:
            """The fence; what it refuses may be what an unanswered last PATCH has done."""
            try:
                return await self.fence()
            except Superseded:
                now = await self._already(statuses)
                if now is None:
                    raise
                return now

        ended = await ending.end(self._protocol, self.claim, How(cause=cause, to=statuses, fence=fence))
        if ended.refusal is not None:
            await self.refused(ended.refusal)

    async def _already(self, statuses: tuple[int, ...]) -> WorkPackage | None:
        """The ticket, if an unanswered last PATCH was applied after all."""
        try:
            now = await self._board.work_package(self.claim.ticket, "whether it is done")
        except NotFound:
            return None
        return now if not now.run and now.status in statuses else None

    async def refused(self, refusal: Refused, leave: Leave | None = None) -> None:
        """The board does not take the report: let go, leave the status, and say what was refused."""
        logger.error("#{}: the board refuses the report: {}", self.claim.ticket, refusal)
        pod = self.claim.token.pod

        def word(where: Where) -> BoardText:
            return report.refused_report(self._run, refused=str(refusal), pod=pod, where=where)

        await ending.end(self._protocol, self.claim, How(cause=Cause.REFUSED, word=word, always=True), leave)
        await self._settle()

    # -- failed ----------------------------------------------------------------------------------------------------

    async def failed(self, failure: RecordedFailure, where: Where, spent: report.Spent | None) -> int | None:
        """Comment, Spike, its number, back to ready: in this order, so that no failed run is offered without a Spike.

        Args:
            failure: how it failed.
            where: the failed work, if there is any.
            spent: what it has cost, as far as that was counted.

        Returns:
            The number of the Spike; None where the board refused it.
        """
        ticket = await self.fence()
        text = report.failed(self._run, reason=failure.reason, evidence=failure.evidence, spent=spent, where=where)
        await self.once(Event.FAILED, text, notify=True)
        ticket = await self.fence()
        description = report.spike_description(
            self._run,
            ticket=ticket.id,
            reason=failure.reason,
            question=failure.question,
            evidence=failure.evidence,
            change=failure.change,
            diff=failure.diff,
            where=where,
        )
        try:
            spike = await self._spikes.ask(ticket, self._run, description, self.record.spike)
        except Refused as refusal:
            await self.refused(refusal)
            return None
        if spike != self.record.spike:
            self.remember(replace(self.record, spike=spike))
        await self.once(Event.SPIKE_CREATED, report.spike_created(self._run, spike=spike))
        await self._spikes.close_surplus(ticket.id)
        ticket = await self.fence()
        restore = self.record.schedule_manually_before and not ticket.schedule_manually
        self._leave_worktree()
        ended = await ending.end(self._protocol, self.claim, How(cause=Cause.FAILED, schedule_manually=restore))
        if ended.refusal is not None:
            await self.refused(ended.refusal)
            return spike
        self._memory.change(lambda state: state.without_text(self.claim.ticket))
        await self._settle()
        return spike

    # -- neither ---------------------------------------------------------------------------------------------------

    def troubled(self, reason: str) -> None:
        """The pod cannot go on: remembered with the claim, and it backs off."""
        now = self._memory.now()
        self.remember(replace(self.record, trouble=reason))
        self._memory.change(lambda state: state.with_trouble(reason, now.at, now.boot))

    async def interrupted(self, reason: str, leave: Leave) -> RecordedFailure | None:
        """Pod trouble: keep the claim while a resume is worth it, then give it back with one comment.

        Returns:
            A failure, where the trouble has come with this ticket too often to be the pod's.
        """
        attempt = self.claim.token.attempt
        self.troubled(reason)
        if self.record.failure is not None:
            return self.record.failure
        now = self._memory.now()
        if attempt < self.tries and self.record.left(now.at, now.boot) > 0:
            text = report.interrupted(self._run, reason=reason, attempt=attempt, tries=self.tries)
            await self._protocol.say(self.claim.ticket, text, "interrupted")
            return None
        activities = await self._board.activities(self.claim.ticket, "how often it was given back")
        fleet = self._protocol.fleet
        counts = partial(fleet.counts, project=self.claim.project)
        if trail.releases_since_person(activities, fleet.users, counts) >= TROUBLED_RELEASES:
            return RecordedFailure(f"every pod has trouble with this ticket: {reason}")
        await self.fence()
        await self.give_up(reason, leave)
        return None

    async def give_up(self, reason: str, leave: Leave) -> None:
        """Give the claim back for this pod's trouble, with one comment: they are counted."""
        pod = self.claim.token.pod

        def word(where: Where) -> BoardText:
            return report.given_back(self._run, pod=pod, reason=reason, where=where)

        await ending.end(self._protocol, self.claim, How(cause=Cause.INTERRUPTED, word=word, always=True), leave)
        await self.release_epic()

    def where(self, kept: Kept | None) -> Where:
        """Where work is and how people get it."""
        if kept is None:
            return NOWHERE
        if kept.branch:
            return Where(place=kept.branch, url=self._links.branch(kept.branch))
        if kept.ref:
            return Where(place=kept.ref, fetch=kept.ref, commit=kept.commit)
        return Where(place=kept.bundle, host=self.claim.token.pod, refusal=kept.refusal, commit=kept.commit)

    def stays(self, trouble: str = "") -> Where:
        """What a run had begun stays on this host: the remote does not take it now."""
        if not self.record.branch:
            return NOWHERE
        return Where(place=f"the worktree of run {self._run}", host=self.claim.token.pod, refusal=trouble)

    async def stopped(self, why: str, leave: Leave) -> None:
        """Somebody changed the ticket under the run: give back what is still ours and say where the work is."""

        def word(where: Where) -> BoardText:
            return report.stopped(self._run, change=why, where=where)

        self._leave_worktree()
        await ending.end(self._protocol, self.claim, How(cause=Cause.STOPPED, word=word, always=True), leave)
        await self.release_epic()

    async def lost(self, why: str, leave: Leave) -> None:
        """The board does not show the claim any more: what the run had done is kept, and told if there is anything."""

        def word(where: Where) -> BoardText | None:
            return report.stopped(self._run, change=why, where=where) if where.place else None

        told = await self._told_of_its_end()
        how = How(cause=Cause.LOST, word=None if told else word, always=True)
        await ending.end(self._protocol, self.claim, how, None if told else leave)

    async def _told_of_its_end(self) -> bool:
        try:
            return bool(await self._protocol.events(self.claim.ticket, self._run) & _OWN_ENDS)
        except (NotFound, Refused):
            return False  # it is gone or hidden from the fleet, and so is who would read it

    async def _settle(self) -> None:
        """The run has its verdict: nothing of it is left to remember, and an Epic taken for a bug goes back."""
        self._memory.change(lambda state: state.without_ticket(self.claim.ticket).with_verdict())
        await self.release_epic()

    async def release_epic(self) -> None:
        """An Epic taken for a bug is released with the bug's last PATCH: bugs go before features."""
        epic, state = self.claim.epic, self._memory.state
        if epic is None or not any(one.taken_for == self.claim.ticket for one in state.of_ticket(epic)):
            return
        await epics.release(self._protocol, epic, TAKEN_FOR_A_BUG)


def with_failure(record: RecordedClaim, failure: RecordedFailure) -> RecordedClaim:
    """The record of a run that failed."""
    return replace(record, failure=failure)
