"""Claims on the board: every change of hands is one compare-and-swap, and content decides, never an error code.

DESIGN, section 3, with the models behind it. A token is in the state folder before it is sent, so that a crash at any
point leaves a claim that its pod recognises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from loguru import logger
from msgspec import UNSET, Struct
from msgspec.structs import replace

from agent import choose, ownership
from agent.board.client import Board
from agent.board.discovery import assignable_in, users_of
from agent.board.query import one_of
from agent.choose import Reason, Why
from agent.clock import Clock, Randomness
from agent.errors import Conflict, Ignored, NotFound, Refused, Superseded, TooLarge, Unreachable
from agent.memory import Memory
from agent.model import BoardText, Changes, Fleet, WorkPackage
from agent.ownership import Held
from agent.scan import Candidate, read_around
from agent.state import RecordedClaim
from agent.texts import claim_token, report, trail
from agent.texts.claim_token import ClaimToken

FORBIDDEN: Final = 403

COMMENTS: Final = 3
"""How often a comment is posted when the board does not answer: each time after a look for the one before."""

SWAPS: Final = 5
"""How often a compare-and-swap is repeated while the work package still allows it: children bump their ancestors."""


class Claimed(Struct, frozen=True):
    """A claim that was made and checked."""

    held: Held
    record: RecordedClaim
    ticket: WorkPackage
    epic: WorkPackage | None


class Lost(Struct, frozen=True):
    """A claim that came to nothing; `whole_epic` where its Epic is somebody else's."""

    whys: tuple[Why, ...] = ()
    whole_epic: bool = False


