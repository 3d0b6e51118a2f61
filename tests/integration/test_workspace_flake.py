"""What the development shell asks of git: the files that decide about it, new ones shown to Nix, and a starter flake."""

import asyncio
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent.errors import PodTrouble, TicketFailure
from agent.git.checkout import hand_on
from agent.texts.outlet import CommitText
from support.git_bench import BRANCH, KEPT, NEXT, RUN, Bench, message, read, work, write
from support.git_repo import AGENT_TOML, FLAKE, SETUP, git

STARTER = CommitText(f"Add a starter flake.nix\n\nWork-Package: #42\nAgent-Pod: pod-a\nAgent-Run: {RUN}\n")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def template(folder: Path, files: Mapping[str, str] | None = None) -> Path:
    """The flake of reference/nix.md, section 1: it has no inputs, and needs a file besides. Read-only, as in a store."""
    for name, content in (files or {"flake.nix": FLAKE, "stdenv/setup": SETUP}).items():
        path = folder / "template" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o444)
    return folder / "template"


@pytest.fixture
def bare(bench: Bench) -> Bench:
    """A repository without a flake."""
    bench.remote.push("main", {"flake.nix": None, "stdenv/setup": None})
    return bench


# -- listing -------------------------------------------------------------------------------------------------------


async def test_flake_files_are_listed_tracked_and_new_and_by_one_process(bench: Bench) -> None:
    bench.remote.push("main", {"nix/tools.nix": "{}", "nix/data.json": "{}", "uv.lock": "1", "other.txt": "x"})
    workspace = await bench.open()
    for name in (
        "sub/flake.lock",
        "new dir/a b.nix",
        "ignored.nix.log",
        "not.nix.txt",
        ":(top)x.nix",
        "[a].nix",
        "-f.nix",
        "a\nb\t'\".nix",
    ):
        write(workspace, {name: "{}"})
    (workspace.path / os.fsdecode(b"latin-\xe9.nix")).write_text("{}")
    (workspace.path / "flake.nix").write_text("changed")
    (workspace.path / "nix/tools.nix").unlink()
    started = []
    bench.runner.fault = lambda argv, done: started.append(argv) if done is None else None
    found = await workspace.flake_files(("stdenv/", "*.lock"))
    assert len(started) == 1
    assert set(found) == {
        "flake.nix",
        "nix/tools.nix",
        "stdenv/setup",
        "uv.lock",
        "sub/flake.lock",
        "new dir/a b.nix",
        ":(top)x.nix",
        "[a].nix",
        "-f.nix",
        "a\nb\t'\".nix",
        os.fsdecode(b"latin-\xe9.nix"),
    }
    assert "uv.lock" not in await workspace.flake_files()
    await workspace.show_to_nix(("*.lock",))
    shown = git(workspace.path, "ls-files", "-z").split("\0")
    assert {":(top)x.nix", "[a].nix", "-f.nix", "a\nb\t'\".nix", "sub/flake.lock"} <= set(shown)
    assert "not.nix.txt" not in shown
    assert await workspace.flake_files(("stdenv/", "*.lock")) == found
    assert (await workspace.snapshot()).changed


async def test_what_git_has_just_made_is_known_by_its_commit_until_somebody_is_let_in(bench: Bench) -> None:
    workspace = await bench.open()
    assert [workspace.made_of(), workspace.made_of()] == [workspace.start, ""]
    sha = await work(workspace, {"a.txt": "1"})
    async with workspace.checkout(sha) as clean:
        assert [clean.made_of(), clean.made_of()] == [sha, ""]


async def test_a_folder_that_was_somebodys_is_known_by_no_commit(bench: Bench) -> None:
    await bench.open()
    resumed = await bench.open()
    assert resumed.made_of() == "", "the run before was in it"
    await resumed.publish(await work(resumed, {"a.txt": "1"}), claim_blob=None)
    assert (await bench.open(NEXT)).made_of() == "", "the Epic's last run was in it"
    anew = await bench.open(RUN)
    assert anew.made_of() == anew.start, "what was not published is kept elsewhere, and the folder is a new one"


