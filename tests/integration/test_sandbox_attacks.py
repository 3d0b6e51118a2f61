"""Ways out of the sandbox, each tried inside, where it must fail, and outside, where it must not: else it would prove nothing."""

import asyncio
import ctypes
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.attacks import CANARY, USERS, Cell, prison

Note = Callable[[str], None]


@pytest.fixture(params=USERS)
def cell(request: pytest.FixtureRequest) -> Iterator[Cell]:
    with prison(request.param) as furnished:
        yield furnished


@pytest.fixture
def note(measured: Note, request: pytest.FixtureRequest) -> Note:
    """Called once an attack has failed inside and worked outside."""

    def attempted(name: str) -> None:
        measured(f"sandbox attack: 1 attempt, 0 successes: {name} ({request.node.callspec.params['cell']})")

    return attempted


async def attack(cell: Cell, *argv: str) -> None:
    inside = await cell.inside(*argv)
    assert not inside.ok, f"it succeeded: {inside.stdout!r}"
    assert CANARY.encode() not in inside.stdout + inside.stderr
    outside = await cell.outside(*argv)
    assert outside.ok, f"the control failed: {outside.stderr!r}"


def sh(script: str, *arguments: object) -> list[str]:
    return ["/bin/sh", "-c", script, "sh", *map(str, arguments)]


def python(script: str, *arguments: object) -> list[str]:
    return ["/usr/bin/python3", "-c", script, *map(str, arguments)]


def alive(argument: str) -> list[int]:
    """Processes with this argument, by the host's numbers."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and argument.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


SECRETS = ["state/worktrees/other/secret", "state/runs/secret", "real-home/.ssh/id_ed25519", "credentials/token"]
ROUTES = {
    "by its path": 'grep canary "$1"',
    "through a symlink": 'ln -sf "$1" link && grep canary link',
    "through /proc/1/root": 'grep canary "/proc/1/root$1" || grep canary "/proc/$PPID/root$1"',
    "by copying all that there is": 'grep -rqs canary "${1%/*}/.."',
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("secret", SECRETS)
async def test_a_file_outside_cannot_be_read(cell: Cell, note: Note, secret: str, route: str) -> None:
    await attack(cell, *sh(ROUTES[route] + " > /dev/null", cell.folder / secret))
    note(f"read {secret} {route}")


@pytest.mark.parametrize("part", ["environ", "cmdline"])
async def test_a_secret_of_another_process_cannot_be_read(cell: Cell, note: Note, part: str) -> None:
    canary = str(uuid.uuid4())
    owner = asyncio.create_task(cell.outside("sh", "-c", "sleep 60; true", canary, SECRET=canary))
    await until(lambda: len(alive(canary)) > 0)
    try:
        script = """import glob, sys
texts = []
for path in glob.glob("/proc/[0-9]*/" + sys.argv[1]):
    try: texts.append(open(path).read())
    except OSError: pass
