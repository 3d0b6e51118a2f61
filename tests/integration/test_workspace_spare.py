"""A checkout that was made before it was needed is, byte for byte, what git makes of the commit anew."""

import asyncio
import os
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.git.tree import Tree
from agent.git.workspace import Workspace
from support.git_bench import BRANCH, NEXT, RUN, Bench, message, write
from support.git_repo import git

START = {
    "a.txt": "one\r\ntwo\n",
    "folder/b.txt": "one\n",
    "folder/deep/c.txt": "$Id$\n",
    "gone/d.txt": "1",
    "swapped": "a file",
    "turned/e.txt": "1",
    "z.txt": "1",
}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, spares=2)
    bench.remote.push("main", START)
    yield bench
    await bench.repo.spares.close()


async def opened(bench: Bench, run: str = RUN, owner: int = 42) -> Workspace:
    """The worktree of a run, while whose model works a spare checkout is made."""
    workspace = await bench.open(run, owner=owner, branch=BRANCH if owner == 42 else f"agent/{owner}-other")
    workspace.begun()
    await bench.repo.spares.prepared()
    return workspace


def files(top: Path) -> dict[str, tuple[int, bytes]]:
    """All that is there but `.git`: what each is, and what it holds."""
    found = {}
    for one in top.rglob("*"):
        if ".git" not in one.relative_to(top).parts:
            content = os.fsencode(one.readlink()) if one.is_symlink() else b"" if one.is_dir() else one.read_bytes()
            found[str(one.relative_to(top))] = (one.lstat().st_mode, content)
    return found


def spares(bench: Bench) -> list[Path]:
    return [one for one in (bench.folder / "state/spare").iterdir() if one.is_dir()]


def mark(bench: Bench) -> None:
    """So that it is seen whether one was used."""
    for one in spares(bench):
        (one / "mark.log").touch()


def was_spare(tree: Tree) -> bool:
    """Takes the mark away again."""
    mark = tree.path / "mark.log"
    if not mark.exists():
        return False
    mark.unlink()
    return True


def work(tree: Tree) -> None:
    """A change of each kind."""
    write(tree, {"a.txt": "three\r\nfour\n", "new/deep/f.txt": "1", "swapped.txt": "1"})
    (tree.path / "gone/d.txt").unlink()
    (tree.path / "swapped").unlink()
    write(tree, {"swapped/g.txt": "now a folder"})
    (tree.path / "turned/e.txt").unlink()
    (tree.path / "turned").rmdir()
    (tree.path / "turned").symlink_to("folder")
    (tree.path / "z.txt").chmod(0o755)


RULES = [
    {},
    {".gitattributes": "*.txt text eol=crlf\n"},
    {"folder/.gitattributes": "*.txt ident\n"},
    {"new/deep/.gitattributes": "*.txt eol=crlf\n"},
]


@pytest.mark.parametrize("rules", RULES)
async def test_a_checkout_from_a_spare_is_what_a_fresh_clone_is(bench: Bench, rules: dict[str, str]) -> None:
    """Where the work changes the rules by which git writes files, the files that it did not change are written by them too."""
    workspace = await opened(bench)
    mark(bench)
    work(workspace)
    write(workspace, rules)
    sha = await workspace.commit((await workspace.snapshot()).tree, message())
    async with workspace.checkout(sha) as clean:
        assert was_spare(clean) == (not rules), "what did not change would have been written another way"
        found, status = files(clean.path), git(clean.path, "status", "--porcelain", "--ignored")
    await workspace.publish(sha, claim_blob=None)
    clone = bench.folder / "clone"
    git(bench.folder, "clone", "-q", "-b", BRANCH, bench.remote.url, str(clone))
    assert found == files(clone)
    assert status == ""


async def test_the_times_of_a_checkout_do_not_tell_what_changed(bench: Bench) -> None:
    """`make` goes by them: what a run did not change would seem older than what it did, and all of it older than what is carried."""
    workspace = await opened(bench)
    work(workspace)
    sha = await workspace.commit((await workspace.snapshot()).tree, message())
    before = time.time_ns()
    await asyncio.sleep(0.02)  # a tick of the kernel's clock
    async with workspace.checkout(sha) as clean:
        names = git(clean.path, "ls-files").splitlines()
        times = [(clean.path / name).lstat().st_mtime_ns for name in names]
        assert times == sorted(times), "one after the other, as git writes them"
        folders = [one.lstat().st_mtime_ns for one in clean.path.rglob("*") if one.is_dir() and ".git" not in one.parts]
        assert min(times + folders) > before
        assert git(clean.path, "diff-files") == "", "git knows each file as it is"


async def test_the_next_run_starts_in_a_spare_brought_to_its_branch(bench: Bench) -> None:
    await opened(bench)
    bench.remote.push("main", {"a.txt": "newer\n", "more/h.txt": "1"})
    mark(bench)
    workspace = await opened(bench, NEXT, 43)
    assert was_spare(workspace)
    clone = bench.folder / "clone"
    git(bench.folder, "clone", "-q", bench.remote.url, str(clone))
    assert files(workspace.path) == files(clone)
    assert workspace.made_of() == workspace.start
    assert not (await workspace.snapshot()).changed


async def test_what_a_killed_pod_prepared_is_not_used(bench: Bench) -> None:
    """Nobody knows any more whether git had come to its end."""
    await opened(bench)
    mark(bench)
    await bench.repo.spares.close()
    bench.repo = bench.pod("state")
    workspace = await opened(bench, NEXT, 43)
    async with workspace.checkout(workspace.start) as clean:
        for tree in (workspace, clean):
            assert not was_spare(tree)


async def test_a_spare_that_somebody_took_away_is_made_when_it_is_needed(bench: Bench) -> None:
    workspace = await opened(bench)
    for number, spare in enumerate(spares(bench)):
        for path in (spare, spare.with_suffix(".index"))[number:]:
            path.rename(bench.folder / path.name)
    async with workspace.checkout(workspace.start) as clean:
        assert (clean.path / "a.txt").read_bytes() == START["a.txt"].encode()
        assert stat.S_ISREG((clean.path / ".git/index").lstat().st_mode)


async def test_no_spare_is_made_where_a_run_would_miss_the_room(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs

    def full(path: Path) -> os.statvfs_result:
        now = list(real(path))
        now[4] = (10 << 30) // now[1]  # f_bavail; a run may add 10 GiB
        return os.statvfs_result(now)

    monkeypatch.setattr(os, "statvfs", full)
    workspace = await opened(bench)
    assert not (bench.folder / "state/spare").exists()
    async with workspace.checkout(workspace.start) as clean:
        assert (clean.path / "a.txt").exists()
