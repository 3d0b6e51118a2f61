"""The limits of a sandbox, each tripped by the real thing: a full disk and a flood of processes, however they are hidden."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from agent.programs.runner import Ended, Finished
from agent.sandbox import usage
from agent.sandbox.jail import Limits
from agent.sandbox.usage import Walk
from support.attacks import NOBODY, USERS, Cell, alive, attempt, prison, python, sh

Note = Callable[[str], None]
MIB = 1 << 20


@pytest.fixture(params=USERS)
def cell(request: pytest.FixtureRequest) -> Iterator[Cell]:
    with prison(request.param) as furnished:
        yield furnished


DRIVER = """import asyncio, concurrent.futures.thread, json, os, sys
import msgspec
from agent.programs.processes import Processes
from agent.programs.runner import Job
from agent.sandbox.jail import Jail, Limits
from agent.sandbox.sandbox import Sandbox
given = json.load(sys.stdin)
if given["user"]:  # now that all is loaded: the checkout may lie where only its owner gets
    os.setgroups([])
    os.setresgid(*[given["user"]] * 3)
    os.setresuid(*[given["user"]] * 3)
sandbox = Sandbox(
    runner=Processes(grace=0.3), jail=msgspec.convert(given["jail"], Jail, dec_hook=lambda kind, text: kind(text)),
    limits=Limits(**given["limits"]),
)
done = asyncio.run(sandbox.run(msgspec.convert(given["job"], Job, dec_hook=lambda kind, text: kind(text))))
print(json.dumps({"ended": done.ended.name, "limit": done.limit, "duration": done.duration, "err": done.stderr.decode()}))
"""


async def run(cell: Cell, *argv: str, within: float = 30, limits: Limits | None = None) -> Finished:
    """All of it as the user: the watch, too, may look only where that one may."""
    limits = limits or cell.limits
    given = {
        "jail": msgspec.to_builtins(cell.jail, enc_hook=str),
        "limits": {"disk": limits.disk, "processes": limits.processes},
        "user": NOBODY if cell.who == "nobody" else None,
        "job": {"argv": argv, "cwd": str(cell.worktree), "env": cell.env(), "timeout": within},
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        DRIVER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
    )
    out, err = await process.communicate(json.dumps(given).encode())
    assert process.returncode == 0, err.decode()
    said = json.loads(out)
    return Finished(
        returncode=0,
        ended=Ended[said["ended"]],
        limit=said["limit"],
        duration=said["duration"],
        stderr=said["err"].encode(),
    )


FILL = "import os, sys, time\nblock = os.urandom(1 << 20)\n"
DISKS = {
    "one file": "file = open('big', 'wb')\nwhile True: file.write(block)",
    "many files": "for n in range(10_000): open(f'f{n}', 'wb').write(block[:100_000])",
    "files in HOME": "for n in range(1000): open(os.environ['HOME'] + f'/f{n}', 'wb').write(block)",
    "files in /tmp": "for n in range(1000): open(f'/tmp/f{n}', 'wb').write(block)",
    "deleted files": "kept = []\nfor n in range(500):\n kept.append(open('f', 'wb'))\n os.unlink('f')\n kept[-1].write(block)\n"
    " kept[-1].flush()\ntime.sleep(60)",
    "a closed folder": "os.mkdir('d'); os.chdir('d')\nfiles = [open(f'f{n}', 'wb') for n in range(100)]\nos.chmod('.', 0)\n"
    "for n in range(500):\n files[n % 100].write(block); files[n % 100].flush()\ntime.sleep(60)",
    "folders too deep to look into": "for n in range(3000): os.mkdir('d'); os.chdir('d')\n"
    "for n in range(500): open(f'f{n}', 'wb').write(block)\ntime.sleep(60)",
    "nothing but names": "for n in range(1_000_000): open(f'f{n}', 'w').close()",
    "files at the very end": "time.sleep(0.5)\nfor n in range(5): open(f'f{n}', 'wb').write(block * 30)",
    "links to one large file": "open('a', 'wb').write(block * 60)\nfor n in range(50_000): os.link('a', f'f{n}')\nsys.exit(3)",
}


PLAIN = ("one file", "many files", "files in HOME", "files in /tmp", "nothing but names", "links to one large file")
"""What one who may look everywhere sees as whoever may not."""


@pytest.mark.parametrize(
    ("cell", "way"),
    [
        pytest.param(who, way, marks=[pytest.mark.proof] if who == "nobody" and way in PLAIN else [])
        for who in USERS
        for way in DISKS
    ],
    indirect=["cell"],
)
async def test_the_disk_is_not_filled(cell: Cell, measured: Note, way: str) -> None:
    before = Walk().over(cell.jail.measured).disk
    limits = Limits(disk=8 * MIB, processes=100) if way == "nothing but names" else cell.limits
    done = await run(cell, *python(FILL + DISKS[way]), limits=limits)
    if way == "links to one large file":
        assert done.ended is Ended.COMPLETED, f"nothing was written: {done.limit}"
        return
    if done.ended is Ended.COMPLETED and way == "one file":
        assert b"File too large" in done.stderr, "the kernel's own wall"
    else:
        assert (done.ended, done.limit) == (Ended.LIMIT, f"wrote more than {limits.disk // MIB} MiB to disk")
    assert done.duration < 20
    written = Walk().over(cell.jail.measured).disk - before
    measured(attempt(cell, f"fill the disk by {way}"))
    measured(
        f"sandbox disk limit of {limits.disk // MIB} MiB, {way} ({cell.who}): {written >> 20} MiB in {done.duration:.1f} s"
    )
    assert written < 2500 * MIB


def test_files_with_several_names_count_once_however_many_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held by their numbers, millions of them would take the pod's memory."""
    monkeypatch.setattr(usage, "LINKED", 10)
    empty = Walk().over([tmp_path]).disk
    for number in range(100):
        (tmp_path / f"{number}").write_bytes(bytes(8192))
    once = Walk().over([tmp_path]).disk
    assert once - empty >= 100 * 8192
    for number in range(100):
        for name in range(3):
            os.link(tmp_path / f"{number}", tmp_path / f"{number}-{name}")
    walk = Walk()
    assert 0 <= walk.over([tmp_path]).disk - once < 8192 * 2, "the names themselves may take a block or two"
    assert len(walk._seen) == 10


