"""Ways out of the sandbox by what the kernel offers: each must fail inside and work outside, else it would prove nothing."""

import asyncio
import ctypes
import os
import uuid
from collections.abc import Callable, Iterator

import pytest

from support.attacks import CANARY, USERS, Cell, alive, attack, attempt, prison, python, sh, until

Note = Callable[[str], None]


@pytest.fixture(params=USERS)
def cell(request: pytest.FixtureRequest) -> Iterator[Cell]:
    with prison(request.param) as furnished:
        yield furnished


PTRACE = """import ctypes, os, sys
libc, pid = ctypes.CDLL(None, use_errno=True), int(sys.argv[1])
sys.exit(libc.ptrace(16, pid, 0, 0) != 0 or os.waitpid(pid, 0)[0] != pid or libc.ptrace(17, pid, 0, 0) != 0)"""


@pytest.mark.parametrize("way", ["signal", "trace", "renice"])
async def test_a_process_outside_cannot_be_touched(cell: Cell, measured: Note, way: str) -> None:
    mark = str(1_000_000 + uuid.uuid4().int % 1_000_000)
    victim = asyncio.create_task(cell.outside("sleep", mark))
    await until(lambda: len(alive(mark)) == 1)
    pid = alive(mark)[0]
    argv = {
        "signal": sh("kill -9 $1", pid),
        "trace": python(PTRACE, pid),
        "renice": ["renice", "-n", "5", "-p", str(pid)],
    }
    try:
        await attack(cell, *argv[way])
    finally:
        victim.cancel()
        await asyncio.wait((victim,))
    measured(attempt(cell, f"{way} a process of the host"))


KERNEL: dict[str, tuple[str, str]] = {
    "mount a file system": ("mount -t tmpfs none . && umount .", "root"),
    "mount read-write again": (
        "mkdir -p m && mount --bind /usr m && mount -o remount,bind,rw m && touch m/x.$$ && rm m/x.$$ && umount m",
        "root",
    ),
    "make a user namespace": ("unshare -Ur true", ""),
    "mount in a namespace of one's own": ("unshare -Urm mount -t tmpfs none .", ""),
    "enter a namespace": ("nsenter --mount=/proc/self/ns/mnt --net=/proc/self/ns/net true", "root"),
    "make a device": ("mknod disk b 254 0 && rm disk", "root"),
    "write to /proc/sys": ("v=$(cat /proc/sys/vm/swappiness) && echo $v > /proc/sys/vm/swappiness", "root"),
    "write to the core pattern": (
        'v=$(cat /proc/sys/kernel/core_pattern) && echo "$v" > /proc/sys/kernel/core_pattern',
        "root",
    ),
    "write to /sys": (
        "v=$(cat /sys/kernel/mm/ksm/pages_to_scan) && echo $v > /sys/kernel/mm/ksm/pages_to_scan",
        "root",
    ),
    "read the passwords": ("grep -q root /etc/shadow", "root"),
    "change the root": ("chroot / true", "root"),
    "set the clock": ('date -s "@$(date +%s)"', "root"),
    "write a file of the system": ("touch /usr/share/agent-attack && rm /usr/share/agent-attack", "root"),
    "lower its niceness": ("nice -n -5 sh -c '[ $(nice) = -5 ]'", "root"),
    "see the host's processes": ("[ $(ls -d /proc/[0-9]* | wc -l) -gt 6 ]", ""),
    "see the host's interfaces": ("ls /sys/class/net/ | grep -v lo", ""),
}


@pytest.mark.parametrize("way", KERNEL)
async def test_the_system_cannot_be_changed(cell: Cell, measured: Note, way: str) -> None:
    script, only = KERNEL[way]
    if only and cell.who != only:
        pytest.skip("an ordinary user cannot do it outside either")
    await attack(cell, *sh(script))
    measured(attempt(cell, way))


KEYS = """import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
add, control = {"x86_64": (248, 250), "aarch64": (217, 219)}[__import__("platform").machine()]
SEARCH, READ, SESSION = 10, 11, -3
key = libc.syscall(control, SEARCH, SESSION, b"user", sys.argv[1].encode(), 0)
buffer = ctypes.create_string_buffer(100)
sys.exit(key < 0 or libc.syscall(control, READ, key, buffer, 100) < 0 or b"canary" not in buffer.raw)"""


async def test_a_kernel_keyring_cannot_be_read(cell: Cell, measured: Note) -> None:
    libc, name = ctypes.CDLL(None, use_errno=True), str(uuid.uuid4())
    add, control = {"x86_64": (248, 250), "aarch64": (217, 219)}[os.uname().machine]
    libc.syscall(control, 1, None)  # a session keyring that children inherit, as under systemd
    key = libc.syscall(add, b"user", name.encode(), CANARY.encode(), len(CANARY), -3)
    assert key > 0
    libc.syscall(control, 5, key, 0x3F3F3F3F)
    await attack(cell, *python(KEYS, name))
    measured(attempt(cell, "read a kernel keyring"))


TYPE = """import fcntl, os, sys, termios
if os.fork() == 0:
    os.setsid()
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    fcntl.ioctl(slave, termios.TIOCSTI, b"x")
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))"""


async def test_nothing_can_be_typed_into_a_terminal(cell: Cell, measured: Note) -> None:
    if not (await cell.outside(*python(TYPE))).ok:
        pytest.skip("this kernel forbids it to everybody")
    await attack(cell, *python(TYPE))
    measured(attempt(cell, "type into a terminal (TIOCSTI)"))


async def test_no_descriptor_of_ours_is_open_inside(cell: Cell, measured: Note) -> None:
    """The pipe of the report, the folders of the host, the handle of a process: only its own streams, and an event counter."""
    done = await cell.inside(*sh("readlink /proc/[0-9]*/fd/*; true"))
    assert done.ok
    found = {line for line in done.stdout.decode().splitlines() if not line.startswith("/proc/")}
    pipes = {line for line in found if line.startswith("pipe:")}
    assert len(pipes) == 2
    assert found - pipes == {"/memfd:stdin (deleted)", "anon_inode:[eventfd]", "/dev/null"}
    first = await cell.inside(*sh("readlink /proc/1/fd/0 /proc/1/fd/1"))
    assert first.stdout == b"/dev/null\n" * 2, "the first process is open to all: it has not even the program's streams"
    measured(attempt(cell, "find an open descriptor"))
