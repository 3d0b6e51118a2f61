"""Stand-ins for `agent.git.repo.Repository` and `agent.git.workspace.Workspace` over the remote in memory.

The same order of effects as the real ones, and a look at the virtual clock between any two, so that a kill, a freeze or a
rival may fall there. What lies in a `HostFolder` survives the pod, as files do.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from agent.clock import Clock
from agent.errors import PodTrouble, Superseded, TicketFailure
from agent.git.evidence import RUN_TRAILER, SEEN_TRAILER, STARTER_TRAILER, TICKET_TRAILER
from agent.git.guarded import Change
from agent.git.kept import Kept
from agent.git.refs import (
    CLAIMS,
    HEADS,
    PROBES,
    ClaimRefRefused,
    KeepRefused,
    LeaseRefused,
    PushRefused,
    Refs,
    Refusal,
    RepositoryUnreachable,
    blob_id,
    claim_ref,
    kept_name,
    names,
    no_base,
)
from agent.git.starter import FLAKE
from agent.git.workspace import Snapshot
from agent.git.worktree import Record, UpToDate
from simulation.remote import MARKER, Fault, SimRemote, Tree, Update

STEP: Final = 0.5
"""Seconds that one command takes."""


class HostFolder:
    """What a pod's host keeps of a repository: the branches it fetched, worktrees, their records. It survives a kill."""

    def __init__(self) -> None:
        self.tips: dict[str, str] = {}
        self.files: dict[int, dict[str, str]] = {}
        self.records: dict[int, Record] = {}
        self.bundles: dict[str, str] = {}
        self.hidden: bool | None = None


class Line:
    """A pod's line to the remote: takes time, and breaks.

    Args:
        remote: the other side.
        clock: the virtual one.
        pod: who talks.
        fault: what happens to a command, by pod and verb: `list`, `fetch`, `claim`, `unclaim`, `result`, `keep`.
        pause: how long the next step takes.
    """

    def __init__(
        self,
        remote: SimRemote,
        clock: Clock,
        *,
        pod: str = "pod-a",
        fault: Callable[[str, str], Fault] = lambda _pod, _verb: Fault.NONE,
        pause: Callable[[], float] = lambda: STEP,
    ) -> None:
        self.remote = remote
        self.place = "sim.git"
        self._clock = clock
        self._pod = pod
        self._fault = fault
        self._pause = pause

    async def step(self) -> None:
        """Something happens on this host."""
        await self._clock.sleep(self._pause())

    async def list_refs(self) -> Refs:
        """What the remote has."""
        await self._reach("list")
        refs = self.remote.list_refs()
        await self.step()
        return refs

    async def fetch(self, folder: HostFolder) -> None:
        """Bring the branches here."""
        await self._reach("fetch")
        folder.tips = dict(self.remote.list_refs().heads)
        await self.step()

    async def push(self, verb: str, *updates: Update) -> dict[str, str]:
        """Push atomically; the refs that were refused, with reasons.

        Raises:
            RepositoryUnreachable: no answer; it may have arrived all the same, or arrive later.
        """
        await self.step()
        fault = self._fault(self._pod, verb)
        if fault is Fault.DOWN:
            await self.step()
            raise self.unreachable()
        hook = "not now" if fault is Fault.REFUSED else ""
        seen = dict(self.remote.refs)
        carry_out = functools.partial(self.remote.take, updates, seen, who=self._pod, verb=verb, hook=hook)
        if fault is Fault.LATE:
            self.remote.later(carry_out)
            await self.step()
            raise self.unreachable()
        await self.step()
        refused = carry_out()
        await self.step()
        if fault is Fault.LOST:
            raise self.unreachable()
        return refused

    async def _reach(self, verb: str) -> None:
        fault = self._fault(self._pod, verb)
        await self.step()
        if fault not in (Fault.NONE, Fault.REFUSED):
            raise self.unreachable()

    def unreachable(self) -> RepositoryUnreachable:
        """The error for a command without an answer."""
        return RepositoryUnreachable(
            f"the repository {self.place} cannot be used: it does not answer; git said: nothing"
        )


