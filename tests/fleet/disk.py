"""What is on a host's disk: an /etc like this machine's, what the module renders, and at the store paths that it names, this
machine's programs.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import uuid
from pathlib import Path
from typing import Final

from fleet import keys
from fleet.golden import CHECKS, FLEET, HOSTS, PYTHON, ROOT, Rendered, adapt, read

_FOLDERS: Final = (
    "booted", "etc", "home", "nix/store", "nix/var/nix/daemon-socket", "root", "srv/git", "var/cache", "var/empty", "var/lib",
    "var/log/journal", "var/tmp",
)  # fmt: skip
AGENT: Final = "/opt/agent"
_ETC: Final = (
    "alternatives", "bash.bashrc", "dbus-1", "debian_version", "gai.conf", "host.conf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
    "locale.alias", "localtime", "login.defs", "mime.types", "os-release", "pam.conf", "pam.d", "protocols", "rpc", "security",
    "services", "shells", "ssl", "terminfo",
)  # fmt: skip
"""What this machine's programs read of /etc; nothing of its own configuration."""
_MASKED: Final = (
    "cryptsetup.target", "dbus.service", "dbus.socket", "dev-hugepages.mount", "dev-mqueue.mount", "getty.target", "integritysetup.target",
    "kmod-static-nodes.service", "ldconfig.service", "proc-sys-fs-binfmt_misc.automount", "run-lock.mount", "ssh.service", "ssh.socket",
    "sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
    "systemd-ask-password-console.path", "systemd-ask-password-wall.path", "systemd-binfmt.service", "systemd-creds.socket",
    "systemd-firstboot.service", "systemd-hostnamed.socket", "systemd-journal-catalog-update.service", "systemd-logind.service",
    "systemd-modules-load.service", "systemd-network-generator.service", "systemd-random-seed.service", "systemd-sysctl.service",
    "systemd-sysext.socket", "systemd-sysusers.service", "systemd-tmpfiles-clean.timer", "systemd-tmpfiles-setup-dev-early.service",
    "systemd-tmpfiles-setup-dev.service", "systemd-update-done.service", "systemd-user-sessions.service", "tmp.mount",
    "veritysetup.target",
)  # fmt: skip
"""What a host in namespaces has no use for."""
_TMPFILES: Final = ("systemd.conf", "tmp.conf", "var.conf")
_USERS: Final = ("git", "sshd")
_FIRST_USER: Final = 400
_BUILDERS: Final = 4
_BUILDERS_GROUP: Final = 30000


def missing() -> str:
    """What the hosts would need and is not here, empty if all is."""
    if packages() is not None:
        return ""
    return "the hosts have no Python packages: PYTHON=/usr/bin/python3 VENV=.venv-system .ci/provision"


def packages() -> Path | None:
    """The Python packages for the hosts: they run /usr/bin/python3, since a unit sees no other one in somebody's home."""
    if Path(sys.base_prefix).resolve() == Path("/usr"):
        return next(one for one in map(Path, sys.path) if one.name == "site-packages")
    return next(iter(sorted((ROOT / ".venv-system/lib").glob("python3.*/site-packages"))), None)


def shown() -> tuple[str, ...]:
    """Folders of this machine that the hosts see: the project and its packages."""
    return (f"{packages()}:{AGENT}/site", f"{ROOT / 'agent'}:{AGENT}/src/agent", f"{CHECKS}:{FLEET}")


def furnish(disk: Path, name: str) -> None:
    """Fill the disk of a host."""
    for one in _FOLDERS:
        (disk / one).mkdir(parents=True, exist_ok=True)
    (disk / "var/tmp").chmod(0o1777)
    (disk / "root").chmod(0o700)
    os.chown(disk / "nix/store", 0, _BUILDERS_GROUP)
    (disk / "nix/store").chmod(0o1775)
    rendered = read(name)
    adapt(name, rendered)
    _etc(disk / "etc", name, rendered)
    for unit, text in rendered.units.items():
        _write(disk, f"/etc/systemd/system/{unit}", text)
        for target in rendered.wanted.get(unit, ()):
            folder = disk / f"etc/systemd/system/{target}.wants"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / unit).symlink_to(f"/etc/systemd/system/{unit}")
    for path, text in rendered.files.items():
        _write(disk, path, text)
    for file, secret in keys.secrets(name).items():
        _write(disk, f"/etc/fleet/secrets/{file}", secret + "\n")
        (disk / "etc/fleet/secrets" / file).chmod(0o600)
    _packages(disk, rendered)
    _system(disk, rendered)
    _register(disk)