wanted = "-".join(sys.argv[2:])
sys.exit(not any(wanted in text for text in texts))"""
        await attack(cell, *python(script, part, *canary.split("-")))
    finally:
        owner.cancel()
        await asyncio.wait((owner,))
    note(f"read the {part} of the orchestrator")


async def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    for _ in range(int(seconds * 100)):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("waited in vain")


WRITES = {
    "create a file beside the worktree": 'touch "$1/state/new"',
    "change another worktree": 'echo x > "$1/state/worktrees/other/secret"',
    "write to the real home": 'echo x >> "$1/real-home/.ssh/id_ed25519"',
    "link a file of the state into the worktree": 'ln "$1/state/runs/secret" stolen && grep canary stolen',
    "write through a symlink": 'ln -sfn "$1/state" link && touch link/new2',
    "rename the worktree": 'mv "$1/state/worktrees/mine" "$1/state/moved" && mv "$1/state/moved" "$1/state/worktrees/mine"',
    "write the worktree's .git": "cat .git > copy; cat copy > .git",
    "remove the worktree's .git": "mv .git was && mv was .git",
    "put another .git in its place": "cp .git new && mv -f new .git",
    "make .git a folder": "rm .git && git init -q .",
    "write the mirror's config": 'echo >> "$1/state/mirror.git/config"',
    "plant a hook": 'echo "#!/bin/sh" > "$1/state/mirror.git/hooks/pre-commit"',
    "write a reference": 'cp "$1/state/mirror.git/HEAD" "$1/state/mirror.git/refs/heads/x"',
    "move HEAD": 'cp "$1/state/mirror.git/worktrees/mine/HEAD" head && cp head "$1/state/mirror.git/worktrees/mine/HEAD"',
    "plant an object": 'mkdir -p "$1/state/mirror.git/objects/ff" && touch "$1/state/mirror.git/objects/ff/x"',
    "lock the index": 'touch "$1/state/mirror.git/worktrees/mine/index.lock" && rm "$1/state/mirror.git/worktrees/mine/index.lock"',
    "reach the other's administrative folder": 'ls "$1/state/mirror.git/worktrees/" && mkdir "$1/state/mirror.git/worktrees/x"',
}


@pytest.mark.parametrize("way", WRITES)
async def test_nothing_outside_the_worktree_can_be_written(cell: Cell, note: Note, way: str) -> None:
    await attack(cell, *sh(WRITES[way], cell.folder))
    note(way)


IDENTITY = "git -c user.name=x -c user.email=x@example.org"
COMMIT = f"{IDENTITY} commit -q --allow-empty -m x"
COMMITS = {
    "plainly": [*COMMIT.split()],
    "through a shell": sh(f"sh -c '{COMMIT}'"),
    "by GIT_DIR": sh(f'GIT_DIR=$(sed "s/^gitdir: //" .git) GIT_WORK_TREE=. {COMMIT}'),
    "from another program": python(f"import os, sys; sys.exit(os.system('{COMMIT}') != 0)"),
    "by plumbing": sh(
        f"export GIT_INDEX_FILE=/tmp/index.$$; git read-tree HEAD && tree=$(git write-tree) && "
        f"commit=$({IDENTITY} commit-tree -p HEAD -m x $tree) && git update-ref --no-deref HEAD $commit"
    ),
    "with the objects elsewhere": sh(
        "mkdir -p /tmp/objects && export GIT_OBJECT_DIRECTORY=/tmp/objects "
        "GIT_ALTERNATE_OBJECT_DIRECTORIES=$(git rev-parse --git-common-dir)/objects; " + COMMIT
    ),
}


@pytest.mark.parametrize("route", COMMITS)
async def test_git_cannot_commit(cell: Cell, note: Note, route: str) -> None:
    assert (await cell.inside("git", "log", "-1", "--format=%s")).stdout == b"first\n", "reading works"
    before = cell.history()
    await attack_that_changes(cell, before, COMMITS[route])
    note(f"commit {route}")


async def attack_that_changes(cell: Cell, before: list[str], argv: list[str]) -> None:
    inside = await cell.inside(*argv)
    assert not inside.ok
    assert cell.history() == before
    outside = await cell.outside(*argv)
    assert outside.ok, f"the control failed: {outside.stderr!r}"


DAEMONS = {
    "in the background": 'sh -c "exec sleep $1" & true',
    "in a session of its own": "setsid nohup sleep $1 > /dev/null 2>&1 < /dev/null & true",
    "without an environment": "setsid env -i /usr/bin/sleep $1 > /dev/null 2>&1 < /dev/null & sleep 0.1",
    "deaf to signals": "trap '' TERM HUP INT; setsid env -i /bin/sh -c \"trap '' TERM; /usr/bin/sleep $1; :\" "
    "> /dev/null 2>&1 < /dev/null & sleep 0.1",
    "by two forks": "/usr/bin/python3 -c 'import os, sys\n"
    "if os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n"
    '  os.closerange(0, 3); os.execve("/usr/bin/sleep", ["sleep", sys.argv[1]], {})\n'
    " os._exit(0)\nos.wait()' $1; sleep 0.1",
}


@pytest.mark.parametrize("way", DAEMONS)
async def test_a_daemon_dies_with_the_run(cell: Cell, note: Note, way: str) -> None:
    seconds = str(1_000_000 + uuid.uuid4().int % 1_000_000)
    done = await cell.inside(*sh(DAEMONS[way], seconds))
    assert done.ok, "it was started"
    assert alive(seconds) == [], "at the very moment when the run is over"
    if way != "in the background":  # what stays in the group dies without a sandbox too
        assert (await cell.outside(*sh(DAEMONS[way], seconds))).ok
        assert alive(seconds), "the control failed: nothing was left outside either"
        for pid in alive(seconds):
            os.kill(pid, signal.SIGKILL)
    note(f"leave a daemon {way}")


PTRACE = """import ctypes, os, sys
libc, pid = ctypes.CDLL(None, use_errno=True), int(sys.argv[1])
sys.exit(libc.ptrace(16, pid, 0, 0) != 0 or os.waitpid(pid, 0)[0] != pid or libc.ptrace(17, pid, 0, 0) != 0)"""


@pytest.mark.parametrize("way", ["signal", "trace", "renice"])
async def test_a_process_outside_cannot_be_touched(cell: Cell, note: Note, way: str) -> None:
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
    note(f"{way} a process of the host")


KERNEL: dict[str, tuple[str, str]] = {
    "mount a file system": ("mount -t tmpfs none . && umount .", "root"),
    "mount read-write again": (
        "mkdir -p m && mount --bind /usr m && mount -o remount,bind,rw m && touch m/x.$$ && rm m/x.$$; "
        "code=$?; umount m; exit $code",
        "root",
    ),
    "make a user namespace": ("unshare -Ur true", ""),
    "mount in a namespace of one's own": ("unshare -Urm mount -t tmpfs none .", ""),
    "enter the first process's namespaces": ("nsenter --mount=/proc/1/ns/mnt --net=/proc/1/ns/net true", "root"),
    "make a device": ("mknod disk b 254 0 && rm disk", "root"),
    "read the disk": (
        'f=$(ls /dev/vda /dev/sda /dev/nvme0n1 2>/dev/null | head -1); head -c 512 "$f" > /dev/null',
        "root",
    ),
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
async def test_the_system_cannot_be_changed(cell: Cell, note: Note, way: str) -> None:
    script, only = KERNEL[way]
    if only and cell.who != only:
        pytest.skip("an ordinary user cannot do it outside either")
    await attack(cell, *sh(script))
    note(way)


KEYS = """import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
add, control = {"x86_64": (248, 250), "aarch64": (217, 219)}[__import__("platform").machine()]
SEARCH, READ, SESSION = 10, 11, -3
key = libc.syscall(control, SEARCH, SESSION, b"user", sys.argv[1].encode(), 0)
buffer = ctypes.create_string_buffer(100)
sys.exit(key < 0 or libc.syscall(control, READ, key, buffer, 100) < 0 or b"canary" not in buffer.raw)"""


async def test_a_kernel_keyring_cannot_be_read(cell: Cell, note: Note) -> None:
    libc, name = ctypes.CDLL(None, use_errno=True), str(uuid.uuid4())
    add, control = {"x86_64": (248, 250), "aarch64": (217, 219)}[os.uname().machine]
    libc.syscall(control, 1, None)  # a session keyring that children inherit, as under systemd
    key = libc.syscall(add, b"user", name.encode(), CANARY.encode(), len(CANARY), -3)
    assert key > 0
    libc.syscall(control, 5, key, 0x3F3F3F3F)
    await attack(cell, *python(KEYS, name))
    note("read a kernel keyring")


TYPE = """import fcntl, os, sys, termios
if os.fork() == 0:
    os.setsid()
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    fcntl.ioctl(slave, termios.TIOCSTI, b"x")
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))"""


async def test_nothing_can_be_typed_into_a_terminal(cell: Cell, note: Note) -> None:
    if not (await cell.outside(*python(TYPE))).ok:
        pytest.skip("this kernel forbids it to everybody")
    await attack(cell, *python(TYPE))
    note("type into a terminal (TIOCSTI)")


async def test_no_descriptor_of_ours_is_open_inside(cell: Cell, note: Note) -> None:
    script = "[ \"$(ls /proc/self/fd /proc/1/fd | sort -u | grep -cx '[0-9]*')\" -gt 5 ] || readlink /proc/*/fd/* | grep -E '/|anon_inode:\\[pidfd' | grep -vE '^/(dev/null|proc/|memfd)'"
    done = await cell.inside(*sh(script))
    assert not done.ok, done.stdout
    note("find an open descriptor")


def test_control_of_the_helper() -> None:
    with subprocess.Popen(["sleep", "4242424242"]) as process:
        assert alive("4242424242") == [process.pid]
        process.kill()
    assert alive("4242424242") == []
