"""A host where Nix was installed and never used: there is no /nix, and no setting says where there would be a store."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from support.fleet import AGENT, Fleet
from support.needs import needs
from support.pods import MODEL
from support.vitals import watched
from support.without_nix import without_nix

pytestmark = [pytest.mark.nix, needs("nix", "bwrap")]

TOOL: Final = "#!/bin/sh\necho a tool of the cache\n"
FLAKE: Final = """\
{
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
  outputs =
    { self, nixpkgs }:
    {
      devShells = nixpkgs.forAll (system: derivation {
        inherit system;
        name = "shop-shell";
        builder = "/bin/bash";
        args = [ "-c" "export > $out" ];
        outputs = [ "out" ];
        stdenv = ./stdenv;
        tools = "${nixpkgs}/tools";
        shellHook = "export PATH=$tools:$PATH";
      });
    };
}
"""
NIXPKGS: Final = """\
{
  outputs = _: {
    forAll = shell: builtins.listToAttrs (
      map (name: { inherit name; value.default = shell name; }) [ "x86_64-linux" "aarch64-linux" ]
    );
  };
}
"""


class Cache:
    """A binary cache on the loopback with one path, and the host's settings of Nix that name it."""

    def __init__(self, folder: Path) -> None:
        tree = folder / "source"
        (tree / "tools").mkdir(parents=True)
        (tree / "flake.nix").write_text(NIXPKGS)
        (tree / "tools/cached-tool").write_text(TOOL)
        (tree / "tools/cached-tool").chmod(0o755)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "NIX_CONFIG": f"experimental-features = nix-command\nbuild-users-group =\nstore = {folder}/chroot\n",
        }

        def nix(*words: str) -> str:
            done = subprocess.run(["nix", *words], env=env, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

        self.path = nix("store", "add", str(tree))
        self.hash = nix("hash", "path", str(tree))
        nix("copy", "--to", f"file://{folder}/served", self.path)
        self.asked: list[str] = []
        cache = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments: object) -> None:
                super().__init__(*arguments, directory=str(folder / "served"))  # type: ignore[arg-type]

            def do_GET(self) -> None:
                cache.asked.append(self.path)
                super().do_GET()

            def log_message(self, *_: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.settings = folder / "etc"
        self.settings.mkdir()
        (self.settings / "nix.conf").write_text(f"substituters = http://127.0.0.1:{self.server.server_port}\n")

    @property
    def pin(self) -> str:
        """The input, as `nix flake metadata` prints its locked URL."""
        return f"github:NixOS/nixpkgs/{'1' * 40}?narHash={self.hash}"

    @property
    def lock(self) -> str:
        """What pins the input."""
        locked = {"type": "github", "owner": "NixOS", "repo": "nixpkgs", "rev": "1" * 40, "narHash": self.hash}
        original = {"type": "github", "owner": "NixOS", "repo": "nixpkgs", "ref": "nixos-26.05"}
        nodes = {"nixpkgs": {"locked": locked, "original": original}, "root": {"inputs": {"nixpkgs": "nixpkgs"}}}
        return json.dumps({"nodes": nodes, "root": "root", "version": 7})


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    one = Cache(tmp_path / "cache")
    yield one
    one.server.shutdown()
    one.server.server_close()
    loosen(tmp_path)


@pytest.fixture(params=[False, True], ids=["root", "an ordinary user"])
def ordinary(request: pytest.FixtureRequest) -> bool:
    if not request.param and os.geteuid() != 0:
        pytest.skip("the suite is an ordinary user's")
    return bool(request.param)


def loosen(folder: Path) -> None:
    """A store is read-only, and pytest cleans up."""
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(path.stat().st_mode | stat.S_IRWXU)


def run(
    fleet: Fleet, cache: Cache, *words: str, ordinary: bool, path: str = os.environ["PATH"]
) -> subprocess.CompletedProcess[str]:
    """A command of ours on a host without /nix."""
    empty = fleet.folder / "empty"
    empty.mkdir(exist_ok=True)
    env = {"PATH": path, "HOME": str(fleet.folder), "NIX_CONF_DIR": str(cache.settings), **watched()}
    argv = without_nix((str(AGENT), *words), empty, ordinary=ordinary)
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=120, cwd=fleet.folder)


