"""What one run does in its worktree: snapshot, commit, publish, rebase, keep.

A run has at most one commit of its own, on top of the commit it started from. Nothing of a run is thrown away before it
is on the remote.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import msgspec
from loguru import logger
from msgspec import Struct

from agent.errors import Superseded, TicketFailure
from agent.git import published
from agent.git.base_file import text_at
from agent.git.blame import GitFailed, blamed
from agent.git.checkout import Checkout, checked_out, hand_on
from agent.git.checks import refuse_repository, refuse_work
from agent.git.evidence import RUN_TRAILER, commit_with
from agent.git.guard import Seal
from agent.git.guarded import Change
from agent.git.kept import Kept, keep, unseen_change
from agent.git.refs import (
    CLAIMS,
    HEADS,
    PushRefused,
    Refusal,
    RepositoryUnreachable,
    TooSlow,
    claim_ref,
    names,
    rejected,
    told,
)
from agent.git.salvage import tree_to_keep
from agent.git.sizes import refuse_excess
from agent.git.spare import Spares
from agent.git.starter import commit_starter, move_starter
from agent.git.tree import JailPaths, Tree
from agent.git.worktree import Record, UpToDate, Worktree
from agent.texts.outlet import CommitText

_TOO_LARGE: Final = b"HTTP 413"
"""What git says of a server, or a proxy before it, that does not take so much at once."""


class Snapshot(Struct, frozen=True):
    """What a run made: the tree of it, and whether it differs from the commit that the run started from."""

    tree: str
    changed: bool


class Workspace(Tree):
    """The worktree of a branch owner while one run has it.

    Args:
        worktree: the folder and its ties.
        record: the run.
        spares: of the repository.
        made: whether git has just made the folder, of the commit that the run starts from.
    """

    def __init__(self, worktree: Worktree, record: Record, spares: Spares, *, made: bool = False) -> None:
        super().__init__(worktree, made_of=record.onto if made else "")
        self._spares = spares
        self._record = record
        self._head = record.onto
        self._seal: Seal = {}

    @property
    def start(self) -> str:
        """The commit that the run started from."""
        return self._record.start

    @property
    def branch(self) -> str:
        """The branch that the result goes to."""
        return self._record.branch

    @property
    def run(self) -> str:
        """The run id."""
        return self._record.run

    @property
    def starter(self) -> str:
        """The commit with the starter flake below the work, which a rebase makes anew; empty if there is none."""
        return self._record.starter

    async def file_at_base(self, name: str) -> str | None:
        """A file of the base that the work contains; None if it is not there.

        What a run finds on its branch may be another run's, and no person has merged it.

        Raises:
            TicketFailure: it is a link, which would lead anywhere, or longer than anybody writes one.
        """
        return await text_at(self._mirror, self._record.base, name)

    def begun(self) -> None:
        """See `Tree.begun`: the checks of this run will need a checkout."""
        self._spares.prepare(1)

    def checkout(self, commit: str, carry: Sequence[str] = ()) -> AbstractAsyncContextManager[Checkout]:
        """A clean checkout of a commit, where it can be verified; gone afterwards.

        Args:
            commit: the very one that is pushed if it passes.
            carry: see `Checkout`.
        """
        return checked_out(self._worktree, commit, carry, self._spares)

    async def jail_paths(self) -> JailPaths:
        """See `Tree.jail_paths`: in the mirror's place there is a clone, made anew.

        The mirror has more, what runs left that failed: one run would speak to the next by it.
        """
        seen = await self._worktree.clone_to_see(self._head)
        return JailPaths(
            readable=(published.objects_of(self._mirror),),
            instead=((seen, self._mirror.path),),
            nested=(self._worktree.admin, self._worktree.pointer),
        )

    async def add_starter(self, template: Path, message: CommitText) -> str | None:
        """Give a repository without a `flake.nix` the files of a template, by a commit below the run's own one.

        Call it after `open`, before the model; it looks first whether it is done.

        Args:
            template: a folder with a `flake.nix`.
            message: whole, with its trailers.

        Returns:
            The commit; None if the repository brings a flake.

        Raises:
            TicketFailure: the repository has something in the way.
            PodTrouble: the template is none.
        """
        if self._record.starter:
            return self._record.starter
        sha = await commit_starter(self._worktree, self._record.onto, template, message)
        if sha is not None:
            await self._move(sha)
            self._remember(onto=sha, starter=sha)
        return sha

    async def sealed(self) -> Workspace:
        """This one; from here on git's files must stay as they are."""
        self._seal = await self._worktree.seal()
        return self

    async def _refuse_tampering(self, who: str) -> None:
        """Raise if git's files are not as they were, after putting them right: the work can still be kept."""
        if what := await self._worktree.tampered(self._seal):
            await self._worktree.link(self._head)
            await self.sealed()
            raise TicketFailure(f"{who} ran git: {what}")

    async def snapshot(self) -> Snapshot:
        """Everything that is there and not ignored.

        Raises:
            TicketFailure: the model ran git, or left what cannot be committed: conflict markers, a repository within
                the repository, a link that leads out of it, a pipe.
        """
        with blamed(self._mirror.folder):
            await self._refuse_tampering("the model")
            await refuse_excess(self._worktree, self._record.onto)
            tree = await self._worktree.tree()
            listing = await self._worktree.listing()
            if listing.hidden:
                await self._worktree.adopt(self._head)
                raise TicketFailure(f"the model ran git: {names(listing.hidden)} was hidden from it")
            changed = tree != await self._tree_of(self._record.onto)
            if changed:
                await refuse_work(self._worktree, listing, self._record.onto)
            return Snapshot(tree, changed)

    async def _tree_of(self, commit: str) -> str:
        return await self._worktree.answer("rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}")

    async def commit(self, tree: str, message: CommitText) -> str:
        """The run's one commit, on top of the start, whatever was committed before in this run; returns its id.

        Args:
            tree: of the snapshot.
            message: whole, with its trailers.

        Raises:
            TicketFailure: the model ran git since the snapshot.
        """
        with blamed(self._mirror.folder):
            await self._refuse_tampering("the model")
            sha = await self._worktree.commit(tree, (self._record.onto,), message)
            await self._move(sha)
            return sha

    async def _move(self, head: str) -> None:
        await self._worktree.git("update-ref", "--no-deref", "HEAD", head)
        self._head, self._made_of = head, ""
        await self.sealed()

    async def publish(self, sha: str, *, claim_blob: str | None) -> str:
        """Push the result and give the claim ref back, in one atomic push; returns the commit that the remote shows.

        Args:
            sha: the commit.
            claim_blob: what our claim ref holds. None where the remote takes no such refs: then the lease is on the
                branch's tip.

        Raises:
            Superseded: the claim ref is not ours any more.
            PushRefused: it is, and the remote said no; the detail has the words of its hooks.
            TicketFailure: the checks ran git since the commit.
            RepositoryUnreachable: the result did not get there, and nobody said no: the push may land still.
        """
        with blamed(self._mirror.folder):
            await self._refuse_tampering("a check")
        branch = f"{HEADS}{self.branch}"
        claim = claim_ref(self._worktree.owner)
        if claim_blob:
            words = [f"--force-with-lease={claim}:{claim_blob}", "origin", f"{sha}:{branch}", f":{claim}"]
        else:
            words = [f"--force-with-lease={branch}:{self._record.tip}", "origin", f"{sha}:{branch}"]
        refused, detail = await self._push(*words)
        shown = await self._look(sha, claim_blob, detail, refused=refused)
        self._remember(published=shown)
        await hand_on(self._worktree)
        return shown

    async def _push(self, *words: str) -> tuple[bool, str]:
        """Push, and once more if the remote answers and took too long for this; whether it is a no, and in which words."""
        push = ("push", "--porcelain", "--atomic", "--no-verify", *words)
        try:
            try:
                done = await self._mirror.remote(*push)
            except TooSlow as slow:
                logger.warning("a push once more: {}", slow)
                await self._mirror.list_refs(f"{HEADS}{self.branch}")
                done = await self._mirror.remote(*push)
        except TooSlow:  # it is too much, or its hooks take too long over it: no time mends that
            return True, f"{self._mirror.place} answers, but did not take it in its time, twice: is it too large?"
        except RepositoryUnreachable as error:  # it may have arrived all the same
            return False, str(error)
        reasons = rejected(done.stdout).values()
        said = self._mirror.said(done)
        detail = "\n".join(filter(None, ("; ".join(reasons), told(said)))) or said
        return bool(reasons) or _TOO_LARGE in done.stderr, detail

    async def _look(self, sha: str, claim_blob: str | None, detail: str, *, refused: bool) -> str:
        """After any push, the remote's own list decides: a push that reports success proves nothing."""
        refs = await self._mirror.list_refs(f"{HEADS}{self.branch}", f"{CLAIMS}{self._worktree.owner}")
        tip = refs.heads.get(self.branch, "")
        if tip == sha:
            return sha
        await self._mirror.fetch()
        await self.sealed()
        if found := await commit_with(self._mirror, RUN_TRAILER, self.run, self.branch):
            return found
        if claim_blob and refs.claims.get(self._worktree.owner) != claim_blob:
            raise Superseded(
                f"the claim ref of #{self._worktree.owner} is not ours any more; nothing was pushed to `{self.branch}`"
            )
        if tip == self._record.tip and not refused:
            raise RepositoryUnreachable(f"the push to {self._mirror.place} did not arrive; git said: {detail}")
        raise PushRefused(Refusal.BRANCH_MOVED if tip != self._record.tip else Refusal.OTHER, detail)

    async def rebase(self) -> str:
        """Put the run's commit on the remote's present tip, brought up to base; returns the new commit.

        Raises:
            TicketFailure: it conflicts; everything is as before, and can be kept.
        """
        await self._mirror.fetch()
        now = await self._worktree.up_to_date(self.branch, *await self._mirror.tips(self.branch))
        starter = self._record.starter
        try:
            if starter:
                starter = await move_starter(self._worktree, starter, now.onto) or ""
            tree = await self._worktree.merged(starter or now.onto, self._head, base=self._record.onto)
        except TicketFailure as error:
            raise TicketFailure(f"rebasing on `{self.branch}`, which moved, failed: {error.reason}") from error
        finally:
            await self.sealed()
        onto = starter or now.onto
        sha = await self._worktree.commit(tree, (onto,), await self._worktree.message(self._head))
        with blamed(self._mirror.folder):
            listing = await self._worktree.reset(sha)
        self._head, self._made_of = sha, ""
        self._remember(onto=onto, base=now.base, tip=now.tip, starter=starter)
        await self.sealed()
        await refuse_repository(self._worktree, listing)
        return sha

    async def keep(self, name: str, message: CommitText) -> Kept | None:
        """Keep everything that is there, out of the reach of CI; None if there is nothing beyond the start.

        The same files give the same commit, so a repetition changes nothing. Nothing here leads to it then, so that its
        objects can go; the files stay.

        Args:
            name: see `agent.git.kept.keep`.
            message: whole.

        Raises:
            GitFailed: nothing of it can be kept.
            KeepRefused: the remote says no; everything is still there.
            RepositoryUnreachable: it did not get there; everything is still there.
        """
        tree = await tree_to_keep(self._worktree, self._record.onto)
        if tree == await self._tree_of(self._record.onto):
            return None
        date = await self._worktree.answer("log", "-1", "--format=%cI", self._record.onto)
        sha = await self._worktree.commit(tree, (self._record.onto,), message, date=date)
        kept = await keep(self._mirror, name, sha, self._below)
        self._remember(saved=tree)
        with contextlib.suppress(GitFailed, OSError):  # then its objects stay
            await self._worktree.adopt(self._record.onto)
        return kept

    async def unseen_change(self, commit: str) -> Change | None:
        """What of a commit a person must see before it is at the branch; None if nothing.

        Raises:
            TicketFailure: it is too much to be looked at.
        """
        with blamed(self._mirror.folder):
            return await unseen_change(self._mirror, self._below, commit)

    @property
    def _below(self) -> UpToDate:
        return UpToDate(self._base, self._record.tip, self._record.onto)

    @property
    def _base(self) -> str:
        return self._record.base or self._record.start

    async def take(self, kept: str, message: CommitText) -> str:
        """Kept work as this run's own, brought up to where the run started; returns the new commit.

        Args:
            kept: the commit, which is here.
            message: whole, with its trailers.

        Raises:
            TicketFailure: it conflicts; or it cannot be worked in.
        """
        onto = self._record.onto
        try:
            tree = await self._worktree.merged(onto, kept, base=f"{kept}^")
        except TicketFailure as error:
            raise TicketFailure(f"bringing the kept work up to `{self._mirror.base}` failed: {error.reason}") from error
        finally:
            await self.sealed()
        with blamed(self._mirror.folder):
            sha = await self._worktree.commit(tree, (onto,), message)
            listing = await self._worktree.reset(sha)
        self._head, self._made_of = sha, ""
        await self.sealed()
        await refuse_repository(self._worktree, listing)
        return sha

    async def has_leftovers(self) -> bool:
        """Whether there is work that is nowhere else."""
        if self._record.published:
            return False  # the snapshot that was pushed is the work; what came after is litter
        tree = await tree_to_keep(self._worktree, self._record.onto)
        return tree not in (self._record.saved, await self._tree_of(self._record.onto))

    def _remember(self, **changes: str) -> None:
        self._record = msgspec.structs.replace(self._record, **changes)
        self._worktree.write(self._record)
