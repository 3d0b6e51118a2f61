"""Repositories that no run can work in fail the ticket, with a reason for a person, and so does work that is like them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import TicketFailure
from agent.git.odd import leading_out
from agent.git.refs import RepositoryUnreachable
from support.git_bench import BRANCH, KEPT, NEXT, Bench, message, work, write
from support.git_repo import git


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def absolute_link(path: Path) -> None:
    (path / "etc").symlink_to("/etc/passwd")


def climbing_link(path: Path) -> None:
    (path / "deep").mkdir()
    (path / "deep/up").symlink_to("../../secrets")


def link_by_way_of_a_link(path: Path) -> None:
    (path / "a/b").mkdir(parents=True)
    (path / "a/b/top").symlink_to("../..")
    (path / "harmless").symlink_to("a/b/top/../secrets")


def lfs_pointer(path: Path) -> None:
    (path / "art").mkdir()
    (path / "art/.gitattributes").write_text("*.png filter=lfs diff=lfs merge=lfs -text\n")
    (path / "art/a.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def below(path: Path, *folders: str) -> None:
    """A file in folders within folders, whose whole path the kernel need not take."""
    here = os.open(path, os.O_RDONLY)
    for name in folders:
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def deep_path(path: Path) -> None:
    below(path, *["a"] * 101)


def long_path(path: Path) -> None:
    below(path, *["b" * 250] * 8)


def path_that_git_takes_and_the_kernel_does_not(path: Path) -> None:
    below(path, *["c" * 253] * 16)


FAR = "more than 100 folders deep, or longer than 2000 bytes"


ODD = [
    (deep_path, f"`{'a/' * 99}a…` is {FAR}"),
    (long_path, f"`{'b' * 199}…` is {FAR}"),
    (path_that_git_takes_and_the_kernel_does_not, f"`{'c' * 199}…` is {FAR}"),
    (absolute_link, "`etc -> /etc/passwd`: a symbolic link may not lead out of it"),
    (climbing_link, "`deep/up -> ../../secrets`: a symbolic link may not lead out of it"),
    (link_by_way_of_a_link, "`harmless -> a/b/top/../secrets`: a symbolic link may not lead out of it"),
    (lfs_pointer, "Git LFS keeps `art/a.png`, and only a pointer would be here"),
]


@pytest.mark.parametrize(("make", "said"), ODD)
async def test_an_odd_repository_fails_the_ticket_until_somebody_mends_it(
    bench: Bench, make: Callable[[Path], None], said: str
) -> None:
    good = bench.remote.tip("main")
    make(bench.remote.clone)
    bench.remote.push("main", {})
    for run in (NEXT, NEXT, "another"):
        with pytest.raises(TicketFailure) as caught:
            await bench.open(run)
        assert caught.value.reason == f"the repository {bench.remote.url} cannot be worked in: {said}"
    git(bench.remote.clone, "push", "--quiet", "--force", "origin", f"{good}:main")
    assert (await bench.open("another")).start == good
    assert list(bench.remote.refs()) == ["refs/heads/main"]


@pytest.mark.parametrize(("make", "said"), ODD)
async def test_the_same_made_by_a_model_fails_its_run_and_is_kept(
    bench: Bench, make: Callable[[Path], None], said: str
) -> None:
    workspace = await bench.open()
    make(workspace.path)
    with pytest.raises(TicketFailure) as caught:
        await workspace.snapshot()
    assert caught.value.reason == f"the work cannot be committed: {said}"
    assert await workspace.keep(KEPT, message())
    assert not (await (await bench.open(NEXT)).snapshot()).changed


async def test_the_same_pushed_by_a_person_during_the_run_fails_its_rebase(bench: Bench) -> None:
    workspace = await bench.open()
    await work(workspace, {"a.txt": "1"})
    absolute_link(bench.remote.clone)
    bench.remote.push("main", {})
    with pytest.raises(TicketFailure, match="may not lead out of it"):
        await workspace.rebase()
    assert await workspace.keep(KEPT, message())
    assert bench.remote.show(KEPT, "a.txt") == "1"


async def test_a_submodule_fails_the_ticket(bench: Bench) -> None:
    git(bench.remote.clone, "update-index", "--add", "--cacheinfo", f"160000,{bench.remote.tip('main')},vendor/lib")
    git(bench.remote.clone, "commit", "--quiet", "-m", "A submodule")
    git(bench.remote.clone, "push", "--quiet", "origin", "HEAD:main")
    with pytest.raises(TicketFailure, match=r"it has submodules \(`vendor/lib`\), which are not fetched here"):
        await bench.open()


async def test_links_within_the_tree_and_attributes_without_files_are_nothing_odd(bench: Bench) -> None:
    clone = bench.remote.clone
    (clone / "a/b").mkdir(parents=True)
    (clone / "a/b/read").symlink_to("../../README.md")
    (clone / "link").symlink_to("a/b")
    (clone / "dangling").symlink_to("no/such/file")
    (clone / "loop").symlink_to("loop")
    bench.remote.push("main", {".gitattributes": "*.png filter=lfs\n*.txt text=auto\n"})
    workspace = await bench.open()
    write(workspace, {"b.txt": "1"})
    (workspace.path / "again").symlink_to("link/read")
    assert (await workspace.snapshot()).changed


def test_the_way_of_a_link_is_the_kernels(tmp_path: Path) -> None:
    """Against the real one: links between three levels of folders, each resolved both ways."""

    @settings(max_examples=150, deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from(["x", "a/x", "a/y", "a/b/x", "a/b/y"]),
            st.lists(st.sampled_from(["..", ".", "a", "b", "x", "y"]), min_size=1, max_size=5).map("/".join),
            max_size=4,
        )
    )
    def agrees(targets: dict[str, str]) -> None:
        out = set(leading_out(targets))
        top = Path(_fresh(tmp_path))
        (top / "a/b").mkdir(parents=True)
        for path, target in targets.items():
            (top / path).symlink_to(target)
        for path in targets:
            try:
                end = (top / path).resolve(strict=True)
            except (OSError, RuntimeError):
                continue  # it leads nowhere: the one that is read from the text is the stricter
            if not end.is_relative_to(top):
                assert path in out

    agrees()


def _fresh(folder: Path) -> str:
    top = folder / f"tree-{sum(1 for _ in folder.iterdir())}" / "in" / "a-tree"
    top.mkdir(parents=True)
    return str(top)


async def test_a_branch_that_the_remote_refuses_for_kept_work_is_kept_here_once_that_is_sure(bench: Bench) -> None:
    """No time mends that, and no later ticket has to do with it."""
    workspace = await bench.open()
    write(workspace, {"a.txt": "1"})
    bench.remote.hook("update", 'case "$1" in *kept*) echo "no such branches here" >&2; exit 1;; esac')
    with pytest.raises(RepositoryUnreachable, match="no such branches here"):
        await bench.open(NEXT)  # once is not enough: it is tried for an hour
    assert (workspace.path / "a.txt").exists()
    bench.repo.settle(hidden=False)
    await bench.open(NEXT)
    kept = await bench.repo.fetch_kept(KEPT)
    assert kept is not None
    assert git(bench.folder / "state" / "mirror.git", "show", f"{kept}:a.txt") == "1"
    assert not bench.remote.tip(BRANCH)
