"""The runner against real processes."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.clock import SystemClock
from agent.errors import PodTrouble, TicketFailure
from agent.programs.processes import Processes
from agent.programs.runner import Ended, Finished, Job
from agent.programs.survivors import RUN_MARK, kill_survivors, marked, members
from support.heartbeat import heartbeat

PATH = os.environ["PATH"]
ENV = {"PATH": PATH}


def alive(pid: int) -> bool:
    """Running, and not merely a zombie that nobody reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


async def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.01)


async def sh(script: str, folder: Path, *arguments: str, grace: float = 0.3, **options: object) -> Finished:
    env = {**ENV, **options.pop("env", {})}  # type: ignore[dict-item]
    runner = Processes(grace=grace)
    return await runner.run(Job(argv=("sh", "-c", script, "sh", *arguments), cwd=folder, env=env, **options))  # type: ignore[arg-type]


async def test_output_status_and_duration_come_back(tmp_path: Path) -> None:
    done = await sh("cat; echo problem >&2; exit 3", tmp_path, stdin=b"question\n")
    assert (done.stdout, done.stderr, done.returncode, done.ended) == (b"question\n", b"problem\n", 3, Ended.COMPLETED)
    assert not done.ok
    assert 0 < done.duration < 5
    assert done.dropped == 0


async def test_arguments_with_spaces_reach_the_agent(tmp_path: Path) -> None:
    words = ["two words", 'a "quote"', "$HOME", "", "*"]
    done = await Processes().run(Job(argv=("printf", r"%s\n", *words), cwd=tmp_path, env=ENV))
    assert done.stdout.decode().split("\n") == [*words, ""]


UNSTARTABLE = {
    "a NUL in an argument": {"argv": ("sh", "-c", "a\0b")},
    "a NUL in a variable": {"env": {"A": "\0"}},
    "a variable's name": {"env": {"A=B": ""}},
    "one long argument": {"argv": ("true", 200_000 * "x")},
    "many arguments": {"argv": ("true", *(100 * (100_000 * "x",)))},
}


@pytest.mark.parametrize("more", UNSTARTABLE.values(), ids=UNSTARTABLE)
async def test_what_no_program_can_be_started_with_is_the_tickets_failure(tmp_path: Path, more: dict[str, Any]) -> None:
    job = Job(**{"argv": ("true",), "cwd": tmp_path, "env": {}, **more})
    with pytest.raises(TicketFailure, match="cannot be started"):
        await Processes(grace=0.3).run(job)


async def test_nothing_is_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_POD", "1")
    done = await Processes().run(Job(argv=("env",), cwd=tmp_path, env={"PATH": PATH, "ONLY": "this"}))
    assert set(done.stdout.decode().splitlines()) == {f"PATH={PATH}", "ONLY=this"}


async def test_a_prompt_larger_than_a_pipe_is_read_by_whoever_wants_it(tmp_path: Path) -> None:
    prompt = b"x" * 3_000_000
    assert (await sh("wc -c", tmp_path, stdin=prompt)).stdout.strip() == b"3000000"
    assert (await sh("true", tmp_path, stdin=prompt)).ok, "a program that does not read its input does no harm"


async def test_a_missing_program_is_pod_trouble_and_names_its_package(tmp_path: Path) -> None:
    with pytest.raises(PodTrouble, match=r"`nix` is missing.*nix \(Debian: nix-bin\)"):
        await Processes().run(Job(argv=("nix",), cwd=tmp_path, env={"PATH": str(tmp_path)}))
    with pytest.raises(PodTrouble, match="`/no/such/tool` is missing"):
        await Processes().run(Job(argv=("/no/such/tool",), cwd=tmp_path, env=ENV))
    with pytest.raises(PodTrouble, match="gone, so `true` cannot run"):
        await Processes().run(Job(argv=("true",), cwd=tmp_path / "nowhere", env=ENV))


async def test_head_and_tail_of_a_large_output_are_kept(tmp_path: Path) -> None:
    done = await sh("echo first; seq 1 200000; echo last", tmp_path, output_limit=1000)
    assert done.ok
    assert done.stdout.startswith(b"first\n1\n2\n")
    assert done.stdout.endswith(b"200000\nlast\n")
    assert b"bytes left out" in done.stdout
    assert len(done.stdout) < 1100
    assert done.dropped > 1_000_000


async def test_an_output_of_just_the_limit_is_whole(tmp_path: Path) -> None:
    done = await sh("printf 0123456789", tmp_path, output_limit=10)
    assert (done.stdout, done.dropped) == (b"0123456789", 0)
    done = await sh("printf 0123456789X", tmp_path, output_limit=10)
    assert (done.stdout, done.dropped) == (b"01234\n[\xe2\x80\xa6 1 bytes left out \xe2\x80\xa6]\n6789X", 1)


async def test_endless_output_is_stopped(tmp_path: Path) -> None:
    done = await sh("yes", tmp_path, output_limit=1000, timeout=20)
    assert done.ended is Ended.OUTPUT
    assert len(done.stdout) < 1100


