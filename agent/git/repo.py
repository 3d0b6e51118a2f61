"""One repository: what its remote has, the claim refs that fence its branches, and the worktrees of its branch owners."""

from __future__ import annotations

import asyncio

import msgspec
from loguru import logger

from agent.git.blame import GitFailed, blamed
from agent.git.checkout import clear_checkouts, forget_carried
from agent.git.checks import refuse_repository
from agent.git.evidence import KEPT_TRAILER, RUN_TRAILER, SEEN_TRAILER, TICKET_TRAILER, commit_with
from agent.git.guarded import guarded_names
from agent.git.kept import fetch_kept, probe
from agent.git.mirror import Mirror
from agent.git.refs import (
    CLAIMS,
    ClaimRefRefused,
    LeaseRefused,
    Refs,
    RepositoryUnreachable,
    blob_id,
    claim_ref,
    kept_name,
    no_base,
    rejected,
)
from agent.git.spare import Spares
from agent.git.workspace import Workspace
from agent.git.worktree import Record, Worktree
from agent.texts import outlet


class Repository:
    """A repository of the fleet, as this pod sees it.

    Args:
        mirror: its git.
        spares: its checkouts that are there before they are needed; none if none are given.
    """

    def __init__(self, mirror: Mirror, spares: Spares | None = None) -> None:
        self._mirror = mirror
        self.spares = spares or Spares(mirror, 0)

    async def close(self) -> None:
        """Nothing goes on beside any more."""
        await self.spares.close()
        await self._mirror.trash.close()

    @property
    def place(self) -> str:
        """The remote as it may be shown."""
        return self._mirror.place

    @property
    def base(self) -> str:
        """The main branch."""
        return self._mirror.base

    async def probe(self, pod: str) -> bool:
        """Whether the remote takes refs below `refs/agent`.

        Raises:
            RepositoryUnreachable: it did not say.
        """
        return await probe(self._mirror, pod)

    def settle(self, *, hidden: bool | None) -> None:
        """What is known of that: where work is kept depends on it (None: it is tried)."""
        self._mirror.hidden = hidden

    async def fetch_kept(self, name: str) -> str | None:
        """The commit that was kept under this name; None if it is neither on the remote nor on this host.

        Raises:
            RepositoryUnreachable: no answer.
        """
        return await fetch_kept(self._mirror, name)

    async def let_through(self, seen: str, branch: str) -> bool:
        """Whether what this word of a person lets through is on `branch` (or the base) already."""
        return await commit_with(self._mirror, SEEN_TRAILER, seen, branch) is not None

    async def preflight(self) -> Refs:
        """What the remote has now, by one process that also proves that it can be used.

        An empty repository, or one without its base branch, can be used: it is for a person, who hears of it by the
        ticket that fails (`lacks`).

        Raises:
            RepositoryUnreachable: it cannot.
        """
        return await self._mirror.list_refs()

    def lacks(self, refs: Refs) -> str:
        """What the repository lacks before any ticket can be worked on, as it stands behind a colon; empty if nothing."""
        return "" if self.base in refs.heads else no_base(self.place, self.base, empty=not refs.heads)

    async def read_claim(self, owner: int) -> str | None:
        """The blob that the claim ref of this owner holds; None if there is none."""
        return (await self._mirror.list_refs(f"{CLAIMS}{owner}")).claims.get(owner)

    @staticmethod
    def claim_blob(text: str) -> str:
        """The blob that `set_claim` pushes for this token: "is it mine" can be asked after a lost answer."""
        return blob_id(text.encode())

    async def set_claim(self, owner: int, text: str, expected: str | None) -> str:
        """Set the claim ref to the token `text`, if it still is `expected` (None: not there); returns the blob.

        Raises:
            LeaseRefused: it is something else now.
            ClaimRefRefused: the remote takes no such refs.
            RepositoryUnreachable: no answer, and no trace of the write.
        """
        blob = self.claim_blob(text)
        await self._mirror.local("hash-object", "-w", "--stdin", stdin=text.encode())
        ref = claim_ref(owner)
        refusal = await self._push(f"--force-with-lease={ref}:{expected or ''}", "origin", f"{blob}:{ref}", ref=ref)
        if refusal is None:
            return blob
        found = await self.read_claim(owner)  # it may have arrived all the same
        if found == blob:
            return blob
        if found != expected:
            raise LeaseRefused(f"The claim ref {ref} of {self.place} is {found or 'gone'}, not {expected or 'unset'}.")
        raise refusal

    async def delete_claim(self, owner: int, expected: str) -> None:
        """Delete the claim ref if it still is `expected`; that it is not is fine.

        Raises:
            RepositoryUnreachable: no answer; a leftover ref is harmless.
        """
        ref = claim_ref(owner)
        refusal = await self._push(f"--force-with-lease={ref}:{expected}", "origin", f":{ref}", ref=ref)
        if refusal is not None and not isinstance(refusal, ClaimRefRefused):
            raise refusal

    async def _push(self, *words: str, ref: str) -> RepositoryUnreachable | None:
        """Push one claim ref; None if the remote says that it did."""
        try:
            done = await self._mirror.remote("push", "--porcelain", "--no-verify", *words)
        except RepositoryUnreachable as error:
            return error
        if done.ok:
            return None
        said = rejected(done.stdout)
        if ref not in said:
            return self._mirror.unreachable(done)
        return ClaimRefRefused(
            f"the repository {self.place} takes no refs below `{CLAIMS}`: {said[ref]}; "
            "allow them there: until then only the tip of the branch is guarded"
        )

    async def fetch(self) -> None:
        """Bring the remote's branches here; those that are gone there are forgotten.

        Raises:
            RepositoryUnreachable: no answer.
        """
        await self._mirror.fetch()

    async def tip(self, branch: str) -> str:
        """Where the remote's branch stood at the last fetch; the base where it does not exist.

        Raises:
            TicketFailure: neither exists.
        """
        return await self._mirror.tip(branch) or await self._mirror.base_tip()

    async def has_at_base(self, name: str, refs: Refs) -> bool:
        """Whether the tip of the base branch has this file; fetches only what is not here yet.

        Raises:
            RepositoryUnreachable: no answer, or no base branch.
        """
        return await self._mirror.resolve(f"{await self._base_in(refs)}:{name}") is not None

    async def guarded_at_base(self, refs: Refs, patterns: tuple[str, ...] = ()) -> list[str]:
        """The files of the base branch that are guarded, or would be by other patterns.

        Raises:
            RepositoryUnreachable: no answer, or no base branch.
        """
        tip = await self._base_in(refs)
        listed = await self._mirror.local("ls-tree", "-r", "-z", "--name-only", tip)
        return await asyncio.to_thread(guarded_names, listed.stdout, patterns or self._mirror.guarded)

    async def _base_in(self, refs: Refs) -> str:
        """The tip of the base branch, which is here then."""
        if what := self.lacks(refs):
            raise RepositoryUnreachable(what)
        tip = refs.heads[self.base]
        if await self._mirror.resolve(f"{tip}^{{commit}}") is None:
            await self.fetch()
        return tip

    async def commit_of_run(self, run: str, branch: str) -> str | None:
        """The fetched commit of this run on `branch` (or already on the base): the evidence that its push happened."""
        return await commit_with(self._mirror, RUN_TRAILER, run, branch)

    async def commits_of_ticket(self, ticket: int, branch: str) -> bool:
        """Whether `branch` (or the base) has a commit for this work package."""
        return await commit_with(self._mirror, TICKET_TRAILER, f"#{ticket}", branch) is not None

    def run_of(self, owner: int) -> str | None:
        """The run that the worktree of this owner was last opened for; None if there is none."""
        record = Worktree(self._mirror, owner).record()
        return None if record is None else record.run

    async def open(self, owner: int, branch: str, run: str) -> Workspace:
        """The worktree of this owner, ready for `run`; call `fetch` before.

        The same run finds its files as it left them. Another run finds the branch brought up to its base, and what
        the run before left is kept first (see `agent.git.kept.keep`); what git ignores stays only of a run that was
        published.

        Raises:
            TicketFailure: base and branch conflict, there is no base, or the repository cannot be worked in.
            RepositoryUnreachable: leftovers could not be pushed; they are still there.
            KeepRefused: the same, where it is not known yet whether the remote takes such refs: it is in an hour.
        """
        worktree = Worktree(self._mirror, owner)
        record = worktree.record()
        await clear_checkouts(self._mirror)
        await self._mirror.mend()
        if record is not None and record.run == run and await worktree.exists():
            with blamed(self._mirror.folder):
                await worktree.adopt(record.onto)
            base = record.base or await worktree.answer("merge-base", record.start, await self._mirror.base_tip())
            kept = msgspec.structs.replace(record, branch=branch, base=base, published="", saved="")
            worktree.write(kept)
            same = Workspace(worktree, kept, self.spares)
            if not await self._can_begin_anew(same, base, record):
                self.spares.of(base)
                return await same.sealed()
        await self._keep_leftovers(worktree, record)
        # Only a run whose work was taken leaves what git ignores to the next.
        made = record is None or not record.published
        if made:
            await worktree.remove()
        base, tip = await self._mirror.tips(branch)
        try:
            await worktree.link(base)
            now = await worktree.up_to_date(branch, base, tip)
            if made and (index := await self.spares.take(worktree.path, now.onto)):
                index.rename(worktree.admin / "index")
            listing = await worktree.reset(now.onto)
        except (GitFailed, OSError) as failed:  # what an earlier run left is in the way
            logger.warning("the worktree of #{} is made anew: {}", owner, failed)
            await self._put_aside(worktree)
            # Nothing is in the way any more, so it is the repository.
            with blamed(self._mirror.folder, untouched=True):
                await worktree.link(base)
                now = await worktree.up_to_date(branch, base, tip)
                listing = await worktree.reset(now.onto)
        await refuse_repository(worktree, listing)
        fresh = Record(run=run, branch=branch, start=now.onto, onto=now.onto, base=now.base, tip=now.tip)
        worktree.write(fresh)
        self.spares.of(base)
        return await Workspace(worktree, fresh, self.spares, made=made).sealed()

    async def _can_begin_anew(self, same: Workspace, base: str, record: Record) -> bool:
        """Whether a run that goes on has nothing of its own yet, and its base has moved: perhaps by what it was waiting for."""
        if record.published or base == await self._mirror.base_tip():
            return False
        try:
            return not await same.has_leftovers()
        except (GitFailed, OSError):  # what git cannot add is the run's own, and its end will say it
            return False

    async def _keep_leftovers(self, worktree: Worktree, record: Record | None) -> None:
        """Nothing of the run before is lost; its record goes once its work is safe."""
        if record is None:
            return
        if not record.published and await worktree.exists():  # else it is the work, and what came after is litter
            if not await self._mirror.resolve(f"{record.onto}^{{commit}}"):  # the mirror was made anew
                record = msgspec.structs.replace(record, onto=await self._mirror.base_tip())
            try:
                await worktree.adopt(record.onto)
                before = Workspace(worktree, record, self.spares)
                # a pod that died right after its push did not note it
                if await before.has_leftovers() and not await self.commit_of_run(record.run, record.branch):
                    trailers = {RUN_TRAILER: record.run, KEPT_TRAILER: f"#{worktree.owner}"}
                    message = outlet.commit("Left behind by an earlier run", "", trailers)
                    await before.keep(kept_name(worktree.owner, record.run), message)
            except (GitFailed, OSError) as failed:  # no time will mend that
                logger.warning("what a run left for #{} cannot be kept: {}", worktree.owner, failed)
                await self._put_aside(worktree)
        worktree.forget()

    async def _put_aside(self, worktree: Worktree) -> None:
        place = await worktree.set_aside()
        logger.warning("the worktree of #{} is in {} now: delete it if nobody needs it", worktree.owner, place)
        await self._mirror.mend()

    async def discard(self, owner: int) -> None:
        """Remove the worktree of a finished owner; unpublished work is pushed first, siblings are untouched."""
        worktree = Worktree(self._mirror, owner)
        await clear_checkouts(self._mirror)
        await self._keep_leftovers(worktree, worktree.record())
        await worktree.remove()
        worktree.forget()
        await forget_carried(worktree)
