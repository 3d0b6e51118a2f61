"""The shop that the demo's pods work on: a bare repository with a first commit, its flake without inputs.

Without inputs `nix develop` is the real thing and yet needs no network and no root (reference/nix.md, section 1).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

BASE: Final = "main"

_FLAKE: Final = """\
{
  description = "The demo's shop. Without inputs: it works offline and without root.";

  outputs =
    { self }:
    let
      shell =
        system:
        derivation {
          inherit system;
          name = "shop-shell";
          builder = "/bin/bash";
          args = [ "-c" "export > $out" ];
          outputs = [ "out" ];
          stdenv = ./stdenv;
          shellHook = "export SHOP_SHELL=1";
        };
    in
    {
      devShells = builtins.listToAttrs (
        map (system: {
          name = system;
          value.default = shell system;
        }) [ "x86_64-linux" "aarch64-linux" ]
      );
    };
}
"""
_SETTINGS: Final = """\
notes = "Prices are integers, in cents. A line of a basket is (name, price, quantity)."

[verify]
commands = ["python3 -m unittest -q"]
"""
_BASKET: Final = '''\
"""The basket. A line is (name, price in cents, quantity)."""


def total(lines):
    """What the lines cost together, in cents."""
    return sum(price * quantity for _, price, quantity in lines)


def dearest(lines):
    """The name of the line that costs most."""
    return max(lines, key=lambda line: line[1] * line[2])[0]
'''
_TEST: Final = """\
import unittest

from shop.basket import dearest, total

LINES = [("tea", 450, 2), ("pot", 1099, 1)]


class BasketTest(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total(LINES), 1999)

    def test_dearest(self):
        self.assertEqual(dearest(LINES), "pot")
"""
FILES: Final[Mapping[str, str]] = {
    ".agent.toml": _SETTINGS,
    ".gitignore": "__pycache__/\n",
    "README.md": "# Shop\n\nThe repository of `agent demo`. Its tests: `python3 -m unittest`.\n",
    "flake.nix": _FLAKE,
    "stdenv/setup": "export PATH=/usr/local/bin:/usr/bin:/bin\n",
    "shop/__init__.py": '"""A small shop."""\n',
    "shop/basket.py": _BASKET,
    "tests/__init__.py": "",
    "tests/test_basket.py": _TEST,
}
"""The first commit."""


class Repository:
    """A bare repository, seen as its owner sees it.

    Args:
        folder: where it lies.
        path: where programs are found.
    """

    def __init__(self, folder: Path, path: str) -> None:
        self.folder = folder
        self._env = {
            "PATH": path,
            "HOME": str(folder.parent),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Hanna Human",
            "GIT_AUTHOR_EMAIL": "human@example.org",
            "GIT_COMMITTER_NAME": "Hanna Human",
            "GIT_COMMITTER_EMAIL": "human@example.org",
        }

    def make(self) -> None:
        """Create it with its first commit on `main`."""
        desk = self.folder.with_name("desk")
        for name, content in FILES.items():
            file = desk / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
        self._git("init", "--quiet", "--bare", "-b", BASE, str(self.folder), at=self.folder.parent)
        self._git("init", "--quiet", "-b", BASE, at=desk)
        self._git("add", "--all", at=desk)
        self._git("commit", "--quiet", "-m", "The shop opens", at=desk)
        self._git("push", "--quiet", str(self.folder), BASE, at=desk)

    def holds(self, commit: str, branch: str, ticket: int) -> bool:
        """Whether a branch really has this commit, and the commit says that it is for this ticket."""
        inside = self._run("merge-base", "--is-ancestor", commit, f"refs/heads/{branch}", at=self.folder)
        trailer = self._run(
            "log", "-1", "--format=%(trailers:key=Work-Package,valueonly)", commit, "--", at=self.folder
        )
        return inside.returncode == 0 and trailer.stdout.strip() == f"#{ticket}"

    def file(self, branch: str, name: str) -> str:
        """A file at the tip of a branch; empty where there is none."""
        return self._run("show", f"refs/heads/{branch}:{name}", at=self.folder).stdout

    def _git(self, *arguments: str, at: Path) -> None:
        done = self._run(*arguments, at=at)
        if done.returncode != 0:
            raise RuntimeError(f"git {arguments[0]} failed: {done.stderr.strip()}")

    def _run(self, *arguments: str, at: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - git, with arguments of ours
            ["git", *arguments],  # noqa: S607 - by the PATH that is handed in
            cwd=at,
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
        )