async def test_chatty_or_hung_run_hits_the_total_limit(tmp_path: Path) -> None:
    done = await sh("while :; do echo busy; sleep 0.05; done", tmp_path, timeout=0.5, idle=0.3)
    assert done.ended is Ended.TIMED_OUT, "output never extends the total limit"
    assert 0.5 <= done.duration < 3
    done = await sh("echo once; sleep 60", tmp_path, timeout=30, idle=0.3)
    assert done.ended is Ended.IDLE
    assert done.stdout == b"once\n", "what it said before is the evidence"


async def test_zero_is_not_unlimited(tmp_path: Path) -> None:
    assert (await sh("sleep 60", tmp_path, timeout=0)).ended is Ended.TIMED_OUT
    assert (await sh("sleep 60", tmp_path, idle=0)).ended is Ended.IDLE


async def test_time_spent_in_suspend_counts(tmp_path: Path) -> None:
    slept = 0.0

    def clock() -> float:
        return SystemClock().monotonic() + slept

    running = asyncio.create_task(
        Processes(clock=clock, grace=0.3).run(Job(argv=("sleep", "60"), cwd=tmp_path, env=ENV, timeout=3600))
    )
    await asyncio.sleep(0.1)
    slept = 4000.0
    done = await asyncio.wait_for(running, 5)
    assert done.ended is Ended.TIMED_OUT
    assert done.duration > 3600


STUBBORN = "trap '' TERM HUP INT; "
FAMILY = """
echo $$ > own
(%s while :; do sleep 1; done) & echo $! > child
setsid sh -c 'echo $$ > stray; %s while :; do sleep 1; done' &
while [ ! -s stray ]; do sleep 0.01; done
%s
"""


def family(folder: Path) -> list[int]:
    return [int((folder / name).read_text()) for name in ("own", "child", "stray")]


@pytest.mark.parametrize("trap", ["", STUBBORN], ids=["obedient", "stubborn"])
async def test_no_process_survives_a_timeout(tmp_path: Path, trap: str) -> None:
    script = FAMILY % (trap, trap, trap + "while :; do sleep 1; done")
    done = await sh(script, tmp_path, timeout=0.5, env={RUN_MARK: str(uuid.uuid4())})
    assert done.ended is Ended.TIMED_OUT
    assert done.returncode == (-signal.SIGKILL if trap else -signal.SIGTERM)
    assert [pid for pid in family(tmp_path) if alive(pid)] == []


@pytest.mark.parametrize("trap", ["", STUBBORN], ids=["obedient", "stubborn"])
async def test_no_process_survives_a_normal_exit(tmp_path: Path, trap: str) -> None:
    done = await sh(FAMILY % (trap, trap, "echo bye"), tmp_path, env={RUN_MARK: str(uuid.uuid4())})
    assert (done.returncode, done.stdout) == (0, b"bye\n")
    assert [pid for pid in family(tmp_path) if alive(pid)] == []


async def test_no_process_survives_a_cancellation_even_a_repeated_one(tmp_path: Path) -> None:
    script = FAMILY % (STUBBORN, STUBBORN, STUBBORN + "while :; do sleep 1; done")
    running = asyncio.create_task(sh(script, tmp_path, env={RUN_MARK: str(uuid.uuid4())}))
    await until(lambda: (tmp_path / "stray").exists() and (tmp_path / "stray").read_text() != "")
    running.cancel()
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [pid for pid in family(tmp_path) if alive(pid)] == []


async def test_a_task_that_is_cancelled_before_its_first_step_leaves_no_process(tmp_path: Path) -> None:
    mark = str(uuid.uuid4())
    running = asyncio.create_task(sh("sleep 60", tmp_path, env={RUN_MARK: mark}))
    await asyncio.sleep(0)  # it has begun, and what attends to its process has not
    (attending,) = (one for one in asyncio.all_tasks() if one.get_name() == "run sh")
    attending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert marked(mark) == []