PLACES = ("/dev/shm", "/", "/run", "/dev", "/etc", "/home")
FILLS = f"""for place in {PLACES}:
    names = [f'{{place}}/f{{n}}' for n in range(60)]
    try:
        for name in names: open(name, 'wb').write(block * 10)
    except OSError as error:
        print(place, error.strerror, sep=': ', file=sys.stderr)
    for name in names:  # they may be of one file system
        if os.path.exists(name): os.unlink(name)
"""


async def test_memory_is_not_filled_by_file_systems_of_memory(cell: Cell, measured: Note) -> None:
    done = await run(cell, *python(FILL + FILLS))
    said = dict(line.split(": ") for line in done.stderr.decode().splitlines())
    assert said.keys() == {*PLACES}, said
    assert {*said.values()} <= {"No space left on device", "Read-only file system"}
    for place in PLACES:
        measured(attempt(cell, f"fill the memory by files in {place}"))


async def test_what_was_there_before_does_not_count(cell: Cell) -> None:
    await asyncio.to_thread((cell.worktree / "old").write_bytes, b"x" * (80 * MIB))
    cell.own()
    done = await run(cell, *sh("head -c 30000000 /dev/urandom > new; sleep 1"))
    assert done.ended is Ended.COMPLETED


async def test_a_file_of_nothing_counts_for_what_it_takes(cell: Cell) -> None:
    assert (await run(cell, *sh("truncate -s 60M hole; sleep 0.5; test -e hole"))).ended is Ended.COMPLETED


