"""T12 on a real Gitea: what starts its CI, and that a pod's kept work does not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from support.boards import embedded_board
from support.fleet import Fleet, wait_until
from support.forge import Forge, gitea
from support.git_repo import PROJECT, git
from support.pods import write_settings

WORKFLOW = ".gitea/workflows/leak.yml"
LEAK = "on: [push, create]\njobs:\n  leak:\n    runs-on: anywhere\n    steps:\n      - run: echo '${{ secrets.KEY }}'\n"
QUIET_S = 3.0
"""Seconds in which a run that a push starts would have been listed: it takes one or two."""


def runs(forge: Forge) -> int:
    """How many runs the forge's CI has started in this repository."""
    with forge.client("forge-admin") as client:
        answer = client.get("/repos/acme/ci/actions/runs", params={"limit": 50}).raise_for_status()
    return int(answer.json()["total_count"])


def test_a_branch_starts_a_run_and_work_that_a_pod_keeps_for_a_person_starts_none(tmp_path: Path) -> None:
    forge, board = gitea(), embedded_board(tmp_path / "board")
    try:
        fleet = Fleet(board, "shop", tmp_path)
        ticket = fleet.add("Fix the thing")
        token = tmp_path / "forge-token"
        token.write_text(forge.tokens["pod-a"])
        token.chmod(0o600)
        url = f"{forge.api.removesuffix('/api/v1')}/acme/ci.git"
        script = {"files": {WORKFLOW: LEAK}}
        more: dict[str, Any] = {"repositories.shop": {"token_file": str(token)}}
        config = write_settings(tmp_path / "pod-a", board, {"shop": url}, script=script, **more)
        there = url.replace("://", f"://pod-a:{forge.tokens['pod-a']}@")
        clone, started = tmp_path / "clone", runs(forge)
        git(tmp_path, "clone", "--quiet", there, str(clone))
        for name in ("flake.nix", "stdenv/setup"):
            (clone / name).parent.mkdir(exist_ok=True)
            (clone / name).write_text(PROJECT[name])
        git(clone, "add", "--all")
        git(clone, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "--quiet", "-m", "A shell")
        git(clone, "push", "--quiet", "origin", "main")
        wait_until(lambda: runs(forge) > started)
        before = runs(forge)
        assert fleet.cycle(config)["end"]["kind"] == "failed"
        (spike,) = fleet.children(ticket)
        assert "push " in fleet.get(spike)["description"]["raw"]
        listed = git(clone, "ls-remote", "origin", "refs/agent/kept/*")
        assert f"refs/agent/kept/{ticket}-" in listed
        time.sleep(QUIET_S)  # nothing is to happen, and nothing tells of that
        assert runs(forge) == before
        # The control: the very same commit at a branch.
        git(clone, "fetch", "--quiet", "origin", listed.split()[1])
        git(clone, "push", "--quiet", "origin", f"FETCH_HEAD:refs/heads/agent/kept/{ticket}")
        wait_until(lambda: runs(forge) > before)
    finally:
        board.close()
