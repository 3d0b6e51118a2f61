"""Pure: the command line of bubblewrap for a jail.

Every namespace is asked for by name, so that one that the host refuses is an error and not a silent downgrade. Mounts go
in the order of their paths, parents first. What bubblewrap makes by itself (the root, mount points, /dev) ends read-only:
the only places to write are the jail's folders, which are on disk and measured, and /dev/shm, which is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from agent.sandbox.host import Host
from agent.sandbox.jail import Jail, Limits

STATUS: Final = 3
"""The descriptor on which bubblewrap says, outside, which process it started."""
WORD: Final = 4
"""The descriptor on which the first thing inside says that it is there; closed before the program starts."""
FILTER: Final = 5
"""The descriptor from which bubblewrap reads the filter of system calls."""
ASKED: Final = 6
GATE: Final = 7
"""The descriptors on which the first thing inside asks for what it was shown, and waits for it; both closed before the program starts."""
IN: Final = 8
OUT: Final = 9
"""The program's input and output: they are handed past the first process of the namespace, whose descriptors all can open."""
FIRST: Final = 1
"""What the first thing inside asks for; see `holder`."""
ENTERED: Final = "entered"
ABSENT: Final = "absent"
SHARED_MEMORY: Final = 256 << 20
"""Bytes of /dev/shm."""
KERNEL: Final = tuple(
    Path("/proc") / name
    for name in ("acpi", "bus", "driver", "fs", "irq", "mtrr", "pressure", "scsi", "sys", "sysrq-trigger")
)
"""The kernel's switches in /proc belong to root, capabilities or not, and bubblewrap 0.12 leaves them writable for root."""

ALONE: Final = (
    *("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup"),
    *("--disable-userns", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "sandbox"),
)
_OUTER: Final = f'place=$1; shift; exec "$@" {STATUS}>"$place/status" {WORD}>"$place/status" {FILTER}<"$place/filter" {IN}<&0 {OUT}>&1 </dev/null >/dev/null'
_VIEWED: Final = f'{_OUTER} {ASKED}<>"$place/asked" {GATE}<>"$place/gate"'
_WAIT: Final = f"""echo {FIRST} >&{ASKED}
read -r number lost <&{GATE}
[ -z "$lost" ] || {{ echo "view: $lost" >&2; exit 1; }}
exec {ASKED}>&- {GATE}>&-
"""
_INNER: Final = f"""ulimit -c 0
ulimit -f "$1" 2> /dev/null
ulimit -u "$2" 2> /dev/null || ulimit -p "$2" 2> /dev/null
for name in $3; do unset "$name"; done
shift 3
command -v -- "$1" > /dev/null 2>&1 || {{ echo {ABSENT} >&{WORD}; exit 127; }}
echo {ENTERED} >&{WORD}
exec "$@" {WORD}>&- <&{IN} >&{OUT} {IN}<&- {OUT}>&-"""
"""dash knows `-p` for processes, bash knows `-u`; a limit that is lower already stays."""
_BY_SHELLS: Final = ("OLDPWD", "PWD", "SHLVL")
"""Variables that bubblewrap and the shell set by themselves."""


def command(
    argv: tuple[str, ...],
    *,
    bwrap: str,
    place: Path,
    cwd: Path,
    names: frozenset[str],
    jail: Jail,
    limits: Limits,
    host: Host,
    before: tuple[str, ...] = (),
    views: tuple[tuple[Path, Path], ...] = (),
) -> tuple[str, ...]:
    """The whole command line that runs `argv` in the jail.

    Args:
        argv: the program and its arguments.
        bwrap: the path of bubblewrap.
        place: a folder outside with `status`, a named pipe that somebody reads, and `filter`.
        cwd: where the program runs.
        names: the names of the variables that are handed in; no other reaches the program.
        jail: the paths.
        limits: what the kernel can enforce of them, it does.
        host: the host's own programs.
        before: what runs bubblewrap.
        views: folders that `before` makes, and where they are inside; each shows some entries of a folder. At a place of
            `jail.elsewhere` it is that folder with these entries in it.
    """
    strange = " ".join(name for name in _BY_SHELLS if name not in names)
    inner = (
        "/bin/sh",
        "-c",
        (_WAIT if views else "") + _INNER,
        "sandbox",
        str(limits.disk // 512),
        str(limits.tasks),
        strange,
        *argv,
    )
    outer = ("/bin/sh", "-c", _VIEWED if views else _OUTER, "sandbox", str(place), *before, bwrap)
    return (*outer, *arguments(jail, host=host, cwd=cwd, views=views), "--", *inner)


def arguments(jail: Jail, *, host: Host, cwd: Path, views: tuple[tuple[Path, Path], ...] = ()) -> list[str]:
    """The options of bubblewrap, without the program to run."""
    options = [*ALONE, *(() if jail.network else ("--unshare-net",))]
    options += ["--json-status-fd", str(STATUS), "--seccomp", str(FILTER)]
    written = {inside for _, inside in jail.elsewhere}
    mounts = _mounts(jail, host)
    mounts |= {inside: ("--bind" if inside in written else "--ro-bind", str(outside)) for outside, inside in views}
    for path, mount in sorted(mounts.items(), key=lambda entry: entry[0].parts):
        options += [*mount, str(path)]
    return [*options, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", str(cwd)]


def _mounts(jail: Jail, host: Host) -> dict[Path, tuple[str, ...]]:
    """What lies at which path; where two want the same one, the later, more particular one has it."""
    mounts: dict[Path, tuple[str, ...]] = dict.fromkeys((Path("/home"), Path("/run"), Path("/var")), ("--dir",))
    mounts.update({path: ("--symlink", target) for path, target in host.links})
    mounts.update(_bound("--ro-bind", host.folders))
    mounts[Path("/proc")] = ("--proc",)
    mounts.update(_bound("--ro-bind-try", KERNEL))
    mounts[Path("/dev")] = ("--dev",)
    mounts[Path("/dev/shm")] = ("--perms", "1777", "--size", str(SHARED_MEMORY), "--tmpfs")  # noqa: S108 - a mount point
    mounts.update({path: ("--bind", str(jail.tmp)) for path in (Path("/tmp"), Path("/var/tmp"))})  # noqa: S108 - likewise
    mounts.update(_bound("--ro-bind", jail.readable))
    mounts.update(_moved("--ro-bind", jail.instead))
    mounts.update(_bound("--bind", (*jail.writable, jail.tmp)))
    mounts.update(_moved("--bind", jail.elsewhere))
    mounts.update(_bound("--ro-bind", jail.nested))
    return mounts


def _bound(kind: str, paths: tuple[Path, ...]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    return _moved(kind, ((path, path) for path in paths))


def _moved(kind: str, places: Iterable[tuple[Path, Path]]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    return ((inside, (kind, str(outside))) for outside, inside in places)
