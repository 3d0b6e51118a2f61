"""Why bubblewrap could not make a jail here, and what to do about it.

The kernel says no more than "not permitted". What forbids it is guessed from the host's own switches, in the order in
which they are most likely the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.errors import PodTrouble
from agent.programs.runner import Finished
from agent.texts.clean import clean

_SWITCHES: Final = "/proc/sys"
_CLONE: Final = "kernel/unprivileged_userns_clone"
_APPARMOR: Final = "kernel/apparmor_restrict_unprivileged_userns"
_MOST: Final = "user/max_user_namespaces"
_MOUNT: Final = "can't mount proc"
_NETLINK: Final = "netlink_route"
_FORBIDDEN: Final = ("namespace", "uid map", "loopback", "userns", "failed to make / slave")


class Facts(Struct, frozen=True, kw_only=True):
    """What the host's switches say; an empty text where there is no such switch."""

    clone: str = ""
    apparmor: str = ""
    most: str = ""
    filtered: bool = False


def facts(switches: Path = Path(_SWITCHES), status: Path = Path("/proc/self/status")) -> Facts:
    """Look at this host."""
    return Facts(
        clone=_read(switches / _CLONE),
        apparmor=_read(switches / _APPARMOR),
        most=_read(switches / _MOST),
        filtered="\nSeccomp:\t2" in _read(status),
    )


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def trouble(done: Finished, seen: Facts) -> PodTrouble:
    """The error for a jail that could not be made."""
    said = _said(done)
    return PodTrouble(f"bubblewrap cannot make a sandbox on this host ({said}): {advice(said, seen)}")


def _said(done: Finished) -> str:
    lines = [line.strip() for line in clean(done.stderr.decode("utf-8", "replace")).splitlines() if line.strip()]
    if not lines:
        return f"it ended with status {done.returncode} and without a word"
    return lines[-1].removeprefix("bwrap: ").rstrip(".")[:300]


def advice(said: str, seen: Facts) -> str:
    """What to do about it."""
    said = said.lower()
    if "unknown option" in said:
        return "install bubblewrap 0.8 or newer"
    if _MOUNT in said:
        return (
            "parts of /proc are covered; in a systemd unit drop ProtectKernelTunables, ProtectKernelLogs, ProtectHostname and "
            "ProcSubset, in Docker add `--security-opt systempaths=unconfined`"
        )
    if _NETLINK in said:
        return "allow AF_NETLINK in RestrictAddressFamilies of the systemd unit"
    if not any(word in said for word in _FORBIDDEN):
        return "mend what it says"
    return f"user namespaces are forbidden; {_unlock(seen)}"


def _unlock(seen: Facts) -> str:
    if seen.clone == "0":
        return "set `sysctl -w kernel.unprivileged_userns_clone=1`"
    if seen.most == "0":
        return "set `sysctl -w user.max_user_namespaces=10000`"
    if seen.apparmor == "1":
        return (
            "AppArmor restricts them: give bwrap a profile with `userns,` in /etc/apparmor.d, or set "
            "`sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`"
        )
    if seen.filtered:
        return (
            "a filter of system calls is in the way: in Docker add `--security-opt seccomp=unconfined`, in a systemd unit "
            "mend RestrictNamespaces, SystemCallFilter and RestrictSUIDSGID"
        )
    return "look at the kernel's settings and those of the container, if this is one"
