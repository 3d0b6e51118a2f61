"""A branch owner's worktree: its folder, its record, and its repair.

The few small files that tie a linked worktree to its mirror (gitrepository-layout) are written here, always the same
way. So a fresh, a half-made, a locked and a damaged worktree are one case: they are put right, and git's `reset --hard`
does the rest. All commands name the git directory outright: whatever a model does to the `.git` file misleads nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from agent.errors import PodTrouble, TicketFailure
from agent.git import blame, guard, odd, published
from agent.git.folder import let_in, open_up, remove, scrub, unblock, write_plain
from agent.git.guard import Seal
from agent.git.mirror import CONFIG, LOCAL_TIMEOUT, GitHung, Mirror
from agent.git.odd import Listing
from agent.git.refs import names
from agent.programs.runner import Finished
from agent.texts import outlet
from agent.texts.bounded import LINE, Unreadable, from_json
from agent.texts.outlet import CommitText

_DENIED: Final = b"Permission denied"
_FATAL: Final = 128
_STRICT: Final = ("-c", "core.protectNTFS=true", "-c", "core.protectHFS=true")
"""Names that other systems take for `.git` (`git~1`, `.git.`, one with signs that are not seen): their clones, and Nix, refuse a commit that has them."""
_ASIDE: Final = "aside"
"""The folder of worktrees that could neither be kept nor cleaned."""
_MOST_ASIDE: Final = 3

PATIENCE: Final = 120.0
"""Seconds after which a git command is suspected to wait for what will never come."""


class Record(Struct, frozen=True, kw_only=True):
    """What is known of a worktree's run; kept beside the worktree, out of the model's sight."""

    run: str
    branch: str
    start: str
    """The commit that the run started from."""
    onto: str
    """The commit below the run's own one; differs from `start` by a starter flake, and after a rebase."""
    base: str = ""
    """The commit of the base branch that the work contains: the judge and the notes are read there."""
    starter: str = ""
    """The commit with the starter flake; empty if the repository brings a flake of its own."""
    tip: str = ""
    """Where the remote's branch stood; empty if there was none."""
    published: str = ""
    """The commit that reached the branch."""
    saved: str = ""
    """The tree that was pushed to a branch for kept or failed work."""


class UpToDate(Struct, frozen=True):
    """A branch, brought up to its base."""

    base: str
    """The tip of the base."""
    tip: str
    """The remote's tip of the branch; empty if there is none."""
    onto: str
    """A commit that has both: one of the two where it contains the other, else a merge commit of ours."""


