"""Real git repositories for tests: a bare remote, and a small project with an input-free flake (reference/nix.md, 1)."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

FLAKE = """\
{
  outputs =
    { self }:
    let
      shell =
        system: variables:
        derivation (
          {
            inherit system;
            name = "fixture-shell";
            builder = "/bin/bash";
            args = [ "-c" "export > $out" ];
            outputs = [ "out" ];
            stdenv = ./stdenv;
          }
          // variables
        );
      systems = [ "x86_64-linux" "aarch64-linux" ];
    in
    {
      devShells = builtins.listToAttrs (
        map (system: {
          name = system;
          value.default = shell system {
            SOME_VAR = "from the shell";
            shellHook = "export HOOKED=1";
          };
        }) systems
      );
    };
}
"""
SETUP = "export PATH=/usr/local/bin:/usr/bin:/bin\n"
AGENT_TOML = '[verify]\ncommands = ["python3 -m unittest -q"]\n'
PROJECT = {
    "flake.nix": FLAKE,
    "stdenv/setup": SETUP,
    ".agent.toml": AGENT_TOML,
    ".gitignore": "__pycache__/\n*.log\n",
    "README.md": "# Shop\n",
    "shop.py": "def total(prices):\n    return sum(prices)\n",
    "test_shop.py": (
        "import unittest\n\nfrom shop import total\n\n\n"
        "class TotalTest(unittest.TestCase):\n    def test_total(self):\n        self.assertEqual(total([1, 2]), 3)\n"
    ),
}
"""A project whose tests need nothing but Python."""


def git(folder: Path, *arguments: str, check: bool = True) -> str:
    """What git prints in `folder`, as a person with a neutral configuration would run it."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Person",
        "GIT_AUTHOR_EMAIL": "person@example.org",
        "GIT_COMMITTER_NAME": "Person",
        "GIT_COMMITTER_EMAIL": "person@example.org",
    }
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
    )
    assert not check or done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def _write(folder: Path, files: Mapping[str, str | None]) -> None:
    for name, content in files.items():
        path = folder / name
        if content is None:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@functools.cache
def _made(files: tuple[tuple[str, str], ...]) -> Path:
    """A remote and a clone with this first commit, made once and copied: ten commands of git less for each world."""
    folder = Path(tempfile.mkdtemp(prefix="remote-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    git(folder, "init", "--quiet", "--bare", "-b", "main", "remote.git")
    git(folder, "clone", "--quiet", "remote.git", "person")
    clone = folder / "person"
    git(clone, "checkout", "--quiet", "-b", "main")
    _write(clone, dict(files))
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "-m", "First commit")
    git(clone, "push", "--quiet", "origin", "HEAD:refs/heads/main")
    return folder


class Remote:
    """A bare repository, and a clone in which people work.

    Args:
        folder: where both are made.
        files: the first commit on `main`.
    """

    def __init__(self, folder: Path, files: Mapping[str, str] = PROJECT) -> None:
        self.path = folder / "remote.git"
        self.clone = folder / "person"
        made = _made(tuple(files.items()))
        for one in (self.path, self.clone):
            shutil.copytree(made / one.name, one, symlinks=True)
        git(self.clone, "remote", "set-url", "origin", str(self.path))

    @property
    def url(self) -> str:
        """What the settings say."""
        return str(self.path)

    def push(self, branch: str, files: Mapping[str, str | None], message: str = "A change") -> str:
        """A person changes files (None deletes) on `branch`, made from main where it is new; the new commit's id."""
        git(self.clone, "fetch", "--quiet", "--prune", "origin")
        if self.tip(branch):
            git(self.clone, "checkout", "--quiet", "-B", branch, f"origin/{branch}")
        elif self.tip("main"):
            git(self.clone, "checkout", "--quiet", "-B", branch, "origin/main")
        _write(self.clone, files)
        git(self.clone, "add", "--all")
        git(self.clone, "commit", "--quiet", "--allow-empty", "-m", message)
        git(self.clone, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        return git(self.clone, "rev-parse", "HEAD")

    def merge(self, branch: str, into: str = "main") -> str:
        """A person merges a branch; the merge commit's id."""
        git(self.clone, "fetch", "--quiet", "--prune", "origin")
        git(self.clone, "checkout", "--quiet", "-B", into, f"origin/{into}")
        git(self.clone, "merge", "--quiet", "--no-ff", "--no-edit", f"origin/{branch}")
        git(self.clone, "push", "--quiet", "origin", f"HEAD:refs/heads/{into}")
        return git(self.clone, "rev-parse", "HEAD")

    def tip(self, branch: str) -> str:
        """The commit of a branch, empty if there is none."""
        return self.ref(f"refs/heads/{branch}")

    def ref(self, name: str) -> str:
        """What a ref holds, empty if there is none."""
        return git(self.path, "rev-parse", "--verify", "--quiet", name, check=False)

    def refs(self) -> dict[str, str]:
        """Every ref."""
        lines = git(self.path, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return dict(line.split(" ", 1) for line in lines)

    def show(self, revision: str, name: str) -> str | None:
        """A file at a revision, None if it is not there."""
        if not git(self.path, "ls-tree", revision, "--", name):
            return None
        return git(self.path, "show", f"{revision}:{name}")

    def message(self, revision: str) -> str:
        """A commit's message."""
        return git(self.path, "log", "-1", "--format=%B", revision)

    def hook(self, name: str, script: str) -> None:
        """A hook of the forge: it refuses what it exits on with 1."""
        path = self.path / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