async def test_a_folder_with_more_than_its_commit_is_known_by_none(bare: Bench) -> None:
    workspace = await bare.open()
    await workspace.add_starter(template(bare.folder), STARTER)
    assert workspace.made_of() == ""
    async with workspace.checkout(workspace.start, ["target"]) as clean:
        write(clean, {"target/new.nix": "{}"})
        await clean.passed()
    await hand_on(workspace._worktree)
    async with workspace.checkout(workspace.start, ["target"]) as clean:
        assert clean.carried
        assert clean.made_of() == ""


async def test_every_link_is_listed_since_a_file_may_be_reached_through_it(bench: Bench) -> None:
    (bench.remote.clone / "current").symlink_to("stdenv")
    bench.remote.push("main", {})
    assert await (await bench.open()).flake_files() == ("current", "flake.nix")


async def test_a_new_file_that_is_no_flakes_is_not_shown(bench: Bench) -> None:
    workspace = await bench.open()
    os.mkfifo(workspace.path / "pipe.nix")
    (workspace.path / "repository.nix").mkdir()
    git(workspace.path / "repository.nix", "init", "--quiet")
    assert await workspace.flake_files() == ("flake.nix",)
    await workspace.show_to_nix()


@pytest.mark.parametrize("commit", [False, True])
async def test_what_becomes_of_a_file_while_it_is_shown_is_not_looked_at(bench: Bench, commit: bool) -> None:
    """It may be gone; in its place there may be a repository with settings of its own, or a pipe."""
    workspace = await bench.open()
    write(workspace, {"gone.nix": "{}", "stays.nix": "{}", "sub/repository.nix": "{}", "pipe.nix": "{}"})

    def meddle(argv: list[str], done: object) -> None:
        if done is None and "--intent-to-add" in argv:
            for name in ("gone.nix", "sub/repository.nix", "pipe.nix"):
                (workspace.path / name).unlink()
            os.mkfifo(workspace.path / "pipe.nix")
            inner = workspace.path / "sub/repository.nix"
            inner.mkdir()
            git(inner, "init", "--quiet")
            if commit:
                git(inner, "commit", "--quiet", "--allow-empty", "-m", "x")

    bench.runner.fault = meddle
    await workspace.show_to_nix()
    bench.runner.fault = lambda _argv, _done: None
    listed = [line.split()[0::3] for line in git(workspace.path, "ls-files", "-s", "*.nix").splitlines()]
    assert listed == [
        ["100644", name] for name in ("flake.nix", "gone.nix", "pipe.nix", "stays.nix", "sub/repository.nix")
    ]
    assert git(workspace.path, "diff", "--name-only", "--diff-filter=A", "stays.nix")
    assert not (bench.folder / "state/names").exists()
    with pytest.raises(TicketFailure, match=r"`sub/repository\.nix` is a git repository of its own"):
        await workspace.snapshot()
    kept = await workspace.keep(KEPT, message())
    assert kept
    assert bench.remote.show(KEPT, "stays.nix") == "{}"


async def test_two_shells_asked_for_at_once_both_see_their_new_files(bench: Bench) -> None:
    workspace = await bench.open()
    for number in range(6):
        write(workspace, {f"{number}.nix": "{}"})
        await asyncio.gather(workspace.show_to_nix(), workspace.flake_files(), workspace.show_to_nix())
    assert len(git(workspace.path, "ls-files", "*.nix").splitlines()) == 7


# -- the starter ---------------------------------------------------------------------------------------------------


