"""One pass of a pod: sweep, then down the ladder to the first rung that yields work. The heart of the fleet.

The order of effects and nothing else: what is decided, is decided in `choose`; what is written, is written by the
protocol and the reporter; clock, chance, HTTP transport and processes come in as arguments.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Final

from loguru import logger
from msgspec import Struct

from agent import choose, epics, sweep
from agent.attempt import Attempt, Place
from agent.board.query import one_of
from agent.choose import Rung
from agent.claim import ending, outbox, rules, taking
from agent.claim.ending import How, Reason
from agent.claim.protocol import Protocol
from agent.claim.taking import Lost, Taken
from agent.claim.value import Claim
from agent.daemon import Pass
from agent.ending import End, Ending
from agent.errors import BoardError, NotFound, PodTrouble, Refused, Superseded, TicketFailure, TooLarge, Unreachable
from agent.execution import Execution
from agent.git.repo import Repository
from agent.model import WorkPackage
from agent.reporting import TAKEN_FOR_A_BUG, Reporter
from agent.scan import LATER, Candidate, Scan
from agent.spikes import Spikes
from agent.state import State
from agent.texts import claim_token, report
from agent.texts.claim_token import ClaimToken
from agent.texts.where import Where

CLAIMS: Final = 20
"""How many candidates a pod loses to others in one cycle before it calls it a day."""


class Result(Struct, frozen=True, kw_only=True):
    """What one pass did."""

    outcome: Pass
    rung: Rung = Rung.NOTHING
    ticket: int | None = None
    subject: str = ""
    end: End | None = None
    reason: str = ""


class Limits(Struct, frozen=True, kw_only=True):
    """What the settings bound: seconds, and a number of tries."""

    grace: float
    tries: int


class Cycle:
    """One pod's pass over the board.

    Args:
        protocol: claims, with board, fleet and memory behind it.
        execution: how model and verify are run.
        place: asks the repository of a project; raises PodTrouble with a sentence when it cannot be used.
        limits: what the settings bound.
        say: what the screen shows, one line at a time.
    """

    def __init__(
        self,
        protocol: Protocol,
        execution: Execution,
        place: Callable[[int], Awaitable[Place]],
        *,
        limits: Limits,
        say: Callable[[str], None],
    ) -> None:
        self._protocol = protocol
        self._board = protocol.board
        self._memory = protocol.memory
        self._execution = execution
        self._ask_place = place
        self._limits = limits
        self._say = say
        self._places: dict[int, Place] = {}
        self._troubles: dict[int, str] = {}
        self._ready_to_work = False
        self._claims_seen: frozenset[str] | None = None
        self._idle: set[int] = set()
        """Epics that were taken for a bug, and the pod died before it claimed the bug."""

    async def run(self) -> Result:
        """Walk down the ladder once.

        Raises:
            BoardError: the board did not do its part; the next pass goes on from what the state recorded.
        """
        now = self._memory.now()
        if self._memory.state.sweep_is_due(now.at, now.boot, self._limits.grace / 2):
            self._claims_seen = await self._sweep()
        wait = self._memory.state.wait(now.at, now.boot)
        if wait > 0:
            reason = f"waiting {wait:.0f} s after trouble"
            logger.warning("{}", reason)
            return Result(outcome=Pass.TROUBLE, reason=reason)
        try:
            return await self._descend()
        except PodTrouble as trouble:
            now, what = self._memory.now(), str(trouble)
            self._memory.change(lambda state: state.with_trouble(what, now.at, now.boot))
            logger.error("this pod cannot work: {}", trouble)
            await self._release_idle()
            return Result(outcome=Pass.TROUBLE, reason=what)

    async def _sweep(self) -> frozenset[str] | None:
        """Every token that the board shows; None where it does not tell: others' words in a field keep nobody from work."""
        try:
            return await sweep.sweep(self._protocol, self._limits.grace)
        except Unreachable:
            raise
        except BoardError as error:
            logger.error("expired claims are left to the next pass: {}", error)
            return None

    async def _descend(self) -> Result:
        """Rungs 1 to 7, the first that yields work. A release (rung 3) is none: the walk goes on."""
        for left in await outbox.catch_up(self._protocol):
            await epics.reopen_if_needed(self._protocol, left)
        mine = await self._read_mine()
        unfinished = await self._settle(mine)
        await self._clear_litter(mine, unfinished[0].id if unfinished is not None else None)
        result = await self._finish(*unfinished) if unfinished is not None else None
        if result is not None:
            return result
        my_epics = await self._my_epics(mine)
        scan = Scan(self._board, self._protocol.fleet, my_epics, self._answers)
        result = await self._work_on_one(scan, (Rung.CONTINUE_EPIC,)) if my_epics else None
        if result is None:
            for epic in my_epics:
                await epics.release(self._protocol, epic)
            scan.own((), self._protocol.fleet.mine)
            result = await self._work_on_one(scan, LATER)
        await self._tidy_spikes(scan)
        if result is None and self._troubles and not self._places:
            raise PodTrouble("; ".join(self._troubles.values()))
        return result or Result(outcome=Pass.NOTHING)

    async def _clear_litter(self, mine: Iterable[WorkPackage], going_on: int | None) -> None:
        """What a pod that died after its run's last step could not clear away any more."""
        state = self._memory.state
        living = (Claim.mine(state, one) for one in mine)
        await self._execution.tidy({claim.token.run for claim in living if claim is not None})
        for ticket, project in state.litter.items():
            if ticket != going_on:
                with contextlib.suppress(PodTrouble, TicketFailure, OSError):
                    await (await self._place_of(project)).repository.discard(ticket)
            self._memory.change(partial(State.without_litter, ticket=ticket))

    async def _tidy_spikes(self, scan: Scan) -> None:
        for ticket in scan.surplus_spikes():
            try:
                await Spikes(self._protocol).close_surplus(ticket)
            except BoardError as left:
                logger.warning("#{}: its surplus Spikes are left to the next pass: {}", ticket, left)

    # -- rung 1 ----------------------------------------------------------------------------------------------------

    async def _read_mine(self) -> list[WorkPackage]:
        """What the board shows as this pod's, and everything that the state recorded."""
        fleet, fields = self._protocol.fleet, self._board.fields
        kinds = fleet.executable | fleet.epics
        filters = [one_of(fields.pod, [fleet.pod]), one_of("status", [fleet.active]), one_of("type", kinds)]
        found: dict[int, WorkPackage] = {}
        if self._may_hold_something():
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

    def _may_hold_something(self) -> bool:
        """False where this pass has seen every token on the board, and none in this pod's name."""
        if self._claims_seen is None:
            return True
        return any(
            token.pod == self._protocol.fleet.pod for token in map(claim_token.parse, self._claims_seen) if token
        )

    async def _settle(self, mine: Iterable[WorkPackage]) -> tuple[WorkPackage, Claim] | None:
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
            how = How(reason=Reason.COPIED, word=lambda _: report.copied(run, original=number))
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
        token = claim_token.parse(item.run)
        if token is None or not any(one.run == token.run for one in self._tokens(item.id)):
            await self._leave_lost(item.id, "the claim is another's now" if item.run else "the claim was cleared")
        now = self._memory.now()
        claims = self._memory.state.of_ticket(item.id)
        known = self._memory.state.recorded(item.id, item.run)
        shown = next((n for n, claim in enumerate(claims) if claim == known), None)
        for n, claim in enumerate(claims):
            replaced = shown is None and bool(item.run)
            if n != shown and (replaced or (shown is not None and n < shown) or claim.left(now.at, now.boot) <= 0):
                self._memory.forget(item.id, claim.token)

    def _tokens(self, ticket: int) -> list[ClaimToken]:
        return [token for one in self._memory.state.of_ticket(ticket) if (token := one.parsed()) is not None]

    async def _leave_lost(self, ticket: int, why: str) -> None:
        """A claim that its run had begun to work under, and that the board shows no more: its end is the pod's to finish."""
        begun = [one for one in self._memory.state.of_ticket(ticket) if one.branch]
        claim = Claim.recorded(begun[-1]) if begun else None
        if claim is None:
            return
        try:
            place = await self._place_of(claim.project)
        except PodTrouble as trouble:
            logger.warning("#{}: what its run had done stays on this host: {}", ticket, trouble)
            await self._execution.clear(claim.token.run)
            await self._reporter(claim).lost(why, partial(self._stays, claim, str(trouble)))
        else:
            await self._new_attempt(claim, place).lost(why)
        for one in begun:
            self._memory.forget(ticket, one.token)

    async def _stays(self, claim: Claim, trouble: str) -> Where:
        """End what runs here for a claim whose repository cannot be used: what lies there stays."""
        await self._execution.clear(claim.token.run)
        return self._reporter(claim).stays(trouble)

    async def _let_go(self, item: WorkPackage, claim: Claim) -> None:
        """A person changed the ticket while this pod was away: the work is kept, what is still ours goes back."""
        why = rules.ticket_lost(item, claim, claim.epic, self._protocol.fleet) or "this pod was away"
        try:
            place = await self._place_of(claim.project)
        except PodTrouble as trouble:
            logger.warning("#{}: its work stays on this host: {}", item.id, trouble)
            await self._reporter(claim).stopped(why, partial(self._stays, claim, str(trouble)))
        else:
            await self._new_attempt(claim, place).abandon(why)

    async def _finish(self, item: WorkPackage, claim: Claim) -> Result | None:
        """Take over what this pod left unfinished: the Epic first, then a new nonce, then the ref, then look.

        Returns:
            None where its repository cannot be used now: the claim waits, within its lifetime, and the walk goes on.
        """
        if not await self._can_resume(item, claim):
            return None
        done = Result(outcome=Pass.WORKED, rung=Rung.FINISH, ticket=item.id, subject=item.subject)
        attempt = self._new_attempt(claim, self._places[item.project])
        await self._execution.clear(claim.token.run)  # first, since not every take-over comes as far as the worktree
        try:
            taken = await taking.take_over(self._protocol, item, claim)
        except Superseded as superseded:
            await attempt.abandon(str(superseded))
            return done
        except Refused as refusal:
            await attempt.refuse(refusal)
            return done
        if taken is None:
            raise Unreachable(f"#{item.id} could not be taken over: the board does not settle it")
        return await self._attempt(Rung.FINISH, taken, self._places[item.project])

    async def _can_resume(self, item: WorkPackage, claim: Claim) -> bool:
        """Whether the repository and this host can be used; at the end of its lifetime the claim is given back if not.

        Raises:
            PodTrouble: this host cannot work at all.
        """
        if await self._answers(item.project):
            return True
        now = self._memory.now()
        if claim.record.left(now.at, now.boot) <= 0:
            trouble = self._troubles[item.project]
            await self._reporter(claim).give_up(trouble, partial(self._stays, claim, trouble))
        return False

    # -- rungs 2 and 4 to 6 ----------------------------------------------------------------------------------------

    async def _my_epics(self, mine: Sequence[WorkPackage]) -> set[int]:
        """The Epics that I own; one that a person moved or re-routed is given up at once, one without its bug soon."""
        fleet, state, kept = self._protocol.fleet, self._memory.state, set()
        for epic in mine:
            claim = Claim.mine(state, epic)
            if epic.type not in fleet.epics or claim is None:
                continue
            bug, why = claim.record.taken_for, rules.epic_lost(epic, fleet)
            if epic.status != fleet.active:
                await ending.end(self._protocol, claim, How(reason=Reason.STOPPED))
            elif why:
                await epics.release(self._protocol, epic.id, why)
            elif bug and not any(one.id == bug and Claim.mine(state, one) is not None for one in mine):
                self._idle.add(epic.id)
            else:
                kept.add(epic.id)
        return kept

    async def _work_on_one(self, scan: Scan, rungs: tuple[Rung, ...]) -> Result | None:
        """The first candidate that can be claimed; a lost one only means the next."""
        for _ in range(CLAIMS):
            candidate = await scan.next(rungs)
            if candidate is not None or Rung.BUG in rungs:
                await self._release_idle(candidate)
            if candidate is None:
                return None
            taken = await taking.take(self._protocol, candidate)
            if isinstance(taken, Taken):
                return await self._start(candidate, taken)
            await self._lost(scan, candidate, taken)
        logger.info("{} candidates were lost to other pods in a row", CLAIMS)
        return None

    async def _release_idle(self, candidate: Candidate | None = None) -> None:
        """An Epic whose bug is over or another's now goes back, unless the pod goes on in it at once."""
        stays = candidate.epic.id if candidate is not None and candidate.epic is not None else None
        for epic in sorted(self._idle - {stays}):
            await epics.release(self._protocol, epic, TAKEN_FOR_A_BUG)
        self._idle.clear()

    async def _lost(self, scan: Scan, candidate: Candidate, lost: Lost) -> None:
        words = "; ".join(why.detail for why in lost.whys) or "another pod was faster"
        logger.info("#{} was not claimed: {}", candidate.ticket.id, words)
        epic = candidate.epic
        if epic is not None and not choose.is_mine(epic, scan.fleet):
            await epics.release(self._protocol, epic.id, f"#{candidate.ticket.id} could not be claimed")
        scan.skip(candidate, mine=self._protocol.fleet.mine, whole_epic=lost.whole_epic)

    async def _start(self, candidate: Candidate, taken: Taken) -> Result:
        claim = taken.claim
        await self._protocol.say(claim.ticket, report.claimed(claim.token.run, pod=claim.token.pod), "claimed")
        return await self._attempt(candidate.rung, taken, await self._place_of(claim.project))

    async def _attempt(self, rung: Rung, taken: Taken, place: Place) -> Result:
        ticket = taken.ticket
        logger.info("#{} on rung {:d}: {}", ticket.id, rung, " ".join(ticket.subject.split()))
        self._say(f"#{ticket.id} {' '.join(ticket.subject.split())}")
        end = await self._new_attempt(taken.claim, place).work(ticket, taken.epic)
        outcome = Pass.TROUBLE if end.kind is Ending.INTERRUPTED else Pass.WORKED
        logger.info("#{} ended: {} {}", ticket.id, end.kind, end.reason or end.commit)
        return Result(outcome=outcome, rung=rung, ticket=ticket.id, subject=ticket.subject, end=end, reason=end.reason)

    def _new_attempt(self, claim: Claim, place: Place) -> Attempt:
        return Attempt(
            self._protocol,
            self._reporter(claim, place),
            place=place,
            execution=self._execution,
            say=self._say,
        )

    def _reporter(self, claim: Claim, place: Place | None = None) -> Reporter:
        links = place.links if place is not None else None
        return Reporter(self._protocol, claim, tries=self._limits.tries, links=links)

    # -- preflight -------------------------------------------------------------------------------------------------

    async def _preflight(self) -> None:
        """Before any claim or resume: disk, Nix, the model; once per pass."""
        if not self._ready_to_work:
            await self._execution.preflight()
            self._ready_to_work = True

    async def _answers(self, project: int) -> bool:
        """Whether a project's repository can be used; a failing one is asked again with back-off."""
        if project in self._troubles:
            return False
        try:
            await self._place_of(project)
        except PodTrouble as trouble:
            now = self._memory.now()
            self._troubles[project] = str(trouble)
            self._memory.change(lambda state: state.with_repository_trouble(project, now.at, now.boot))
            logger.warning("{}", trouble)
            return False
        await self._preflight()
        return True

    async def _place_of(self, project: int) -> Place:
        if project not in self._places:
            place = await self._ask_place(project)
            await self._probe(project, place.repository)
            self._places[project] = place
            self._memory.change(lambda state: state.with_repository(project))
        return self._places[project]

    async def _probe(self, project: int, repository: Repository) -> None:
        """Whether the remote takes refs that start no CI: asked at first, and after a day."""
        now, known = self._memory.now(), self._memory.state.probes.get(project)
        if known is None or known.is_due(now.at, now.boot):
            try:
                takes = await repository.probe(self._protocol.fleet.pod)
            except PodTrouble as silent:
                logger.info("whether {} takes refs below refs/agent is not known yet: {}", repository.place, silent)
            else:
                self._memory.change(lambda state: state.with_probe(project, now.at, now.boot, takes=takes))
                known = self._memory.state.probes[project]
        repository.settle(hidden=known.takes if known is not None else None)
