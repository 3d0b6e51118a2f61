"""A coding model as a plain program, and the repository's checks: real processes, misbehaving ones too."""

import asyncio
import contextlib
import json
import os
import signal
import uuid
from pathlib import Path

import pytest

from agent.errors import PodTrouble, TicketFailure
from agent.programs.command import Command, environment, failed, verify
from agent.programs.processes import Processes
from agent.programs.runner import Ended, Finished, Job
from agent.programs.verdict import ModelResult, ModelTrouble
from agent.texts.evidence import redactor

PATH = os.environ["PATH"]
RUN = str(uuid.uuid4())
DOCUMENT = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "num_turns": 2,
    "structured_output": {"verdict": "done", "summary": "Did it."},
    "usage": {"input_tokens": 2400, "output_tokens": 800},
}
SAY = f"cat > /dev/null; echo '{json.dumps(DOCUMENT)}'"


class Bench:
    """A program on disk, run as the model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runner = Processes(grace=0.3)
        self.tree = folder / "tree"
        self.tree.mkdir()
        self.home = folder / "pod" / "home"

    def model(self, script: str, *arguments: str) -> Command:
        program = self.folder / "the model"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return Command(
            runner=self.runner,
            argv=[str(program), *arguments],
            path=PATH,
            home=self.home,
            redact=redactor(["correct horse"]),
        )

    async def run(
        self,
        script: str,
        *arguments: str,
        prompt: str = "Do it.",
        limit: float | None = 30,
        idle: float | None = None,
    ) -> ModelResult:
        return await self.model(script, *arguments).run(prompt, cwd=self.tree, run=RUN, timeout=limit, idle=idle)

    async def check(self, *commands: str, limit: float = 30) -> float:
        env = environment(path=PATH, home=self.home, run=RUN)
        return await verify(
            commands, runner=self.runner, cwd=self.tree, env=env, timeout=limit, redact=redactor(["correct horse"])
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_the_prompt_is_on_standard_input_and_the_verdict_comes_back(bench: Bench) -> None:
    prompt = "Grüße, <work_package>\n" * 50_000
    result = await bench.run(f'cat > prompt.txt; printf "%s" "$1" > argument.txt; {SAY}', "two words", prompt=prompt)
    assert (result.verdict, result.summary, result.input_tokens, result.output_tokens) == ("done", "Did it.", 2400, 800)
    assert (bench.tree / "prompt.txt").read_text() == prompt
    assert (bench.tree / "argument.txt").read_text() == "two words"


async def test_a_model_sees_an_allow_list_of_variables_and_private_folders(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I-70."""
    monkeypatch.setenv("AGENT_BOARD_TOKEN", "hunter2hunter2")
    await bench.run(f'env > env.txt; touch "$HOME/x" "$TMPDIR/y"; {SAY}')
    seen = dict(line.split("=", 1) for line in (bench.tree / "env.txt").read_text().splitlines())
    assert {name: seen.get(name) for name in ("AGENT_RUN", "HOME", "LANG")} == {
        "AGENT_RUN": RUN,
        "HOME": str(bench.home),
        "LANG": "C.UTF-8",
    }
    assert set(seen) - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "HOME", "TMPDIR", "LANG", "AGENT_RUN"}
    assert (bench.home.stat().st_mode & 0o077) == 0


async def test_an_overloaded_api_is_pod_trouble(bench: Bench) -> None:
    document = {
        "type": "result",
        "subtype": "success",
        "is_error": True,
        "api_error_status": 529,
        "result": "Overloaded",
    }
    with pytest.raises(ModelTrouble, match=r"^the model's API answered 529$"):
        await bench.run(f"echo '{json.dumps(document)}'; exit 1")


