"""The sandbox as a runner: what passes through it untouched, what it says when it cannot, and that nothing outlives it."""

import asyncio
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.errors import PodTrouble
from agent.programs.processes import Processes
from agent.programs.runner import Ended, Job
from agent.sandbox.check import check
from agent.sandbox.jail import Jail, Limits
from agent.sandbox.sandbox import Sandbox
from support.attacks import LIMITS, PATH, USERS, Cell, alive, prison, required, sh, until


@pytest.fixture(params=USERS)
def cell(request: pytest.FixtureRequest) -> Iterator[Cell]:
    with prison(request.param) as furnished:
        yield furnished


async def test_input_output_status_and_folder_pass_through(cell: Cell) -> None:
    sandbox = Sandbox(runner=cell.runner, jail=cell.jail, limits=LIMITS)
    argv = tuple(sh("cat; pwd; echo problem >&2; exit 3"))
    done = await sandbox.run(Job(argv=argv, cwd=cell.worktree, env=cell.env(), stdin=b"question\n"))
    assert (done.returncode, done.ended, done.stderr) == (3, Ended.COMPLETED, b"problem\n")
    assert done.stdout.decode() == f"question\n{cell.worktree}\n"


async def test_the_environment_is_what_was_given_and_nothing_else(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_POD", "1")
    done = await cell.inside("env", ODD='two words "quoted"\nand a line')
    assert set(done.stdout.decode().split("\n")) - {""} == set(
        "\n".join(f"{key}={value}" for key, value in cell.env(ODD='two words "quoted"\nand a line').items()).split("\n")
    )


async def test_arguments_pass_through(cell: Cell) -> None:
    words = ["two words", 'a "quote"', "$HOME", "", "*", "--", "-x"]
    assert (await cell.inside("printf", r"%s\n", *words)).stdout.decode().split("\n") == [*words, ""]


async def test_paths_are_the_same_inside_as_outside(cell: Cell) -> None:
    script = 'echo a > one; echo b > "$HOME/two"; echo c > /tmp/three; echo d > /var/tmp/four; echo e > /dev/shm/five'
    assert (await cell.inside(*sh(script))).ok
    found = [path.read_text().strip() for path in (cell.worktree / "one", cell.home / "two", cell.jail.tmp / "three")]
    assert [*found, (cell.jail.tmp / "four").read_text().strip()] == ["a", "b", "c", "d"]
    assert (cell.worktree / "one").owner() == cell.worktree.owner()


async def test_git_reads_and_sees_no_other_worktree(cell: Cell) -> None:
    assert (await cell.inside("git", "status", "--porcelain")).stdout == b""
    assert (await cell.inside("git", "log", "--format=%s")).stdout == b"first\n"
    assert (await cell.inside("ls", str(cell.mirror / "worktrees"))).stdout == b"mine\n"


async def test_a_socket_in_a_readable_folder_is_reached(cell: Cell) -> None:
    """That is the way to the relay."""
    folder = cell.state / "relay"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "sock"))
        server.listen()
        cell.own()
        jail = Jail(writable=(cell.worktree,), readable=(folder,), tmp=cell.jail.tmp)
        argv = (
            "/usr/bin/python3",
            "-c",
            f"import socket; socket.socket(socket.AF_UNIX).connect({str(folder / 'sock')!r})",
        )
        done = await Sandbox(runner=cell.runner, jail=jail, limits=LIMITS).run(
            Job(argv=argv, cwd=cell.worktree, env=cell.env())
        )
    assert done.ok, done.stderr


async def test_programs_find_users_times_and_certificates(cell: Cell) -> None:
    done = await cell.inside(
        *sh("id -un; getent hosts localhost; date; awk 'BEGIN { print 1 }'; ls /etc/ssl/certs | head -1")
    )
    assert done.stderr == b""
    assert len(done.stdout.splitlines()) == 5


async def test_a_program_that_is_not_inside_is_pod_trouble(cell: Cell) -> None:
    with pytest.raises(PodTrouble, match="the program `no-such-tool` is missing"):
        await cell.inside("no-such-tool")
    tool = cell.state / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    with pytest.raises(PodTrouble, match="which does not exist inside the sandbox: install it below /usr"):
        await cell.inside(str(tool))
    done = await cell.inside(*sh("no-such-tool"))
    assert (done.returncode, done.ended) == (127, Ended.COMPLETED), "a program's own 127 is its own"


async def test_a_program_cannot_pose_as_a_sandbox_that_failed(cell: Cell) -> None:
    done = await cell.inside(*sh("echo 'bwrap: No permissions to create new namespace' >&2; exit 1"))
    assert (done.returncode, done.ended) == (1, Ended.COMPLETED)


async def test_a_folder_outside_the_jail_cannot_be_worked_in(cell: Cell) -> None:
    sandbox = Sandbox(runner=cell.runner, jail=cell.jail, limits=LIMITS)
    with pytest.raises(PodTrouble, match=r"cannot make a sandbox on this host .*chdir.*: mend what it says"):
        await sandbox.run(Job(argv=("true",), cwd=cell.folder / "credentials", env=cell.env()))


