"""What one run does in its worktree: snapshot, commit, publish, rebase, keep.

A run has at most one commit of its own, on top of the commit it started from. Nothing of a run is thrown away before it
is on the remote.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from agent.errors import PodTrouble, Superseded, TicketFailure
from agent.git.refs import CLAIMS, HEADS, PushRefused, Refusal, RepositoryUnreachable, claim_ref, names, rejected
from agent.git.worktree import Record, Worktree

RUN_TRAILER: Final = "Agent-Run"
"""The trailer that proves a run's commit; its value is the run id, which survives a take-over."""
TICKET_TRAILER: Final = "Work-Package"
"""The trailer that names the ticket, as `#42`."""
_DIED: Final = "remote failure"
"""What git reports for a ref when the other side ended without a word: no refusal."""
_MARKER: Final = re.compile(rb"(<{7}|>{7})(\s|\Z)")


class Snapshot(Struct, frozen=True):
    """What a run made: the tree of it, and whether it differs from the commit that the run started from."""

    tree: str
    changed: bool


class Workspace:
    """The worktree of a branch owner while one run has it.

    Args:
        worktree: the folder and its ties.
        record: the run.
    """

    def __init__(self, worktree: Worktree, record: Record) -> None:
        self._worktree = worktree
        self._mirror = worktree.mirror
        self._record = record
        self._head = record.onto

    @property
    def path(self) -> Path:
        """The folder that the model works in."""
        return self._worktree.path

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
    def has_flake(self) -> bool:
        """Whether the repository brings a `flake.nix`."""
        return (self.path / "flake.nix").is_file()

    async def file_at_start(self, name: str) -> str | None:
        """A file of the commit that the run started from; None if it is not there. The model cannot change it."""
        kind = await self._worktree.git("cat-file", "-t", f"{self.start}:{name}", ok=(0, 128))
        if kind.stdout.strip() != b"blob":
            return None
        done = await self._worktree.git("cat-file", "blob", f"{self.start}:{name}")
        return done.stdout.decode("utf-8", "replace")

    async def show_to_nix(self) -> None:
        """Let Nix see new `*.nix` files and a new lock file: in a git checkout it sees only what the index names."""
        new = await self._worktree.git("ls-files", "-z", "--others", "--exclude-standard", "--", "*.nix", "flake.lock")
        if new.stdout:
            await self._worktree.git(
                "add", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul", stdin=new.stdout
            )

    async def snapshot(self) -> Snapshot:
        """Everything that is there and not ignored.

        Raises:
            TicketFailure: the model ran git, left conflict markers, or made a repository within the repository.
        """
        if what := await self._worktree.tampered(self._head):
            raise TicketFailure(f"the model ran git: {what}")
        tree = await self._worktree.tree()
        changed = tree != await self._tree_of(self._record.onto)
        if changed:
            await self._refuse_leftovers()
        return Snapshot(tree, changed)

    async def _tree_of(self, commit: str) -> str:
        return await self._worktree.answer("rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}")

    async def _refuse_leftovers(self) -> None:
        raw = await self._worktree.answer("diff-index", "--cached", "--raw", "-z", "--no-renames", self._record.onto)
        words = raw.split("\0")
        nested = [
            path for mode, path in zip(words[::2], words[1::2], strict=False) if mode.split(" ")[1:2] == ["160000"]
        ]
        if nested:
            raise TicketFailure(f"{names(nested)} is a git repository of its own, so its files cannot be committed")
        if marked := await self._marked():
            raise TicketFailure(f"conflict markers were left in {names(marked)}")

    async def _marked(self) -> list[str]:
        """Files in which this run added both ends of a conflict; a row of `=` alone is a heading somewhere."""
        off = "-blank-at-eol,-space-before-tab,-blank-at-eof,-indent-with-non-tab"
        done = await self._worktree.git(
            "-c", f"core.whitespace={off}", "diff-index", "--cached", "--check", self._record.onto, ok=(0, 2)
        )
        added: dict[str, set[int]] = {}
        for line in done.stdout.decode("utf-8", "surrogateescape").splitlines():
            if found := re.fullmatch(r"(.+):(\d+): leftover conflict marker\.?", line):
                added.setdefault(found[1], set()).add(int(found[2]))
        return [path for path, numbers in added.items() if _both_ends(self.path / path, numbers)]

    async def commit(self, tree: str, message: str) -> str:
        """The run's one commit, on top of the start, whatever was committed before in this run; returns its id.

        Args:
            tree: of the snapshot.
            message: whole, with its trailers.
        """
        sha = await self._worktree.commit(tree, (self._record.onto,), message)
        await self._move(sha)
        return sha

    async def _move(self, head: str) -> None:
        await self._worktree.git("update-ref", "--no-deref", "HEAD", head)
        self._head = head

    async def publish(self, sha: str, *, claim_blob: str | None) -> str:
        """Push the result and give the claim ref back, in one atomic push; returns the commit that the remote shows.

        Args:
            sha: the commit.
            claim_blob: what our claim ref holds. None where the remote takes no such refs: then the lease is on the
                branch's tip.

        Raises:
            Superseded: the claim ref is not ours any more.
            PushRefused: it is, and the remote said no.
            RepositoryUnreachable: the result did not get there, and nobody said no: the push may land still.
        """
        branch = f"{HEADS}{self.branch}"
        claim = claim_ref(self._worktree.owner)
        if claim_blob:
            words = [f"--force-with-lease={claim}:{claim_blob}", "origin", f"{sha}:{branch}", f":{claim}"]
        else:
            words = [f"--force-with-lease={branch}:{self._record.tip}", "origin", f"{sha}:{branch}"]
        try:
            done = await self._mirror.remote("push", "--porcelain", "--atomic", "--no-verify", *words)
        except RepositoryUnreachable as error:  # it may have arrived all the same
            refused, detail = False, str(error)
        else:
            reasons = rejected(done.stdout.decode("utf-8", "replace")).values()
            refused = any(_DIED not in reason for reason in reasons)
            detail = "; ".join(reasons) or self._mirror.said(done)
        shown = await self._look(sha, claim_blob, detail, refused=refused)
        self._remember(published=shown)
        return shown

    async def _look(self, sha: str, claim_blob: str | None, detail: str, *, refused: bool) -> str:
        """After any push, the remote's own list decides: a push that reports success proves nothing."""
        refs = await self._mirror.list_refs(f"{HEADS}{self.branch}", f"{CLAIMS}{self._worktree.owner}")
        tip = refs.heads.get(self.branch, "")
        if tip == sha:
            return sha
        await self._mirror.fetch()
        if found := await self._mirror.commit_with(RUN_TRAILER, self.run, self.branch):
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
        tip, onto = await self._worktree.up_to_date(self.branch)
        try:
            tree = await self._worktree.merged(onto, self._head, base=self._record.onto)
        except TicketFailure as error:
            raise TicketFailure(f"rebasing on `{self.branch}`, which moved, failed: {error.reason}") from error
        message = (await self._worktree.git("log", "-1", "--format=%B", self._head)).stdout.decode("utf-8", "replace")
        sha = await self._worktree.commit(tree, (onto,), message.rstrip("\n") + "\n")
        await self._worktree.reset(sha)
        self._head = sha
        self._remember(onto=onto, tip=tip)
        return sha

    async def keep(self, ref: str, message: str) -> str | None:
        """Push everything that is there to the branch `ref`; None if there is nothing beyond the start.

        The same files give the same commit, so a repetition changes nothing.

        Raises:
            RepositoryUnreachable: the remote does not take it; everything is still there.
        """
        tree = await self._worktree.tree()
        if tree == await self._tree_of(self._record.onto):
            return None
        date = await self._worktree.answer("log", "-1", "--format=%cI", self._record.onto)
        sha = await self._worktree.commit(tree, (self._record.onto,), message, date=date)
        done = await self._mirror.remote("push", "--porcelain", "--no-verify", "origin", f"+{sha}:{HEADS}{ref}")
        if not done.ok:
            raise self._mirror.unreachable(done)
        self._remember(saved=tree)
        return sha

    async def has_leftovers(self) -> bool:
        """Whether there is work that is nowhere else."""
        if self._record.published:
            return False  # the snapshot that was pushed is the work; what came after is litter
        tree = await self._worktree.tree()
        return tree not in (self._record.saved, await self._tree_of(self._record.onto))

    def _remember(self, **changes: str) -> None:
        self._record = msgspec.structs.replace(self._record, **changes)
        self._worktree.write(self._record)


def _both_ends(path: Path, numbers: set[int]) -> bool:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise PodTrouble(f"the file {path} cannot be read back: {error.strerror}") from error
    ends = {found[1] for number in numbers if number <= len(lines) and (found := _MARKER.match(lines[number - 1]))}
    return len(ends) == 2  # noqa: PLR2004 - both
