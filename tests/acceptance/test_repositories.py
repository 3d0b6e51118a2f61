"""Repositories as they are: odd ones fail a ticket with a reason, and what several work on at once still comes together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.fleet import Fleet, wait_until
from support.git_repo import git


@pytest.fixture
def fleet(small_fleet: Fleet) -> Fleet:
    return small_fleet


def empty(fleet: Fleet) -> None:
    git(fleet.remote.path, "update-ref", "-d", "refs/heads/main")


def without_base(fleet: Fleet) -> None:
    fleet.remote.push("trunk", {})
    empty(fleet)


def link_out(fleet: Fleet) -> None:
    (fleet.remote.clone / "etc").symlink_to("/etc")
    fleet.remote.push("main", {})


def submodule(fleet: Fleet) -> None:
    git(fleet.remote.clone, "update-index", "--add", "--cacheinfo", f"160000,{fleet.remote.tip('main')},vendor")
    git(fleet.remote.clone, "commit", "--quiet", "-m", "A submodule")
    git(fleet.remote.clone, "push", "--quiet", "origin", "HEAD:main")


def lfs(fleet: Fleet) -> None:
    fleet.remote.push("main", {".gitattributes": "*.png filter=lfs\n", "a.png": "version https://git-lfs…\n"})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (empty, "is empty: push a first commit to `main`"),
        (without_base, "has no branch `main`: push one, or mend `base` in the settings"),
        (link_out, "cannot be worked in: `etc -> /etc`: a symbolic link may not lead out of it"),
        # At the workspace, these are in `integration/test_workspace_odd.py`.
        pytest.param(
            submodule,
            "cannot be worked in: it has submodules (`vendor`), which are not fetched here",
            marks=pytest.mark.proof,
        ),
        pytest.param(
            lfs,
            "cannot be worked in: Git LFS keeps `a.png`, and only a pointer would be here",
            marks=pytest.mark.proof,
        ),
    ],
)
def test_a_repository_that_no_run_can_work_in_fails_the_ticket_with_a_spike(
    fleet: Fleet, make: Callable[[Fleet], None], said: str
) -> None:
    ticket = fleet.add("Work there")
    make(fleet)
    pod = fleet.pod()
    assert fleet.cycle(pod)["end"]["kind"] == "failed"
    (spike,) = fleet.children(ticket)
    assert said in fleet.first_lines(ticket)[1]
    assert said in fleet.get(spike)["description"]["raw"]
    assert (fleet.status(ticket), fleet.run_of(ticket)) == ("New", None)
    assert not git(fleet.remote.path, "for-each-ref", "refs/agent")
    assert fleet.cycle(pod)["outcome"] == "nothing", "it waits for a person, and nothing loops"


def test_a_hook_of_the_remote_that_refuses_the_result_is_quoted_on_the_spike(fleet: Fleet) -> None:
    ticket = fleet.add("Push there")
    fleet.remote.hook("pre-receive", "grep -q refs/heads/ || exit 0\necho 'Ask Kim before you push.'\nexit 1")
    assert fleet.cycle(fleet.pod())["end"]["kind"] == "failed"
    assert fleet.first_lines(ticket)[1] == "Execution failed: the push was refused"
    (spike,) = fleet.children(ticket)
    assert "Ask Kim before you push." in fleet.get(spike)["description"]["raw"]
    assert fleet.branches() == ["main"]


def test_a_repository_that_is_missing_is_a_reason_and_no_spike(fleet: Fleet) -> None:
    ticket = fleet.add("Work nowhere")
    fleet.remote.path.rename(fleet.remote.path.with_name("away"))
    fleet.cycle(fleet.pod(), code=1)
    assert (fleet.status(ticket), fleet.children(ticket), fleet.comments(ticket)) == ("New", [], [])


@pytest.mark.parametrize("start", [pytest.param("agent", marks=pytest.mark.proof), "fleet"])
def test_a_renamed_epic_keeps_its_branch(fleet: Fleet, start: str) -> None:
    epic = fleet.add("Checkout", kind="Epic")
    children = [fleet.add("Form", parent=epic), fleet.add("Button", parent=epic)]
    place: dict[str, Any] = {"repositories.shop": {"branch": f"{start}/{{id}}-{{slug}}"}}
    pod = fleet.pod(**place)
    assert fleet.cycle(pod)["end"]["branch"] == f"{start}/{epic}-checkout"
    fleet.change(epic, subject="Payment")
    assert fleet.cycle(pod)["end"]["branch"] == f"{start}/{epic}-checkout"
    assert fleet.branches() == [f"{start}/{epic}-checkout", "main"]
    assert all(f"Work-Package: #{child}" in fleet.log(f"{start}/{epic}-checkout") for child in children)


def test_after_a_failed_first_child_of_an_epic_the_seconds_diff_holds_its_own_work_only(fleet: Fleet) -> None:
    epic = fleet.add("Checkout", kind="Epic")
    first = fleet.add("Break it", parent=epic, priority="High")
    second = fleet.add("Build on", parent=epic)
    spoil = {"shop.py": "broken\n", "left.txt": "1", "deep/left.txt": "1"}
    script = {"files": {"second.txt": "2"}, "per_ticket": {str(first): {"files": spoil}}}
    pod = fleet.pod(script=script)
    assert [fleet.cycle(pod)["end"]["kind"], fleet.cycle(pod)["end"]["kind"]] == ["failed", "done"]
    diff = git(fleet.remote.path, "diff", "--name-status", "main", f"agent/{epic}-checkout")
    assert diff.split() == ["A", "second.txt", "A", f"test_work_{second}.py"]
    assert f"#{first}" not in fleet.log(f"agent/{epic}-checkout")
    assert f"Work-Package: #{second}" in fleet.log(f"agent/{epic}-checkout")


class Shared:
    """A run whose branch a person moves while the model works; the second time that the checks run, they wait."""

    def __init__(self, fleet: Fleet, tmp_path: Path) -> None:
        self.ticket = fleet.add("Share a branch")
        self.branch = f"agent/{self.ticket}-share-a-branch"
        self.checks, self.held, self._go = (tmp_path / name for name in ("checks", "held", "go"))
        wait = f"test $(wc -l < {self.checks}) -lt 2 || {{ touch {self.held}; until test -e {self._go}; do sleep 0.1; done; }}"
        check = f"echo checked >> {self.checks}; test -e ours.txt || exit 1; {wait}"
        fleet.remote.push("main", {".agent.toml": f"verify.commands = [{json.dumps(check)}]\n"}, "Verify")
        gate = tmp_path / "gate"
        config = fleet.pod(script={"gates": str(gate), "files": {"ours.txt": "1"}}, sandbox={"kind": "none"})
        self._pod = fleet.start(config)
        wait_until(Path(f"{gate}.waiting").exists)
        fleet.remote.push(self.branch, {"theirs.txt": "2"})
        gate.touch()
        wait_until(self.held.exists)

    def end(self) -> None:
        """Let the checks pass, and wait for the pod."""
        self._go.touch()
        assert self._pod.wait(60) == 0


def test_a_refused_push_is_rebased_and_verified_again(fleet: Fleet, tmp_path: Path) -> None:
    shared = Shared(fleet, tmp_path)
    shared.end()
    assert fleet.status(shared.ticket) in ("In testing", "Closed")
    assert shared.checks.read_text().splitlines() == ["checked"] * 2
    assert (fleet.file(shared.branch, "ours.txt"), fleet.file(shared.branch, "theirs.txt")) == ("1", "2")
    log = git(fleet.remote.path, "log", "--format=%an", f"main..{shared.branch}")
    assert log.splitlines() == ["Agent", "Person"]


def test_a_refused_push_is_fenced_again(fleet: Fleet, tmp_path: Path) -> None:
    shared = Shared(fleet, tmp_path)
    fleet.change(shared.ticket, status="On hold")
    shared.end()
    assert (fleet.status(shared.ticket), fleet.run_of(shared.ticket)) == ("On hold", None)
    assert git(fleet.remote.path, "log", "--format=%an", f"main..{shared.branch}") == "Person"
    (kept,) = [one for one in fleet.kept() if one.startswith(f"agent/kept/{shared.ticket}-")]
    assert fleet.file(kept, "ours.txt") == "1"


def test_a_model_that_meddles_with_git_fails_and_the_next_run_is_well(fleet: Fleet) -> None:
    """Without a sandbox, which would not let it."""
    ticket = fleet.add("Look into git")
    files = {".git": "gitdir: /elsewhere\n", "work.txt": "1"}
    config = fleet.pod(script={"files": files}, sandbox={"kind": "none"})
    assert fleet.cycle(config)["end"]["kind"] == "failed"
    assert fleet.first_lines(ticket)[1] == "Execution failed: the model ran git: `.git` was changed"
    (failed,) = [one for one in fleet.kept() if one.startswith(f"agent/failed/{ticket}-")]
    assert fleet.file(failed, "work.txt") == "1"
    (spike,) = fleet.children(ticket)
    fleet.change(spike, status="Closed")
    assert fleet.cycle(fleet.pod(sandbox={"kind": "none"}))["end"]["kind"] == "done"


STARTER = """{
  outputs = { self }: {
    devShells.x86_64-linux.default = derivation {
      name = "starter"; system = "x86_64-linux"; builder = "/bin/bash"; args = [ "-c" "export > $out" ];
      outputs = [ "out" ]; stdenv = ./stdenv;
    };
  };
}
"""


def test_a_repository_without_a_flake_gets_the_starter_by_a_commit_of_its_own(fleet: Fleet, tmp_path: Path) -> None:
    fleet.remote.push("main", {"flake.nix": None, "stdenv/setup": None})
    template = tmp_path / "template"
    (template / "stdenv").mkdir(parents=True)
    (template / "flake.nix").write_text(STARTER)
    (template / "stdenv/setup").write_text("export PATH=/usr/local/bin:/usr/bin:/bin\n")
    pod = fleet.pod(nix={"starter": str(template)})
    ticket = fleet.add("Start here")
    end = fleet.cycle(pod)["end"]
    assert end["kind"] == "done"
    branch = f"agent/{ticket}-start-here"
    log = git(fleet.remote.path, "log", "--format=%s", f"main..{branch}").splitlines()
    assert log == ["Start here", "Add a starter flake.nix"]
    shown = git(fleet.remote.path, "show", "--name-only", "--format=", branch)
    assert shown.split() == [f"test_work_{ticket}.py", f"work-{ticket}.txt"]
    assert fleet.log(branch).count(f"Work-Package: #{ticket}") == 2
