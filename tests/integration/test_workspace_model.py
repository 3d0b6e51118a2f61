"""What a model leaves in a worktree, and what of it is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import TicketFailure
from agent.programs.runner import Finished
from support.git_bench import KEPT, NEXT, Bench, message, work, write
from support.git_repo import git


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_nothing_changed_is_seen(bench: Bench) -> None:
    workspace = await bench.open()
    write(workspace, {"x.log": "ignored"})
    assert not (await workspace.snapshot()).changed


def run_git_commit(path: Path) -> None:
    (path / "a.txt").write_text("1")
    git(path, "add", "a.txt")
    git(path, "commit", "--quiet", "-m", "mine")


def run_git_branch(path: Path) -> None:
    git(path, "branch", "mine")


def run_git_switch(path: Path) -> None:
    git(path, "switch", "--quiet", "-c", "mine")


def run_git_config(path: Path) -> None:
    git(path, "config", "core.sshCommand", "evil")


def replace_git(path: Path) -> None:
    (path / ".git").write_text("gitdir: /elsewhere\n")


def delete_git(path: Path) -> None:
    (path / ".git").unlink()


@pytest.mark.parametrize(
    "meddle", [run_git_commit, run_git_branch, run_git_switch, run_git_config, replace_git, delete_git]
)
async def test_a_model_that_ran_git_fails_and_troubles_no_later_run(
    bench: Bench, meddle: Callable[[Path], None]
) -> None:
    workspace = await bench.open()
    meddle(workspace.path)
    with pytest.raises(TicketFailure, match="the model ran git: "):
        await workspace.snapshot()
    after = await bench.open(NEXT)
    assert not (await after.snapshot()).changed


async def test_a_changed_configuration_never_meets_the_credential(bench: Bench) -> None:
    workspace = await bench.open()
    write(workspace, {"a.txt": "1"})
    git(workspace.path, "config", "url.file:///elsewhere/.insteadOf", bench.remote.url)
    assert await workspace.keep(KEPT, message())
    assert bench.remote.show(KEPT, "a.txt") == "1"


async def test_conflict_markers_block_the_push(bench: Bench) -> None:
    """I-34."""
    bench.remote.push("main", {"old.txt": "<<<<<<< here before\n=======\n>>>>>>> me\n", "title.rst": "Title\n"})
    workspace = await bench.open()
    write(
        workspace, {"old.txt": "<<<<<<< here before\n=======\n>>>>>>> me\nmore  \n", "title.rst": "Chapter\n=======\n"}
    )
    assert (await workspace.snapshot()).changed, "old markers and headings are no conflict of this run"
    write(
        workspace,
        {"shop.py": "<<<<<<< HEAD\na\n=======\nb\n>>>>>>> theirs\n", "dir/mit blank.txt": "<<<<<<< x\n>>>>>>> y"},
    )
    with pytest.raises(TicketFailure, match=r"conflict markers were left in `dir/mit blank\.txt`, `shop\.py`"):
        await workspace.snapshot()


async def test_conflict_markers_are_found_in_files_with_unusual_names(bench: Bench) -> None:
    workspace = await bench.open()
    name = 'a\tb\n"c\\d é.txt'
    write(workspace, {name: "<<<<<<< HEAD\na\n=======\nb\n>>>>>>> theirs\n"})
    with pytest.raises(TicketFailure, match="conflict markers were left in"):
        await workspace.snapshot()


async def test_a_repository_within_the_repository_is_refused(bench: Bench) -> None:
    workspace = await bench.open()
    (workspace.path / "vendor").mkdir()
    git(workspace.path / "vendor", "init", "--quiet")
    git(workspace.path / "vendor", "commit", "--quiet", "--allow-empty", "-m", "x")
    with pytest.raises(TicketFailure, match="`vendor` is a git repository of its own"):
        await workspace.snapshot()


async def test_hooks_and_filters_of_the_repository_never_run(bench: Bench) -> None:
    bench.remote.push("main", {".gitattributes": "*.txt filter=evil merge=evil diff=evil\n", "a.txt": "1\n"})
    workspace = await bench.open()
    proof = bench.folder / "proof"
    hooks = bench.folder / "state/mirror.git/hooks"
    write(workspace, {"a.txt": "2\n"})
    blob = await bench.claim()

    def plant(argv: list[str], done: Finished | None) -> None:
        """Before each git, as if a process of the model had outlived it."""
        if done is None and argv[0].endswith("git"):
            hooks.mkdir(exist_ok=True)
            for name in ("pre-commit", "post-checkout", "pre-push", "reference-transaction", "post-index-change"):
                (hooks / name).write_text(f"#!/bin/sh\necho {name} >> {proof}\n")
                (hooks / name).chmod(0o755)

    bench.runner.fault = plant
    with pytest.raises(TicketFailure, match="hooks/post-checkout"):
        await workspace.publish(await work(workspace, {"a.txt": "2\n"}), claim_blob=blob)
    assert await workspace.keep(KEPT, message())
    await bench.open(NEXT)
    assert not proof.exists()


async def test_new_nix_files_are_shown_to_nix_and_nothing_else(bench: Bench) -> None:
    workspace = await bench.open()
    await workspace.show_to_nix()
    write(workspace, {"nix/tools with blank.nix": "{}", "flake.lock": "{}", "other.txt": "x", "ignored.log": "x"})
    await workspace.show_to_nix()
    assert git(workspace.path, "ls-files", "nix", "flake.lock", "other.txt").splitlines() == [
        "flake.lock",
        "nix/tools with blank.nix",
    ]
    assert (await workspace.snapshot()).changed
