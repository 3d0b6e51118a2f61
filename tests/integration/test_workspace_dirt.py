"""One ticket's dirt never reaches the next, whatever it is made of; and what is ignored stays of good work, to keep it warm."""

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.errors import TicketFailure
from agent.git import worktree
from agent.git.folder import remove
from agent.programs.runner import Finished, Job
from agent.texts import outlet
from support.git_bench import KEPT, NEXT, Bench, Faulty, read, write
from support.git_repo import git


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.remote.push("main", {"src/deep/a.py": "a\n", "tool.sh": "#!/bin/sh\n", "src/b.py": "b\n"})
    return bench


def untracked(path: Path) -> None:
    (path / "new.txt").write_text("1")
    (path / "new/deep").mkdir(parents=True)
    (path / "new/deep/file").write_text("1")


def modified(path: Path) -> None:
    (path / "shop.py").write_text("changed\n")


def modified_without_a_trace_in_time(path: Path) -> None:
    before = (path / "src/deep/a.py").stat()
    (path / "src/deep/a.py").write_text("b\n")
    os.utime(path / "src/deep/a.py", ns=(before.st_atime_ns, before.st_mtime_ns))


def deleted(path: Path) -> None:
    (path / "shop.py").unlink()
    shutil.rmtree(path / "src/deep")


def staged(path: Path) -> None:
    (path / "staged.nix").write_text("{}")
    git(path, "add", "--intent-to-add", "staged.nix")
    git(path, "rm", "--quiet", "--cached", "shop.py")


def other_modes(path: Path) -> None:
    (path / "tool.sh").chmod(0o777)
    (path / "shop.py").chmod(0o000)


def file_for_folder(path: Path) -> None:
    shutil.rmtree(path / "src/deep")
    (path / "src/deep").write_text("a file")


def folder_for_file(path: Path) -> None:
    (path / "shop.py").unlink()
    (path / "shop.py").mkdir()
    (path / "shop.py/inner").write_text("1")


def link_for_folder(path: Path) -> None:
    outside = path.parent / "outside"
    outside.mkdir()
    (outside / "a.py").write_text("theirs\n")
    shutil.rmtree(path / "src/deep")
    (path / "src/deep").symlink_to(outside)


def link_for_file(path: Path) -> None:
    outside = path.parent / "outside"
    outside.mkdir()
    (outside / "a.py").write_text("theirs\n")
    (path / "shop.py").unlink()
    (path / "shop.py").symlink_to(outside / "a.py")


def empty_folders(path: Path) -> None:
    (path / "empty/er").mkdir(parents=True)


def read_only_folders(path: Path) -> None:
    (path / "cache/deep").mkdir(parents=True)
    (path / "cache/deep/file").write_text("1")
    (path / "src/deep/b.py").write_text("1")
    for name in ("cache/deep", "cache", "src/deep", "src"):
        (path / name).chmod(0o500)


def folders_without_rights(path: Path) -> None:
    read_only_folders(path)
    (path / "src/deep/a.py").chmod(0o000)
    for name in ("cache/deep", "cache", "src/deep", "src"):
        (path / name).chmod(0o000)


def pipes_and_sockets(path: Path) -> None:
    os.mkfifo(path / "pipe")
    os.mkfifo(path / "src/deep/pipe")
    (path / "only-pipes").mkdir()
    os.mkfifo(path / "only-pipes/pipe")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path)  # the address may not be longer than 107 bytes
        try:
            server.bind("src/socket")
        finally:
            os.chdir(here)


def pipe_for_file(path: Path) -> None:
    (path / "shop.py").unlink()
    os.mkfifo(path / "shop.py")


def nested_repository(path: Path) -> None:
    (path / "vendor").mkdir()
    git(path / "vendor", "init", "--quiet")
    git(path / "vendor", "commit", "--quiet", "--allow-empty", "-m", "x")


def repository_without_commits(path: Path) -> None:
    (path / "vendor").mkdir()
    git(path / "vendor", "init", "--quiet")