async def test_no_process_survives_the_end_of_the_event_loop(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(f"""
import asyncio, signal
from pathlib import Path
from agent.programs.processes import Processes
from agent.programs.runner import Job
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits "ignored"
script = "echo $$ > own; while :; do sleep 1; done"
asyncio.run(Processes(grace=0.3).run(Job(argv=("sh", "-c", script), cwd=Path({str(tmp_path)!r}), env={{"PATH": {PATH!r}}})))
""")
    outer = await asyncio.create_subprocess_exec(sys.executable, program, stderr=asyncio.subprocess.DEVNULL)
    await until(lambda: (tmp_path / "own").exists() and (tmp_path / "own").read_text() != "")
    outer.send_signal(signal.SIGINT)
    await outer.wait()
    assert not alive(int((tmp_path / "own").read_text()))


async def test_a_stray_that_holds_the_output_open_delays_nothing_for_long(tmp_path: Path) -> None:
    """A child that left the group and wiped its environment is out of reach; the run ends all the same."""
    began = time.monotonic()
    done = await sh(
        "setsid env -i /bin/sleep 20 & echo $! > pid; echo said; sleep 0.1", tmp_path, env={RUN_MARK: str(uuid.uuid4())}
    )
    assert done.stdout == b"said\n"
    assert time.monotonic() - began < 5
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


async def test_restart_deals_with_survivors_first(tmp_path: Path) -> None:
    mine, other = str(uuid.uuid4()), str(uuid.uuid4())
    started = [
        await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            STUBBORN + "while :; do sleep 1; done",
            env={**ENV, RUN_MARK: run},
            cwd=tmp_path,
            start_new_session=True,
        )
        for run in (mine, other)
    ]
    try:
        await asyncio.sleep(0.2)
        assert await kill_survivors(mine, grace=0.2) >= 1
        await asyncio.wait_for(started[0].wait(), 5)
        assert started[0].returncode == -signal.SIGKILL
        assert alive(started[1].pid), "another run's processes are none of its business"
        assert await kill_survivors(mine, grace=0.2) == 0, "nothing left, nothing done"
    finally:
        await kill_survivors(other, grace=0.1)
        await started[1].wait()


async def test_what_other_runs_have_in_their_environments_does_not_stand_the_loop() -> None:
    """T1: a run's thousand processes, with 100,000 variables each, stood every other pod of that user for 6 s."""
    mine = str(uuid.uuid4())
    sleepers = "for n in $(seq 60); do sleep 60 & done; AGENT_RUN=$0 sleep 60 & wait"
    many = {**ENV, **{f"v{n}": "" for n in range(100_000)}}
    shell = await asyncio.create_subprocess_exec("sh", "-c", sleepers, mine, env=many, start_new_session=True)
    try:
        while not await asyncio.to_thread(marked, mine):  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(0.05)
        async with heartbeat():
            assert await kill_survivors(mine, grace=0.2) == 1
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        await shell.wait()


async def test_the_end_of_a_run_with_large_environments_does_not_stand_the_loop(tmp_path: Path) -> None:
    """T1: many processes with 14 variables of 130 kB each stood the pod that ended them for half a second, at each look."""
    many = "\n".join(f"export V{n}=$(printf %0130000d 0)" for n in range(14))
    sleepers = f"{many}\nfor n in $(seq 160); do setsid sleep 60 & done; echo ready; wait"
    run = asyncio.create_task(sh(sleepers, tmp_path, env={RUN_MARK: (mine := str(uuid.uuid4()))}, timeout=60))
    try:
        while len(await asyncio.to_thread(marked, mine)) < 160:  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(0.3)
        async with heartbeat():
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
        assert not marked(mine)
    finally:
        await kill_survivors(mine, grace=0.1)


async def test_of_a_flood_of_words_little_is_kept(tmp_path: Path) -> None:
    """A forge's hook speaks through git's standard error, as long as it likes, and no listing stands there."""
    said = await sh("yes said | head -c 8000000 >&2; echo last >&2; echo answer", tmp_path, output_limit=64 << 20)
    assert (said.stdout, said.dropped) == (b"answer\n", 0)
    assert said.stderr.endswith(b"\nlast\n")
    assert len(said.stderr) < 1.1 * (1 << 20)


def test_a_dead_process_that_nobody_reaped_counts_as_gone(tmp_path: Path) -> None:
    """In a container without an init such remain for ever; waiting for them would cost every run its grace."""
    child = subprocess.Popen(["true"], cwd=tmp_path, start_new_session=True)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    os.killpg(child.pid, 0)
    assert members(child.pid) == []
    assert child.wait() == 0


async def test_an_empty_mark_is_nobodys(tmp_path: Path) -> None:
    """Another pod of the same user may look at its store just now, with a mark that it has not got yet."""
    other = await asyncio.create_subprocess_exec("sleep", "60", env={**ENV, RUN_MARK: ""}, start_new_session=True)
    assert (await sh("true", tmp_path, env={RUN_MARK: ""})).ok
    assert await kill_survivors("") == 0
    assert alive(other.pid)
    other.kill()
    await other.wait()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_many_runs_at_once_leak_no_descriptor(tmp_path: Path) -> None:
    before = descriptors()
    done = await asyncio.gather(*(sh("echo $1", tmp_path, str(number)) for number in range(20)))
    assert [int(one.stdout) for one in done] == list(range(20))
    assert descriptors() <= before


async def test_a_guard_ends_what_exceeds_it_and_says_by_what(tmp_path: Path) -> None:
    seen: list[int] = []

    def guard(pid: int) -> str:
        seen.append(pid)
        return "ran amok" if len(seen) > 1 else ""

    done = await sh("echo begun; while :; do echo more; sleep 0.05; done", tmp_path, guard=guard, timeout=20)
    assert (done.ended, done.limit, done.ok) == (Ended.LIMIT, "ran amok", False)
    assert done.stdout.startswith(b"begun\n")
    assert len(seen) == 2, "it is asked once a second, however much is written"
