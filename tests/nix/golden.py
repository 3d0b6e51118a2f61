"""What each example host gets from the NixOS modules, rendered to plain files: `python -m nix.golden` writes nix/golden.

    nix/golden/HOST/units/*.service …      as NixOS would install them
    nix/golden/HOST/files/NAME             settings, scripts: what the units name in the store
    nix/golden/HOST/manifest.json          which path in the store each file has; accounts; settings of Nix; the rest

Packages are stand-ins: /nix/store/000…0-git is git. HOST is one of hosts/, or checks/NODE, a node of the VM tests.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
REFERENCE: Final = Path(os.environ.get("AGENT_REFERENCE", ROOT.parent / "shared" / "reference"))
EVAL: Final = REFERENCE / "nixos-eval"
GOLDEN: Final = ROOT / "nix" / "golden"

NIX_CONFIG: Final = """\
experimental-features = nix-command flakes
sandbox = false
substituters =
build-users-group =
flake-registry =
"""


def tree() -> Path:
    """NixOS' modules: $NIXOS_TREE, else the archive, unpacked once."""
    if given := os.environ.get("NIXOS_TREE"):
        return Path(given)
    place = ROOT / "build" / "nixos-tree"
    archive = REFERENCE / "nixos-tree.tar.xz"
    if not place.is_dir():
        new = place.with_name(f"nixos-tree.{os.getpid()}")
        with tarfile.open(archive) as packed:
            packed.extractall(new, filter="data")
        (inner,) = new.iterdir()
        try:
            inner.rename(place)
        except OSError:  # another process was faster
            if not place.is_dir():
                raise
        shutil.rmtree(new)
    return place


def nix(*arguments: str, cwd: Path = ROOT, **more: str) -> subprocess.CompletedProcess[str]:
    """Run Nix offline, with what it needs to know of the tree, and with a cache of its own."""
    cache = ROOT / "build" / "nix-cache"
    cache.mkdir(parents=True, exist_ok=True)
    env = {
        **os.environ,
        "NIX_CONFIG": NIX_CONFIG,
        "NIXOS_TREE": str(tree()),
        "FLAKE_DIR": str(ROOT),
        "XDG_CACHE_HOME": str(cache),
        **more,
    }
    return subprocess.run(["nix", *arguments], cwd=cwd, env=env, check=False, capture_output=True, text=True)


def evaluate(expression: str, **more: str) -> Any:
    """The value of an expression with `evaluate` (modules → evaluation) and `render` in scope.

    Raises:
        RuntimeError: it has none; the text is what Nix says.
    """
    scope = f"""
      let
        root = {ROOT};
        evaluate = import {EVAL}/eval.nix;
        lib = import ({tree()} + "/lib");
        render = evaluation: import (root + "/nix/lib/render.nix") {{ inherit lib; inherit (evaluation) config pkgs; }};
        failed = config: map (one: one.message) (lib.filter (one: !one.assertion) config.assertions);
      in
    """
    done = nix("eval", "--impure", "--json", "--expr", scope + expression, **more)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def rendered() -> dict[str, Any]:
    """What all hosts and nodes get: `render.nix`, and what failed."""
    found: dict[str, Any] = evaluate("""
      let
        of = evaluation: render evaluation // { failed = failed evaluation.config; warned = evaluation.config.warnings; };
        ofFile = file: of (evaluate [ (root + "/nix/modules") file ]);
        hosts = lib.filterAttrs (name: type: type == "regular" && name != "default.nix") (builtins.readDir (root + "/hosts"));
      in
      lib.mapAttrs' (name: _: lib.nameValuePair (lib.removeSuffix ".nix" name) (ofFile (root + "/hosts/${name}"))) hosts
    """)
    return found


def files_of(host: Mapping[str, Any]) -> dict[str, str]:
    """The files of one host, by their paths below nix/golden/HOST."""
    files = {f"units/{name}": text for name, text in host["units"].items()}
    for one in host["files"]:
        files[f"files/{one['name']}"] = one["text"] if "text" in one else toml(one["settings"])
    manifest = {
        "units": sorted(host["units"]),
        "wanted": host["wanted"],
        "files": {
            one["path"]: {"file": f"files/{one['name']}", "mode": one["mode"]} for one in host["files"]
        },
        "users": host["users"],
        "tmpfiles": host["tmpfiles"],
        "nix_conf": "".join(f"{key} = {_nix_value(value)}\n" for key, value in sorted(host["nix"].items())),
        "sshd": host["sshd"],
        "ports": host["ports"],
    }
    files["manifest.json"] = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return files


def _nix_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def toml(settings: Mapping[str, Any]) -> str:
    """TOML of plain settings, as nixpkgs' `formats.toml` would write it in other words."""
    return "".join(_tables((), settings)).lstrip("\n")


def _tables(path: tuple[str, ...], table: Mapping[str, Any]) -> list[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    lines = [f"\n[{'.'.join(map(_key, path))}]\n"] if path and (plain or not table) else []
    lines += [f"{_key(key)} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in sorted(plain.items())]
    for key, value in sorted(table.items()):
        if isinstance(value, dict):
            lines += _tables((*path, key), value)
    return lines


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


def expected() -> dict[str, str]:
    """All golden files, by their paths below nix/golden, as the modules make them now."""
    hosts = rendered()
    broken = {name: host["failed"] for name, host in hosts.items() if host["failed"]}
    if broken:
        raise RuntimeError(f"failed assertions: {broken}")
    return {f"{name}/{path}": text for name, host in hosts.items() for path, text in files_of(host).items()}


def present() -> dict[str, str]:
    """All golden files, as they are."""
    return {
        str(path.relative_to(GOLDEN)): path.read_text("utf-8") for path in sorted(GOLDEN.rglob("*")) if path.is_file()
    }


def main() -> int:
    """Write them anew."""
    parser = argparse.ArgumentParser(prog="python -m nix.golden", description="Write nix/golden anew from the modules.")
    parser.parse_args()
    wanted, found = expected(), present()
    for gone in found.keys() - wanted.keys():
        (GOLDEN / gone).unlink()
    for name, text in wanted.items():
        if found.get(name) != text:
            (GOLDEN / name).parent.mkdir(parents=True, exist_ok=True)
            (GOLDEN / name).write_text(text, "utf-8")
            sys.stdout.write(f"{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
