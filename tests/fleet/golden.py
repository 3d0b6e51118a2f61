"""What the NixOS module renders for a host, as committed in nix/golden, and what of it has to differ here.

Units are installed byte for byte. Settings, keys and intervals are those of the VM tests' nodes (nix/checks/nodes.nix), which
say the same in Nix.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fleet import keys

ROOT: Final = Path(__file__).resolve().parents[2]
GOLDEN: Final = ROOT / "nix/golden"
CHECKS: Final = ROOT / "nix/checks"
HOSTS: Final = {
    "board": "10.77.0.1",
    "cache": "10.77.0.2",
    "pod-a": "10.77.0.11",
    "pod-b": "10.77.0.12",
    "pod-c": "10.77.0.13",
}
PODS: Final = ("pod-a", "pod-b", "pod-c")
PYTHON: Final = "/usr/bin/python3"
FLEET: Final = "/opt/fleet"


@dataclass
class Rendered:
    """What the module makes of one host.

    Attributes:
        units: by name.
        wanted: the targets that start a unit.
        files: by absolute path, those of /etc and those of the store alike.
        users: the homes of its accounts.
        ssh_keys: who may log in, by account.
    """

    units: dict[str, str]
    wanted: dict[str, list[str]]
    files: dict[str, str]
    users: dict[str, str]
    ssh_keys: dict[str, str]


def read(name: str) -> Rendered:
    """The golden files of a host, with our keys in the place of the examples."""
    folder = GOLDEN / name
    assert folder.is_dir(), f"{folder} is missing: make nix-eval renders it"
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {path: (folder / one["file"]).read_text() for path, one in manifest["files"].items()}
    etc = {
        "/etc/nix/nix.conf": manifest["nix_conf"],
        "/etc/ssh/sshd_config": manifest["sshd"],
        "/etc/tmpfiles.d/00-nixos.conf": "".join(f"{line}\n" for line in manifest["tmpfiles"]),
    }
    return Rendered(
        units={unit: (folder / "units" / unit).read_text() for unit in manifest["units"]},
        wanted=manifest["wanted"],
        files={path: keys.put_into(text, ssh="host.pub") for path, text in (files | etc).items()},
        users={one["name"]: one["home"] for one in manifest["users"]},
        ssh_keys={
            one["name"]: keys.put_into("\n".join(one["keys"]), ssh="push.pub")
            for one in manifest["users"]
            if one["keys"]
        },
    )


# -- what differs from a fleet that works for real ----------------------------------------------------------------------


def adapt(name: str, rendered: Rendered) -> None:
    """Point the settings to the fleet's own git server and model, let timers fire in seconds, and add the fixtures."""
    files = rendered.files
    for path in [one for one in files if one.endswith(".toml") and name in PODS]:
        files[path] = _toml(_settings(tomllib.loads(files[path])))
    for unit in [one for one in rendered.units if one.endswith(".timer")]:
        files[f"/etc/systemd/system/{unit}.d/soon.conf"] = _SOON
    rendered.units |= {"nix-daemon.service": _NIX_DAEMON, "nix-daemon.socket": _NIX_SOCKET}
    rendered.wanted["nix-daemon.socket"] = ["sockets.target"]
    files["/etc/nix/nix.conf"] += _NIX_CONF + (
        "substituters = http://cache:5000\n" if name in PODS else "substituters =\n"
    )
    copies = (f"C /run/secrets/{one} 0600 root root - /etc/fleet/secrets/{one}\n" for one in keys.secrets(name))
    files["/etc/tmpfiles.d/fleet.conf"] = "d /run/secrets 0700 root root -\n" + "".join(copies)
    if name == "board":
        rendered.units["git-daemon.service"] = _GIT
        rendered.wanted["git-daemon.service"] = ["multi-user.target"]
        for one in (one for one in (CHECKS / "project").rglob("*") if one.is_file()):
            files[f"/etc/fleet/project/{one.relative_to(CHECKS / 'project')}"] = one.read_text()
    if name == "cache":
        rendered.units["sshd.service"] = _SSHD
        rendered.wanted["sshd.service"] = ["multi-user.target"]
        files["/etc/ssh/ssh_host_ed25519_key"] = keys.read("host") + "\n"
        files |= {f"/etc/ssh/authorized_keys.d/{user}": lines + "\n" for user, lines in rendered.ssh_keys.items()}


_SOON: Final = """\
[Timer]
OnBootSec=
OnBootSec=2s
OnUnitInactiveSec=2s
RandomizedDelaySec=0
"""
"""Five starts in ten seconds would be refused: a unit fails at once as long as its secrets are not there."""
_NIX_DAEMON: Final = """\
[Unit]
RequiresMountsFor=/nix/store
[Service]
ExecStart=/usr/bin/nix-daemon --daemon
KillMode=process
LimitNOFILE=1048576
Delegate=yes
"""
_NIX_SOCKET: Final = """\
[Socket]
ListenStream=/nix/var/nix/daemon-socket/socket
"""
_NIX_CONF: Final = """
build-users-group = nixbld
experimental-features = nix-command flakes
flake-registry =
sandbox = true
sandbox-fallback = false
sandbox-paths = /bin /usr /lib /lib64
connect-timeout = 2
download-attempts = 1
"""
_GIT: Final = """\
[Service]
ExecStart=/usr/bin/git daemon --reuseaddr --export-all --enable=receive-pack --base-path=/srv/git
User=git
"""
_SSHD: Final = """\
[Service]
RuntimeDirectory=sshd
ExecStart=/usr/sbin/sshd -D -e -f /etc/ssh/sshd_config
KillMode=process
"""


def _settings(settings: dict[str, Any]) -> dict[str, Any]:
    own: dict[str, dict[str, Any]] = {
        "board": {"url": "http://board:8080"},
        "repositories": {"shop": {"url": "git://board/shop.git"}},
        "model": {"kind": "command", "command": [PYTHON, "-IB", f"{FLEET}/model.py"]},
        "sandbox": {"readable": [FLEET]},
    }
    kept = {key: value for key, value in settings.items() if key not in ("repositories", "model")}
    return {**kept, **{key: {**kept.get(key, {}), **table} for key, table in own.items()}}


def _toml(settings: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in _flat((), settings))


def _flat(place: tuple[str, ...], table: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in table.items():
        here = (*place, json.dumps(key))
        found += _flat(here, value) if isinstance(value, dict) else [(".".join(here), value)]
    return found