@pytest.mark.parametrize("way", ["time", "silence", "cancellation"])
async def test_nothing_lives_when_a_run_is_ended(cell: Cell, way: str) -> None:
    mark = str(1_000_000 + uuid.uuid4().int % 1_000_000)
    script = f"trap '' TERM; setsid env -i /usr/bin/sleep {mark} & echo begun; while :; do sleep 1; done"
    sandbox = Sandbox(runner=cell.runner, jail=cell.jail, limits=LIMITS)
    timeout, idle = 0.7 if way == "time" else 30, 0.7 if way == "silence" else 30
    job = Job(argv=tuple(sh(script)), cwd=cell.worktree, env=cell.env(), timeout=timeout, idle=idle)
    running = asyncio.create_task(sandbox.run(job))
    await until(lambda: len(alive(mark)) == 1)
    if way == "cancellation":
        running.cancel()
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    else:
        done = await running
        assert done.ended is {"time": Ended.TIMED_OUT, "silence": Ended.IDLE}[way]
        assert done.stdout == b"begun\n"
    assert alive(mark) == []


PROGRAM = """import asyncio, sys
from pathlib import Path
from agent.programs.processes import Processes
from agent.programs.runner import Job
from agent.sandbox.jail import Jail, Limits
from agent.sandbox.sandbox import Sandbox
place, mark = Path(sys.argv[1]), sys.argv[2]
sandbox = Sandbox(runner=Processes(), jail=Jail(writable=(place,), tmp=place / "tmp"), limits=Limits(disk=1 << 30, processes=50))
script = f"setsid env -i /usr/bin/sleep {mark} & trap '' TERM HUP INT; while :; do sleep 1; done"
asyncio.run(sandbox.run(Job(argv=("/bin/sh", "-c", script), cwd=place, env={"PATH": "/usr/bin:/bin"})))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
async def test_nothing_lives_when_the_orchestrator_dies(tmp_path: Path, number: signal.Signals) -> None:
    required()
    work = tmp_path / "work"
    work.mkdir()
    mark = str(1_000_000 + uuid.uuid4().int % 1_000_000)
    outer = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        str(work),
        mark,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    await until(lambda: len(alive(mark)) == 1)
    outer.send_signal(number)
    await outer.wait()
    await until(lambda: alive(mark) == [], 2)


async def test_a_host_that_can_is_found_able(cell: Cell) -> None:
    await check(cell.runner, {"PATH": PATH})


async def test_a_missing_bubblewrap_is_named_with_its_package(tmp_path: Path) -> None:
    with pytest.raises(PodTrouble, match="`bwrap` is missing or may not be run: install the package bubblewrap"):
        await check(Processes(), {"PATH": str(tmp_path)})


async def test_forbidden_namespaces_are_an_error_that_says_what_to_set(tmp_path: Path) -> None:
    """The real refusal of the kernel: below a user namespace that may have no others."""
    required()
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    fake = tmp_path / "bwrap"
    fake.write_text(
        '#!/bin/sh\nexec unshare -Ur /bin/sh -c \'echo 0 > /proc/sys/user/max_user_namespaces; exec /usr/bin/bwrap "$@"\' sh "$@"\n'
    )
    fake.chmod(0o755)
    with pytest.raises(PodTrouble, match=r"cannot make a sandbox on this host .*: user namespaces are forbidden; "):
        await check(Processes(), {"PATH": f"{tmp_path}:{PATH}"})


async def test_entering_costs_little(tmp_path: Path, measured: Callable[[str], None]) -> None:
    required()
    processes = Processes()
    sandbox = Sandbox(
        runner=processes,
        jail=Jail(writable=(tmp_path,), tmp=tmp_path / "tmp"),
        limits=Limits(disk=1 << 30, processes=500),
    )
    job = Job(argv=("true",), cwd=tmp_path, env={"PATH": PATH})
    times: dict[str, list[float]] = {"plain": [], "sandbox": []}
    for _ in range(15):
        for name, runner in (("plain", processes), ("sandbox", sandbox)):
            began = time.perf_counter()
            await runner.run(job)
            times[name].append(1000 * (time.perf_counter() - began))
    plain, inside = (statistics.median(times[name]) for name in ("plain", "sandbox"))
    measured(
        f"entering the sandbox: {inside - plain:.1f} ms more than a plain process, at best {min(times['sandbox']):.1f} ms"
    )


async def test_many_runs_leave_no_descriptor_and_no_thread(cell: Cell) -> None:
    def left() -> tuple[int, int]:
        watches = [thread for thread in threading.enumerate() if thread.name == "sandbox watch"]
        return len(list(Path("/proc/self/fd").iterdir())), len(watches)

    await cell.inside("true")
    before = left()
    await asyncio.gather(*(cell.inside("true") for _ in range(10)))
    await until(lambda: all(now <= then for now, then in zip(left(), before, strict=True)))
