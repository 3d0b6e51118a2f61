"""What a model, or a check that it wrote, does to git's own files: seen, said, put right, and the work is kept."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import TicketFailure
from support.git_bench import BRANCH, KEPT, NEXT, Bench, message, write
from support.git_repo import git


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.remote.push("agent/43-sibling", {"x": "y"})
    return bench


def mirror(path: Path) -> Path:
    return path.parent.parent / "mirror.git"


def admin(path: Path) -> Path:
    return mirror(path) / "worktrees/42"


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def stash(path: Path) -> None:
    (path / "README.md").write_text("changed\n")
    git(path, "stash")


def hide(path: Path, flag: str) -> None:
    (path / "README.md").write_text("changed\n")
    git(path, "update-index", flag, "README.md")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def forge_a_tip(path: Path) -> None:
    forged = git(path, "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", message())
    git(path, "update-ref", "refs/remotes/origin/main", forged)


def pack(path: Path) -> None:
    git(path, "pack-refs", "--all")


MEDDLING: dict[str, tuple[Callable[[Path], object], str]] = {
    "commit": (lambda path: git(path, "commit", "--quiet", "--allow-empty", "-m", "mine"), "HEAD moved"),
    "branch": (lambda path: git(path, "branch", "mine"), "`refs/heads/mine` was made"),
    "switch": (lambda path: git(path, "switch", "--quiet", "-c", "mine"), "HEAD moved"),
    "tag": (lambda path: git(path, "tag", "v1"), "`refs/tags/v1` was made"),
    "note": (lambda path: git(path, "notes", "add", "-m", "x"), "`refs/notes/commits` was made"),
    "stash": (stash, "`refs/stash` was made"),
    "replace": (
        lambda path: git(path, "replace", "HEAD", git(path, "commit-tree", "HEAD^{tree}", "-m", "x")),
        "`refs/replace/",
    ),
    "claim": (lambda path: git(path, "update-ref", "refs/agent/claim/42", "HEAD"), "`refs/agent/claim/42` was made"),
    "moved tip": (forge_a_tip, "`refs/remotes/origin/main` was changed"),
    "deleted tip": (
        lambda path: git(path, "update-ref", "-d", "refs/remotes/origin/agent/43-sibling"),
        "`refs/remotes/origin/agent/43-sibling` was deleted",
    ),
    "broken tip": (
        lambda path: put(mirror(path) / "refs/remotes/origin/main", "garbage"),
        "`refs/remotes/origin/main` was changed",
    ),
    "packed refs": (pack, "`packed-refs` was made"),
    "config": (lambda path: git(path, "config", "core.sshCommand", "evil"), "git's configuration was changed"),
    "config of the worktree": (
        lambda path: put(admin(path) / "config.worktree", "[core]\n\tfsmonitor = evil\n"),
        "git's configuration was changed",
    ),
    "config as a pipe": (
        lambda path: pipe(mirror(path) / "config"),
        "git's configuration was changed",
    ),
    "hook": (lambda path: put(mirror(path) / "hooks/pre-push", "#!/bin/sh\n"), "`hooks/pre-push` was made"),
    "hook by link": (
        lambda path: (mirror(path) / "hooks").symlink_to("/usr/bin"),
        "`hooks` was made",
    ),
    "attributes": (lambda path: put(mirror(path) / "info/attributes", "* -diff\n"), "`info/attributes` was made"),
    "exclude": (lambda path: put(mirror(path) / "info/exclude", "*\n"), "`info/exclude` was made"),
    "grafts": (lambda path: put(mirror(path) / "info/grafts", "0\n"), "`info/grafts` was made"),
    "shallow": (lambda path: put(mirror(path) / "shallow", git(path, "rev-parse", "HEAD")), "`shallow` was made"),
    "alternates": (
        lambda path: put(mirror(path) / "objects/info/alternates", "/elsewhere\n"),
        "`objects/info/alternates` was made",
    ),
    "worktree": (
        lambda path: git(path, "worktree", "add", "--quiet", "--detach", str(path.parent.parent / "mine")),
        "`worktrees/mine` was made",
    ),
    "common folder": (lambda path: put(admin(path) / "commondir", "/elsewhere\n"), "`commondir` was changed"),
    "way back": (lambda path: put(admin(path) / "gitdir", "/elsewhere/.git\n"), "`gitdir` was changed"),
    "pointer": (lambda path: put(path / ".git", "gitdir: /elsewhere\n"), "`.git` was changed"),
    "pointer gone": (lambda path: (path / ".git").unlink(), "`.git` was changed"),
    "pointer as a pipe": (lambda path: pipe(path / ".git"), "`.git` was changed"),
    "hidden change": (
        lambda path: hide(path, "--skip-worktree"),
        "`README.md` was hidden from it",
    ),
    "untouched flag": (
        lambda path: hide(path, "--assume-unchanged"),
        "`README.md` was hidden from it",
    ),
}


def numbered(number: int) -> str:
    return f"{number:08}{NEXT[8:]}"


async def test_meddling_with_git_fails_the_run_keeps_the_work_and_troubles_no_later_run(bench: Bench) -> None:
    for number, (what, (meddle, said)) in enumerate(MEDDLING.items()):
        workspace = await bench.open(numbered(number))
        assert workspace.start == bench.remote.tip("main"), what
        assert not (await workspace.snapshot()).changed, what
        write(workspace, {"work.txt": what})
        meddle(workspace.path)
        with pytest.raises(TicketFailure) as caught:
            await workspace.snapshot()
        assert caught.value.reason.startswith(f"the model ran git: {said}"), what
        failed = f"agent/failed/42-{number}"
        assert await workspace.keep(failed, message()), what
        assert bench.remote.show(failed, "work.txt") == what
        assert git(workspace.path, "fsck", "--no-dangling", "--no-progress") == "", what
    ours = git(bench.folder / "state/mirror.git", "for-each-ref", "--format=%(refname)").splitlines()
    assert all(ref.startswith("refs/remotes/origin/") for ref in ours)


async def test_meddling_before_a_kill_is_put_right_by_the_next_process(bench: Bench) -> None:
    """It cannot be told from a power cut any more, so nobody is blamed; but nothing of it counts."""
    for number, (what, (meddle, _)) in enumerate(MEDDLING.items()):
        run = numbered(number)
        workspace = await bench.open(run)
        write(workspace, {"work.txt": what})
        meddle(workspace.path)
        again = await bench.open(run, repo=bench.pod("state"))
        assert again.start == bench.remote.tip("main"), what
        sha = await again.commit((await again.snapshot()).tree, message(run))
        assert git(again.path, "rev-list", "--count", f"{again.start}..{sha}") == "1", what
        assert git(again.path, "show", f"{sha}:work.txt") == what


async def test_a_check_that_runs_git_fails_the_run_too(bench: Bench) -> None:
    workspace = await bench.open()
    blob = await bench.claim()
    write(workspace, {"work.txt": "1"})
    sha = await workspace.commit((await workspace.snapshot()).tree, message())
    async with workspace.checkout(sha) as clean:
        git(clean.path, "branch", "harmless")  # in a repository of its own, which goes with it
        git(workspace.path, "branch", "mine")
    with pytest.raises(TicketFailure, match="a check ran git: `refs/heads/mine` was made"):
        await workspace.publish(sha, claim_blob=blob)
    assert not bench.remote.tip(BRANCH)
    assert not git(workspace.path, "branch", "--list", "harmless")
    assert await workspace.keep(KEPT, message())


async def test_a_model_that_runs_git_after_its_snapshot_fails_the_run_too(bench: Bench) -> None:
    workspace = await bench.open()
    write(workspace, {"work.txt": "1"})
    tree = (await workspace.snapshot()).tree
    git(workspace.path, "branch", "mine")
    with pytest.raises(TicketFailure, match="the model ran git: `refs/heads/mine` was made"):
        await workspace.commit(tree, message())
    assert await workspace.keep(KEPT, message())


async def test_looking_with_git_and_adding_to_the_index_is_no_meddling(bench: Bench) -> None:
    workspace = await bench.open()
    write(workspace, {"work.txt": "1", "tool.nix": "{}"})
    await workspace.show_to_nix()
    for words in (["status"], ["log"], ["diff"], ["add", "work.txt"], ["ls-files"]):
        git(workspace.path, *words)
    assert (await workspace.snapshot()).changed


async def test_a_configuration_that_was_put_right_during_the_run_is_not_forgotten(bench: Bench) -> None:
    """Each git of ours makes it ours again, before it could name a program."""
    workspace = await bench.open()
    proof = bench.folder / "proof"
    git(workspace.path, "config", "filter.evil.clean", f"touch {proof}; cat")
    write(workspace, {".gitattributes": "* filter=evil\n", "a.nix": "{}"})
    assert "a.nix" in await workspace.flake_files()
    await workspace.show_to_nix()
    with pytest.raises(TicketFailure, match="git's configuration was changed"):
        await workspace.snapshot()
    assert await workspace.keep(KEPT, message())
    assert not proof.exists()
    assert (await bench.open(NEXT)).start
