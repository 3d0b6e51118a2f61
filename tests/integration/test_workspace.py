"""Worktrees over real git: what a run finds, and what it can never lose."""

import shutil
from pathlib import Path

import pytest

from agent.errors import TicketFailure
from agent.git.refs import RepositoryUnreachable, branch_for
from agent.programs.runner import Finished
from support.git_bench import BRANCH, KEPT, NEXT, RUN, Bench, message, read, work, write
from support.git_repo import git


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_new_branch_starts_at_the_base(bench: Bench) -> None:
    workspace = await bench.open()
    assert workspace.start == bench.remote.tip("main")
    assert (workspace.path / "flake.nix").is_file()
    assert read(workspace, "shop.py")
    assert not (await workspace.snapshot()).changed
    assert not bench.remote.tip(BRANCH), "nothing is pushed before there is a result"


async def test_an_existing_branch_goes_on_and_is_brought_up_to_its_base(bench: Bench) -> None:
    mine = bench.remote.push(BRANCH, {"mine.txt": "1"})
    theirs = bench.remote.push("main", {"theirs.txt": "2"})
    workspace = await bench.open()
    parents = git(workspace.path, "show", "-s", "--format=%P %an", workspace.start).split(" ", 2)
    assert parents == [mine, theirs, "Agent"], "one merge commit of ours"
    assert (read(workspace, "mine.txt"), read(workspace, "theirs.txt")) == ("1", "2")
    blob = await bench.claim()
    sha = await work(workspace, {"new.txt": "3"})
    await workspace.publish(sha, claim_blob=blob)
    assert git(bench.remote.path, "log", "--format=%s", BRANCH).splitlines()[:2] == [
        "Do the work",
        f"Merge branch 'main' into {BRANCH}",
    ]


async def test_a_branch_without_commits_of_its_own_is_fast_forwarded(bench: Bench) -> None:
    git(bench.remote.clone, "push", "--quiet", "origin", f"main:{BRANCH}")
    newer = bench.remote.push("main", {"theirs.txt": "2"})
    assert (await bench.open()).start == newer


async def test_a_branch_that_has_its_base_needs_no_merge(bench: Bench) -> None:
    tip = bench.remote.push(BRANCH, {"mine.txt": "1"})
    assert (await bench.open()).start == tip


async def test_a_conflict_with_the_base_is_a_failure_that_names_the_files(bench: Bench) -> None:
    bench.remote.push(BRANCH, {"shop.py": "one\n", "README.md": "one\n"})
    bench.remote.push("main", {"shop.py": "two\n", "README.md": "two\n"})
    with pytest.raises(
        TicketFailure, match=rf"merging `main` into `{BRANCH}` failed: conflict in `README.md`, `shop.py`"
    ):
        await bench.open()
    bench.remote.push(BRANCH, {"shop.py": "two\n", "README.md": "two\n"})
    assert (await bench.open()).start, "the next run is not troubled by the one that failed"


async def test_the_judge_is_read_from_the_start_and_not_from_the_work(bench: Bench) -> None:
    workspace = await bench.open()
    write(workspace, {".agent.toml": "[verify]\ncommands = []\n"})
    assert "unittest" in (await workspace.file_at_base(".agent.toml") or "")
    sha = await workspace.commit((await workspace.snapshot()).tree, message())
    assert sha
    assert "unittest" in (await workspace.file_at_base(".agent.toml") or "")
    assert await workspace.file_at_base("no-such-file") is None
    assert await workspace.file_at_base("stdenv") is None, "a folder is no file"


async def test_a_judge_that_is_a_link_or_immense_is_not_read_and_it_is_said(bench: Bench) -> None:
    (bench.remote.clone / "link").symlink_to("README.md")
    bench.remote.push("main", {"immense": "x" * (1 << 20) + "x"})
    workspace = await bench.open()
    with pytest.raises(TicketFailure, match=r"^`link` is a symbolic link, which is not followed: put the file itself"):
        await workspace.file_at_base("link")
    with pytest.raises(TicketFailure, match=r"^`immense` is longer than 1 MiB$"):
        await workspace.file_at_base("immense")


async def test_the_same_run_finds_its_files_as_it_left_them(bench: Bench) -> None:
    workspace = await bench.open()
    await work(workspace, {"committed.txt": "1"})
    write(workspace, {"dirty.txt": "2", "shop.py": "changed"})
    bench.remote.push("main", {"later.txt": "x"})
    again = await bench.open(repo=bench.pod("state"))
    assert again.start == workspace.start
    assert (read(again, "committed.txt"), read(again, "dirty.txt"), read(again, "shop.py")) == ("1", "2", "changed")
    sha = await again.commit((await again.snapshot()).tree, message())
    assert git(again.path, "rev-list", "--count", f"{again.start}..{sha}") == "1", (
        "one commit a run, however often it started"
    )
    assert git(again.path, "show", "--name-only", "--format=", sha).splitlines() == [
        "committed.txt",
        "dirty.txt",
        "shop.py",
    ]