class Worktree:
    """The worktree of one branch owner.

    Args:
        mirror: of its repository.
        owner: the id of the Epic or standalone work package.
        name: of its folder below `place`, and of its part of the mirror; the owner's id if none is given.
        place: the folder of such worktrees.
    """

    def __init__(self, mirror: Mirror, owner: int, *, name: str = "", place: str = "work") -> None:
        self.mirror = mirror
        self.owner = owner
        name = name or str(owner)
        self.path = mirror.folder / place / name
        self.admin = mirror.path / "worktrees" / name
        self._note = mirror.folder / "runs" / f"{owner}.json"
        self.pointer = self.path / ".git"
        self._seen = mirror.folder / "seen" / name

    async def git(
        self,
        *arguments: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        ok: tuple[int, ...] = (0,),
    ) -> Finished:
        """A git command in this worktree."""
        try:
            return await self._git(arguments, stdin, env, ok, PATIENCE)
        except GitHung:  # most likely for a pipe that a model put in the place of `.gitignore`
            await asyncio.to_thread(unblock, self.path)
            return await self._git(arguments, stdin, env, ok, LOCAL_TIMEOUT)

    async def _git(
        self, words: tuple[str, ...], stdin: bytes, env: Mapping[str, str] | None, ok: tuple[int, ...], limit: float
    ) -> Finished:
        return await self.mirror.local(
            *words, gitdir=self.admin, tree=self.path, stdin=stdin, env=env, ok=ok, timeout=limit
        )

    async def answer(self, *arguments: str) -> str:
        """What a git command in this worktree prints."""
        return (await self.git(*arguments)).stdout.decode("utf-8", "surrogateescape").strip()

    # -- the record

    def record(self) -> Record | None:
        """The run that this worktree belongs to; None if there is none, or its record cannot be read."""
        with contextlib.suppress(OSError, Unreadable):
            return from_json(self._note.read_bytes(), Record, longest=LINE)
        return None

    def write(self, record: Record) -> None:
        """Remember the run; whole or not at all."""
        self._note.parent.mkdir(parents=True, exist_ok=True)
        # One draft for all owners: what a killed pod leaves of it is overwritten by whatever is written next.
        new = self.mirror.folder / "run.new"
        new.write_bytes(msgspec.json.encode(record))
        new.replace(self._note)

    def forget(self) -> None:
        """There is no run any more."""
        self._note.unlink(missing_ok=True)

    # -- the folder

    async def exists(self) -> bool:
        """Whether there are files that may be somebody's work."""
        return await asyncio.to_thread(self._exists)

    def _exists(self) -> bool:
        if self.path.is_symlink() or not self.path.is_dir():
            return False
        let_in(self.path)
        with os.scandir(self.path) as entries:
            return any(entry.name != ".git" for entry in entries)

    async def link(self, head: str) -> None:
        """Tie folder and mirror together, HEAD at `head`; operations that were under way are forgotten.

        The index stays, since it makes git fast.
        """
        await self.mirror.prepare()
        await asyncio.to_thread(self._link, head)

    def _link(self, head: str) -> None:
        for folder in (self.path, self.admin):
            if folder.is_symlink() or not folder.is_dir():
                remove(folder)
                folder.mkdir(parents=True)
            let_in(folder)
        for entry in self.admin.iterdir():
            if entry.name != "index" or entry.is_symlink() or not entry.is_file():
                remove(entry)
        (self.admin / "commondir").write_text("../..\n")
        (self.admin / "gitdir").write_text(f"{self.pointer}\n")
        (self.admin / "HEAD").write_text(f"{head}\n")
        write_plain(self.pointer, f"gitdir: {self.admin}\n".encode())

    async def reset(self, commit: str) -> Listing:
        """Everything as in `commit`, nothing of what was there; ignored files stay."""
        await self.link(commit)
        try:
            await self.git("reset", "--hard", "--quiet", commit)
        except PodTrouble:  # a damaged index, and folders without rights, are what linking does not mend
            listing = await self._from_scratch(commit)
        else:
            listing = await self.listing()
            if listing.hidden:
                listing = await self._from_scratch(commit)
        done = await self.git("clean", "-ffd", "--quiet", ok=(0, 1))
        if done.returncode or _DENIED in done.stderr:
            await asyncio.to_thread(open_up, self.path)
            await self.git("clean", "-ffd", "--quiet")
        await asyncio.to_thread(scrub, self.path, odd.with_parents(listing.folders))
        return listing

    async def _from_scratch(self, commit: str) -> Listing:
        await asyncio.to_thread(open_up, self.path)
        (self.admin / "index").unlink(missing_ok=True)
        await self.git("reset", "--hard", "--quiet", commit)
        return await self.listing()

    async def adopt(self, commit: str) -> None:
        """The files as they are, seen as changes to `commit`."""
        await self.link(commit)
        done = await self.git("ls-files", "-z", "-s", "-v", ok=(0, 128))
        if done.returncode or (await asyncio.to_thread(odd.read_listing, done.stdout)).hidden:
            (self.admin / "index").unlink(missing_ok=True)
        await self.git("read-tree", "--reset", commit)

    async def listing(self) -> Listing:
        """What the index holds."""
        raw = (await self.git("ls-files", "-z", "-s", "-v")).stdout
        return await asyncio.to_thread(odd.read_listing, raw)  # a million names keep it busy for seconds

    async def clone_to_see(self, commit: str) -> Path:
        """What programs in the folder may see of git: a bare clone with `commit`, and a place for this worktree's ties."""
        await asyncio.to_thread(remove, self._seen)
        await published.clone(self.mirror, self._seen, commit, config=CONFIG)
        (self._seen / "worktrees" / self.admin.name).mkdir(parents=True)
        return self._seen

    async def unlock(self) -> None:
        """Put away what a killed git left; nobody of ours runs git here now."""
        await asyncio.to_thread(self._unlock)

    def _unlock(self) -> None:
        for lock in self.admin.glob("*.lock"):
            remove(lock)

    async def tree(self) -> str:
        """The tree of everything that is there and not ignored.

        Raises:
            TicketFailure: something is there that git cannot hold.
            GitFailed: git fails otherwise.
        """
        done = await self.add_all()
        if what := blame.refused(done):
            raise TicketFailure(what)
        if done.returncode:
            raise self.mirror.failed("add", done)
        return await self.answer("write-tree")

    async def add_all(self, *, keep: bool = False, env: Mapping[str, str] | None = None) -> Finished:
        """Everything that is there and not ignored, into the index; with `keep`, what can be."""
        await self.unlock()
        how = ("add", "--all", "--ignore-errors") if keep else (*_STRICT, "add", "--all")
        words = (*how, "--", ":/")
        done = await self.git(*words, env=env, ok=(0, 1, 128))
        if _DENIED in done.stderr:
            await asyncio.to_thread(open_up, self.path)
            done = await self.git(*words, env=env, ok=(0, 1, 128))
        return done

    async def add(self, how: str, *, paths: Iterable[str], folder: Path | None = None) -> None:
        """`git add` of exactly these paths, as they are in this folder, or in the worktree's own."""
        names = "".join(f"{path}\0" for path in paths).encode("utf-8", "surrogateescape")
        words = ("add", how, "--pathspec-from-file=-", "--pathspec-file-nul")
        literal = {"GIT_LITERAL_PATHSPECS": "1"}
        await self.mirror.local(*words, gitdir=self.admin, tree=folder or self.path, stdin=names, env=literal)

    async def message(self, commit: str) -> CommitText:
        """The message of a commit of ours."""
        done = await self.git("log", "-1", "--format=%B", commit)
        return CommitText(done.stdout.decode("utf-8", "replace").rstrip("\n") + "\n")

    async def commit(self, tree: str, parents: tuple[str, ...], message: CommitText, *, date: str = "") -> str:
        """A commit object of ours; nothing points to it yet."""
        arguments = [word for parent in parents for word in ("-p", parent)]
        env = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date} if date else {}
        done = await self.git(
            "commit-tree", tree, *arguments, "-F", "-", stdin=message.encode("utf-8", "replace"), env=env
        )
        return done.stdout.decode().strip()

    async def merged(self, ours: str, theirs: str, *, base: str | None = None) -> str:
        """The tree of a three-way merge, made without touching the folder.

        Raises:
            TicketFailure: it conflicts, and the reason names the files; or they have nothing in common.
        """
        option = [f"--merge-base={base}"] if base else []
        done = await self.git(
            "merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", *option, ours, theirs, ok=(0, 1, _FATAL)
        )
        if done.returncode == _FATAL:
            if base or (await self.git("merge-base", ours, theirs, ok=(0, 1))).returncode == 0:
                raise self.mirror.failed("merge-tree", done)
            raise TicketFailure("they have no history in common, so rebase or delete the branch")
        tree, *files = done.stdout.decode("utf-8", "replace").strip("\0").split("\0")
        if done.returncode:
            raise TicketFailure(f"conflict in {names(files)}")
        return tree

    async def up_to_date(self, branch: str, base: str, tip: str | None) -> UpToDate:
        """The branch as the remote has it, with the whole base in it.

        Args:
            branch: its name.
            base: the tip of the base.
            tip: of the branch; None if there is none (both as of `Mirror.tips`).

        Raises:
            TicketFailure: the two conflict.
        """
        if tip is None or await self._contains(base, tip):
            return UpToDate(base, tip or "", base)
        if await self._contains(tip, base):
            return UpToDate(base, tip, tip)
        try:
            tree = await self.merged(tip, base)
        except TicketFailure as error:
            raise TicketFailure(f"merging `{self.mirror.base}` into `{branch}` failed: {error.reason}") from error
        message = outlet.commit(f"Merge branch '{self.mirror.base}' into {branch}", "", {})
        return UpToDate(base, tip, await self.commit(tree, (tip, base), message))

    async def _contains(self, commit: str, other: str) -> bool:
        return (await self.git("merge-base", "--is-ancestor", other, commit, ok=(0, 1))).returncode == 0

    # -- trust

    async def seal(self) -> Seal:
        """What must be as it was when the model is done."""
        return await asyncio.to_thread(self._seal)

    def _seal(self) -> Seal:
        self.mirror.known = guard.seal(self.mirror.path, self.admin, self.pointer, self.mirror.known)
        return self.mirror.known

    async def tampered(self, before: Seal) -> str:
        """What is not as it was, all of it mended; empty if all is."""
        changes, what = await asyncio.to_thread(self._compared, before)
        what = what or (guard.CONFIGURATION if self.mirror.repaired else "")
        if what:
            await self.mirror.mend(changes)
        return what

    def _compared(self, before: Seal) -> tuple[list[str], str]:
        after = self._seal()
        changes = guard.touched(before, after)
        return changes, guard.said(changes, before, after)

    async def remove(self) -> None:
        """The folder and its ties are gone; the mirror and the siblings are untouched."""
        await self.mirror.trash.put(self.path, self.admin, self._seen)

    async def set_aside(self) -> Path:
        """Put the folder out of the way as it is, and its ties; returns where it is now. Of such folders a few are kept."""
        return await asyncio.to_thread(self._set_aside)

    def _set_aside(self) -> Path:
        aside = self.mirror.folder / _ASIDE
        aside.mkdir(parents=True, exist_ok=True)
        place = aside / f"{self.path.name}-{secrets.token_hex(4)}"
        let_in(self.path)  # what is closed to its owner cannot be moved
        self.path.rename(place)
        remove(self.admin)
        by_age = sorted(aside.iterdir(), key=lambda one: one.lstat().st_ctime_ns)
        for old in by_age[:-_MOST_ASIDE]:
            with contextlib.suppress(OSError):
                remove(old)
        return place