class Protocol:
    """Claim, renew, check, give back: the writes that decide who works on what."""

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
        """Who is who, with the tokens that are mine at this moment."""
        refused = frozenset(self.memory.state.refused.items())
        return replace(self._fleet, mine=self.memory.mine, refused=refused)

    async def who_counts(self, project: int) -> Fleet:
        """The same, with whom work in a project can be assigned to now: before a word lets something through."""
        now = users_of(await assignable_in(self.board, project) or ())
        return replace(self.fleet, assignable={**self._fleet.assignable, project: now})

    # -- claiming --------------------------------------------------------------------------------------------------

    async def claim(self, candidate: Candidate) -> Claimed | Lost:
        """The Epic first, so that one Epic has one writer, then the ticket, then a second look at what is around it.

        Raises:
            Unreachable: the board fell silent; what was written will be found by rung 1.
        """
        before, epic = candidate.ticket, candidate.epic
        if epic is not None:
            owned = choose.is_mine(epic, self.fleet)
            epic = await self.hold_epic(epic, before.id if before.type in self.fleet.bugs else 0)
            if epic is None:
                return Lost(whole_epic=True)
            await self.announce(epic, fresh=not owned)
        token = self._new_token(before)
        record = RecordedClaim(
            ticket=before.id,
            token=str(token),
            born=self.memory.now(),
            pod=token.pod,
            epic=epic.id if epic is not None else None,
            project=before.project,
            type=before.type,
        )
        ticket = await self._swap(before, record, lambda one: not choose.own_reasons(one, self.fleet))
        if ticket is None:
            refusal = self.refusals.get(before.id)
            return Lost(whys=(Why(Reason.REFUSED, str(refusal)),) if refusal else ())
        record = replace(record, schedule_manually_before=ticket.schedule_manually)
        self.memory.record(record)
        whys = await self.second_look(ticket)
        if whys:
            await self.try_give_back(ticket.id, token)
            return Lost(whys=tuple(whys))
        return Claimed(Held.of(record, token), record, ticket, epic)

    async def hold_epic(self, epic: WorkPackage, bug: int = 0) -> WorkPackage | None:
        """Claim an Epic, or renew the token of one that is mine; None = it is another's, or closed to us.

        Args:
            epic: as it was read.
            bug: the bug that it is taken for, with which it goes back; 0 if for its own sake. An Epic that was held
                for its own sake before stays so.
        """
        old = claim_token.parse(epic.run)
        known = self.memory.state.recorded(epic.id, epic.run) if choose.is_mine(epic, self.fleet) else None
        if old is not None and known is not None:
            token = old.renewed(nonce=self.randomness.nonce(), now=self.clock.now(), lifetime_s=self.lifetime)
            bug = bug if known.taken_for else 0
        else:
            token = self._new_token(epic)
        record = RecordedClaim(
            ticket=epic.id,
            token=str(token),
            born=self.memory.now(),
            pod=token.pod,
            is_epic=True,
            announced=known is not None and known.announced,
            taken_for=bug,
        )
        held = await self._swap(epic, record, lambda one: not choose.epic_reasons(one, self.fleet))
        if held is not None and old is not None:
            self.memory.forget(epic.id, str(old))
        return held

    async def announce(self, epic: WorkPackage, *, fresh: bool = False) -> None:
        """Say that this Epic was taken, once: a pod that died before it could says so when it goes on.

        Args:
            epic: with our token.
            fresh: it was taken in this very moment, so that there is nothing to look for.
        """
        record, token = self.memory.state.recorded(epic.id, epic.run), claim_token.parse(epic.run)
        if record is None or token is None or record.announced:
            return
        if fresh or report.Event.EPIC_TAKEN not in await self.events(epic.id, token.run):
            await self.say(epic.id, report.epic_taken(token.run, pod=self.fleet.pod), "Epic taken")
        self.memory.record(replace(record, announced=True))

    async def take_over(self, ticket: WorkPackage, record: RecordedClaim, old: ClaimToken) -> Claimed | None:
        """After a crash or restart: the Epic is renewed, then a new nonce and the next try.

        Returns:
            None where the ticket changed hands meanwhile.

        Raises:
            Superseded: its Epic is not this pod's any more.
            Refused: the board does not let this account write to the ticket any more.
        """
        epic = await self._renewed_epic(record.epic, record.ticket if record.type in self.fleet.bugs else 0)
        token = old.renewed(
            nonce=self.randomness.nonce(), now=self.clock.now(), attempt=old.attempt + 1, lifetime_s=self.lifetime
        )
        fresh = replace(record, token=str(token), born=self.memory.now(), attempt=token.attempt)

        def is_as_it_was(one: WorkPackage) -> bool:
            """What a person has taken, moved or re-routed meanwhile is not written over."""
            unmoved = (one.project, one.type) == (record.project, record.type)
            return ownership.same_claim(one, old) and choose.is_unfinished(one, self.fleet) and unmoved

        taken = await self._swap(ticket, fresh, is_as_it_was)
        if taken is None and ticket.id in self.refusals:
            raise self.refusals[ticket.id]
        if taken is None:
            return None
        self.memory.forget(record.ticket, record.token)
        return Claimed(Held.of(fresh, token), fresh, taken, epic)

    async def _renewed_epic(self, number: int | None, bug: int) -> WorkPackage | None:
        if number is None:
            return None
        try:
            epic = await self.board.work_package(number, "the Epic to renew")
        except NotFound as gone:
            raise Superseded(f"its Epic #{number} is gone") from gone
        why = ownership.epic_lost(epic, self.fleet)
        held = None if why else await self.hold_epic(epic, bug)
        if held is None:
            raise Superseded(why or f"its Epic #{number} is another pod's now")
        return held

    def _new_token(self, item: WorkPackage) -> ClaimToken:
        return claim_token.new(
            run=self.randomness.uuid(),
            nonce=self.randomness.nonce(),
            pod=self.fleet.pod,
            lifetime_s=self.lifetime,
            now=self.clock.now(),
            routed=bool(item.pod),
        )

    async def _swap(
        self, item: WorkPackage, record: RecordedClaim, still: Callable[[WorkPackage], bool]
    ) -> WorkPackage | None:
        """Write the token, and read again whenever the answer does not settle it."""
        fleet, text = self.fleet, record.token
        self.memory.record(record)
        in_flight = False
        for _ in range(SWAPS):
            wanted = Changes(
                status=fleet.active,
                assignee=UNSET if record.is_epic and item.assignee is not None else fleet.me,
                pod=fleet.pod,
                run=text,
            )
            try:
                return await self.board.patch(item, wanted, f"claim #{item.id}")
            except Ignored as ignored:
                logger.error("#{}: {}", item.id, ignored)
                await self._put_back(item)
                self._note_refusal(item, Refused(str(ignored)))
                break
            except Refused as refusal:
                logger.warning("#{} cannot be claimed: {}", item.id, refusal)
                self._note_refusal(item, refusal)
                break
            except NotFound:
                break
            except (Conflict, Unreachable) as unsettled:
                in_flight = in_flight or isinstance(unsettled, Unreachable)
                logger.info("#{}: the claim is not settled, reading again: {}", item.id, unsettled)
            try:
                item = await self.board.work_package(item.id, "who has it now")
            except NotFound:
                break
            if item.run == text:
                return item
            now = self.memory.now()
            if not still(item) or record.left(now.at, now.boot) <= 0:  # one that is over may have been ended by a judge
                break
        if not in_flight:
            self.memory.forget(record.ticket, text)
        return None

    def _note_refusal(self, item: WorkPackage, refusal: Refused) -> None:
        """As it is, this one cannot be claimed: another is taken until it changes."""
        self.refusals[item.id] = refusal
        self.doubtful = True
        self.memory.change(lambda state: state.with_refused(item.id, item.lock_version))

    async def _put_back(self, before: WorkPackage) -> None:
        """The claim was half written: what is still as we wrote it becomes as it was, in the same breath."""
        fleet = self.fleet
        for _ in range(SWAPS):
            now = await self.board.work_package(before.id, "what was half written")
            ours = now.assignee is not None and now.assignee.id == fleet.me
            assignee = before.assignee.id if before.assignee is not None and ours else None
            wanted = Changes(
                status=before.status if now.status == fleet.active else UNSET,
                assignee=assignee if ours else UNSET,
                pod=before.pod if now.pod == fleet.pod else UNSET,
            )
            try:
                await self.board.patch(now, wanted, f"undo the half-written claim of #{before.id}")
            except (Conflict, Unreachable):
                continue
            except (Refused, Ignored) as left:
                logger.error("#{}: its half-written claim cannot be undone: {}", before.id, left)
            return

    async def second_look(self, ticket: WorkPackage) -> list[Why]:
        """Relations, gates and Spikes do not bump a lockVersion: what came up between the choice and the claim?"""
        around = await read_around(self.board, ticket)
        return choose.surrounding_reasons(ticket, around, self.fleet)

    # -- holding ---------------------------------------------------------------------------------------------------

    async def still_mine(self, held: Held) -> WorkPackage:
        """The fence: reads ticket and Epic and compares them with the claim, immediately before an effect.

        Raises:
            Superseded: it is not ours any more, and why.
        """
        fleet = self.fleet
        try:
            ticket = await self.board.work_package(held.ticket, "is it still mine")
            outermost = None
            if held.epic is not None and held.epic in ticket.ancestors:
                outermost = await self.board.work_package(held.epic, "is its Epic still mine")
            elif ticket.ancestors:
                above = await self.board.work_packages([one_of("id", ticket.ancestors)], "which Epic it is in")
                by_id = {one.id: one for one in above}
                outermost = choose.epic_of([by_id[one] for one in ticket.ancestors if one in by_id], fleet)
        except NotFound as gone:
            raise Superseded("it is gone or hidden from the fleet") from gone
        except Refused as refusal:
            if refusal.status != FORBIDDEN:
                raise
            raise Superseded("it is hidden from the fleet") from refusal
        epic = outermost.id if outermost is not None else None
        why = ownership.ticket_lost(ticket, held, epic, fleet) or ownership.epic_lost(outermost, fleet)
        if why:
            raise Superseded(why)
        return ticket

    # -- giving back -----------------------------------------------------------------------------------------------

    async def give_back(
        self, number: int, token: ClaimToken, *, to: Sequence[int] = (), schedule_manually: bool = False
    ) -> WorkPackage | None:
        """Give back what is still ours, by compare-and-swap on this token; None = nothing was.

        Where the workflow refuses the status, everything else is given back all the same.

        Args:
            number: the work package.
            token: the claim that ends.
            to: statuses to set instead of ready, in order of preference: the first that the workflow allows.
            schedule_manually: switch it on again: a first Spike switches it off (reference, section 5.4).
        """
        choices: list[int | None] = [*(to or (self.fleet.ready,)), None]
        refused, unheard, given = "", False, None
        for _ in range(SWAPS + len(choices)):
            try:
                item = await self.board.work_package(number, "what is still ours to give back")
            except NotFound:
                break
            if not ownership.same_claim(item, token):
                given = item if unheard and not item.run else None  # it was given back, and only the answer was lost
                break
            wanted = ownership.give_back(item, token, self.fleet, to=choices[0])
            if schedule_manually:
                wanted = replace(wanted, schedule_manually=True)
            try:
                given = await self.board.patch(item, wanted, f"give back #{number}")
            except (Conflict, Unreachable) as unsettled:
                unheard = unheard or isinstance(unsettled, Unreachable)
                logger.info("#{}: giving back is not settled, reading again: {}", number, unsettled)
            except Refused as refusal:
                if choices.pop(0) is None:
                    raise
                refused = str(refusal)
                logger.warning("#{}: the board refuses the status: {}", number, refusal)
            else:
                break
        else:
            raise Unreachable(f"#{number} could not be given back: the board does not settle it")
        self.memory.forget(number, str(token))
        if given is not None and choices[0] is None and given.status == self.fleet.active:
            text = report.refused_report(token.run, refused=refused, pod=token.pod)
            await self.say(number, text, "the status was refused", notify=True)
        return given

    async def try_give_back(self, number: int, token: ClaimToken, *, to: Sequence[int] = ()) -> WorkPackage | None:
        """Give back; where the board refuses even that, the claim is left to expire and the cycle goes on."""
        try:
            return await self.give_back(number, token, to=to)
        except Refused as refusal:
            logger.error("#{}: its claim cannot be given back and is left to expire: {}", number, refusal)
            self.memory.forget(number, str(token))
            return None

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