def _etc(etc: Path, name: str, rendered: Rendered) -> None:
    for source in [Path("/etc") / one for one in _ETC]:
        if source.is_dir():
            shutil.copytree(source, etc / source.name, symlinks=True, ignore=shutil.ignore_patterns("private"))
        elif source.exists():
            shutil.copy(source, etc)
    system = etc / "systemd/system"
    system.mkdir(parents=True)
    for unit in _MASKED:
        (system / unit).symlink_to("/dev/null")
    (etc / "tmpfiles.d").mkdir()
    for rules in Path("/usr/lib/tmpfiles.d").glob("*.conf"):
        if rules.name not in _TMPFILES:
            (etc / "tmpfiles.d" / rules.name).symlink_to("/dev/null")
    (system / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    addresses = "".join(f"{address} {host}\n" for host, address in HOSTS.items())
    builders = range(_BUILDERS_GROUP + 1, _BUILDERS_GROUP + 1 + _BUILDERS)
    homes = {"root": "/root", "nobody": "/var/empty", **dict.fromkeys(_USERS, "/var/empty"), **rendered.users}
    own = {user: number for number, user in enumerate((*_USERS, *rendered.users), _FIRST_USER)}
    users = {"root": 0, "nobody": 65534, **own}
    texts = {
        "hostname": f"{name}\n",
        "hosts": f"127.0.0.1 localhost\n::1 localhost\n{addresses}",
        "machine-id": f"{uuid.uuid4().hex}\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n",
        "passwd": "".join(f"{user}:x:{uid}:{uid}:{user}:{homes[user]}:/bin/bash\n" for user, uid in users.items())
        + "".join(f"nixbld{uid}:x:{uid}:{_BUILDERS_GROUP}:builder:/var/empty:/bin/sh\n" for uid in builders),
        "group": "".join(f"{user}:x:{uid}:\n" for user, uid in users.items())
        + "tty:x:5:\nadm:x:4:\nsystemd-journal:x:999:\n"
        + f"nixbld:x:{_BUILDERS_GROUP}:" + ",".join(f"nixbld{uid}" for uid in builders) + "\n",
        "shadow": "".join(f"{user}:*::0:99999:7:::\n" for user in users),
    }  # fmt: skip
    for path, text in texts.items():
        (etc / path).write_text(text)
    (etc / "shadow").chmod(0o640)


def _write(disk: Path, path: str, text: str) -> None:
    target = disk / path.removeprefix("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.write_text(text)
    private = "PRIVATE KEY" in text
    target.chmod(0o600 if private else 0o755 if text.startswith("#!") else 0o644)


# -- programs at the store paths ----------------------------------------------------------------------------------------


def _packages(disk: Path, rendered: Rendered) -> None:
    """Make every store path that a unit or file names: this machine's programs, and our own."""
    texts = "\n".join([*rendered.units.values(), *rendered.files.values()])
    for path in sorted(set(re.findall(r"/nix/store/[0-9a-z]{32}-[A-Za-z0-9+._?=-]+", texts))):
        place = disk / path.removeprefix("/")
        if place.exists():
            continue
        place.mkdir()
        name = path.removeprefix("/nix/store/")[33:]
        program = {"agent": _agent(), "harmonia": Path(__file__).with_name("stand_in_harmonia.py").read_text()}.get(
            name
        )
        if program:
            _write(place, f"/bin/{name}", program)
        else:
            (place / "bin").symlink_to("/usr/bin")
            (place / "sbin").symlink_to("/usr/sbin")


def _register(disk: Path) -> None:
    """List the store paths for Nix, which is told of them at boot: what it does not know of, it shows to no run."""
    paths = [path.name for path in (disk / "nix/store").iterdir() if re.fullmatch(r"[0-9a-z]{32}-.+", path.name)]
    _write(disk, "/etc/fleet/store", "".join(f"/nix/store/{name}\n\n0\n" for name in sorted(paths)))


def _agent() -> str:
    return f"""\
#!{PYTHON} -IB
import sys
sys.path[:0] = ["{AGENT}/src", "{AGENT}/site"]
from agent.cli import main
main()
"""


def _system(disk: Path, rendered: Rendered) -> None:
    """What a NixOS host has as /run/current-system: commands for operators, and another configuration to switch to."""
    system = disk / f"nix/store/{'0' * 32}-nixos-system-host"
    commands = system / "sw/bin"
    commands.mkdir(parents=True)
    _write(commands, "/agent", _agent())
    other = system / "specialisation/upgraded"
    (other / "units").mkdir(parents=True)
    for unit, text in rendered.units.items():
        upgraded = unit.startswith("agent-pod-") and unit.endswith(".service")
        new = text.replace("[Service]\n", '[Service]\nEnvironment="FLEET_GENERATION=two"\n', 1) if upgraded else text
        (other / "units" / unit).write_text(new)
    _write(other, "/bin/switch-to-configuration", _SWITCH)


_SWITCH: Final = """\
#!/bin/bash
# As NixOS does it with units that changed: new files, a reload, and a restart of those that want one.
set -eu
changed=()
for unit in /run/current-system/specialisation/upgraded/units/*; do
  name=${unit##*/}
  cmp -s "$unit" "/etc/systemd/system/$name" && continue
  cp "$unit" "/etc/systemd/system/$name"
  grep -qiE '^X-RestartIfChanged=(false|no|0)' "$unit" || changed+=("$name")
done
systemctl daemon-reload
[ ${#changed[@]} = 0 ] || systemctl try-restart "${changed[@]}"
"""