async def test_a_missing_model_is_pod_trouble(bench: Bench) -> None:
    model = Command(runner=bench.runner, argv=["claude"], path=str(bench.folder), home=bench.home, redact=redactor())
    with pytest.raises(PodTrouble, match="`claude` is missing"):
        await model.run("x", cwd=bench.tree, run=RUN, timeout=5)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 0", "ended with exit code 0 and without a result"),
        ("echo 'Segmentation fault' >&2; exit 3", "ended with exit code 3 and without a result"),
        ("kill -9 $$", "ended with exit code -9 and without a result"),
        ("head -c 100000 /dev/urandom", "ended with exit code 0 and without a result"),
        ("yes '{' | head -c 30000000", "ended with exit code 0 and without a result"),
        (f"{SAY}; exit 2", "ended with exit code 2"),
        ("sleep 60", "was not done after"),
    ],
)
async def test_a_misbehaving_model_is_the_tickets_failure(bench: Bench, script: str, reason: str) -> None:
    with pytest.raises(TicketFailure, match=reason):
        await bench.run(script, limit=1)


async def test_a_silent_model_is_stopped_and_its_last_words_are_evidence(bench: Bench) -> None:
    with pytest.raises(TicketFailure, match="fell silent") as caught:
        await bench.run("echo 'fetching with correct horse'; sleep 60", idle=0.3)
    assert caught.value.evidence == "fetching with [redacted]"


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def test_what_a_model_starts_in_the_background_ends_with_it(bench: Bench) -> None:
    await bench.run(
        f"setsid sh -c 'echo $$ > pid; while :; do sleep 1; done' & while [ ! -s pid ]; do sleep 0.01; done; {SAY}"
    )
    pid = int((bench.tree / "pid").read_text())
    assert not alive(pid)


async def test_what_a_runner_does_before_a_check_takes_of_the_checks_time(bench: Bench) -> None:
    given: list[float | None] = []

    class Slow:
        """A development shell is made first; that is no part of what the process takes."""

        async def run(self, job: Job) -> Finished:
            given.append(job.timeout)
            await asyncio.sleep(0.2)
            return Finished(0)

    env = environment(path=PATH, home=bench.home, run=RUN)
    await verify(["one", "two"], runner=Slow(), cwd=bench.tree, env=env, timeout=10, redact=redactor())
    first, second = given
    assert first is not None
    assert second is not None
    assert first > 9
    assert second <= first - 0.2


async def test_checks_run_in_order_and_stop_at_the_first_failure(bench: Bench) -> None:
    assert await bench.check() == 0
    assert await bench.check("echo one >> log", "echo two >> log") > 0
    with pytest.raises(TicketFailure) as caught:
        await bench.check("echo three >> log", "echo out; echo err >&2; echo more; exit 1", "echo never >> log")
    assert caught.value.reason == "test suite failed with exit code 1"
    assert caught.value.evidence == "$ echo out; echo err >&2; echo more; exit 1\nout\nerr\nmore"
    assert (bench.tree / "log").read_text() == "one\ntwo\nthree\n"


async def test_evidence_is_the_last_50_lines_without_secrets(bench: Bench) -> None:
    with pytest.raises(TicketFailure) as caught:
        await bench.check("seq 1 1000; echo the correct horse said no; false")
    lines = caught.value.evidence.splitlines()
    assert lines[1:] == [*(str(number) for number in range(952, 1001)), "the [redacted] said no"]


async def test_all_checks_share_one_limit(bench: Bench) -> None:
    with pytest.raises(TicketFailure, match="test suite was not done after 1 s"):
        await bench.check("sleep 0.4", "sleep 0.4", "sleep 30", limit=1.0)


async def test_a_check_ended_by_a_signal_says_so(bench: Bench) -> None:
    with pytest.raises(TicketFailure, match=r"^test suite was ended by SIGKILL$"):
        await bench.check("kill -9 $$")


def test_every_end_of_a_check_has_its_words() -> None:
    assert failed(Finished(-99), 60) == "test suite was ended by signal 99"
    assert failed(Finished(-signal.SIGTERM, ended=Ended.OUTPUT), 60) == "test suite wrote without end"
    assert failed(Finished(127), 60) == "test suite failed with exit code 127"
