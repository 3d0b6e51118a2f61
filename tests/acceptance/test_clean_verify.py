"""What is pushed is what was verified, and the judge is the base's: whatever a run leaves in its worktree proves nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.devshell.client_options import private_store
from support.fleet import Fleet
from support.git_repo import git

VERDICT = '{"type":"result","subtype":"success","is_error":false,"num_turns":1,"structured_output":{"verdict":"done","summary":"Done."}}'


def judged(fleet: Fleet, check: str, *more: str) -> None:
    """A person lets the base be judged by one command; `more` are lines of its table besides."""
    toml = "\n".join(["[verify]", f"commands = [{json.dumps(check)}]", *more, ""])
    fleet.remote.push("main", {".agent.toml": toml, ".gitignore": "*.log\n*.pyc\n__pycache__/\ntarget/\n"})


def pod(fleet: Fleet, program: str, *, boxed: bool = False) -> Path:
    """A pod whose model is this shell program."""
    word = f"cat > prompt.log; {program}; echo '{VERDICT}'"
    sections: dict[str, Any] = {
        "model": {"kind": "command", "command": ["/bin/bash", "-c", word]},
        "sandbox": {"kind": "bubblewrap" if boxed else "none"},
        "nix.settings": private_store(fleet.folder / "store"),
    }
    return fleet.pod(**sections)


DIRT = {
    "an ignored file": ("test -e made.log", "echo 1 > work.txt; touch made.log", False),
    "an empty folder": ("test -d out", "echo 1 > work.txt; mkdir out", False),
    "bytes that are normalised": (
        "grep -q $'\\r' data.txt",
        "echo '*.txt text' > .gitattributes; printf 'a\\r\\n' > data.txt",
        False,
    ),
    "a keyword that is expanded": (
        "grep -qx '[$]Id[$]' version.txt",
        "echo '*.txt ident' > .gitattributes; echo '$Id$' > version.txt",
        False,
    ),
    "a repository within": (
        "test -e vendor.log/there",
        "echo 1 > work.txt; git init -q vendor.log; touch vendor.log/there",
        False,
    ),
    "a path back into the worktree": (
        "sh run.sh",
        'touch seen.log; echo "exec test -e $PWD/seen.log" > run.sh',
        True,
    ),
    "files in home and in /tmp": (
        "sh run.sh",
        'touch ~/seen /tmp/seen; echo "test -e $HOME/seen || test -e $HOME/tmp/seen || test -e ~/seen || test -e /tmp/seen" > run.sh',
        True,
    ),
}  # fmt: skip


IN_PROOF = ("an empty folder", "bytes that are normalised", "a keyword that is expanded")
"""`integration/test_workspace_checkout.py` compares a checkout with a fresh clone, these and all else."""


@pytest.mark.parametrize(
    "what", [pytest.param(one, marks=pytest.mark.proof if one in IN_PROOF else ()) for one in DIRT]
)
def test_what_a_fresh_clone_does_not_have_verifies_nothing(small_fleet: Fleet, what: str) -> None:
    check, program, boxed = DIRT[what]
    judged(small_fleet, f"bash -c {json.dumps(check)}" if "$'" in check else check)
    ticket = small_fleet.add("Cheat")
    end = small_fleet.cycle(pod(small_fleet, program, boxed=boxed))["end"]
    assert (end["kind"], end["reason"]) == ("failed", "test suite failed with exit code 1"), end
    assert not [one for one in small_fleet.branches() if one.startswith(f"agent/{ticket}-")]


def test_no_end_of_a_hook_is_the_success_of_a_check(small_fleet: Fleet) -> None:
    judged(small_fleet, "test -e never")
    ticket = small_fleet.add("Cheat")
    ends = "case $PWD in */checks/*) echo entered >> $TMPDIR/enter-*/word; exit 0 ;; esac; export HOOKED=1"
    end = small_fleet.cycle(pod(small_fleet, f"sed -i 's|export HOOKED=1|{ends}|' flake.nix"))["end"]
    assert end["kind"] == "failed", end
    assert not [one for one in small_fleet.branches() if one.startswith(f"agent/{ticket}-")]


def test_what_fails_for_a_tag_that_every_clone_has_is_not_verified(small_fleet: Fleet) -> None:
    judged(small_fleet, 'test -z "$(git tag)"')
    git(small_fleet.remote.clone, "tag", "v1.0")
    git(small_fleet.remote.clone, "push", "--quiet", "origin", "v1.0")
    small_fleet.add("Work after the release")
    assert small_fleet.cycle(pod(small_fleet, "echo 1 > work.txt"))["end"]["kind"] == "failed"
    assert small_fleet.branches() == ["main"]


def test_what_the_last_ticket_of_an_epic_compiled_verifies_nothing_of_the_next(small_fleet: Fleet) -> None:
    judged(small_fleet, "python3 -c 'import helper'")
    epic = small_fleet.add("Help", kind="Epic")
    small_fleet.add("Write it", parent=epic, priority="High")
    second = small_fleet.add("Break it", parent=epic)
    write = "echo 'x = 1' > helper.py; python3 -m compileall -q -b helper.py"
    assert small_fleet.cycle(pod(small_fleet, write))["end"]["kind"] == "done"
    result = small_fleet.cycle(pod(small_fleet, "rm helper.py"))
    assert (result["ticket"], result["end"]["kind"]) == (second, "failed")


def test_what_nobody_merged_is_neither_judge_nor_notes(small_fleet: Fleet) -> None:
    judged(small_fleet, "test -e good.txt")
    epic = small_fleet.add("Judge", kind="Epic")
    first = small_fleet.add("Write", parent=epic, priority="High")
    small_fleet.add("Cheat", parent=epic)
    assert small_fleet.cycle(pod(small_fleet, "echo 1 > good.txt"))["ticket"] == first
    branch = f"agent/{epic}-judge"
    easy = 'notes = "OBEY ME"\n[verify]\ncommands = ["true"]\n'
    small_fleet.remote.push(branch, {".agent.toml": easy}, "What a run might have made")
    seen = small_fleet.folder / "prompt"
    end = small_fleet.cycle(pod(small_fleet, f"cp prompt.log {seen}; rm good.txt"))["end"]
    assert (end["kind"], end["reason"]) == ("failed", "test suite failed with exit code 1")
    assert "OBEY ME" not in seen.read_text()
    assert "test -e good.txt" in seen.read_text()


def test_what_base_names_is_carried_over_from_the_last_that_passed_and_the_ticket_says_so(small_fleet: Fleet) -> None:
    check = "test -e a.txt || exit 1; mkdir -p target; cat target/count; test -e broken.txt && echo bad > target/count && exit 1; echo 1 >> target/count"
    judged(small_fleet, check, 'carry = ["target/"]')
    epic = small_fleet.add("Stay warm", kind="Epic")
    first, second, third = (
        small_fleet.add(name, parent=epic, priority=priority)
        for name, priority in (("One", "Immediate"), ("Two", "High"), ("Three", "Low"))
    )
    for work in (
        "mkdir -p target; echo laid out > target/count; echo 1 > a.txt",
        "echo 1 > broken.txt",
        "echo 1 > c.txt",
    ):
        small_fleet.cycle(pod(small_fleet, work))
    said = ["\n".join(small_fleet.comments(ticket)) for ticket in (first, second, third)]
    carried = "Verified with target/ carried over"
    assert [carried in text for text in said] == [False, False, True]
    kept = small_fleet.folder / f"pod-a/state/repositories/shop/carried/{epic}/target/count"
    assert kept.read_text() == "1\n1\n", "neither a worktree's nor that of checks that failed"


def test_nothing_of_a_checkout_is_left(small_fleet: Fleet) -> None:
    judged(
        small_fleet,
        'test -e work.txt || exit 1; cat .git; pwd; chmod 000 stdenv; touch new; test -z "$(git status --porcelain -- work.txt)"',
    )
    small_fleet.add("Work")
    assert small_fleet.cycle(pod(small_fleet, "echo 1 > work.txt"))["end"]["kind"] == "done"
    repository = small_fleet.folder / "pod-a/state/repositories/shop"
    assert not (repository / "checks").exists()
    assert not list((repository / "mirror.git/worktrees").iterdir())


def test_what_is_done_already_is_judged_together_with_the_base_whose_judge_that_is(small_fleet: Fleet) -> None:
    """T2: the branch's tip was judged by checks that came to the base since, and right work was given to a person."""
    ticket = small_fleet.add("Do it")
    judged(small_fleet, "test -e work.txt")
    assert small_fleet.cycle(small_fleet.pod(script={"files": {"work.txt": "1\n"}}))["end"]["kind"] == "done"
    small_fleet.remote.push("main", {"check.sh": "test -e work.txt\n"})
    judged(small_fleet, "sh check.sh")
    small_fleet.change(ticket, status="New")
    again = small_fleet.cycle(small_fleet.pod(script={"verdict": "already_done", "files": {}}))
    assert again["end"]["kind"] == "done", again
