"""A clean checkout has what git has, and what the last one that passed was allowed to leave."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from agent.git.checkout import hand_on
from agent.git.folder import remove
from agent.git.refs import TAGS
from support.git_bench import BRANCH, NEXT, RUN, Bench, message, work, write
from support.git_repo import git


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_checkout_is_what_a_fresh_clone_is(bench: Bench) -> None:
    workspace = await bench.open()
    rules = "*.md export-ignore\n*.txt text ident\n"
    write(workspace, {"work.txt": "a\r\n$Id$\n", "seen.log": "ignored", ".gitattributes": rules})
    (workspace.path / "empty").mkdir()
    sha = await workspace.commit((await workspace.snapshot()).tree, message())
    await workspace.publish(sha, claim_blob=None)
    clone = bench.folder / "clone"
    git(bench.folder, "clone", "-q", "-b", BRANCH, bench.remote.url, str(clone))
    async with workspace.checkout(sha) as clean:
        here, there = (
            {
                str(one.relative_to(top)): (one.lstat().st_mode, one.read_bytes() if one.is_file() else b"")
                for one in top.rglob("*")
                if ".git" not in one.parts
            }
            for top in (clean.path, clone)
        )
        assert here == there
        assert re.fullmatch(rb"a\n\$Id: [0-9a-f]{40} \$\n", here["work.txt"][1])
        assert git(clean.path, "rev-parse", "HEAD") == sha
        assert "flake.nix" in await clean.flake_files()
        write(clean, {"new.nix": "{}"})
        await clean.show_to_nix()
        assert "new.nix" in git(clean.path, "ls-files")
    assert not clean.path.exists()
    assert [one.name for one in (bench.folder / "state/mirror.git/worktrees").iterdir()] == ["42"]


LOOK = (
    "git tag -n1 && git describe --tags --long && git describe --match 'v*' && git symbolic-ref refs/remotes/origin/HEAD"
    " && git diff --stat origin/HEAD... && git remote get-url origin && git config remote.origin.fetch"
    " && git for-each-ref --format='%(objectname) %(refname) %(*objectname)' refs/tags"
)


async def test_checks_and_runs_find_the_tags_and_the_origin_of_a_fresh_clone(bench: Bench) -> None:
    """T2: "Verified" of what fails in every clone, where a tag forbids it; what asks for the last tag failed in each run."""
    for number, how in enumerate((["-a", "-m", "The first"], [])):
        bench.remote.push("main", {"n.txt": f"{number}\n"})
        git(bench.remote.clone, "tag", *how, f"v{number}")
    git(bench.remote.clone, "push", "-q", "origin", "--tags")
    bench.remote.push("main", {"later.txt": "1\n"})
    workspace = await bench.open()
    write(workspace, {"work.txt": "1"})
    sha = await workspace.commit((await workspace.snapshot()).tree, message())
    clone = bench.folder / "clone"
    git(bench.folder, "clone", "-q", bench.remote.url, str(clone))
    git(clone, "fetch", "-q", str(bench.folder / "state/mirror.git"), sha)
    git(clone, "checkout", "-q", "--detach", sha)
    expected = look(clone)
    assert "The first" in expected
    async with workspace.checkout(sha) as clean:
        assert look(clean.path) == expected
    seen = (await workspace.jail_paths()).instead[0][0]
    git(seen, "--git-dir", str(seen), "update-ref", "--no-deref", "HEAD", sha)
    assert look(seen) == expected


def look(folder: Path) -> str:
    done = subprocess.run(["sh", "-ec", LOOK], cwd=folder, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return done.stdout


async def test_many_tags_are_one_file_of_the_mirror_and_outlive_its_mending(bench: Bench) -> None:
    """Each look at git's files would read each of them; and what tags lead to is a line of its own there."""
    git(bench.remote.clone, "tag", "-a", "-m", "x", "v1")
    git(bench.remote.clone, "push", "-q", "origin", "v1")
    await bench.repo.fetch()
    mirror = bench.folder / "state/mirror.git"
    assert not (mirror / TAGS / "v1").exists()
    before = (mirror / "packed-refs").read_text()
    assert "\n^" in before
    with (mirror / "packed-refs").open("a") as packed:
        packed.write(f"{git(bench.remote.clone, 'rev-parse', 'v1')} refs/tags/mine\n^{bench.remote.tip('main')}\n")
    await bench.repo._mirror.mend()
    assert (mirror / "packed-refs").read_text() == before


