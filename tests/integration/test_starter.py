"""The starter flake that comes with us: it parses, its lock is complete and stable, and it is in the package."""

import json
import os
import re
import subprocess
from importlib import resources
from pathlib import Path

import pytest

from agent.devshell.client_options import configuration, private_store
from support.git_repo import git
from support.needs import needs

STARTER = resources.files("agent") / "starter"
STAND_IN = """\
{
  outputs =
    { self }:
    {
      lib.genAttrs = names: make: builtins.listToAttrs (map (name: { inherit name; value = make name; }) names);
      legacyPackages = builtins.listToAttrs (
        map (name: {
          inherit name;
          value = {
            python3 = "python";
            mkShellNoCC = { packages }: "${name}: ${toString packages}";
          };
        }) [ "x86_64-linux" "aarch64-linux" ]
      );
    };
}
"""
"""What the starter takes of nixpkgs, which is not here."""
needs_nix = needs("nix")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("flake.nix", "flake.lock"):
        (folder / name).write_bytes((STARTER / name).read_bytes())
    git(folder, "init", "--quiet", "-b", "main")
    git(folder, "add", "--all")
    return folder


def nix(folder: Path, *words: str) -> str:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder.parent / "home"),
        "NIX_CONFIG": configuration(private_store(folder.parent / "nix")),
        "NIX_STATE_DIR": str(folder.parent / "nix/state"),
    }
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_template_is_these_two_files() -> None:
    assert sorted(path.name for path in STARTER.iterdir() if not path.name.startswith("__")) == [
        "flake.lock",
        "flake.nix",
    ]


def test_the_lock_pins_every_input_by_its_content() -> None:
    lock = json.loads((STARTER / "flake.lock").read_text())
    inputs = re.findall(r"inputs\.(\w+)\.url = \"([^\"]+)\"", (STARTER / "flake.nix").read_text())
    assert [name for name, _ in inputs] == list(lock["nodes"]["root"]["inputs"]) == ["nixpkgs"]
    node = lock["nodes"]["nixpkgs"]
    assert re.fullmatch(r"[0-9a-f]{40}", node["locked"]["rev"])
    assert re.fullmatch(r"sha256-[A-Za-z0-9+/]{43}=", node["locked"]["narHash"])
    original = node["original"]
    assert inputs[0][1] == f"{original['type']}:{original['owner']}/{original['repo']}/{original['ref']}"


@pytest.mark.nix
@needs_nix
def test_it_parses(checkout: Path) -> None:
    nix(checkout, "nix-instantiate", "--parse", "flake.nix")


@pytest.mark.nix
@needs_nix
def test_nix_leaves_the_lock_as_it_is_without_a_network(checkout: Path) -> None:
    """So a run never finds it changed, and nothing is resolved anew."""
    before = (checkout / "flake.lock").read_bytes()
    nix(checkout, "nix", "flake", "lock", "--offline")
    assert (checkout / "flake.lock").read_bytes() == before


@pytest.mark.nix
@needs_nix
def test_it_has_a_shell_for_each_system(checkout: Path) -> None:
    stand_in = checkout.parent / "nixpkgs"
    stand_in.mkdir()
    (stand_in / "flake.nix").write_text(STAND_IN)
    words = ("nix", "eval", "--json", "--override-input", "nixpkgs", f"path:{stand_in}", ".#devShells")
    assert json.loads(nix(checkout, *words, "--no-write-lock-file")) == {
        system: {"default": f"{system}: python"} for system in ("aarch64-linux", "x86_64-linux")
    }
