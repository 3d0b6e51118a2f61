"""One run of one claimed ticket: claim ref, workspace, model, verify, commit, push, report. The order of effects.

A run that is killed anywhere and taken over ends in the same board and the same branch: before each step it looks
whether the step is done (DESIGN, sections 3 and 4).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from loguru import logger
from msgspec import Struct
from msgspec.structs import replace

from agent import briefing
from agent.briefing import Briefing, Word
from agent.claim import checking
from agent.claim.protocol import Protocol
from agent.claim.value import Claim
from agent.ending import End, Ending
from agent.errors import (
    BoardError,
    LifetimeOver,
    NotFound,
    PodTrouble,
    Refused,
    Superseded,
    TicketFailure,
    TooLarge,
    Unseen,
)
from agent.execution import Execution
from agent.git import refs
from agent.git.evidence import KEPT_TRAILER, RUN_TRAILER, SEEN_TRAILER, TICKET_TRAILER
from agent.git.refs import ClaimRefRefused, LeaseRefused, PushRefused, Refs, Refusal
from agent.git.repo import Repository
from agent.git.workspace import Workspace
from agent.model import WorkPackage
from agent.programs.instructions import Verify
from agent.programs.verdict import ModelResult
from agent.reporting import CHANGED_TEXTS, Links, Reporter, with_failure
from agent.spikes import Spikes
from agent.state import RecordedFailure
from agent.texts import outlet, report
from agent.texts.branches import around_slug, branch_name
from agent.texts.report import Event
from agent.texts.where import NOWHERE, Where
from agent.watch import watched

REF_SWAPS: Final = 5
PUSHES: Final = 3
STARTER: Final = "Add a starter flake.nix"
"""The subject of the commit that gives a repository an environment."""


class Place(Struct, frozen=True, kw_only=True):
    """Where the work of a project goes."""

    repository: Repository
    template: str
    """The branch template of the settings."""
    links: Links
    refs: Refs
    """What the remote had at the preflight, before the claim."""
    starter: Path
    """The folder with the flake that a repository without one gets."""


class Attempt:
    """One try of one run.

    Args:
        protocol: the claim's protocol.
        reporter: how it ends on the board.
        place: the repository.
        execution: how model and verify are run.
        say: what the screen shows while it works, one line at a time.
    """

    def __init__(
        self,
        protocol: Protocol,
        reporter: Reporter,
        *,
        place: Place,
        execution: Execution,
        say: Callable[[str], None],
    ) -> None:
        self._protocol = protocol
        self._reporter = reporter
        self._place = place
        self._repository = place.repository
        self._execution = execution
        self._say = say
        self._run = reporter.claim.token.run
        self._claim_blob: str | None = None
        self._seen = ""
        """The hash of the guarded change that a person let through."""
        self._workspace: Workspace | None = None
        self._kept = NOWHERE
        """Where the work of a run is that ended before its time."""

    @property
    def _claim(self) -> Claim:
        """The claim as it is recorded now."""
        return self._reporter.claim

    async def work(self, ticket: WorkPackage, epic: WorkPackage | None) -> End:
        """Carry the run to its verdict, or to a trouble that is the pod's.

        Args:
            ticket: as the claim left it.
            epic: its Epic, None for standalone work.

        Raises:
            LifetimeOver: nothing may be written any more; the next cycle takes over.
            Unreachable: the board fell silent in the report; the next cycle finishes it.
        """
        try:
            end = await self._to_its_end(ticket, epic)
        except Refused as refusal:
            await self._reporter.refused(refusal, self.leave)
            await self._delete_claim_ref()
            return End(Ending.REFUSED, reason=str(refusal))
        except BoardError as silent:
            if isinstance(silent, NotFound) and await self._is_gone():
                await self.leave()
                self._protocol.memory.forget_ticket(self._claim.ticket)
                return End(Ending.GONE, reason=str(silent))
            self._reporter.troubled(str(silent))
            raise
        if end.kind is not Ending.INTERRUPTED or not self._protocol.memory.state.of_ticket(self._claim.ticket):
            await self._execution.forget(self._run)
        # What a failed run leaves is kept elsewhere, and could fill the disk: the next one begins in a fresh worktree.
        if end.kind in (Ending.DONE, Ending.FAILED, Ending.STOPPED) and self._claim.epic is None:
            with contextlib.suppress(PodTrouble, OSError):
                await self._repository.discard(self._claim.owner)
            self._protocol.memory.change(lambda state: state.without_litter(self._claim.ticket))
        return end

    async def abandon(self, why: str) -> None:
        """The ticket was changed while this pod was away: keep the work, let go."""
        await self._stopped(why)

    async def lost(self, why: str) -> None:
        """The board does not show the claim any more: keep the work, and say so if there is any."""
        await self._reporter.lost(why, self.leave)

    async def refuse(self, refusal: Refused) -> None:
        """The board does not let this account write to the ticket any more: keep the work, let go."""
        await self._reporter.refused(refusal, self.leave)

    async def leave(self) -> Where:
        """End what runs on this host for the run, and keep what is in its worktree; where that is."""
        await self._execution.clear(self._run)
        self._kept = await self._keep(refs.kept_name(self._claim.ticket, self._run))
        return self._kept

    async def _is_gone(self) -> bool:
        """Whether the 404 was about the ticket itself, and not about something around it."""
        try:
            await self._protocol.board.work_package(self._claim.ticket, "is it gone")
        except NotFound:
            return True
        return False

    async def _to_its_end(self, ticket: WorkPackage, epic: WorkPackage | None) -> End:
        try:
            if self._claim.token.attempt > 1:
                await self._look_again(ticket)
            await self._set_claim_ref()
            await self._repository.fetch()
            return await self._carry_out(ticket, epic, self._branch(ticket, epic))
        except TicketFailure as failure:
            return await self._failed(_recorded(failure))
        except TooLarge as large:
            return await self._failed(_too_long(large))
        except Superseded as superseded:
            return await self._stopped(str(superseded))
        except LifetimeOver:
            raise
        except PodTrouble as trouble:
            return await self._interrupted(str(trouble))
        except OSError as error:
            return await self._interrupted(f"this host: {error}")

    # -- the steps -------------------------------------------------------------------------------------------------

    async def _set_claim_ref(self) -> None:
        """Git is fenced from here on: a predecessor's push fails whole."""
        text, owner = str(self._claim.token), self._claim.owner
        expected = self._place.refs.claims.get(owner)
        for _ in range(REF_SWAPS):
            try:
                self._claim_blob = await self._repository.set_claim(owner, text, expected)
            except LeaseRefused:
                expected = await self._repository.read_claim(owner)
                await checking.check(self._protocol, self._claim)
            except ClaimRefRefused as refused:
                logger.warning("{}", refused)
                return
            else:
                return
        raise Superseded("the claim ref is set by another again and again")

    async def _look_again(self, ticket: WorkPackage) -> None:
        """What a first try did before it came here, if it came so far; and whether the ticket is still ours to do."""
        token = self._claim.token
        await self._reporter.once(Event.CLAIMED, report.claimed(token.run, pod=token.pod))
        text = report.taken_over(token.run, pod=token.pod, attempt=token.attempt, tries=self._reporter.tries)
        await self._protocol.say(ticket.id, text, "taken over")
        await checking.check(self._protocol, self._claim)

    async def _carry_out(self, ticket: WorkPackage, epic: WorkPackage | None, branch: str) -> End:
        """Look what is done already, else work; ends with a result on the board."""
        if self._claim.token.attempt > 1:
            commit = await self._repository.commit_of_run(self._run, branch)
            if commit is not None:
                self._say("the commit of this run is on the remote already")
                end = await self._report(branch, commit, ticket)
                await self._delete_claim_ref()
                return end
            await self._raise_known_failure(ticket, branch)
            if whys := await checking.second_look(self._protocol, ticket):
                raise Superseded("; ".join(why.detail for why in whys))
        workspace = await self._open(branch)
        starter = await workspace.add_starter(self._place.starter, outlet.commit(STARTER, "", self._trailers(ticket)))
        started = replace(
            self._reporter.record,
            subject=ticket.subject,
            description=ticket.description,
            branch=branch,
            trouble="",
            starter=starter or "",
        )
        self._reporter.remember(started)
        brief = await briefing.read(self._protocol, ticket, epic, started, workspace, tools=self._execution.tools)
        await self._heed(brief)
        if brief.word and not await self._repository.let_through(brief.word.seen, branch):
            return await self._let_through(workspace, brief, brief.word, ticket)
        result = await watched(
            self._protocol,
            self._claim,
            self._execution.model(brief.prompt(), workspace, self._run, self._time_to_work()),
        )
        snapshot = await workspace.snapshot()
        if result.verdict == "stuck":
            raise TicketFailure(f"the model gave up: {result.summary}", question=result.question)
        if not snapshot.changed and result.verdict != "already_done":
            raise TicketFailure("the model said that it was done, and nothing changed", question=result.summary)
        if not snapshot.changed:
            return await self._already_done(workspace, result.summary, brief.instructions.verify, ticket)
        commit = await workspace.commit(
            snapshot.tree, outlet.commit(ticket.subject, result.summary, self._trailers(ticket))
        )
        return await self._finish(workspace, commit, brief, result)

    async def _let_through(self, workspace: Workspace, brief: Briefing, word: Word, ticket: WorkPackage) -> End:
        """What a person let through by its hash: the kept commit, without a model, brought up to base.

        Raises:
            TicketFailure: it is not known which, nowhere to be had, or conflicts.
        """
        if not word.commit:
            raise TicketFailure(
                f"Spike #{word.spike} does not say which commit `push {word.change}` lets through, so nothing is pushed"
            )
        owners = dict.fromkeys((self._claim.ticket, self._claim.owner))
        for name in (refs.kept_name(owner, word.run) for owner in owners):
            kept = await self._repository.fetch_kept(name)
            if kept == word.commit:  # whoever may push there may have put something else in its place
                break
        else:
            name = refs.kept_name(self._claim.ticket, word.run)
            where = f"neither at refs/{name} nor on the host of pod {self._claim.token.pod}"
            raise TicketFailure(f"the work that `push {word.change}` lets through, commit {word.commit}, is {where}")
        self._say(f"taking {word.commit[:7]}, which a person let through")
        trailers = self._trailers(ticket) | {SEEN_TRAILER: word.seen}
        summary = report.let_through_by(word.change, spike=word.spike)
        commit = await workspace.take(word.commit, outlet.commit(ticket.subject, summary, trailers))
        self._seen = word.change
        result = ModelResult(verdict="done", summary=summary)
        return await self._finish(workspace, commit, brief, result)

    async def _finish(self, workspace: Workspace, commit: str, brief: Briefing, result: ModelResult) -> End:
        """Verify, push, report."""
        await self._verify_work(workspace, commit, brief.instructions.verify, result)
        branch = workspace.branch
        now, commit = await self._publish(workspace, commit, result)
        if workspace.starter != self._reporter.record.starter:  # a rebase made it anew
            self._reporter.remember(replace(self._reporter.record, starter=workspace.starter))
        return await self._report(branch, commit, now)

    async def _verify(self, workspace: Workspace, commit: str, judge: Verify) -> tuple[str, ...]:
        """Let the judge of the base see the very tree that is pushed; returns the folders that were carried over.

        Raises:
            TicketFailure: it does not pass.
        """
        self._say("verifying")
        if not judge.commands:
            return ()
        async with workspace.checkout(commit, judge.folders) as clean:
            checks = self._execution.verify(judge.commands, clean, self._run, self._time_to_verify())
            await watched(self._protocol, self._claim, checks)
            await clean.passed()
            return clean.carried

    async def _verify_work(self, workspace: Workspace, commit: str, judge: Verify, result: ModelResult) -> None:
        """The same of what the run made; how its completion reads is remembered."""
        carried = await self._verify(workspace, commit, judge)
        completion = report.completed(
            self._run,
            input_tokens=result.input_tokens,
            output_tokens=result.output_tokens,
            summary=result.summary,
            cost_usd=result.cost_usd,
            duration_s=result.duration_s,
            verified=judge.commands,
            carried=carried,
        )
        self._reporter.remember(replace(self._reporter.record, completion=completion))

    async def _heed(self, brief: Briefing) -> None:
        """Say whose words were left out, and open the Spikes again that were closed by somebody who does not count.

        Raises:
            Superseded: one is open again: the ticket waits for its answer.
            TicketFailure: one must not stay closed so, and the board does not let it be opened, or one was taken away: it is
                asked anew.
        """
        if brief.left_out:
            await self._reporter.fence()
            await self._reporter.once(Event.NOT_READ, report.not_read(self._run, lines=brief.left_out))
        waiting = []
        for one in brief.unanswered:
            await self._reporter.fence()
            if await Spikes(self._protocol).reopen(one.spike, self._run, one.line, said=one.said, never=one.never):
                waiting.append(f"Spike #{one.spike.id} is open")
            elif one.never:
                why = f"Spike #{one.spike.id} was closed, and not by anybody who may be assigned here"
                raise TicketFailure(f"{why}; the board does not let it be opened again")
        if waiting:
            raise Superseded("; ".join(waiting))
        if brief.taken_away is not None:
            why = "and it is not known that anybody did that who may be assigned here"
            raise TicketFailure(
                f"Spike #{brief.taken_away} was taken away from this ticket, {why}: so it is asked again"
            )

    async def _report(self, branch: str, commit: str, ticket: WorkPackage, *, pushed: bool = True) -> End:
        """Done; or, if the text changed since the claim, ready once more: at most twice, and the next prompt shows both."""
        record, state = self._reporter.record, self._protocol.memory.state
        before = state.texts.get(ticket.id)
        changed = (ticket.subject, ticket.description) != (record.subject, record.description)
        known = before is not None and (before.subject, before.description) == (record.subject, record.description)
        again = changed and (before is None or known or before.times < CHANGED_TEXTS)
        if again and not known:
            self._protocol.memory.change(lambda now: now.with_text(ticket.id, record.subject, record.description))
        await self._reporter.done(branch, commit, changed_text=again, pushed=pushed)
        return End(Ending.TEXT_CHANGED if again else Ending.DONE, branch=branch, commit=commit)

    async def _open(self, branch: str) -> Workspace:
        """The worktree, after whatever an earlier run left running in it has ended (I-50)."""
        before = self._repository.run_of(self._claim.owner)
        if before and before != self._run:  # what a try of this run had started was over before the take-over
            await self._execution.clear(before)
        self._workspace = await self._repository.open(self._claim.owner, branch, self._run)
        return self._workspace

    async def _raise_known_failure(self, ticket: WorkPackage, branch: str) -> None:
        """A run that has failed before it was interrupted finishes the failure, and never runs the model again."""
        known = self._reporter.record.failure
        spikes = await Spikes(self._protocol).of_run(ticket, self._run)
        if known is None and (spikes or Event.FAILED in await self._reporter.events()):
            known = RecordedFailure("the run failed before it was interrupted")
        if known is None and self._claim.token.attempt > self._reporter.tries:
            if self._reporter.record.trouble:
                raise PodTrouble(self._reporter.record.trouble)
            known = RecordedFailure(f"the run was interrupted {self._reporter.tries} times")
        if known is not None:
            await self._open(branch)
            if known.change:
                raise Unseen(known.reason, change=known.change, diff=known.diff)
            raise TicketFailure(known.reason, evidence=known.evidence, question=known.question)

    async def _publish(self, workspace: Workspace, commit: str, result: ModelResult) -> tuple[WorkPackage, str]:
        """Fence, push; on a branch that others share too: rebase, verify, fence, push."""
        for left in reversed(range(PUSHES)):
            await self._refuse_unseen(workspace, commit)
            now = await self._reporter.fence()
            self._say(f"pushing {commit[:7]} to {workspace.branch}")
            try:
                return now, await workspace.publish(commit, claim_blob=self._claim_blob)
            except PushRefused as refused:
                if refused.kind is not Refusal.BRANCH_MOVED or not left:
                    raise TicketFailure("the push was refused", evidence=refused.detail) from refused
            commit = await workspace.rebase()
            judge = (await briefing.instructions_of(workspace)).verify  # of the base that the work contains now
            await self._verify_work(workspace, commit, judge, result)
        raise AssertionError("unreachable")

    async def _refuse_unseen(self, workspace: Workspace, commit: str) -> None:
        """A push starts the forge's CI: what changes that waits for a person's word, unless exactly this has it.

        Raises:
            Unseen: it does not.
        """
        change = await workspace.unseen_change(commit)
        if change is not None and change.hash != self._seen:
            raise Unseen(change.reason, change=change.hash, diff=change.diff)

    async def _already_done(self, workspace: Workspace, summary: str, judge: Verify, ticket: WorkPackage) -> End:
        """The model says that nothing is left to do: believed only if the branch has its commit, and its tip passes."""
        branch = workspace.branch
        if not await self._repository.commits_of_ticket(self._claim.ticket, branch):
            raise TicketFailure("the model said that it was done already, but no commit is there", question=summary)
        commit = await self._repository.tip(branch)
        carried = await self._verify(workspace, workspace.start, judge)  # the branch with the base whose judge that is
        completion = report.completed(self._run, summary=summary, verified=judge.commands, carried=carried)
        self._reporter.remember(replace(self._reporter.record, completion=completion))
        end = await self._report(branch, commit, ticket, pushed=False)
        await self._delete_claim_ref()
        return end

    # -- the ends --------------------------------------------------------------------------------------------------

    async def _failed(self, failure: RecordedFailure) -> End:
        """Comment, Spike, back to the pool; the work is kept first, since the comment says where it is."""
        logger.warning("#{}: failed: {}", self._claim.ticket, failure.reason)
        self._reporter.remember(with_failure(self._reporter.record, failure))
        try:
            await self._reporter.fence()
            name = refs.kept_name if failure.change else refs.failed_name
            kept = await self._keep(name(self._claim.ticket, self._run))
            spike = await self._reporter.failed(failure, kept, self._execution.spent(self._run))
        except Superseded as superseded:
            return await self._stopped(str(superseded))
        await self._delete_claim_ref()
        return End(Ending.FAILED, branch=kept.place, spike=spike, reason=failure.reason)

    async def _interrupted(self, reason: str) -> End:
        """Pod trouble: the claim is kept for a resume, or given back; a failure only if it comes with the ticket."""
        logger.warning("#{}: interrupted: {}", self._claim.ticket, reason)
        try:
            too_often = await self._reporter.interrupted(reason, self.leave)
        except TooLarge as large:
            too_often = _too_long(large)
        except Superseded as superseded:
            return await self._stopped(str(superseded))
        if too_often is not None:
            return await self._failed(too_often)
        if not self._protocol.memory.state.of_ticket(self._claim.ticket):
            await self._delete_claim_ref()
        return End(Ending.INTERRUPTED, reason=reason)

    async def _stopped(self, why: str) -> End:
        logger.warning("#{}: stopped: {}", self._claim.ticket, why)
        await self._reporter.stopped(why, self.leave)
        await self._delete_claim_ref()
        return End(Ending.STOPPED, branch=self._kept.place, reason=why)

    async def _keep(self, name: str) -> Where:
        """What is there, kept; nowhere if there is nothing. What the remote does not take now stays on this host."""
        try:
            await self._find_worktree()
            if self._workspace is None:
                return NOWHERE
            trailers = {RUN_TRAILER: self._run, KEPT_TRAILER: f"#{self._claim.ticket}"}
            message = outlet.commit(f"Work in progress on work package {self._claim.ticket}", "", trailers)
            return self._reporter.where(await self._workspace.keep(name, message))
        except (PodTrouble, TicketFailure, OSError) as trouble:
            place = "its worktree" if self._workspace is None else str(self._workspace.path)
            logger.warning("#{}: the work stays in {}: {}", self._claim.ticket, place, trouble)
            return self._reporter.stays(str(trouble))

    async def _find_worktree(self) -> None:
        """That of an earlier try, where this one did not come so far; another run's is not touched."""
        record, owner = self._reporter.record, self._claim.owner
        if self._workspace is None and record.branch and self._repository.run_of(owner) == self._run:
            self._workspace = await self._repository.open(owner, record.branch, self._run)

    async def _delete_claim_ref(self) -> None:
        """When it is mine; a leftover is harmless."""
        if self._claim_blob is None:
            return
        with contextlib.suppress(PodTrouble):
            await self._repository.delete_claim(self._claim.owner, self._claim_blob)

    # -- small things ----------------------------------------------------------------------------------------------

    def _time_to_work(self) -> float:
        """What is left for the model; that nothing is comes of a slow or suspended host, and is not the ticket's fault."""
        if (left := self._time_left()) <= 0:
            raise PodTrouble("the time was over before the model could start")
        return left

    def _time_to_verify(self) -> float:
        if (left := self._time_left()) <= 0:
            raise TicketFailure("its time was over before it could be verified")
        return left

    def _time_left(self) -> float:
        now = self._protocol.memory.now()
        return self._reporter.record.left(now.at, now.boot) - self._execution.margin

    def _branch(self, ticket: WorkPackage, epic: WorkPackage | None) -> str:
        """Where the result goes; a run that is taken over goes on where it began.

        Raises:
            TicketFailure: it could not be pushed there, whatever the model does.
        """
        if self._reporter.record.branch:
            return self._reporter.record.branch
        top = epic or ticket
        template, version = self._place.template, top.version or ticket.version
        name = branch_name(template, id=top.id, subject=top.subject, version=version, base=self._repository.base)
        around = around_slug(template, id=top.id, version=version)
        branch = refs.branch_for(self._place.refs, top.id, name, around)
        if other := refs.in_the_way(self._place.refs, branch):
            raise TicketFailure(
                f"no branch `{branch}` can be made beside the branch `{other}`: rename or delete that one"
            )
        return branch

    def _trailers(self, ticket: WorkPackage) -> dict[str, str]:
        return {TICKET_TRAILER: f"#{ticket.id}", "Agent-Pod": self._claim.token.pod, RUN_TRAILER: self._run}


def _too_long(large: TooLarge) -> RecordedFailure:
    """Comments that only delay their own ticket: another run would read as much, and other tickets are not about them."""
    return RecordedFailure(f"what is written on this ticket is too long to be read, so shorten or delete some: {large}")


def _recorded(failure: TicketFailure) -> RecordedFailure:
    plain = RecordedFailure(failure.reason, failure.evidence, failure.question)
    if isinstance(failure, Unseen):
        return replace(plain, change=failure.change, diff=failure.diff)
    return plain
