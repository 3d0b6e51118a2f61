"""The real Claude Code in the sandbox, both versions: nothing that it starts can take hold of it or of its connection."""

from __future__ import annotations

import json
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.demo.messages_api import serving
from agent.demo.turns import by_answers, call, verdict
from agent.programs.processes import Processes
from agent.programs.runner import Job
from agent.relay import Relay
from agent.sandbox.closed import library
from agent.sandbox.jail import Jail, Limits
from agent.sandbox.sandbox import Sandbox
from support.claude_cli import Session, session
from support.claude_cli import each_claude_cli as claude_cli
from support.relay_world import KEY, PLENTY, PRICES

__all__ = ["claude_cli", "session"]

ATTACK = r"""
import ctypes, json, os, resource, socket
libc = ctypes.CDLL(None, use_errno=True)
found = {}

def tried(name, call):
    try:
        found[name] = call()
    except OSError as error:
        found[name] = f"refused: {error.strerror}"

def called(name, number, *words):
    answer = libc.syscall(number, *words)
    found[name] = "OPEN" if answer >= 0 else f"refused: {os.strerror(ctypes.get_errno())}"

coder, up = 0, os.getppid()
while up > 1:
    if b"claude" in open(f"/proc/{up}/cmdline", "rb").read():
        coder = up
    up = int(open(f"/proc/{up}/stat").read().rpartition(")")[2].split()[1])
found["coder"] = open(f"/proc/{coder}/cmdline").read().split("\0")[0]
found["own memory"] = bool(open("/proc/self/mem", "rb"))
for number in range(coder, coder + 40):  # its threads are there by their numbers, listed or not
    if not os.path.exists(f"/proc/{number}/status"):
        continue
    if f"Tgid:\t{coder}\n" not in open(f"/proc/{number}/status").read():
        continue
    for what, mode in (("mem", "r+b"), ("mem", "rb"), ("environ", "rb"), ("maps", "rb"), ("pagemap", "rb")):
        tried(f"{number} {what} {mode}", lambda: "OPEN" if open(f"/proc/{number}/{what}", mode, buffering=0) else "")
    tried(f"{number} fd", lambda: "OPEN" if os.listdir(f"/proc/{number}/fd") and os.readlink(f"/proc/{number}/fd/0") else "")
    tried(f"{number} write to its output", lambda: "OPEN" if open(f"/proc/{number}/fd/1", "wb") else "")
    tried(f"{number} cwd", lambda: "OPEN" if os.readlink(f"/proc/{number}/cwd") else "")
PTRACE, READ, WRITE, KCMP = (101, 310, 311, 312) if os.uname().machine == "x86_64" else (117, 270, 271, 272)
called("ptrace", PTRACE, 0x4206, coder, 0, 0)
called("process_vm_readv", READ, coder, 0, 0, 0, 0, 0)
called("process_vm_writev", WRITE, coder, 0, 0, 0, 0, 0)
called("kcmp", KCMP, coder, os.getpid(), 0, 0, 0)
for number in (coder, 1):
    tried(f"limits of {number}", lambda: "OPEN" if resource.prlimit(number, resource.RLIMIT_NOFILE) else "")
    tried(f"limits of {number} set", lambda: "OPEN" if resource.prlimit(number, resource.RLIMIT_NOFILE, (0, 0)) else "")
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
found["own limits"] = resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 64
handle = os.pidfd_open(coder)
for fd in range(64):
    called(f"pidfd_getfd {fd}", 438, handle, fd, 0)
with open("found.json", "w") as file:
    json.dump({**found, "preload": os.environ.get("LD_PRELOAD", "")}, file)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the sandbox shows, with a short path."""
    with tempfile.TemporaryDirectory(prefix="closed-") as folder:
        yield Path(folder)


async def test_nothing_that_the_coder_starts_can_take_its_connection_or_its_memory(
    session: Session, place: Path, measured: Callable[[str], None]
) -> None:
    (session.tree / "attack.py").write_text(ATTACK)
    (place / "closed.so").write_bytes(library(platform.machine()))
    session.change(socket=place / "relay.sock", preload=place / "closed.so")
    script = by_answers(
        call("Bash", command="/usr/bin/python3 attack.py; echo $?; sh -c 'exec 3< /proc/self/fd/0 && echo own'"),
        call("Grep", pattern="ctypes"),
        verdict("done"),
    )
    with serving(script) as api:
        relay = Relay(
            api=api.url,
            key=KEY,
            models=(session.options.model,),
            prices=PRICES,
            budget=PLENTY,
            record=place / "usage.json",
        )
        jail = Jail(
            writable=(session.tree, session.home),
            readable=(place, Path(session.options.program)),
            tmp=session.home / "tmp",
        )
        claude = session.claude()
        limits = Limits(disk=1 << 30, processes=200)
        claude._runner = Sandbox(runner=session.runner, jail=jail, limits=limits, closed=True)
        async with relay.serving(session.options.socket):
            result = await claude.run("Try.", cwd=session.tree, run=session.run_id, timeout=60, idle=40)
        assert (result.verdict, len(api.seen)) == ("done", 3)
        told = api.seen[1].results()[0].split()
        assert told == ["0", "own"], told
    found = json.loads((session.tree / "found.json").read_text())
    assert found.pop("coder").endswith("/claude")
    assert found.pop("own memory") is True, "a program of its own may still look at itself"
    assert found.pop("own limits") is True, "and limit itself"
    assert found.pop("preload") == ""
    taken = {name: one for name, one in found.items() if not str(one).startswith("refused: ")}
    measured(f"the coder's memory, files and connection from its Bash: {len(found)} attempts / {len(taken)} successes")
    assert taken == {}
    assert len(found) > 80


TRACE = "import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(0, 0, 0, 0) != 0)"


@pytest.mark.parametrize("closed", [False, True])
async def test_a_debugger_works_where_no_model_lives(closed: bool, place: Path) -> None:
    jail = Jail(writable=(place,), tmp=place / "tmp")
    limits = Limits(disk=1 << 30, processes=50)
    sandbox = Sandbox(runner=Processes(), jail=jail, limits=limits, closed=closed)
    job = Job(argv=("/usr/bin/python3", "-c", TRACE), cwd=place, env={"PATH": "/usr/bin:/bin"}, timeout=30)
    assert (await sandbox.run(job)).returncode == closed


DUMPABLE = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)"
CHILD = "import os, sys; os.environ['LD_PRELOAD'] = ''; os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"


async def test_the_library_closes_what_is_started_with_it_and_nothing_that_comes_after(place: Path) -> None:
    file = place / "closed.so"
    file.write_bytes(library(platform.machine()))
    env = {"PATH": "/usr/bin:/bin", "LD_PRELOAD": str(file)}
    for script, dumpable in ((DUMPABLE, b"0\n"), (CHILD, b"1\n")):
        done = await Processes().run(Job(argv=(sys.executable, "-c", script, DUMPABLE), cwd=place, env=env, timeout=30))
        assert (done.stdout, done.stderr) == (dumpable, b"")
