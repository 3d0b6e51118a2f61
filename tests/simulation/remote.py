"""A stand-in for a git remote: commits, branches, claim refs and leased atomic pushes, in memory.

A push is judged as git judges it (DESIGN, section 3): a ref that has the pushed value already is not looked at, whatever
its lease says; a deletion is; without a lease a branch only moves forward.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from agent.errors import TicketFailure
from agent.git.evidence import STARTER_TRAILER
from agent.git.refs import CLAIMS, HEADS, Refs, names

Tree = Mapping[str, str]
"""File contents by path."""

MARKER: Final = "<<<<<<< "


class Fault(enum.Enum):
    """What happens to one command that talks to the remote."""

    NONE = "it is carried out and answered"
    DOWN = "it does not get there"
    LOST = "it is carried out, the answer is lost"
    LATE = "no answer; it is carried out later, if it is a push"
    REFUSED = "a hook says no to a push"


class Commit(Struct, frozen=True):
    """A commit."""

    id: str
    parents: tuple[str, ...]
    tree: str
    message: str

    def trailers(self, key: str) -> list[str]:
        """The values of a trailer: `key: value` lines of the last paragraph."""
        last = self.message.rstrip("\n").rpartition("\n\n")[2]
        return [line.partition(": ")[2].strip() for line in last.splitlines() if line.startswith(f"{key}: ")]


class Update(Struct, frozen=True):
    """One ref of a push.

    Attributes:
        ref: its full name.
        new: what it is to be; empty deletes it.
        lease: what it must be now, empty for not there; None where no lease is asked for.
        force: a branch may also move back.
    """

    ref: str
    new: str
    lease: str | None = None
    force: bool = False


class Landed(Struct, frozen=True):
    """A push that changed something, as the remote saw it.

    Attributes:
        who: the pod, or "person".
        verb: what the push was for.
        changes: per ref, what it was and what it is; empty for not there.
    """

    who: str
    verb: str
    changes: Mapping[str, tuple[str, str]]


class SimRemote:
    """The repository on the forge.

    Args:
        files: the first commit on `main`; None for an empty repository.
        base: the main branch.
    """

    def __init__(self, files: Tree | None = None, *, base: str = "main") -> None:
        self.base = base
        self.refs: dict[str, str] = {}
        self.commits: dict[str, Commit] = {}
        self.trees: dict[str, Tree] = {}
        self.blobs: dict[str, str] = {}
        """The text of every claim that was ever pushed, by its blob."""
        self.landed: list[Landed] = []
        self.seen: Callable[[Landed], None] = lambda _: None
        """Hears of every push at the moment at which it lands."""
        self.refuses: Callable[[str, str], str] = lambda _ref, _new: ""
        """A hook: why this ref may not become that; empty if it may."""
        self._late: list[Callable[[], object]] = []
        if files is not None:
            self.push(base, files, "First commit")

    # -- objects ---------------------------------------------------------------------------------------------------

    def tree(self, files: Tree) -> str:
        """Keep a tree; its name."""
        whole = "\0".join(f"{path}\1{text}" for path, text in sorted(files.items()))
        name = hashlib.sha1(whole.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
        self.trees.setdefault(name, dict(files))
        return name

    def commit(self, tree: str, parents: tuple[str, ...], message: str, *, stamp: str | None = None) -> str:
        """Keep a commit; its id. The same `stamp` gives the same commit again."""
        stamp = str(len(self.commits)) if stamp is None else stamp
        whole = "\0".join((tree, *parents, message, stamp))
        name = hashlib.sha1(whole.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
        self.commits.setdefault(name, Commit(name, parents, tree, message))
        return name

    def files(self, commit: str) -> Tree:
        """What a commit holds."""
        return self.trees[self.commits[commit].tree]

    def history(self, tips: Iterable[str], without: str = "") -> list[Commit]:
        """The commits that the tips have and `without` has not, newest first."""
        hidden = {one.id for one in self.history([without])} if without else set()
        found: dict[str, Commit] = {}
        waiting = [one for one in tips if one]
        while waiting:
            name = waiting.pop(0)
            if name not in found and name not in hidden:
                found[name] = self.commits[name]
                waiting += self.commits[name].parents
        return list(found.values())

    def contains(self, commit: str, other: str) -> bool:
        """Whether `other` is an ancestor of `commit`, or the same."""
        return commit == other or any(one.id == other for one in self.history([commit]))

    def merged(self, ours: str, theirs: str, *, base: str | None = None) -> str:
        """The tree of a three-way merge, by whole files.

        Raises:
            TicketFailure: it conflicts; the reason names the files.
        """
        if base is None:
            known = {one.id for one in self.history([ours])}
            base = next((one.id for one in self.history([theirs]) if one.id in known), None)
        before: Tree = self.files(base) if base else {}
        mine, other = self.files(ours), self.files(theirs)
        result, conflicts = dict(mine), []
        for path in before.keys() | other.keys():
            old, here, there = before.get(path), mine.get(path), other.get(path)
            if there in (old, here):
                continue
            if here != old:
                conflicts.append(path)
            elif there is None:
                result.pop(path, None)
            else:
                result[path] = there
        if conflicts:
            raise TicketFailure(f"conflict in {names(conflicts)}")
        return self.tree(result)

    def commit_with(self, key: str, value: str, tip: str, base: str) -> str | None:
        """The newest commit with this trailer on `tip`, beyond the base first; a starter's commit proves nothing."""
        spans = [self.history([tip], base)] if tip else []
        for span in (*spans, self.history([tip, base])):
            for one in span:
                if value in one.trailers(key) and not one.trailers(STARTER_TRAILER):
                    return one.id
        return None

    # -- what the other side does ----------------------------------------------------------------------------------

    def list_refs(self) -> Refs:
        """Branches and claim refs."""
        heads = {ref.removeprefix(HEADS): to for ref, to in self.refs.items() if ref.startswith(HEADS)}
        claims = {int(ref.removeprefix(CLAIMS)): to for ref, to in self.refs.items() if ref.startswith(CLAIMS)}
        return Refs(heads, claims)

    def take(
        self, updates: Sequence[Update], seen: Mapping[str, str], *, who: str, verb: str, hook: str = ""
    ) -> dict[str, str]:
        """Carry a push out whole, or refuse it whole; the refs that were refused, with the reason.

        Args:
            updates: the refs.
            seen: what the pushing side was shown before: by this it judges leases and leaves out what is so already.
                That none of the rest has changed since, the remote itself makes sure of.
            who: the pod.
            verb: what it is for.
            hook: a refusal that was drawn for this push.
        """
        asked = [one for one in updates if seen.get(one.ref, "") != one.new or not one.new]
        refused = {one.ref: why for one in asked if (why := self._refusal(one, seen.get(one.ref, ""), hook))}
        if refused:
            return {one.ref: refused.get(one.ref, "[remote rejected] (atomic push failed)") for one in asked}
        changes = {one.ref: (self.refs.get(one.ref, ""), one.new) for one in asked}
        for ref, (_, new) in changes.items():
            if new:
                self.refs[ref] = new
            else:
                self.refs.pop(ref, None)
        self._tell(Landed(who, verb, changes))
        return {}

    def _refusal(self, one: Update, seen: str, hook: str) -> str:
        if one.lease is not None and one.lease != seen:
            return "[rejected] (stale info)"
        if not one.new and not seen:
            return "[rejected] (remote ref does not exist)"
        backwards = one.ref.startswith(HEADS) and one.new and seen and not self.contains(one.new, seen)
        if backwards and one.lease is None and not one.force:
            return "[rejected] (fetch first)"
        if why := hook or self.refuses(one.ref, one.new):
            return f"[remote rejected] (pre-receive hook declined: {why})"
        if self.refs.get(one.ref, "") != seen:
            return "[remote rejected] (failed to update ref)"
        return ""

    def _tell(self, landed: Landed) -> None:
        if landed.changes:
            self.landed.append(landed)
            self.seen(landed)

    def later(self, push: Callable[[], object]) -> None:
        """A push that is still on its way."""
        self._late.append(push)

    def land(self) -> int:
        """The pushes that were on their way arrive now; how many."""
        waiting, self._late = self._late, []
        for push in waiting:
            push()
        return len(waiting)

    # -- what a person does ----------------------------------------------------------------------------------------

    def push(self, branch: str, files: Mapping[str, str | None], message: str = "A change") -> str:
        """A person changes files (None deletes) on `branch`, made from the base where it is new; the new commit's id."""
        tip = self.tip(branch) or self.tip(self.base)
        after: dict[str, str | None] = {**(self.files(tip) if tip else {}), **files}
        tree = self.tree({path: text for path, text in after.items() if text is not None})
        return self._move(branch, self.commit(tree, (tip,) if tip else (), message))

    def merge(self, branch: str, into: str = "main") -> str:
        """A person merges a branch; the merge commit's id."""
        ours, theirs = self.tip(into), self.tip(branch)
        tree = self.merged(ours, theirs)
        return self._move(into, self.commit(tree, (ours, theirs), f"Merge branch '{branch}'"))

    def delete(self, branch: str) -> None:
        """A person deletes a branch."""
        before = self.refs.pop(f"{HEADS}{branch}")
        self._tell(Landed("person", "delete", {f"{HEADS}{branch}": (before, "")}))

    def _move(self, branch: str, commit: str) -> str:
        ref = f"{HEADS}{branch}"
        change = (self.refs.get(ref, ""), commit)
        self.refs[ref] = commit
        self._tell(Landed("person", "push", {ref: change}))
        return commit

    # -- what a person sees ----------------------------------------------------------------------------------------

    def tip(self, branch: str) -> str:
        """The commit of a branch, or of work that is kept under that name; empty if there is none."""
        return self.ref(f"{HEADS}{branch}") or self.ref(f"refs/{branch}")

    def ref(self, name: str) -> str:
        """What a ref holds, empty if there is none."""
        return self.refs.get(name, "")

    def show(self, revision: str, name: str) -> str | None:
        """A file at a branch or commit, None if it is not there."""
        return self.files(self.tip(revision) or revision).get(name)

    def message(self, revision: str) -> str:
        """A commit's message."""
        return self.commits[self.tip(revision) or revision].message.strip()