def readme_pod(fleet: Fleet, pin: str) -> Path:
    """The settings of the README's example, with a model that needs no key; of Nix one word, since the test has no network.

    Args:
        fleet: board and remote.
        pin: the input that may come from a cache, by its hash alone.
    """
    folder = fleet.folder / "pod"
    folder.mkdir()
    (folder / "token").write_text(fleet.board.tokens["agent"])
    (folder / "token").chmod(0o600)
    (folder / "play.json").write_text(json.dumps({"files": {"greeting.txt": "hello\n"}}))
    shutil.copy(MODEL, folder / "model.py")
    command = json.dumps(["python3", str(folder / "model.py"), str(folder / "play.json")])
    path = folder / "agent.toml"
    path.write_text(
        f"""\
pod = "pod-a"
state = "{folder}/state"

[board]
url = "{fleet.board.url}"
token_file = "{folder}/token"

[repositories.shop]
url = "{fleet.remote.url}"
base = "main"

[model]
kind = "command"
command = {command}

[sandbox]
readable = ["{folder}/model.py", "{folder}/play.json"]

[nix]
inputs = ["github:NixOS/nixpkgs", "{pin}"]
"""
    )
    return path


def test_doctor_finds_no_fault_and_a_pod_takes_a_ticket_to_its_end(
    small_fleet: Fleet, cache: Cache, *, ordinary: bool
) -> None:
    fleet = small_fleet
    fleet.boxed_judge = True  # its tool is in the shell alone
    fleet.remote.push(
        "main",
        {
            "flake.nix": FLAKE,
            "flake.lock": cache.lock,
            ".agent.toml": '[verify]\ncommands = ["cached-tool", "grep -q hello greeting.txt", "ls /nix/store"]\n',
        },
    )
    ticket = fleet.add("Greet", text="Write greeting.txt")
    config = readme_pod(fleet, cache.pin)
    doctor = run(fleet, cache, "doctor", "--config", str(config), ordinary=ordinary)
    lines = [line for line in doctor.stdout.splitlines() if "nix" in line.lower()]
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert any("a Nix store of its own" in line and "ok" in line for line in lines), doctor.stdout
    assert "nix-setup-systemd" in doctor.stdout
    done = run(fleet, cache, "cycle", "--config", str(config), "--json", ordinary=ordinary)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["end"]["kind"] == "done"
    assert fleet.file(f"agent/{ticket}-greet", "greeting.txt") == "hello"
    assert any(path.startswith("/nar/") for path in cache.asked), "one path came from the cache"
    store = config.parent / "state/stores/shop/nix/store"
    assert (store / cache.path.rsplit("/", 1)[1] / "tools/cached-tool").read_text() == TOOL


@pytest.mark.skipif(not Path("/nix").exists(), reason="a host's own store is laid over /nix, which this host has not")
def test_what_lies_in_a_store_without_a_daemon_is_left_out_or_named_before_a_claim(
    small_fleet: Fleet, cache: Cache
) -> None:
    """An earlier Nix of a single user left a profile in PATH, and a tool that the operator shows."""
    fleet = small_fleet
    left = fleet.folder / "empty/store/00000000000000000000000000000000-left"
    left.mkdir(parents=True)
    (left / "left").write_text(TOOL)
    (left / "left").chmod(0o755)
    inside = f"/nix/store/{left.name}"
    (fleet.folder / "profile").symlink_to(inside)
    fleet.boxed_judge = True
    files = {"flake.nix": FLAKE, "flake.lock": cache.lock, ".agent.toml": '[verify]\ncommands = ["cached-tool"]\n'}
    fleet.remote.push("main", files)
    fleet.add("Greet", text="Write greeting.txt")
    config = readme_pod(fleet, cache.pin)
    path = f"{os.environ['PATH']}:{fleet.folder}/profile:{inside}"
    done = run(fleet, cache, "cycle", "--config", str(config), "--json", ordinary=False, path=path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["end"]["kind"] == "done"
    next_one = fleet.add("Greet again")
    text = config.read_text()
    refused = ""
    for shown in (inside, f"{fleet.folder}/profile"):
        config.write_text(text.replace("readable = [", f'readable = ["{shown}", '))
        refused = f"`sandbox.readable` names {shown}, which lies in /nix/store; Nix has no daemon here"
        doctor = run(fleet, cache, "doctor", "--config", str(config), "--json", ordinary=False)
        assert doctor.returncode == 1
        assert refused in doctor.stdout
    stopped = run(fleet, cache, "cycle", "--config", str(config), "--json", ordinary=False)
    assert json.loads(stopped.stdout.splitlines()[-1])["reason"].startswith(refused), stopped.stdout
    assert fleet.comments(next_one) == []