class SimRepository:
    """The face of `agent.git.repo.Repository`.

    Args:
        line: to the remote.
        folder: what this host has of it.
    """

    def __init__(self, line: Line, folder: HostFolder) -> None:
        self._line = line
        self._remote = line.remote
        self._folder = folder

    @property
    def place(self) -> str:
        return self._line.place

    @property
    def base(self) -> str:
        return self._remote.base

    async def preflight(self) -> Refs:
        return await self._line.list_refs()

    async def probe(self, pod: str) -> bool:
        await self._line.step()
        return not self._remote.refuses(f"{PROBES}{pod}", "blob")

    def settle(self, *, hidden: bool | None) -> None:
        self._folder.hidden = hidden

    async def fetch_kept(self, name: str) -> str | None:
        await self._line.step()
        return self._folder.bundles.get(name) or self._remote.ref(f"refs/{name}") or None

    async def let_through(self, change: str, branch: str) -> bool:
        await self._line.step()
        return self._commit_with(SEEN_TRAILER, change, branch) is not None

    def lacks(self, refs: Refs) -> str:
        return "" if self.base in refs.heads else no_base(self.place, self.base, empty=not refs.heads)

    # -- the claim ref ---------------------------------------------------------------------------------------------

    async def read_claim(self, owner: int) -> str | None:
        return (await self._line.list_refs()).claims.get(owner)

    @staticmethod
    def claim_blob(text: str) -> str:
        return blob_id(text.encode())

    async def set_claim(self, owner: int, text: str, expected: str | None) -> str:
        blob = self.claim_blob(text)
        self._remote.blobs[blob] = text
        refusal = await self._push("claim", Update(claim_ref(owner), blob, lease=expected or ""))
        if refusal is None:
            return blob
        found = await self.read_claim(owner)  # it may have arrived all the same
        if found == blob:
            return blob
        if found != expected:
            raise LeaseRefused(f"The claim ref of #{owner} is {found or 'gone'}, not {expected or 'unset'}.")
        raise refusal

    async def delete_claim(self, owner: int, expected: str) -> None:
        refusal = await self._push("unclaim", Update(claim_ref(owner), "", lease=expected))
        if refusal is not None and not isinstance(refusal, ClaimRefRefused):
            raise refusal

    async def _push(self, verb: str, update: Update) -> RepositoryUnreachable | None:
        try:
            refused = await self._line.push(verb, update)
        except RepositoryUnreachable as error:
            return error
        if not refused:
            return None
        return ClaimRefRefused(f"the repository {self.place} takes no refs below `{CLAIMS}`: {refused[update.ref]}")

    # -- what was fetched ------------------------------------------------------------------------------------------

    async def fetch(self) -> None:
        await self._line.fetch(self._folder)

    async def tip(self, branch: str) -> str:
        return self._folder.tips.get(branch) or self._base_tip()

    def _base_tip(self) -> str:
        if tip := self._folder.tips.get(self.base):
            return tip
        raise TicketFailure(no_base(self.place, self.base, empty=not self._folder.tips))

    async def commit_of_run(self, run: str, branch: str) -> str | None:
        await self._line.step()
        return self._commit_with(RUN_TRAILER, run, branch)

    async def commits_of_ticket(self, ticket: int, branch: str) -> bool:
        await self._line.step()
        return self._commit_with(TICKET_TRAILER, f"#{ticket}", branch) is not None

    def _commit_with(self, key: str, value: str, branch: str) -> str | None:
        tips = self._folder.tips
        return self._remote.commit_with(key, value, tips.get(branch, ""), tips.get(self.base, ""))

    def run_of(self, owner: int) -> str | None:
        record = self._folder.records.get(owner)
        return None if record is None else record.run

    # -- worktrees -------------------------------------------------------------------------------------------------

    async def open(self, owner: int, branch: str, run: str) -> SimWorkspace:
        await self._line.step()
        folder = self._folder
        record = folder.records.get(owner)
        if record is not None and record.run == run and folder.files.get(owner):
            kept = replace(record, branch=branch, published="", saved="")
            folder.records[owner] = kept
            return self._workspace(owner, kept)
        await self._keep_leftovers(owner, record)
        self._base_tip()
        now = up_to_date(self._remote, self._folder, branch)
        await self._line.step()
        folder.files[owner] = dict(self._remote.files(now.onto))
        await self._line.step()
        fresh = Record(run=run, branch=branch, start=now.onto, onto=now.onto, base=now.base, tip=now.tip)
        folder.records[owner] = fresh
        return self._workspace(owner, fresh)

    def _workspace(self, owner: int, record: Record) -> SimWorkspace:
        return SimWorkspace(self._line, self._folder, owner, record)

    async def _keep_leftovers(self, owner: int, record: Record | None) -> None:
        if record is None:
            return
        before = self._workspace(owner, record)
        if self._folder.files.get(owner) and await before.has_leftovers():
            message = f"Left behind by an earlier run\n\n{RUN_TRAILER}: {record.run}\n"
            await before.keep(kept_name(owner, record.run), message)
        self._folder.records.pop(owner, None)

    async def discard(self, owner: int) -> None:
        await self._line.step()
        await self._keep_leftovers(owner, self._folder.records.get(owner))
        self._folder.files.pop(owner, None)
        self._folder.records.pop(owner, None)


