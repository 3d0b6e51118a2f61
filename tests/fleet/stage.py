"""Where the hosts stand: namespaces with a disk in memory and a bridge, which go, with all that is in them, with this process.

The stage's first process dies with the thread that made it, however that ends, and with it every process, mount and network
device of every host.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

NAME = "agent-fleet-"
PROGRAMS = ("bwrap", "curl", "git", "ip", "jq", "nix", "nsenter", "setpriv", "ssh", "sshd", "unshare")
_PREPARE = """
set -eu
mount -t tmpfs -o mode=755 disks "$1"
mkdir -p /run/netns
mount -t tmpfs -o mode=755 netns /run/netns
ip link set lo up
ip link add bridge type bridge
ip link set bridge up
: > "$1/ready"
exec sleep infinity
"""
_BROOM = """
while kill -0 "$1" 2> /dev/null; do sleep 0.5; done
find "$2" -depth -type d -exec rmdir {} + 2> /dev/null
rmdir "$3" 2> /dev/null
"""
"""Sweeps up the empty folders, should this process be killed."""


def missing() -> str:
    """Why hosts cannot be booted here, empty if they can."""
    if os.geteuid() != 0:
        return "only root can boot hosts"
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if not Path("/lib/systemd/systemd").exists():
        absent.append("systemd")
    if absent:
        return f"missing for hosts: {', '.join(absent)}"
    if _cgroups() is None:
        return "no cgroup2 hierarchy can be written"
    return ""


@dataclass(frozen=True)
class Stage:
    """A running stage.

    Attributes:
        pid: of its first process.
        disks: the folder of the disks, as the hosts' first processes see it.
        cgroup: the folder for the hosts' control groups.
    """

    pid: int
    disks: Path
    cgroup: Path

    def disk(self, host: str) -> Path:
        """A host's disk, as this process sees it; it survives a power cut."""
        return Path(f"/proc/{self.pid}/root{self.disks}") / host

    def cable(self, host: str, address: str) -> None:
        """Connect a host's network to the bridge."""
        self.run("ip", "netns", "add", host)
        self.run("ip", "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", host)
        self.run("ip", "link", "set", host, "master", "bridge", "up")
        for words in (
            ("address", "add", f"{address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            self.run("ip", "-netns", host, *words)

    def plug(self, host: str, *, into: bool) -> None:
        """Plug a host's cable in, or pull it."""
        self.run("ip", "link", "set", host, "up" if into else "down")

    def run(self, *command: str) -> None:
        """A command among the stage's own networks and mounts."""
        done = subprocess.run([*self._enter("--net"), *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"

    def boot(self, host: str, program: Path, shown: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Start the first process of a host."""
        cgroup = self.cgroup / host
        cgroup.mkdir(exist_ok=True)
        disk = self.disk(host)
        shutil.copy(program, disk / "boot.sh")
        with log.open("ab") as out:
            return subprocess.Popen(
                [
                    *self._enter(f"--net=/proc/{self.pid}/root/run/netns/{host}"),
                    *("unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child=KILL"),
                    *("--propagation", "private", "sh", "-c"),
                    'echo 1 > "$1"; shift; exec unshare --cgroup sh "$@"',
                    *("sh", str(cgroup / "cgroup.procs"), f"{self.disks}/{host}/boot.sh", host, f"{self.disks}/{host}"),
                    *shown,
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def _enter(self, network: str) -> list[str]:
        return ["nsenter", f"--target={self.pid}", "--mount", "--pid", network, "--"]


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """A stage for as long as the context lasts."""
    parent = _cgroups()
    assert parent is not None
    cgroup = parent / f"{NAME}{os.getpid()}"
    cgroup.mkdir()
    disks = Path(tempfile.mkdtemp(prefix=f"{NAME}{os.getpid()}-"))
    broom = ["setsid", "--fork", "sh", "-c", _BROOM, "sh", str(os.getpid()), str(cgroup), str(disks)]
    subprocess.run(broom, check=True, stdin=subprocess.DEVNULL)
    keeper = subprocess.Popen(
        [
            *("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=KILL"),
            *("--propagation", "private", "sh", "-c", _PREPARE, "sh", str(disks)),
        ],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        pid = _first_child(keeper)
        made = Stage(pid, disks, cgroup)
        _until(lambda: (made.disk("ready")).exists(), "the stage was not made")
        yield made
    finally:
        keeper.kill()
        keeper.wait()
        _until(lambda: not any(one.read_text().strip() for one in cgroup.rglob("cgroup.procs")), "hosts live on")
        _remove(cgroup)
        _until(lambda: not os.path.ismount(disks), "the disks stay")
        disks.rmdir()


def _first_child(keeper: subprocess.Popen[bytes]) -> int:
    found: list[int] = []

    def look() -> bool:
        assert keeper.poll() is None, "the stage was not made"
        found[:] = children(keeper.pid)
        return bool(found)

    _until(look, "the stage has no process")
    return found[0]


def children(pid: int) -> list[int]:
    """The children of a process."""
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _until(true: object, sentence: str, seconds: float = 10.0) -> None:
    assert callable(true)
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, sentence
        time.sleep(0.02)


def _cgroups() -> Path | None:
    """The folder of this process in the cgroup2 hierarchy, if folders can be made in it."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    mounted = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), None)
    mine = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    if mounted is None or not mine:
        return None
    folder = Path(mounted + mine[0])
    folder = folder if folder.is_dir() else Path(mounted)
    return folder if os.access(folder, os.W_OK) and not os.statvfs(folder).f_flag & os.ST_RDONLY else None


def _remove(cgroup: Path) -> None:
    for folder in sorted((one.parent for one in cgroup.rglob("cgroup.procs")), reverse=True):
        folder.rmdir()
    if cgroup.exists():
        cgroup.rmdir()