def repository_in_a_folder_of_ours(path: Path) -> None:
    git(path / "src", "init", "--quiet")
    git(path / "src", "commit", "--quiet", "--allow-empty", "-m", "x")
    (path / "src/new.py").write_text("1")


def folder_for_dot_git(path: Path) -> None:
    (path / ".git").unlink()
    git(path, "init", "--quiet")
    git(path, "commit", "--quiet", "--allow-empty", "-m", "x")


def pipe_for_dot_git(path: Path) -> None:
    (path / ".git").unlink()
    os.mkfifo(path / ".git")


def hidden_from_git(path: Path) -> None:
    for flag, name in (("--assume-unchanged", "shop.py"), ("--skip-worktree", "src/b.py")):
        (path / name).write_text("changed\n")
        git(path, "update-index", flag, name)


def ignored_by_its_own_rule(path: Path) -> None:
    (path / ".gitignore").write_text("*\n")
    (path / "secret.txt").write_text("1")


def names_that_other_systems_forbid(path: Path) -> None:
    for name in ("back\\slash", "git~1", "con", ":(top)x", "[a]*", "new\nline", "tab\t\"quote'", "-f"):
        (path / name).write_text("1")
    (path / os.fsdecode(b"latin-\xe9")).write_text("1")


DIRT = [
    untracked,
    modified,
    modified_without_a_trace_in_time,
    deleted,
    staged,
    other_modes,
    file_for_folder,
    folder_for_file,
    link_for_folder,
    link_for_file,
    empty_folders,
    read_only_folders,
    folders_without_rights,
    pipes_and_sockets,
    pipe_for_file,
    nested_repository,
    repository_without_commits,
    repository_in_a_folder_of_ours,
    folder_for_dot_git,
    pipe_for_dot_git,
    hidden_from_git,
    ignored_by_its_own_rule,
    names_that_other_systems_forbid,
]


def census(path: Path) -> dict[str, tuple[str, int, bytes]]:
    """Everything below, with its kind, whether it can be run, and its content; without what is ignored."""
    found = {}
    for one in sorted(path.rglob("*")):
        name = str(one.relative_to(path))
        if one.suffix == ".log" or name == ".git":
            continue
        kind = "link" if one.is_symlink() else "file" if one.is_file() else "folder" if one.is_dir() else "strange"
        content = one.read_bytes() if kind == "file" else os.fsencode(one.readlink()) if kind == "link" else b""
        found[name] = (kind, one.lstat().st_mode & 0o100, content)
    return found


class Unprivileged(Faulty):
    """Runs git without root's right to read and remove everything: as a pod, which is no root."""

    async def run(self, job: Job) -> Finished:
        words = ("/usr/bin/setpriv", "--securebits=+noroot", "--inh-caps=-all", "--bounding-set=-all", "--")
        return await super().run(replace(job, argv=(*words, *job.argv)))


@pytest.mark.parametrize("when", ["after a kill", "after its push"])
async def test_dirt_never_reaches_the_next_ticket(bench: Bench, when: str) -> None:
    """One Epic's worktree through all of it. What is ignored stays of runs that were published, and of no other."""
    if os.geteuid() == 0:
        bench.runner = Unprivileged(grace=0.3)
        bench.repo = bench.pod("state")
    workspace = await bench.open()
    clean = census(workspace.path)
    for number, dirt in enumerate(DIRT):
        said, warm = dirt.__name__, f"warm-{number}.log"
        write(workspace, {warm: "ignored", "src/deep/warm.log": "ignored"})
        dirt(workspace.path)
        if when == "after its push":  # what came then is litter
            with contextlib.suppress(TicketFailure):
                await workspace.snapshot()
            workspace._remember(published=workspace.start)
        workspace = await bench.open(f"{number:08}{NEXT[8:]}")
        assert census(workspace.path) == clean, said
        assert not (await workspace.snapshot()).changed, said
        assert (workspace.path / ".git").is_file(), said
        assert not git(workspace.path, "status", "--porcelain"), said
        assert read(workspace, warm) == ("ignored" if when == "after its push" else None), said
        if when == "after its push" and dirt not in (file_for_folder, link_for_folder, deleted):
            assert read(workspace, "src/deep/warm.log") == "ignored", said
        outside = workspace.path.parent / "outside"
        if outside.exists():
            assert (outside / "a.py").read_text() == "theirs\n", said
            shutil.rmtree(outside)
    assert bench.remote.tip("main") == workspace.start
    assert all(ref == "refs/heads/main" or ref.startswith("refs/agent/kept/42-") for ref in bench.remote.refs())