async def test_a_repository_of_more_files_than_git_would_share_among_workers_is_checked_out(bench: Bench) -> None:
    """From 100 on; a worker is a program, which git may not start here."""
    names = {f"many/{number}" for number in range(150)}
    bench.remote.push("main", dict.fromkeys(names, "1"))
    workspace = await bench.open()
    async with workspace.checkout(workspace.start) as clean:
        for tree in (workspace, clean):
            assert {f"many/{one.name}" for one in (tree.path / "many").iterdir()} == names


def objects(folder: Path) -> set[str]:
    return set(git(folder, "cat-file", "--batch-all-objects", "--batch-check").splitlines())


def branches(folder: Path) -> list[str]:
    lines = git(folder, "for-each-ref", "--format=%(objectname) %(refname)", "refs/remotes").splitlines()
    return [line for line in lines if not line.endswith("/HEAD")]


async def test_a_checkout_has_the_objects_that_a_fresh_clone_has(bench: Bench) -> None:
    """Whatever other runs left in the mirror, and whatever became of the remote's branches meanwhile."""

    async def failed(run: str, content: str) -> None:
        workspace = await bench.open(run, owner=43, branch="agent/43-failed")
        write(workspace, {"answer.txt": content})
        await workspace.commit((await workspace.snapshot()).tree, message(run))
        assert await workspace.keep(f"agent/failed/43-{run[:8]}", message(run))

    async def same_as_a_clone(number: int) -> None:
        await failed(f"{number:08}{NEXT[8:]}", f"the answer {number}\n")
        run = f"{number + 100:08}{NEXT[8:]}"
        workspace = await bench.open(run)
        write(workspace, {"work.txt": str(number)})
        sha = await workspace.commit((await workspace.snapshot()).tree, message(run))
        async with workspace.checkout(sha) as clean:
            found, refs, log = objects(clean.path), branches(clean.path), git(clean.path, "log", "--format=%H %s")
        await workspace.publish(sha, claim_blob=None)
        clone = bench.folder / f"clone-{number}"
        git(bench.folder, "clone", "-q", "-b", BRANCH, bench.remote.path.as_uri(), str(clone))
        assert found == objects(clone)
        assert log == git(clone, "log", "--format=%H %s")
        assert [line for line in refs if BRANCH not in line] == [line for line in branches(clone) if BRANCH not in line]

    await same_as_a_clone(1)
    bench.remote.push("main", {"more.txt": "1"})
    bench.remote.push("side", {"side.txt": "1"})
    await same_as_a_clone(2)
    git(bench.remote.path, "branch", "-q", "-D", "side")
    await same_as_a_clone(3)
    remove(bench.folder / "state/mirror.git")
    await same_as_a_clone(4)


async def test_what_cannot_be_carried_over_is_not(bench: Bench) -> None:
    workspace = await bench.open()
    carry = ["n" * 300, f"{'n' * 300}/deep", "target"]
    for carried in ((), ("target",)):
        async with workspace.checkout(workspace.start, carry) as clean:
            assert clean.carried == carried
            write(clean, {"target/a": "1"})
            await clean.passed()
        await hand_on(workspace._worktree)