async def test_the_starter_is_a_commit_of_its_own_below_the_work_and_goes_with_it(bare: Bench) -> None:
    workspace = await bare.open()
    assert not (workspace.path / "flake.nix").is_file()
    starter = await workspace.add_starter(template(bare.folder), STARTER)
    assert starter
    assert (workspace.path / "flake.nix").is_file()
    assert workspace.start == bare.remote.tip("main")
    assert not (await workspace.snapshot()).changed, "a starter is no work"
    assert not bare.remote.tip(BRANCH)
    blob = await bare.claim()
    write(workspace, {".agent.toml": "[verify]\ncommands = []\n"})
    sha = await work(workspace, {"a.txt": "1"})
    assert await workspace.publish(sha, claim_blob=blob) == sha
    log = git(bare.remote.path, "log", "--format=%s", f"main..{BRANCH}").splitlines()
    assert log == ["Do the work", "Add a starter flake.nix"]
    assert git(bare.remote.path, "show", "--name-only", "--format=", sha).splitlines() == [".agent.toml", "a.txt"]
    assert git(bare.remote.path, "show", "--name-only", "--format=", starter).splitlines() == [
        "flake.nix",
        "stdenv/setup",
    ]
    assert f"Agent-Run: {RUN}\nAgent-Starter: flake.nix" in bare.remote.message(starter)
    assert await workspace.file_at_base(".agent.toml") == AGENT_TOML
    assert git(bare.remote.path, "ls-tree", BRANCH, "flake.nix").startswith("100644")
    after = await bare.open(NEXT)
    assert await after.add_starter(template(bare.folder), STARTER) is None
    assert (after.path / "flake.nix").is_file()


async def test_a_starter_alone_is_no_evidence_of_a_run_or_a_ticket(bare: Bench) -> None:
    workspace = await bare.open()
    starter = await workspace.add_starter(template(bare.folder), STARTER)
    git(workspace.path, "push", "--quiet", bare.remote.url, f"{starter}:refs/heads/{BRANCH}")
    await bare.repo.fetch()
    assert await bare.repo.commit_of_run(RUN, BRANCH) is None
    assert not await bare.repo.commits_of_ticket(42, BRANCH)


async def test_a_failed_run_pushes_its_starter_to_the_kept_branch_only(bare: Bench) -> None:
    workspace = await bare.open()
    starter = await workspace.add_starter(template(bare.folder), STARTER)
    assert await workspace.keep(KEPT, message()) is None, "a starter is no work"
    write(workspace, {"a.txt": "1"})
    kept = await workspace.keep(KEPT, message())
    assert kept is not None
    assert git(bare.remote.path, "rev-parse", f"{kept.commit}^") == starter
    assert set(bare.remote.refs()) == {"refs/heads/main", f"refs/{KEPT}"}
    after = await bare.open(NEXT)
    assert not (after.path / "flake.nix").is_file()
    assert await after.add_starter(template(bare.folder), CommitText(STARTER.replace(RUN, NEXT)))


async def test_a_repository_with_a_flake_gets_none(bench: Bench) -> None:
    workspace = await bench.open()
    assert await workspace.add_starter(template(bench.folder), STARTER) is None
    assert not (await workspace.snapshot()).changed


STEPS = 8


@pytest.mark.parametrize("step", range(STEPS))
async def test_a_kill_at_any_step_of_the_starter_is_mended_by_the_take_over(bare: Bench, step: int) -> None:
    workspace = await bare.open()
    seen = 0

    def kill(_argv: list[str], done: object) -> None:
        nonlocal seen
        seen += done is None
        if done is None and seen > step:
            raise KeyboardInterrupt

    bare.runner.fault = kill
    try:
        await workspace.add_starter(template(bare.folder), STARTER)
        assert step > STEPS / 2
    except KeyboardInterrupt:
        assert step < STEPS - 1
    bare.runner.fault = lambda _argv, _done: None
    again = await bare.open(repo=bare.pod("state"))
    starter = await again.add_starter(template(bare.folder), STARTER)
    assert starter == await again.add_starter(template(bare.folder), STARTER)
    assert (again.path / "flake.nix").is_file()
    assert not (await again.snapshot()).changed
    sha = await work(again, {"a.txt": "1"})
    assert git(again.path, "log", "--format=%s", f"{again.start}..{sha}").splitlines() == [
        "Do the work",
        "Add a starter flake.nix",
    ]
    resumed = await bare.open(repo=bare.pod("state"))
    assert await resumed.add_starter(template(bare.folder), STARTER) == starter
    write(resumed, {"flake.nix": "changed by the model"})
    assert (await resumed.snapshot()).changed


