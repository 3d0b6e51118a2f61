"""A branch owner's worktree: its folder, its record, and its repair.

The few small files that tie a linked worktree to its mirror (gitrepository-layout) are written here, always the same
way. So a fresh, a half-made, a locked and a damaged worktree are one case: they are put right, and git's `reset --hard`
does the rest. All commands name the git directory outright: whatever a model does to the `.git` file misleads nobody.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.errors import PodTrouble, TicketFailure
from agent.git.mirror import REMOTE, Mirror
from agent.git.refs import names
from agent.programs.runner import Finished


class Record(Struct, frozen=True, kw_only=True):
    """What is known of a worktree's run; kept beside the worktree, out of the model's sight."""

    run: str
    branch: str
    start: str
    """The commit that the run started from: the judge's configuration is read there."""
    onto: str
    """The commit below the run's own one; differs from `start` after a rebase."""
    tip: str = ""
    """Where the remote's branch stood; empty if there was none."""
    published: str = ""
    """The commit that reached the branch."""
    saved: str = ""
    """The tree that was pushed to a branch for kept or failed work."""


class Worktree:
    """The worktree of one branch owner.

    Args:
        mirror: of its repository.
        owner: the id of the Epic or standalone work package.
    """

    def __init__(self, mirror: Mirror, owner: int) -> None:
        self.mirror = mirror
        self.owner = owner
        self.path = mirror.folder / "work" / str(owner)
        self._admin = mirror.path / "worktrees" / str(owner)
        self._note = mirror.folder / "runs" / f"{owner}.json"

    async def git(
        self,
        *arguments: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        ok: tuple[int, ...] = (0,),
    ) -> Finished:
        """A git command in this worktree."""
        return await self.mirror.local(*arguments, gitdir=self._admin, tree=self.path, stdin=stdin, env=env, ok=ok)

    async def answer(self, *arguments: str) -> str:
        """What a git command in this worktree prints."""
        return (await self.git(*arguments)).stdout.decode("utf-8", "surrogateescape").strip()

    # -- the record

    def record(self) -> Record | None:
        """The run that this worktree belongs to; None if there is none, or its record cannot be read."""
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(self._note.read_bytes(), type=Record)
        return None

    def write(self, record: Record) -> None:
        """Remember the run; whole or not at all."""
        self._note.parent.mkdir(parents=True, exist_ok=True)
        new = self._note.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(record))
        new.replace(self._note)

    def forget(self) -> None:
        """There is no run any more."""
        self._note.unlink(missing_ok=True)

    # -- the folder

    def exists(self) -> bool:
        """Whether there are files that may be somebody's work."""
        return self.path.is_dir() and any(entry.name != ".git" for entry in self.path.iterdir())

    def link(self, head: str) -> None:
        """Tie folder and mirror together, HEAD at `head`; operations that were under way are forgotten.

        The index stays, since it makes git fast.
        """
        self.mirror.prepare()
        self.path.mkdir(parents=True, exist_ok=True)
        self._admin.mkdir(parents=True, exist_ok=True)
        for entry in self._admin.iterdir():
            if entry.name != "index":
                remove(entry)
        (self._admin / "commondir").write_text("../..\n")
        (self._admin / "gitdir").write_text(f"{self.path / '.git'}\n")
        (self._admin / "HEAD").write_text(f"{head}\n")
        pointer = self.path / ".git"
        if pointer.is_symlink() or pointer.is_dir():
            remove(pointer)
        pointer.write_text(self._pointer())

    def _pointer(self) -> str:
        return f"gitdir: {self._admin}\n"

    async def reset(self, commit: str) -> None:
        """Everything as in `commit`; ignored files stay."""
        self.link(commit)
        try:
            await self.git("reset", "--hard", "--quiet", commit)
        except PodTrouble:  # a damaged index is the one thing that linking does not mend
            (self._admin / "index").unlink(missing_ok=True)
            await self.git("reset", "--hard", "--quiet", commit)
        await self.git("clean", "-ffd", "--quiet")

    async def adopt(self, commit: str) -> None:
        """The files as they are, seen as changes to `commit`."""
        self.link(commit)
        if (await self.git("ls-files", "--error-unmatch", "--", ":/", ok=(0, 1, 128))).returncode > 1:
            (self._admin / "index").unlink(missing_ok=True)
        await self.git("read-tree", "--reset", commit)

    async def tree(self) -> str:
        """The tree of everything that is there and not ignored."""
        (self._admin / "index.lock").unlink(missing_ok=True)
        await self.git("add", "--all", "--", ":/")
        return await self.answer("write-tree")

    async def commit(self, tree: str, parents: tuple[str, ...], message: str, *, date: str = "") -> str:
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
            TicketFailure: it conflicts; the reason names the files.
        """
        option = [f"--merge-base={base}"] if base else []
        done = await self.git(
            "merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", *option, ours, theirs, ok=(0, 1)
        )
        tree, *files = done.stdout.decode("utf-8", "replace").strip("\0").split("\0")
        if done.returncode:
            raise TicketFailure(f"conflict in {names(files)}")
        return tree

    async def up_to_date(self, branch: str) -> tuple[str, str]:
        """The remote's tip of `branch` ("" if there is none) and a commit that has it and the whole base.

        The second is one of the two where one contains the other, else a merge commit of ours.

        Raises:
            TicketFailure: the two conflict.
            PodTrouble: the base was not fetched.
        """
        base = await self.mirror.tip(self.mirror.base)
        if base is None:
            raise PodTrouble(f"the repository {self.mirror.place} has no branch `{self.mirror.base}`")
        tip = await self.mirror.tip(branch)
        if tip is None or await self._contains(base, tip):
            return tip or "", base
        if await self._contains(tip, base):
            return tip, tip
        try:
            tree = await self.merged(tip, base)
        except TicketFailure as error:
            raise TicketFailure(f"merging `{self.mirror.base}` into `{branch}` failed: {error.reason}") from error
        return tip, await self.commit(tree, (tip, base), f"Merge branch '{self.mirror.base}' into {branch}\n")

    async def _contains(self, commit: str, other: str) -> bool:
        return (await self.git("merge-base", "--is-ancestor", other, commit, ok=(0, 1))).returncode == 0

    # -- trust

    async def tampered(self, head: str) -> str:
        """What is not as we left it; empty if all is. Cheap, and no fence: that is the sandbox."""
        with contextlib.suppress(OSError):
            if (self._admin / "HEAD").read_text() != f"{head}\n":
                return "HEAD moved"
            if (self.path / ".git").is_symlink() or (self.path / ".git").read_text() != self._pointer():
                return "`.git` was changed"
            if not self.mirror.config_is_ours():
                return "git's configuration was changed"
            made = await self._strange_refs()
            return f"{names(made)} was made" if made else ""
        return "`.git` was changed"

    async def _strange_refs(self) -> list[str]:
        found = await self.answer("for-each-ref", "--format=%(refname)")
        return [ref for ref in found.splitlines() if not ref.startswith(REMOTE)]

    async def clear_refs(self) -> None:
        """Delete the refs that a model made, or each later run would be blamed for them."""
        for ref in await self._strange_refs():
            await self.git("update-ref", "--no-deref", "-d", ref)

    def remove(self) -> None:
        """The folder, its ties and its record are gone; the mirror and the siblings are untouched."""
        remove(self.path)
        remove(self._admin)
        self.forget()


def remove(path: Path) -> None:
    """Delete a file or folder whatever it holds, read-only folders too."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except PermissionError:  # module caches are read-only
        _open_up(path)
        shutil.rmtree(path)


def _open_up(path: Path) -> None:
    path.chmod(stat.S_IRWXU)
    for folder, inner, _ in os.walk(path):
        for name in inner:
            if not (part := Path(folder, name)).is_symlink():
                part.chmod(stat.S_IRWXU)
