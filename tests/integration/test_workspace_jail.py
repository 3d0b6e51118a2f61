"""What git needs inside a sandbox: enough to look, nothing to write, and nothing of anybody else's work."""

import os
import subprocess
from pathlib import Path

import pytest

from agent.git.workspace import Workspace
from support.git_bench import NEXT, Bench, write
from support.needs import needs

pytestmark = needs("bwrap")


@pytest.fixture
async def workspace(tmp_path: Path) -> Workspace:
    bench = Bench(tmp_path)
    sibling = await bench.open(NEXT, owner=43, branch="agent/43-other")
    write(sibling, {"secret.txt": "1"})
    return await bench.open()


def inside(workspace: Workspace, script: str) -> subprocess.CompletedProcess[str]:
    readable, empty, nested = workspace.jail_paths()
    binds = ["--tmpfs", "/tmp"]
    for path in readable:
        binds += ["--ro-bind", str(path), str(path)]
    for path in empty:
        binds += ["--tmpfs", str(path)]
    binds += ["--bind", str(workspace.path), str(workspace.path)]
    for path in nested:
        binds += ["--ro-bind", str(path), str(path)]
    system = [
        word
        for name in ("usr", "bin", "lib", "lib64", "etc")
        if (Path("/") / name).exists()
        for word in ("--ro-bind", f"/{name}", f"/{name}")
    ]
    argv = ["bwrap", "--unshare-all", "--die-with-parent", "--dev", "/dev", "--proc", "/proc", *system, *binds]
    argv += ["--chdir", str(workspace.path), "/bin/bash", "-c", script]
    env = {"PATH": os.environ["PATH"], "HOME": str(workspace.path)}
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)


async def test_looking_works(workspace: Workspace) -> None:
    write(workspace, {"new.txt": "1", "shop.py": "changed\n"})
    done = inside(
        workspace,
        "git status --short && git log --format=%s && git ls-files && git diff --stat && git show HEAD:README.md",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:3] == [" M shop.py", "?? new.txt", "First commit"]
    assert "# Shop" in done.stdout
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
    assert inside(workspace, attempt).returncode != 0
    assert (await workspace.snapshot()).changed


async def test_new_files_shown_to_nix_from_outside_are_seen_inside(workspace: Workspace) -> None:
    write(workspace, {"new.nix": "{}"})
    await workspace.show_to_nix()
    assert "new.nix" in inside(workspace, "git ls-files").stdout
