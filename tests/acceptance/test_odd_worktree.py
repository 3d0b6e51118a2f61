"""A worktree that git cannot take is its ticket's failure, which says what is wrong; the Epic goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.devshell.client_options import private_store
from support.fleet import Fleet
from support.git_repo import git

VERDICT = '{"type":"result","subtype":"success","is_error":false,"num_turns":1,"structured_output":{"verdict":"done","summary":"Done."}}'


def pod(fleet: Fleet, program: str) -> Path:
    """A pod whose model is this shell program."""
    sections: dict[str, Any] = {
        "model": {"kind": "command", "command": ["/bin/bash", "-c", f"cat > /dev/null; {program}; echo '{VERDICT}'"]},
        "sandbox": {"kind": "bubblewrap"},
        "nix.settings": private_store(fleet.folder / "store"),
    }
    return fleet.pod(**sections)


ODD = {
    ".GIT": ("mkdir .GIT; touch .GIT/config", "`.GIT/config`"),
    "encoding": ("echo '*.txt working-tree-encoding=UTF-16' > .gitattributes; echo plain > a.txt", "`a.txt`"),
    "sparse": ("truncate -s 2G disk.img", "`disk.img` has 2 GiB, and one file may have 100 MiB"),
    "rules": ("mkdir src; truncate -s 2G src/.gitignore", "`src/.gitignore`"),
    "closed": ("mkdir -p closed/in; truncate -s 2G closed/in/x; chmod 000 closed/in closed", "`closed/in/x`"),
}


IN_PROOF = ("encoding", "sparse", "rules")
"""`integration/test_workspace_blame.py` plays these at the workspace, and the run that follows."""


@pytest.mark.parametrize("what", [pytest.param(one, marks=pytest.mark.proof if one in IN_PROOF else ()) for one in ODD])
def test_an_odd_worktree_fails_its_ticket_and_not_the_pod(standing_fleet: Fleet, what: str) -> None:
    program, said = ODD[what]
    epic = standing_fleet.add("Go on", kind="Epic")
    first = standing_fleet.add("Be odd", parent=epic, priority="High")
    second = standing_fleet.add("Be plain", parent=epic)
    end = standing_fleet.cycle(pod(standing_fleet, f"echo kept > work.txt; {program}"))["end"]
    assert end["kind"] == "failed", end
    assert said in end["reason"]
    assert said in next(one for one in standing_fleet.comments(first) if one.startswith("Execution failed: "))
    assert standing_fleet.file(end["branch"], "work.txt") == "kept", "what can be kept is kept"
    result = standing_fleet.cycle(pod(standing_fleet, "ls -A > seen.txt; echo 'open(\"seen.txt\")' > test_seen.py"))
    assert (result["ticket"], result["end"]["kind"]) == (second, "done")
    seen = standing_fleet.file(f"agent/{epic}-go-on", "seen.txt").split()
    assert not {".GIT", "a.txt", "disk.img", "src", "closed", "work.txt"} & set(seen)


RULE = """git ls-tree -r --name-only "$3" | grep -q id_rsa && echo 'GL-HOOK-ERR: `id_rsa` is prohibited ![x](https://x.test)' && exit 1; true"""


def test_work_that_the_forge_refuses_for_what_is_in_it_stays_on_the_host_and_the_epic_goes_on(
    small_fleet: Fleet,
) -> None:
    """T6: each later ticket of the Epic failed before its model, for what the first one had left."""
    small_fleet.remote.hook("update", RULE)
    epic = small_fleet.add("Go on", kind="Epic")
    first = small_fleet.add("Leave a key", parent=epic, priority="High")
    second = small_fleet.add("Be plain", parent=epic)
    end = small_fleet.cycle(small_fleet.pod(script={"files": {"id_rsa": "a key\n", "shop.py": "broken("}}))["end"]
    assert end["kind"] == "failed"
    said = next(one for one in small_fleet.comments(first) if one.startswith("Execution failed: "))
    (spike,) = small_fleet.children(first)
    for text in (said, small_fleet.get(spike)["description"]["raw"]):
        assert end["branch"] in text
        assert "That is a file on the host of pod `pod-a`: the repository" in text
        assert "GL-HOOK-ERR: `id_rsa` is prohibited" in text, "in the words of the hook"
        assert "![" not in text
    result = small_fleet.cycle(small_fleet.pod(script={"files": {"plain.txt": "1\n"}}))
    assert (result["ticket"], result["end"]["kind"]) == (second, "done")
    assert small_fleet.branches() == [f"agent/{epic}-go-on", "main"]
    assert small_fleet.kept() == []
    at = git(small_fleet.remote.clone, "bundle", "list-heads", end["branch"]).split()[0]
    git(small_fleet.remote.clone, "fetch", "--quiet", end["branch"], at)
    assert git(small_fleet.remote.clone, "show", f"{at}:id_rsa") == "a key"


def test_a_branch_in_the_way_fails_a_ticket_before_its_model_is_asked(small_fleet: Fleet) -> None:
    """T6: a branch called `agent` failed every ticket at its push, after its model was paid."""
    small_fleet.remote.push("agent", {"a.txt": "1\n"})
    small_fleet.add("Do it")
    prompts = small_fleet.folder / "prompts"
    end = small_fleet.cycle(small_fleet.pod(script={"files": {"work.txt": "1\n"}, "prompts": str(prompts)}))["end"]
    assert end["kind"] == "failed"
    assert "beside the branch `agent`: rename or delete" in end["reason"]
    assert not prompts.exists()
