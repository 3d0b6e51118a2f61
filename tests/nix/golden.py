"""What each example host gets from the NixOS modules, rendered to plain files: `python -m nix.golden` writes nix/golden.

    nix/golden/HOST/units/*.service …      as NixOS would install them
    nix/golden/HOST/files/NAME             settings, scripts: what the units name in the store
    nix/golden/HOST/manifest.json          which path in the store each file has; accounts; settings of Nix; the rest

Packages are stand-ins: /nix/store/000…0-git is git. HOST is one of hosts/, or checks/NODE, a node of the VM tests.
"""

from __future__ import annotations

import argparse
import difflib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
# Nix follows no link on the way to an input.
REFERENCE: Final = Path(os.environ.get("AGENT_REFERENCE", ROOT.parent / "shared" / "reference")).resolve()
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
        new.mkdir(parents=True, exist_ok=True)
        subprocess.run(["tar", "-xJf", archive, "-C", new], check=True)
        (inner,) = new.iterdir()
        try:
            inner.rename(place)
        except OSError:  # another process was faster
            if not place.is_dir():
                raise
        shutil.rmtree(new)
    return place


def absent() -> str:
    """What is not here and is needed to evaluate anything; empty if all is."""
    if shutil.which("nix") is None:
        return "Nix is not installed"
    if not (EVAL / "eval.nix").exists():
        return f"no stand-ins for nixpkgs in {EVAL}"
    if not os.environ.get("NIXOS_TREE") and not (REFERENCE / "nixos-tree.tar.xz").exists():
        return f"neither $NIXOS_TREE nor {REFERENCE / 'nixos-tree.tar.xz'} has the modules of NixOS"
    return ""


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
        "GC_INITIAL_HEAP_SIZE": "1G",  # a third less time
        **more,
    }
    return subprocess.run(["nix", *arguments], cwd=cwd, env=env, check=False, capture_output=True, text=True)


def evaluate(expression: str) -> Any:
    """The value of an expression; what was evaluated of the same files before is not evaluated again.

    In scope: `evaluate` (modules → a NixOS host), `render` (of a host), `failed` (of a configuration), `bare` (modules → our
    options alone, in a tenth of the time), `lib`, `root`.

    Raises:
        RuntimeError: it has none; the text is what Nix says.
    """
    text = _scope() + expression
    known = ROOT / "build" / "nix-eval" / f"{_digest(text)}.json"
    known.parent.mkdir(parents=True, exist_ok=True)
    with known.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not known.exists():
            done = nix("eval", "--impure", "--json", "--expr", text)
            if done.returncode:
                raise RuntimeError(done.stderr)
            new = known.with_suffix(".new")
            new.write_text(done.stdout, "utf-8")
            new.rename(known)
    return json.loads(known.read_text("utf-8"))


def _scope() -> str:
    return f"""
      let
        root = {ROOT};
        evaluate = import {EVAL}/eval.nix;
        lib = import ({tree()} + "/lib");
        render = evaluation: import (root + "/nix/lib/render.nix") {{ inherit lib; inherit (evaluation) config pkgs; }};
        failed = config: map (one: one.message) (lib.filter (one: !one.assertion) config.assertions);
        bare = modules: lib.evalModules {{
          modules = [
            (root + "/nix/modules/default.nix")
            {{
              _module.check = false;
              _module.args.utils = {{ }};
              _module.args.pkgs = import {EVAL}/mock-pkgs.nix {{ inherit lib; names = [ "claude-code" ]; }};
            }}
          ] ++ modules;
        }};
      in
    """


def _digest(text: str) -> str:
    """Of all that an evaluation reads."""
    found = hashlib.sha256(f"{text}\n{tree().stat().st_mtime_ns}\n{shutil.which('nix')}".encode())
    folders = (ROOT / "nix", ROOT / "hosts", EVAL)
    for path in [ROOT / "pyproject.toml", *sorted(one for folder in folders for one in folder.rglob("*"))]:
        if path.is_file() and not path.is_relative_to(GOLDEN):
            found.update(f"{path}\n".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()[:32]


def rendered() -> dict[str, Any]:
    """What all hosts and nodes get: `render.nix`, and what failed."""
    found: dict[str, Any] = evaluate("""
      let
        of = evaluation: render evaluation // {
          failed = failed evaluation.config;
          warned = evaluation.config.warnings;
          system = evaluation.config.system.build.toplevel.drvPath;
        };
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
        "files": {one["path"]: {"file": f"files/{one['name']}", "mode": one["mode"]} for one in host["files"]},
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


def expected(hosts: Mapping[str, Any] | None = None) -> dict[str, str]:
    """All golden files, by their paths below nix/golden, as the modules make them now."""
    hosts = rendered() if hosts is None else hosts
    broken = {name: host["failed"] for name, host in hosts.items() if host["failed"]}
    if broken:
        raise RuntimeError(f"failed assertions: {broken}")
    return {f"{name}/{path}": text for name, host in hosts.items() for path, text in files_of(host).items()}


def present(golden: Path) -> dict[str, str]:
    """All golden files, as they are."""
    return {
        str(path.relative_to(golden)): path.read_text("utf-8") for path in sorted(golden.rglob("*")) if path.is_file()
    }


_STORE: Final = re.compile(
    r"/nix/store/[0-9a-z]{32}-(?:unit-script-)?([A-Za-z_+]+(?:-[A-Za-z_+][A-Za-z_+]*)*)[0-9A-Za-z.+_?=-]*"
)
_NIXOS: Final = re.compile(r'^Environment="(?:PATH|LOCALE_ARCHIVE|TZDIR)=.*\n', re.MULTILINE)


def comparable(files: Mapping[str, str]) -> dict[str, str]:
    """Our own units and files without what differs between real packages and stand-ins: hashes, versions, NixOS' own PATH."""
    ours = {path: text for path, text in files.items() if "agent-" in path}
    return {path: _STORE.sub(r"/nix/store/\1", _NIXOS.sub("", text)) for path, text in ours.items()}


def compare(rendered_by_nix: Path, golden: Path) -> str:
    """What differs between the golden files and an evaluation with real packages."""
    hosts = json.loads(rendered_by_nix.read_text("utf-8"))
    wanted = comparable(
        {f"{name}/{path}": text for name, host in hosts.items() for path, text in files_of(host).items()}
    )
    found = comparable(present(golden))
    lines: list[str] = []
    for path in sorted(wanted.keys() | found.keys()):
        before, after = found.get(path, ""), wanted.get(path, "")
        lines += difflib.unified_diff(before.splitlines(), after.splitlines(), f"golden/{path}", path, lineterm="")
    return "\n".join(lines)


def main() -> int:
    """Write them anew, or compare."""
    parser = argparse.ArgumentParser(prog="python -m nix.golden", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--compare", nargs=2, type=Path, metavar=("JSON", "GOLDEN"), help="hold the golden files against an evaluation"
    )
    given = parser.parse_args().compare
    if given:
        difference = compare(*given)
        sys.stdout.write(difference and f"{difference}\n\nWrite nix/golden anew: make golden\n")
        return 1 if difference else 0
    wanted, found = expected(), present(GOLDEN)
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