async def test_dirty_worktree_is_saved_before_cleanup(bench: Bench) -> None:
    """I-35. DESIGN decides where to: a branch for kept work, not the ticket's own."""
    workspace = await bench.open()
    await work(workspace, {"committed.txt": "1"})
    write(workspace, {"dirty.txt": "2", "new/deep.txt": "3", "build.log": "ignored"})
    (workspace.path / "README.md").unlink()
    after = await bench.open(NEXT)
    assert {
        name: bench.remote.show(KEPT, name)
        for name in ("committed.txt", "dirty.txt", "new/deep.txt", "README.md", "build.log")
    } == {
        "committed.txt": "1",
        "dirty.txt": "2",
        "new/deep.txt": "3",
        "README.md": None,
        "build.log": None,
    }
    assert f"Agent-Run: {RUN}" in bench.remote.message(KEPT)
    assert read(after, "dirty.txt") is None
    assert read(after, "committed.txt") is None
    assert read(after, "README.md") is not None
    assert read(after, "build.log") is None, "ignored files stay of published runs alone"
    assert not (await after.snapshot()).changed


async def test_leftovers_that_cannot_be_pushed_stay(bench: Bench) -> None:
    workspace = await bench.open()
    write(workspace, {"dirty.txt": "2"})
    bench.runner.fault = lambda argv, _done: Finished(128, stderr=b"fatal: gone") if "push" in argv else None
    with pytest.raises(RepositoryUnreachable):
        await bench.open(NEXT)
    assert read(workspace, "dirty.txt") == "2"
    bench.runner.fault = lambda _argv, _done: None
    await bench.open(NEXT)
    assert bench.remote.show(KEPT, "dirty.txt") == "2"


async def test_a_run_that_left_nothing_keeps_nothing(bench: Bench) -> None:
    await bench.open()
    await bench.open(NEXT)
    assert list(bench.remote.refs()) == ["refs/heads/main"]


async def test_what_a_successful_run_leaves_is_litter(bench: Bench) -> None:
    workspace = await bench.open()
    sha = await work(workspace, {"a.txt": "1"})
    await workspace.publish(sha, claim_blob=await bench.claim())
    write(workspace, {"coverage.xml": "from the verification"})
    after = await bench.open(NEXT)
    assert KEPT not in str(bench.remote.refs())
    assert read(after, "coverage.xml") is None
    assert after.start == sha, "the Epic's next ticket goes on where this one ended"


async def test_work_that_was_kept_once_is_not_kept_twice(bench: Bench) -> None:
    workspace = await bench.open()
    write(workspace, {"a.txt": "1"})
    assert await workspace.keep("agent/failed/42-7f9c0000", message())
    await bench.open(NEXT)
    assert sorted(bench.remote.refs()) == ["refs/agent/failed/42-7f9c0000", "refs/heads/main"]


async def test_keeping_is_idempotent_and_keeps_what_came_later(bench: Bench) -> None:
    workspace = await bench.open()
    assert await workspace.keep(KEPT, message()) is None, "there is nothing beyond the start"
    await work(workspace, {"a.txt": "1"})
    first = await workspace.keep(KEPT, message())
    assert git(bench.remote.path, "show", "-s", "--format=%ct %at", KEPT).split() == 2 * [
        git(bench.remote.path, "show", "-s", "--format=%ct", "main")
    ], "no time of its own, so the same files are the same commit at any time"
    assert first is not None
    assert first == await workspace.keep(KEPT, message())
    assert first.commit == bench.remote.ref(f"refs/{KEPT}")
    write(workspace, {"b.txt": "2"})
    second = await workspace.keep(KEPT, message())
    assert second is not None
    assert second.commit == bench.remote.ref(f"refs/{KEPT}")
    assert (bench.remote.show(KEPT, "a.txt"), bench.remote.show(KEPT, "b.txt")) == ("1", "2")


async def test_work_survives_a_mirror_that_was_made_anew(bench: Bench) -> None:
    """The run started from a merge commit that only the lost mirror had."""
    bench.remote.push(BRANCH, {"mine.txt": "1"})
    bench.remote.push("main", {"theirs.txt": "2"})
    workspace = await bench.open()
    write(workspace, {"dirty.txt": "2"})
    shutil.rmtree(bench.folder / "state" / "mirror.git")
    bench.remote.push("main", {"later.txt": "x"})
    await bench.open(NEXT, repo=bench.pod("state"))
    assert bench.remote.show(KEPT, "dirty.txt") == "2"


async def test_after_a_failed_first_child_the_seconds_diff_holds_its_own_work_only(bench: Bench) -> None:
    """Both work in the Epic's worktree, and the first failed after it had changed everything it could reach."""
    first = await bench.open()
    write(first, {"first.txt": "1", "shop.py": "broken\n", "test_shop.py": "broken\n", "cache.log": "evil"})
    (first.path / "README.md").unlink()
    sha = await first.commit((await first.snapshot()).tree, message())
    assert sha
    assert await first.keep("agent/failed/43-7f9c0000", message())
    second = await bench.open(NEXT)
    blob = await bench.claim()
    done = await work(second, {"second.txt": "2"}, NEXT)
    assert await second.publish(done, claim_blob=blob) == done
    assert git(bench.remote.path, "diff", "--name-status", "main", BRANCH).split() == ["A", "second.txt"]
    assert git(bench.remote.path, "log", "--format=%s", f"main..{BRANCH}").splitlines() == ["Do the work"]
    assert read(second, "cache.log") is None


async def test_a_renamed_epic_goes_on_on_its_branch(bench: Bench) -> None:
    """Its old name is on the remote; a new name is only for an owner without a branch."""
    workspace = await bench.open()
    sha = await work(workspace, {"a.txt": "1"})
    await workspace.publish(sha, claim_blob=await bench.claim())
    renamed = branch_for(await bench.repo.preflight(), 42, "agent/42-another-subject")
    assert renamed == BRANCH
    assert (await bench.open(NEXT, branch=renamed)).start == sha
