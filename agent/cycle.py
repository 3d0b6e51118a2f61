"""One pass of a pod: sweep, then down the ladder to the first rung that yields work. The heart of the fleet.

The order of effects and nothing else: what is decided, is decided in `choose`; what is written, is written by the
protocol and the reporter; clock, chance, HTTP transport and processes come in as arguments.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from loguru import logger
from msgspec import Struct

from agent import choose, epics, sweep
from agent.attempt import Place
from agent.choose import Rung
from agent.claim import ending, outbox, rules, taking
from agent.claim.ending import Cause, How
from agent.claim.protocol import Protocol
from agent.claim.taking import Lost, Taken
from agent.claim.value import Claim
from agent.daemon import Pass
from agent.ending import End, Ending
from agent.errors import BoardError, PodTrouble, Refused, Superseded, Unreachable
from agent.execution import Execution
from agent.model import WorkPackage
from agent.places import Places
from agent.reporting import TAKEN_FOR_A_BUG
from agent.scan import LATER, Candidate, Scan
from agent.settling import Runs, Settling
from agent.spikes import Spikes
from agent.texts import report

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
        self._limits = limits
        self._say = say
        self._places = Places(protocol, execution, place)
        self._runs = Runs(protocol, execution, tries=limits.tries, say=say)
        self._settling = Settling(self._runs, self._places)
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
        mine = await self._settling.read_mine(self._claims_seen)
        unfinished = await self._settling.settle(mine)
        await self._settling.clear_litter(mine, unfinished[0].id if unfinished is not None else None)
        result = await self._finish(*unfinished) if unfinished is not None else None
        if result is not None:
            return result
        my_epics = await self._my_epics(mine)
        scan = Scan(self._board, self._protocol.fleet, my_epics, self._places.answers)
        result = await self._work_on_one(scan, (Rung.CONTINUE_EPIC,)) if my_epics else None
        if result is None:
            for epic in my_epics:
                await epics.release(self._protocol, epic)
            scan.own((), self._protocol.fleet.mine)
            result = await self._work_on_one(scan, LATER)
        await self._tidy_spikes(scan)
        if result is None and self._places.troubles and not self._places.known:
            raise PodTrouble("; ".join(self._places.troubles.values()))
        return result or Result(outcome=Pass.NOTHING)

    async def _tidy_spikes(self, scan: Scan) -> None:
        for ticket in scan.surplus_spikes():
            try:
                await Spikes(self._protocol).close_surplus(ticket)
            except BoardError as left:
                logger.warning("#{}: its surplus Spikes are left to the next pass: {}", ticket, left)

    # -- rung 1 ----------------------------------------------------------------------------------------------------

    async def _finish(self, item: WorkPackage, claim: Claim) -> Result | None:
        """Take over what this pod left unfinished: the Epic first, then a new nonce, then the ref, then look.

        Returns:
            None where its repository cannot be used now: the claim waits, within its lifetime, and the walk goes on.
        """
        if not await self._settling.can_resume(item, claim):
            return None
        done = Result(outcome=Pass.WORKED, rung=Rung.FINISH, ticket=item.id, subject=item.subject)
        attempt = self._runs.attempt(claim, self._places.known[item.project])
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
        return await self._attempt(Rung.FINISH, taken, self._places.known[item.project])

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
                await ending.end(self._protocol, claim, How(cause=Cause.STOPPED))
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
        return await self._attempt(candidate.rung, taken, await self._places.of(claim.project))

    async def _attempt(self, rung: Rung, taken: Taken, place: Place) -> Result:
        ticket = taken.ticket
        logger.info("#{} on rung {:d}: {}", ticket.id, rung, " ".join(ticket.subject.split()))
        self._say(f"#{ticket.id} {' '.join(ticket.subject.split())}")
        end = await self._runs.attempt(taken.claim, place).work(ticket, taken.epic)
        outcome = Pass.TROUBLE if end.kind is Ending.INTERRUPTED else Pass.WORKED
        logger.info("#{} ended: {} {}", ticket.id, end.kind, end.reason or end.commit)
        return Result(outcome=outcome, rung=rung, ticket=ticket.id, subject=ticket.subject, end=end, reason=end.reason)