FLOODS = {
    "a bomb": "import os, time\nfor _ in range(2000):\n if os.fork() == 0: time.sleep(20); os._exit(0)\ntime.sleep(20)",
    "a doubling bomb": "import os, time\nfor _ in range(11): os.fork()\ntime.sleep(20)",
    "sessions of their own": "import os, time\nfor _ in range(2000):\n if os.fork() == 0:\n  os.setsid()\n"
    "  if os.fork() == 0: time.sleep(20)\n  os._exit(0)\ntime.sleep(20)",
    "processes that hide": "import ctypes, os, time\nctypes.CDLL(None).prctl(4, 0)\nfor _ in range(2000):\n"
    " if os.fork() == 0: time.sleep(20); os._exit(0)\ntime.sleep(20)",
}


@pytest.mark.parametrize("way", FLOODS)
async def test_a_flood_of_processes_is_ended(cell: Cell, measured: Note, way: str) -> None:
    mark = f"flood-{os.getpid()}-{time.monotonic_ns()}"
    began = time.monotonic()
    done = await run(cell, *python(FLOODS[way], mark))
    if done.ended is not Ended.LIMIT:
        assert b"Resource temporarily unavailable" in done.stderr, "the kernel's own wall"
    else:
        assert done.limit == "ran more than 100 processes at once"
    assert alive(mark) == []
    assert time.monotonic() - began < 10
    measured(attempt(cell, f"flood the host with processes: {way}"))
    measured(f"sandbox process limit, {way} ({cell.who}): ended after {done.duration:.2f} s")


async def test_threads_are_not_processes(cell: Cell) -> None:
    script = "import threading, time\nfor _ in range(200): threading.Thread(target=time.sleep, args=(0.5,)).start()"
    done = await run(cell, *python(script))
    assert (done.ended, done.stderr) == (Ended.COMPLETED, b"")


def fill(worktree: Path) -> None:
    for folder in range(100):
        place = worktree / f"d{folder}"
        place.mkdir()
        for number in range(100):
            (place / str(number)).touch()


@pytest.mark.parametrize(
    "cell", [USERS[-1], *(pytest.param(one, marks=pytest.mark.proof) for one in USERS[:-1])], indirect=True
)
async def test_a_large_tree_is_watched_at_little_cost(cell: Cell, measured: Note) -> None:
    await asyncio.to_thread(fill, cell.worktree)
    cell.own()
    before = time.process_time()
    done = await cell.inside("sleep", "3")
    spent = time.process_time() - before
    assert done.ok
    measured(f"sandbox watch over 10,000 files ({cell.who}): {100 * spent / done.duration:.1f} % of one processor")
    assert spent / done.duration < 0.15


async def test_what_a_program_closes_of_what_it_was_given_is_open_to_the_next(cell: Cell) -> None:
    """Or the pod, as an ordinary user, could not even begin: what a ticket did would be its trouble."""
    for _ in range(2):
        done = await run(cell, *sh('touch "$HOME/a" /tmp/a ./a && chmod 0 "$HOME" /tmp .'))
        assert (done.ended, done.stderr) == (Ended.COMPLETED, b"")


async def test_a_guard_of_the_caller_is_heard_too(cell: Cell) -> None:
    done = await cell.inside("sleep", "20", guard=lambda pid: "was not wanted" if Path(f"/proc/{pid}").exists() else "")
    assert (done.ended, done.limit) == (Ended.LIMIT, "was not wanted")


async def test_within_generous_limits_the_same_is_let_be(cell: Cell) -> None:
    """The control: what the floods and the full disk do is possible, and only the limit ends it."""
    generous = Limits(disk=1 << 30, processes=1000)
    flood = "import os, time\nfor _ in range(300):\n if os.fork() == 0: time.sleep(0.5); os._exit(0)\nfor _ in range(300): os.wait()"
    assert (await run(cell, *python(flood), limits=generous)).ended is Ended.COMPLETED
    fill = FILL + "for n in range(100): open(f'f{n}', 'wb').write(block)\ntime.sleep(0.5)"
    assert (await run(cell, *python(fill), limits=generous)).ended is Ended.COMPLETED
