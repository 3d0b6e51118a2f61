"""What git needs inside a sandbox: enough to look, nothing to write, and nothing of anybody else's work."""

import os
from pathlib import Path

import pytest

from agent.git.refs import blob_id
from agent.git.workspace import Workspace
from agent.programs.processes import Processes
from agent.programs.runner import Finished, Job
from agent.sandbox.jail import Jail, Limits
from agent.sandbox.sandbox import Sandbox
from support.git_bench import BRANCH, NEXT, RUN, Bench, message, work, write
from support.git_repo import git
from support.needs import needs

pytestmark = needs("bwrap")
OBJECTS = "cat-file --batch-all-objects --batch-check"
ANSWER = blob_id(b"the answer\n")


@pytest.fixture
async def workspace(tmp_path: Path) -> Workspace:
    bench = Bench(tmp_path)
    sibling = await bench.open(NEXT, owner=43, branch="agent/43-other")
    write(sibling, {"secret.txt": "1"})
    return await bench.open()


async def inside(workspace: Workspace, script: str) -> Finished:
    home = workspace.path.parent / "home"
    home.mkdir(exist_ok=True)
    git = await workspace.jail_paths()
    jail = Jail(
        writable=(workspace.path, home),
        readable=git.readable,
        instead=git.instead,
        nested=git.nested,
        tmp=home / "tmp",
    )
    sandbox = Sandbox(runner=Processes(grace=0.3), jail=jail, limits=Limits(disk=1 << 30, processes=1000))
    env = {"PATH": os.environ["PATH"], "HOME": str(home)}
    return await sandbox.run(Job(argv=("/bin/bash", "-c", script), cwd=workspace.path, env=env, timeout=60))


async def test_looking_works(workspace: Workspace) -> None:
    write(workspace, {"new.txt": "1", "shop.py": "changed\n"})
    done = await inside(
        workspace,
        "git status --short && git log --format=%s && git ls-files && git diff --stat && git show HEAD:README.md",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:3] == [b" M shop.py", b"?? new.txt", b"First commit"]
    assert b"# Shop" in done.stdout
    assert (await workspace.snapshot()).changed


@pytest.mark.parametrize(
    "attempt",
    [
        "git add new.txt",
        "git -c user.name=a -c user.email=a@b commit --allow-empty -m mine",
        "git branch mine",
        "git stash",
        "git config core.fsmonitor evil",
        "git update-ref refs/remotes/origin/main HEAD",
        "git hash-object -w new.txt",
        "rm .git",
        "mv .git elsewhere",
        "echo 'gitdir: /elsewhere' > .git",
        'mkdir -p "$(git rev-parse --git-common-dir)/hooks"',
        'echo x > "$(git rev-parse --git-dir)/HEAD"',
        'rm -rf "$(git rev-parse --git-dir)"',
        "cat ../43/secret.txt",
        'ls "$(git rev-parse --git-common-dir)/worktrees/43"',
    ],
)
async def test_writing_and_other_peoples_work_are_out_of_reach(workspace: Workspace, attempt: str) -> None:
    write(workspace, {"new.txt": "1"})
    assert (await inside(workspace, attempt)).returncode != 0
    assert (await workspace.snapshot()).changed


async def test_new_files_shown_to_nix_from_outside_are_seen_inside(workspace: Workspace) -> None:
    write(workspace, {"new.nix": "{}"})
    await workspace.show_to_nix()
    assert b"new.nix" in (await inside(workspace, "git ls-files")).stdout


def objects(folder: Path) -> set[str]:
    return set(git(folder, *OBJECTS.split()).splitlines())


async def seen(workspace: Workspace, folder: Path) -> set[str]:
    """What a run may read of git: its objects, no matter which refs lead to them."""
    done = await inside(workspace, f"git {OBJECTS} && git for-each-ref --format='%(refname)' && git fsck --no-dangling")
    assert done.ok, done.stderr
    found = done.stdout.decode().splitlines()
    refs = {line for line in found if line.startswith("refs/")}
    assert refs == {f"refs/remotes/origin/{name}" for name in ("HEAD", *branches(folder))} | set(tags(folder))
    return set(found) - refs


def branches(folder: Path) -> list[str]:
    return git(folder / "forge/remote.git", "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads").splitlines()


def tags(folder: Path) -> list[str]:
    return git(folder / "forge/remote.git", "for-each-ref", "--format=%(refname)", "refs/tags").splitlines()


async def test_a_run_sees_the_objects_of_a_fresh_clone(tmp_path: Path) -> None:
    """Whatever runs before it left: failed work, claims, an object that they wrote, a branch that is gone."""
    bench = Bench(tmp_path)

    async def same_as_a_clone(number: int, owner: int = 42) -> Workspace:
        run = f"{number:08}{NEXT[8:]}"
        workspace = await bench.open(run, owner=owner, branch=f"agent/{owner}-x")
        clone = tmp_path / f"clone-{number}"
        git(tmp_path, "clone", "-q", bench.remote.path.as_uri(), str(clone))
        assert await seen(workspace, tmp_path) == objects(clone)
        return workspace

    failed = await bench.open(RUN, owner=43, branch="agent/43-failed")
    await bench.claim()
    write(failed, {"answer.txt": "the answer\n"})
    await failed.commit((await failed.snapshot()).tree, message())
    assert await failed.keep("agent/failed/43-7f9c0000", message())
    workspace = await same_as_a_clone(1)
    assert not (await inside(workspace, f"git cat-file -e {ANSWER}")).ok
    sha = await work(workspace, {"work.txt": "1"}, f"{1:08}{NEXT[8:]}")
    await workspace.publish(sha, claim_blob=None)
    await same_as_a_clone(2)
    await same_as_a_clone(3, owner=44)
    bench.remote.push("side", {"side.txt": "1"})
    await same_as_a_clone(4)
    git(bench.remote.path, "branch", "-q", "-D", "side")
    await same_as_a_clone(5)
    kept = await bench.repo.fetch_kept("agent/failed/43-7f9c0000")
    assert kept
    await same_as_a_clone(6)
    bench.remote.push("old", {"old.txt": "1"})
    git(bench.remote.clone, "tag", "-a", "v1/old", "-m", "of no branch")
    git(bench.remote.clone, "tag", "-a", "v1/main", "-m", "of a branch", "origin/main")
    git(bench.remote.clone, "push", "-q", "origin", "v1/old", "v1/main", ":old")
    await same_as_a_clone(7)
    git(bench.remote.clone, "push", "-q", "origin", ":v1/main")
    await same_as_a_clone(8)
    git(bench.remote.clone, "push", "-q", "origin", ":v1/old", "HEAD:refs/tags/v1")
    await same_as_a_clone(9)


async def test_a_run_sees_the_commit_that_it_starts_from_where_no_branch_has_it(tmp_path: Path) -> None:
    """A merge with the base, or a starter flake; after a kill too, and where the remote lost what it was made of."""
    bench = Bench(tmp_path)
    bench.remote.push(BRANCH, {"theirs.txt": "1"})
    bench.remote.push("main", {"base.txt": "1"})
    workspace = await bench.open()
    look = "git fsck --no-dangling && git diff --exit-code HEAD && git log -1 --format=%s && git ls-files"
    done = await inside(workspace, look)
    assert b"Merge branch 'main' into" in done.stdout, done
    assert b"theirs.txt" in done.stdout
    git(bench.remote.path, "branch", "-q", "-D", BRANCH)
    again = await bench.open(repo=bench.pod("state"))
    assert (await inside(again, look)).stdout == done.stdout