async def test_a_branch_that_moved_gets_the_starter_below_the_work_again(bare: Bench) -> None:
    workspace = await bare.open()
    await workspace.add_starter(template(bare.folder), STARTER)
    blob = await bare.claim()
    sha = await work(workspace, {"a.txt": "1"})
    for number in (1, 2):
        bare.remote.push(BRANCH, {f"theirs-{number}.txt": "2"})
        sha = await workspace.rebase()
        assert git(workspace.path, "rev-parse", f"{sha}^") == workspace.starter
        assert [read(workspace, name) for name in ("a.txt", f"theirs-{number}.txt", "flake.nix")] == ["1", "2", FLAKE]
    assert await workspace.publish(sha, claim_blob=blob) == sha
    log = git(bare.remote.path, "log", "--format=%s", f"main..{BRANCH}").splitlines()
    assert log == ["Do the work", "Add a starter flake.nix", "A change", "A change"]
    assert git(bare.remote.path, "show", "--name-only", "--format=", sha).splitlines() == ["a.txt"]


async def test_a_flake_that_somebody_added_meanwhile_takes_the_starters_place(bare: Bench) -> None:
    workspace = await bare.open()
    await workspace.add_starter(template(bare.folder), STARTER)
    blob = await bare.claim()
    await work(workspace, {"a.txt": "1"})
    bare.remote.push(BRANCH, {"flake.nix": "{ theirs = 1; }\n"})
    sha = await workspace.rebase()
    assert read(workspace, "flake.nix") == "{ theirs = 1; }\n"
    assert await workspace.publish(sha, claim_blob=blob) == sha
    assert git(bare.remote.path, "log", "--format=%s", f"main..{BRANCH}").splitlines() == ["Do the work", "A change"]


@pytest.mark.parametrize("work", [{}, {"a.txt": "1"}])
async def test_a_run_that_goes_on_takes_a_flake_that_came_meanwhile_unless_it_has_work(
    bare: Bench, work: dict[str, str]
) -> None:
    """The starter's input could not be fetched: the flake that was added then, as doctor had said, helped no try."""
    workspace = await bare.open()
    starter = await workspace.add_starter(template(bare.folder), STARTER)
    write(workspace, work)
    bare.remote.push("main", {"flake.nix": "{ }"})
    await bare.repo.fetch()
    again = await bare.open()
    assert await again.add_starter(template(bare.folder), STARTER) == (starter if work else None)
    assert read(again, "flake.nix") == (FLAKE if work else "{ }")
    assert [read(await bare.open(), name) for name in work] == list(work.values())


async def test_files_that_are_there_stay_and_an_ignored_flake_is_committed(bare: Bench) -> None:
    bare.remote.push("main", {".gitignore": "flake.*\n", "stdenv/setup": "theirs\n", "flake.lock": "old\n"})
    files = {"flake.nix": FLAKE, "flake.lock": "{}\n", "stdenv/setup": SETUP, "bin/tool": "#!/bin/sh\n"}
    place = template(bare.folder, files)
    (place / "bin/tool").chmod(0o555)
    workspace = await bare.open()
    starter = await workspace.add_starter(place, STARTER)
    assert git(workspace.path, "show", f"{starter}:stdenv/setup") == "theirs"
    assert git(workspace.path, "show", f"{starter}:flake.lock") == "{}"
    assert git(workspace.path, "ls-tree", "-r", str(starter), "bin", "flake.nix").split()[::4] == ["100755", "100644"]


async def test_a_template_that_does_not_fit_fails_the_ticket_and_one_without_a_flake_is_the_pods(bare: Bench) -> None:
    (bare.remote.clone / "stdenv").rmdir()
    bare.remote.push("main", {"stdenv": "a file, where the template has a folder\n"})
    workspace = await bare.open()
    with pytest.raises(
        TicketFailure, match="the starter flake does not fit into the repository: `stdenv` is in the way"
    ):
        await workspace.add_starter(template(bare.folder), STARTER)
    assert not (await workspace.snapshot()).changed
    shutil.rmtree(bare.folder / "template")
    with pytest.raises(PodTrouble, match=r"has no flake\.nix: mend the setting"):
        await workspace.add_starter(template(bare.folder, {"README": "x"}), STARTER)