class SimCheckout(Struct, frozen=True):
    """The face of `agent.git.checkout.Checkout`."""

    files: dict[str, str]
    carried: tuple[str, ...] = ()

    async def passed(self) -> None:
        """Nothing is carried over here."""


class SimWorkspace:
    """The face of `agent.git.workspace.Workspace`.

    Args:
        line: to the remote.
        folder: of this host.
        owner: whose worktree it is.
        record: the run.
    """

    def __init__(self, line: Line, folder: HostFolder, owner: int, record: Record) -> None:
        self.owner = owner
        self._line = line
        self._remote = line.remote
        self._folder = folder
        self._record = record
        self._head = record.onto

    @property
    def files(self) -> dict[str, str]:
        """The worktree: a model writes here."""
        return self._folder.files.setdefault(self.owner, {})

    @property
    def path(self) -> Path:
        return Path("/sim/work") / str(self.owner)

    @property
    def start(self) -> str:
        return self._record.start

    @property
    def branch(self) -> str:
        return self._record.branch

    @property
    def run(self) -> str:
        return self._record.run

    @property
    def starter(self) -> str:
        return self._record.starter

    async def file_at_base(self, name: str) -> str | None:
        return self._remote.files(self._record.base).get(name)

    @asynccontextmanager
    async def checkout(self, commit: str, carry: Sequence[str] = ()) -> AsyncIterator[SimCheckout]:
        del carry
        await self._line.step()
        yield SimCheckout(dict(self._remote.files(commit)))
        await self._line.step()

    async def flake_files(self, patterns: Sequence[str] = ()) -> tuple[str, ...]:
        del patterns
        return tuple(name for name in self.files if name.endswith(".nix") or name == "flake.lock")

    async def add_starter(self, template: Path, message: str) -> str | None:
        await self._line.step()
        if self._record.starter:
            return self._record.starter
        there = self._remote.files(self._record.onto)
        if FLAKE in there:
            return None
        given = _template(template)
        if FLAKE not in given:
            raise PodTrouble(f"the template folder {template} has no {FLAKE}: mend the setting that names it")
        if wrong := [one for one in there if any(name.startswith(f"{one}/") for name in given)]:
            raise TicketFailure(f"the starter flake does not fit into the repository: {names(wrong)} is in the way")
        new = {name: text for name, text in given.items() if name not in there or name == "flake.lock"}
        self.files.update(new)
        await self._line.step()
        text = f"{message.rstrip()}\n{STARTER_TRAILER}: {FLAKE}\n"
        sha = self._remote.commit(self._remote.tree({**there, **new}), (self._record.onto,), text)
        self._head = sha
        self._remember(onto=sha, starter=sha)
        return sha

    async def snapshot(self) -> Snapshot:
        await self._line.step()
        before = self._remote.files(self._record.onto)
        marked = [name for name, text in self.files.items() if MARKER in text and before.get(name) != text]
        if marked:
            raise TicketFailure(f"conflict markers were left in {names(marked)}")
        tree = self._remote.tree(self.files)
        return Snapshot(tree, tree != self._tree_of(self._record.onto))

    def _tree_of(self, commit: str) -> str:
        return self._remote.commits[commit].tree

    async def commit(self, tree: str, message: str) -> str:
        await self._line.step()
        self._head = self._remote.commit(tree, (self._record.onto,), message)
        return self._head

    async def publish(self, sha: str, *, claim_blob: str | None) -> str:
        branch, claim = f"{HEADS}{self.branch}", claim_ref(self.owner)
        updates = [Update(branch, sha), Update(claim, "", lease=claim_blob)]
        if not claim_blob:
            updates = [Update(branch, sha, lease=self._record.tip)]
        try:
            reasons = (await self._line.push("result", *updates)).values()
        except RepositoryUnreachable as error:  # it may have arrived all the same
            refused, detail = False, str(error)
        else:
            refused, detail = bool(reasons), "; ".join(reasons)
        shown = await self._look(sha, claim_blob, detail, refused=refused)
        self._remember(published=shown)
        return shown

    async def _look(self, sha: str, claim_blob: str | None, detail: str, *, refused: bool) -> str:
        refs = await self._line.list_refs()
        tip = refs.heads.get(self.branch, "")
        if tip == sha:
            return sha
        await self._line.fetch(self._folder)
        tips = self._folder.tips
        base = tips.get(self._remote.base, "")
        if found := self._remote.commit_with(RUN_TRAILER, self.run, tips.get(self.branch, ""), base):
            return found
        if claim_blob and refs.claims.get(self.owner) != claim_blob:
            raise Superseded(
                f"the claim ref of #{self.owner} is not ours any more; nothing was pushed to `{self.branch}`"
            )
        if tip == self._record.tip and not refused:
            raise RepositoryUnreachable(f"the push to {self._line.place} did not arrive; git said: {detail}")
        raise PushRefused(Refusal.BRANCH_MOVED if tip != self._record.tip else Refusal.OTHER, detail)

    async def rebase(self) -> str:
        await self._line.fetch(self._folder)
        remote = self._remote
        now = up_to_date(remote, self._folder, self.branch)
        onto = now.onto
        starter = self._record.starter
        try:
            if starter:
                starter = self._moved_starter(starter, onto)
            tree = remote.merged(starter or onto, self._head, base=self._record.onto)
        except TicketFailure as error:
            raise TicketFailure(f"rebasing on `{self.branch}`, which moved, failed: {error.reason}") from error
        onto = starter or onto
        sha = remote.commit(tree, (onto,), remote.commits[self._head].message)
        self._folder.files[self.owner] = dict(remote.trees[tree])
        self._head = sha
        self._remember(onto=onto, base=now.base, tip=now.tip, starter=starter)
        await self._line.step()
        return sha

    def _moved_starter(self, starter: str, onto: str) -> str:
        remote = self._remote
        if FLAKE in remote.files(onto):
            return ""
        before = remote.commits[starter]
        return remote.commit(remote.merged(onto, starter, base=before.parents[0]), (onto,), before.message)

    async def unseen_change(self, commit: str) -> Change | None:
        """Nothing is guarded in this world."""
        del commit
        await self._line.step()
        return None

    async def keep(self, name: str, message: str) -> Kept | None:
        await self._line.step()
        tree, onto = self._remote.tree(self.files), self._record.onto
        if tree == self._tree_of(onto):
            return None
        sha = self._remote.commit(tree, (onto,), message, stamp="kept")
        ref = f"{HEADS}{name}" if self._folder.hidden is False else f"refs/{name}"
        kept = Kept(sha, ref)
        if trouble := await self._push_kept(ref, sha):
            if self._folder.hidden is None:
                raise trouble
            if not isinstance(trouble, KeepRefused):
                await self._line.list_refs()
            self._folder.bundles[name] = sha
            kept = Kept(sha, bundle=name, refusal=str(trouble))
        else:
            self._folder.bundles.pop(name, None)
        self._remember(saved=tree)
        return kept

    async def _push_kept(self, ref: str, sha: str) -> RepositoryUnreachable | None:
        try:
            refused = await self._line.push("keep", Update(ref, sha, force=True))
        except RepositoryUnreachable as silent:
            return silent
        return (
            KeepRefused(f"the repository {self._line.place} does not take `{ref}`: {refused[ref]}") if refused else None
        )

    async def has_leftovers(self) -> bool:
        if self._record.published:
            return False  # the snapshot that was pushed is the work; what came after is litter
        return self._remote.tree(self.files) not in (self._record.saved, self._tree_of(self._record.onto))

    def _remember(self, **changes: str) -> None:
        self._record = replace(self._record, **changes)
        self._folder.records[self.owner] = self._record


def up_to_date(remote: SimRemote, folder: HostFolder, branch: str) -> UpToDate:
    """See `agent.git.worktree.Worktree.up_to_date`."""
    base, tip = folder.tips[remote.base], folder.tips.get(branch, "")
    if not tip or remote.contains(base, tip):
        return UpToDate(base, tip, base)
    if remote.contains(tip, base):
        return UpToDate(base, tip, tip)
    try:
        tree = remote.merged(tip, base)
    except TicketFailure as error:
        raise TicketFailure(f"merging `{remote.base}` into `{branch}` failed: {error.reason}") from error
    return UpToDate(base, tip, remote.commit(tree, (tip, base), f"Merge branch '{remote.base}' into {branch}\n"))


@functools.cache
def _template(folder: Path) -> Tree:
    return {str(one.relative_to(folder)): one.read_text() for one in sorted(folder.rglob("*")) if one.is_file()}