async def test_what_cannot_be_read_is_made_readable_before_it_is_kept(bench: Bench) -> None:
    if os.geteuid() == 0:
        bench.runner = Unprivileged(grace=0.3)
        bench.repo = bench.pod("state")
    workspace = await bench.open()
    write(workspace, {"new/deep/file.txt": "work", "src/deep/a.py": "more work\n", "plain.txt": "work"})
    for name in ("plain.txt", "src/deep/a.py", "src/deep", "src", "new/deep", "new"):
        (workspace.path / name).chmod(0o000)
    assert (await workspace.snapshot()).changed
    await workspace.keep(KEPT, outlet.commit("Kept", "", {}))
    for name, content in (("new/deep/file.txt", "work"), ("src/deep/a.py", "more work"), ("plain.txt", "work")):
        assert bench.remote.show(KEPT, name) == content
    assert git(bench.remote.path, "ls-tree", KEPT, "plain.txt").startswith("100644 ")


@pytest.mark.parametrize(
    ("dirt", "said"),
    [
        (pipe_for_file, "`shop.py` is no file that git can hold, but a pipe, a socket or a device"),
        (repository_without_commits, "`vendor` is a git repository of its own, so its files cannot be committed"),
    ],
)
async def test_what_git_cannot_hold_fails_the_ticket(bench: Bench, dirt: Callable[[Path], None], said: str) -> None:
    """And is no trouble of the pod, which would never pass."""
    workspace = await bench.open()
    dirt(workspace.path)
    with pytest.raises(TicketFailure) as caught:
        await workspace.snapshot()
    assert caught.value.reason == said


@pytest.mark.parametrize("part", ["work/42", "mirror.git/worktrees/42"])
async def test_a_link_in_place_of_a_folder_of_ours_is_not_followed(bench: Bench, part: str) -> None:
    await bench.open()
    outside = bench.folder / "outside"
    outside.mkdir()
    (outside / "precious.txt").write_text("1")
    ours = bench.folder / "state" / part
    ours.rename(bench.folder / "moved")
    ours.symlink_to(outside)
    after = await bench.open(NEXT)
    assert [path.name for path in outside.iterdir()] == ["precious.txt"]
    assert not (await after.snapshot()).changed


@pytest.mark.parametrize("name", [".gitignore", "src/.gitattributes", "src/sub/.git/HEAD"])
async def test_a_pipe_where_git_reads_its_rules_holds_nobody_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(worktree, "PATIENCE", 0.5)
    workspace = await bench.open()
    (workspace.path / name).parent.mkdir(parents=True, exist_ok=True)
    (workspace.path / "src").mkdir(exist_ok=True)
    (workspace.path / "src/new.py").write_text("1")
    (workspace.path / name).unlink(missing_ok=True)
    os.mkfifo(workspace.path / name)
    assert (await workspace.snapshot()).changed
    os.mkfifo(workspace.path / name)
    again = await bench.open(NEXT)
    assert not (again.path / "src/new.py").exists()


async def test_a_tree_deeper_than_the_stack_goes_with_its_worktree(bench: Bench) -> None:
    workspace = await bench.open()

    def deep() -> None:
        here = os.open(workspace.path, os.O_RDONLY)
        for _ in range(1200):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)

    await asyncio.to_thread(deep)
    await asyncio.to_thread(remove, workspace.path)
    assert not workspace.path.exists()