async def test_what_a_killed_pod_left_of_a_checkout_is_cleared(bench: Bench) -> None:
    workspace = await bench.open()
    context = workspace.checkout(workspace.start)
    clean = await context.__aenter__()
    deep = clean.path / "closed/deep"
    deep.mkdir(parents=True)
    deep.parent.chmod(0)
    assert clean.path.exists()
    await bench.open(repo=bench.pod("state"))
    assert not clean.path.exists()
    async with workspace.checkout(workspace.start) as again:
        (again.path / "README.md").write_text("")
        async with workspace.checkout(workspace.start) as third:
            assert (third.path / "README.md").read_text()


async def test_folders_come_from_the_last_checkout_that_passed(bench: Bench) -> None:
    workspace = await bench.open()
    write(workspace, {"target/seen.log": "of the worktree"})
    carry = ["target", "deep/er", "none", "stdenv"]
    async with workspace.checkout(workspace.start, carry) as clean:
        assert clean.carried == ()
        write(clean, {"target/a": "1", "deep/er/b": "2", "stdenv/new": "3"})
        (clean.path / "target/link").symlink_to("/nowhere")
        os.mkfifo(clean.path / "target/pipe")
        await clean.passed()
    await hand_on(workspace._worktree)
    for broken in (True, False):
        async with workspace.checkout(workspace.start, carry) as clean:
            assert clean.carried == ("target", "deep/er"), "what git has is not laid over"
            assert (clean.path / "target/a").read_text() == "1"
            assert (clean.path / "target/link").readlink() == Path("/nowhere")
            assert not (clean.path / "target/seen.log").exists()
            assert not (clean.path / "stdenv/new").exists()
            if broken:
                (clean.path / "target/a").write_text("changed by checks that failed")
    await bench.open(NEXT)
    async with workspace.checkout(workspace.start, []) as clean:
        await clean.passed()
    await hand_on(workspace._worktree)
    async with workspace.checkout(workspace.start, carry) as clean:
        assert clean.carried == ()


async def test_of_work_that_nobody_took_nothing_is_carried_over(bench: Bench) -> None:
    """T2: what checks had left of work that waited for a person let the next ticket's pass, and a clone's failed."""
    workspace = await bench.open()
    async with workspace.checkout(workspace.start, ["target"]) as clean:
        write(clean, {"target/a": "1"})
        await clean.passed()
    after = await bench.open(NEXT)
    sha = await work(after, {"a.txt": "1\n"}, NEXT)
    async with after.checkout(sha, ["target"]) as clean:
        assert clean.carried == ()
        write(clean, {"target/b": "1"})
        await clean.passed()
    await after.publish(sha, claim_blob=None)
    last = await bench.open(RUN)
    async with last.checkout(last.start, ["target"]) as clean:
        assert clean.carried == ("target",)


async def test_nothing_is_carried_through_a_link(bench: Bench) -> None:
    outside = bench.folder / "outside/target"
    outside.mkdir(parents=True)
    (outside / "secret").write_text("1")
    bench.remote.clone.joinpath("linked").symlink_to("stdenv")
    bench.remote.push("main", {})
    workspace = await bench.open()
    carry = ["target", "out/target", "linked/target"]
    async with workspace.checkout(workspace.start, carry) as clean:
        (clean.path / "target").symlink_to(outside)
        (clean.path / "out").symlink_to(outside.parent)
        (clean.path / "linked/target").mkdir()
        await clean.passed()
    await hand_on(workspace._worktree)
    async with workspace.checkout(workspace.start, carry) as clean:
        assert clean.carried == ()
    assert (outside / "secret").read_text() == "1"


async def test_carried_folders_go_with_their_branch_owner(bench: Bench) -> None:
    workspace = await bench.open()
    async with workspace.checkout(workspace.start, ["target"]) as clean:
        write(clean, {"target/a": "1"})
        await clean.passed()
    await hand_on(workspace._worktree)
    assert (bench.folder / "state/carried/42/target/a").exists()
    await bench.repo.discard(42)
    assert not (bench.folder / "state/carried/42").exists()
