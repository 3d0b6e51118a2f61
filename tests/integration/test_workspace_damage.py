"""Worktrees that were damaged or killed half-way are mended, and nothing in them is lost."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.git.folder import remove
from agent.programs.runner import Finished
from support.git_bench import BRANCH, KEPT, NEXT, RUN, Bench, read, write
from support.git_repo import git


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def lock_index(folder: Path) -> None:
    (folder / "mirror.git/worktrees/42/index.lock").write_text("")
    (folder / "mirror.git/worktrees/42/HEAD.lock").write_text("")
    (folder / "mirror.git/config.lock").write_text("")


def lock_refs(folder: Path) -> None:
    (folder / "mirror.git/refs/remotes/origin/main.lock").write_text("")
    (folder / "mirror.git/packed-refs.lock").write_text("")


def lock_worktree(folder: Path) -> None:
    (folder / "mirror.git/worktrees/42/locked").write_text("initializing")


def spoil_index(folder: Path) -> None:
    (folder / "mirror.git/worktrees/42/index").write_bytes(b"garbage")


def lose_index(folder: Path) -> None:
    (folder / "mirror.git/worktrees/42/index").unlink()


def lose_ties(folder: Path) -> None:
    shutil.rmtree(folder / "mirror.git/worktrees/42")


def lose_pointer(folder: Path) -> None:
    (folder / "work/42/.git").unlink()


def replace_pointer(folder: Path) -> None:
    (folder / "work/42/.git").unlink()
    git(folder / "work/42", "init", "--quiet")


def merge_under_way(folder: Path) -> None:
    admin = folder / "mirror.git/worktrees/42"
    (admin / "MERGE_HEAD").write_text("0" * 40 + "\n")
    (admin / "rebase-merge").mkdir()
    (admin / "HEAD").write_text("ref: refs/heads/nowhere\n")


DAMAGES = [
    lock_index,
    lock_refs,
    lock_worktree,
    spoil_index,
    lose_index,
    lose_ties,
    lose_pointer,
    replace_pointer,
    merge_under_way,
]


@pytest.mark.parametrize("run", [RUN, NEXT], ids=["same run", "another run"])
@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_worktree_is_repaired_and_loses_nothing(
    bench: Bench, damage: Callable[[Path], None], run: str
) -> None:
    workspace = await bench.open()
    write(workspace, {"dirty.txt": "2"})
    damage(bench.folder / "state")
    bench.remote.push("main", {"later.txt": "x"})
    after = await bench.open(run, repo=bench.pod("state"))
    snapshot = await after.snapshot()
    if run == RUN:
        assert snapshot.changed
        assert read(after, "dirty.txt") == "2"
    else:
        assert not snapshot.changed
        assert bench.remote.show(KEPT, "dirty.txt") == "2"
    assert git(after.path, "fsck", "--no-dangling", "--no-progress") == ""


async def test_an_index_that_nobody_can_read_is_made_anew(bench: Bench) -> None:
    await bench.open()
    spoil_index(bench.folder / "state")
    (bench.folder / "state/runs/42.json").unlink()
    assert not (await (await bench.open(NEXT)).snapshot()).changed


@pytest.mark.parametrize("run", [RUN, NEXT], ids=["same run", "another run"])
async def test_a_lock_that_a_killed_model_left_holds_nobody_up(bench: Bench, run: str) -> None:
    workspace = await bench.open()
    write(workspace, {"dirty.txt": "2"})
    lock_index(bench.folder / "state")
    assert (await workspace.snapshot()).changed
    lock_index(bench.folder / "state")
    assert (await (await bench.open(run)).snapshot()).changed == (run == RUN)


STEPS = 36
"""More than opening takes."""


@pytest.mark.parametrize(
    "step", [pytest.param(one, marks=pytest.mark.proof) if one % 2 else one for one in range(STEPS)]
)
async def test_a_kill_at_any_step_of_opening_is_mended_by_the_next(bench: Bench, step: int) -> None:
    workspace = await bench.open()
    write(workspace, {"dirty.txt": "2"})
    await bench.repo.fetch()
    bench.remote.push(BRANCH, {"mine.txt": "1"})
    bench.remote.push("main", {"theirs.txt": "2"})
    seen = 0

    def kill(_argv: list[str], done: Finished | None) -> Finished | None:
        nonlocal seen
        seen += done is None
        if done is None and seen > step:
            raise KeyboardInterrupt
        return None

    bench.runner.fault = kill
    try:
        await bench.open(NEXT)
        assert step > STEPS / 2, "each step is a kill, and the last ones are none"
    except KeyboardInterrupt:
        assert step < STEPS - 1
        admin = bench.folder / "state/mirror.git/worktrees/42"
        if admin.exists():  # while it is made anew, there is nothing to hold a lock
            (admin / "index.lock").touch()
    bench.runner.fault = lambda _argv, _done: None
    after = await bench.open(NEXT, repo=bench.pod("state"))
    assert not (await after.snapshot()).changed
    assert (read(after, "mine.txt"), read(after, "theirs.txt"), read(after, "dirty.txt")) == ("1", "2", None)
    assert bench.remote.show(KEPT, "dirty.txt") == "2"


async def test_a_record_that_cannot_be_read_is_no_record(bench: Bench) -> None:
    await bench.open()
    (bench.folder / "state/runs/42.json").write_text("{")
    assert not (await (await bench.open(NEXT)).snapshot()).changed


async def test_removing_a_worktree_spares_siblings(bench: Bench) -> None:
    """I-36."""
    mine = await bench.open()
    sibling = await bench.open(NEXT, owner=43, branch="agent/43-other")
    write(sibling, {"dirty.txt": "2"})
    (mine.path / "cache").mkdir()
    write(mine, {"cache/read-only.log": "x"})
    (mine.path / "cache").chmod(0o500)
    await bench.repo.discard(42)
    assert not mine.path.exists()
    assert git(sibling.path, "fsck", "--no-dangling", "--no-progress") == ""
    assert (await sibling.snapshot()).changed
    assert read(sibling, "dirty.txt") == "2"


async def test_finished_worktrees_are_reaped(bench: Bench) -> None:
    """I-39: and what was not pushed yet is pushed first."""
    workspace = await bench.open()
    write(workspace, {"dirty.txt": "2"})
    await bench.repo.discard(42)
    state = bench.folder / "state"
    assert not [path for path in state.rglob("42*") if path.name in ("42", "42.json")]
    assert bench.remote.show(KEPT, "dirty.txt") == "2"
    await bench.repo.discard(42)


def test_a_read_only_folder_is_removed_too(tmp_path: Path) -> None:
    for folder in ("tree", "tree/cache", "tree/cache/deep"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tree/cache/link").symlink_to(tmp_path)
    for folder in ("tree/cache/deep", "tree/cache", "tree"):
        (tmp_path / folder).chmod(0o500)
    remove(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
    assert tmp_path.exists(), "a link is removed, not followed"
