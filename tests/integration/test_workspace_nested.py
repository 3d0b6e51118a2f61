"""A repository within the worktree brings a configuration that a model wrote; no git of ours ever runs what it names."""

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.errors import TicketFailure
from agent.git.blame import GitFailed
from agent.git.workspace import Workspace
from support.git_bench import BRANCH, KEPT, NEXT, RUN, Bench, message, work, write
from support.git_repo import git


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def plant(place: Path, mark: Path, *, elsewhere: Path | None = None) -> None:
    """A repository with a changed file, whose filters and monitor leave a mark when git looks at it."""
    place.mkdir(parents=True)
    git(place, "init", "--quiet", *(["--separate-git-dir", str(elsewhere)] if elsewhere else []))
    (place / "f").write_text("x\n")
    git(place, "add", "f")
    git(place, "commit", "--quiet", "-m", "x")
    with ((elsewhere or place / ".git") / "config").open("a") as config:
        for section, key in (('filter "x"', "clean"), ('filter "y"', "process"), ("core", "fsmonitor")):
            config.write(f"[{section}]\n\t{key} = touch {mark}; cat\n")
    (place / ".gitattributes").write_text("* filter=x\n*.y filter=y\n")
    (place / "f").write_text("y\n")


def below(folder: Path, mark: Path) -> None:
    plant(folder / "sub", mark)


def deep(folder: Path, mark: Path) -> None:
    plant(folder / "a/b/c", mark)


def within_another(folder: Path, mark: Path) -> None:
    plant(folder / "outer", mark)
    plant(folder / "outer/deeper", mark)


def by_a_file(folder: Path, mark: Path) -> None:
    plant(folder / "tied", mark, elsewhere=folder / "of-tied")


def ignored(folder: Path, mark: Path) -> None:
    plant(folder / "cache.log", mark)


def in_place_of_a_file(folder: Path, mark: Path) -> None:
    (folder / "shop.py").unlink()
    plant(folder / "shop.py", mark)


def in_the_index(folder: Path, mark: Path) -> None:
    """As a race with `git add` would leave it."""
    plant(folder / "raced", mark)
    git(folder, "add", "raced")


PLANTS = [below, deep, within_another, by_a_file, ignored, in_place_of_a_file, in_the_index]


async def snapshot(_bench: Bench, workspace: Workspace) -> None:
    await workspace.snapshot()


async def kept(_bench: Bench, workspace: Workspace) -> None:
    await workspace.keep(KEPT, message())


async def kept_after_a_snapshot(bench: Bench, workspace: Workspace) -> None:
    try:
        await workspace.snapshot()
    finally:
        await kept(bench, workspace)


async def next_run(bench: Bench, _workspace: Workspace) -> None:
    await bench.open(NEXT)


async def same_run(bench: Bench, _workspace: Workspace) -> None:
    await (await bench.open(RUN)).snapshot()


async def next_run_after_its_push(bench: Bench, workspace: Workspace) -> None:
    workspace._remember(published=workspace.start)
    await bench.open(NEXT)


async def shown_to_nix(_bench: Bench, workspace: Workspace) -> None:
    await workspace.flake_files(["*"])
    await workspace.show_to_nix(["*"])


async def rebased(bench: Bench, workspace: Workspace) -> None:
    bench.remote.push(BRANCH, {"theirs.txt": "1"})
    await workspace.rebase()


async def done_with(bench: Bench, _workspace: Workspace) -> None:
    await bench.repo.discard(42)


LOOKS: list[Callable[[Bench, Workspace], Awaitable[None]]] = [
    snapshot,
    kept,
    kept_after_a_snapshot,
    next_run,
    same_run,
    next_run_after_its_push,
    shown_to_nix,
    rebased,
    done_with,
]


@pytest.mark.parametrize("look", LOOKS)
async def test_no_look_at_a_worktree_runs_what_a_repository_in_it_names(
    bench: Bench, look: Callable[[Bench, Workspace], Awaitable[None]]
) -> None:
    workspace = await bench.open(RUN)
    if look is rebased:
        await work(workspace, {"ours.txt": "1"})
    marks = {planted: bench.folder / f"mark-{planted.__name__}" for planted in PLANTS}
    for planted, mark in marks.items():
        planted(workspace.path, mark)
    for again in (False, True):
        with contextlib.suppress(TicketFailure, GitFailed):
            await look(bench, workspace)
        if again:
            await bench.open(NEXT)
        assert not [planted.__name__ for planted, mark in marks.items() if mark.exists()]


@pytest.mark.parametrize("planted", [below, deep, within_another, in_the_index, in_place_of_a_file])
async def test_a_repository_fails_its_ticket_by_name_and_its_files_are_kept(
    bench: Bench, planted: Callable[[Path, Path], None]
) -> None:
    workspace = await bench.open()
    write(workspace, {"work.txt": "1"})
    planted(workspace.path, bench.folder / "mark")
    with pytest.raises(TicketFailure, match="is a git repository of its own, so its files cannot be committed"):
        await workspace.snapshot()
    assert await workspace.keep(KEPT, message())
    names = git(bench.remote.path, "ls-tree", "-r", "--name-only", KEPT).split()
    assert {"work.txt", *(str(one.relative_to(workspace.path)) for one in workspace.path.rglob("f"))} <= set(names)
    assert "160000" not in git(bench.remote.path, "ls-tree", "-r", KEPT)


async def test_what_the_repository_ignores_may_hold_repositories(bench: Bench) -> None:
    workspace = await bench.open()
    write(workspace, {"work.txt": "1"})
    ignored(workspace.path, bench.folder / "mark")
    assert (await workspace.snapshot()).changed
    assert (workspace.path / "cache.log/.git").is_dir()


async def test_a_git_on_a_worktree_starts_no_program(bench: Bench) -> None:
    workspace = await bench.open()
    mark = bench.folder / "mark"
    plant(workspace.path / "sub", mark)
    await workspace._worktree.git("add", "--all")
    with pytest.raises(GitFailed, match="in submodule sub"):  # whatever looks before: this one could not
        await workspace._worktree.git("add", "--all")
    assert not mark.exists()
