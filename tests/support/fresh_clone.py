"""What the fleet pushed, as somebody else gets it: each commit in a clone of its own, judged by the base that it contains."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from support.git_repo import git

_RUN: Final = "%(trailers:key=Agent-Run,valueonly,separator=%x2C)"
_STARTER: Final = "%(trailers:key=Agent-Starter,valueonly,separator=%x2C)"


def wrong(remote: Path, folder: Path) -> list[str]:
    """The commits of runs on branches whose checks prove nothing, and why, with a check's last words.

    They must pass in a fresh clone, and must not pass without the commit's work: on the base with the commit's tests alone.
    """
    found = []
    for commit in _pushed(remote):
        base = _base(remote, commit)
        with _Clone(remote, folder, commit) as clone:
            if said := clone.judge(base):
                found.append(f"{commit} fails in a fresh clone: {said}")
            clone.leave_only_tests(base)
            if not clone.judge(base):
                found.append(f"{commit}: its checks pass without its work")
    return found


def _pushed(remote: Path) -> Iterator[str]:
    """Those of branches for results; what was kept or failed is on others. None where the remote is gone."""
    if not remote.is_dir():
        return
    listed = git(remote, "log", "--branches=agent/[0-9]*", f"--format=%H %x00{_RUN}%x00{_STARTER}")
    for line in listed.splitlines():
        commit, run, starter = line.split("\0")
        if run.strip() and not starter.strip():
            yield commit.strip()


def _base(remote: Path, commit: str) -> str:
    """The newest commit of the base that it contains, as people merged it."""
    first = git(remote, "rev-list", "--first-parent", "main").splitlines()
    mine = set(git(remote, "rev-list", commit).splitlines()) - {commit}
    return next(one for one in first if one in mine)


class _Clone:
    def __init__(self, remote: Path, folder: Path, commit: str) -> None:
        self._remote, self._commit = remote, commit
        self._folder = folder / "fresh-clone"

    def __enter__(self) -> Self:
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        address = self._remote.absolute().as_uri()  # by its path, all objects would come along
        git(self._folder.parent, "clone", "--quiet", "--no-checkout", address, str(self._folder))
        git(self._folder, "checkout", "--quiet", "--detach", self._commit)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder)

    def leave_only_tests(self, base: str) -> None:
        """The files of the base, with the tests of the commit."""
        tests = [one for one in git(self._folder, "ls-files").splitlines() if "test" in one]
        git(self._folder, "clean", "-ffdxq")
        git(self._folder, "checkout", "--quiet", "--force", "--detach", base)
        if tests:
            git(self._folder, "checkout", "--quiet", self._commit, "--", *tests)

    def judge(self, base: str) -> str:
        """The last words of the first check of the base that fails; empty if all pass."""
        toml = git(self._folder, "show", f"{base}:.agent.toml", check=False)
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self._folder.parent), "LANG": "C.UTF-8"}
        for command in tomllib.loads(toml).get("verify", {}).get("commands", ()):
            done = subprocess.run(
                ["/bin/sh", "-c", command], cwd=self._folder, env=env, capture_output=True, text=True, check=False
            )
            if done.returncode:
                return f"`{command}` ends with {done.returncode}: {(done.stdout + done.stderr)[-500:]}"
        return ""
