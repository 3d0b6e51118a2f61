"""A pod whose event loop stands is ended from outside, and the next one goes on where it was."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from agent.devshell.client_options import private_store
from agent.programs.survivors import marked
from support.boards import embedded_board
from support.ending import Ending, differences, ending
from support.fleet import PATIENCE, Fleet, wait_until
from support.stand import stand, standing

pytestmark = pytest.mark.nix

SOON: Final = 6.0
"""Seconds that the loop may stand in these tests: a pod that starts on a loaded machine must not be taken for one that stands."""


class Pod:
    """A pod with one ticket, at work in `agent run --until-idle` until its gate is opened."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        folder.mkdir()
        self.board = embedded_board(folder / "board")
        self.fleet = Fleet(self.board, "shop", folder)
        self.ticket = self.fleet.add("A price")
        self.gate = folder / "gate"
        store: dict[str, Any] = {"nix.settings": private_store(folder / "store")}
        self.config = self.fleet.pod(script={"gates": str(self.gate), "files": {"a.txt": "1\n"}}, **store)
        self.env = env
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        return self.fleet.start(self.config, "run", "--until-idle", env=self.env)

    @property
    def run(self) -> str:
        return str(self.fleet.run_of(self.ticket)).partition(".")[0]

    def log(self) -> str:
        return (self.config.parent / "log").read_text()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pid in marked(self.run):
            os.kill(pid, signal.SIGKILL)
        self.board.close()


@contextlib.contextmanager
def at_work(folder: Path, env: dict[str, str]) -> Iterator[Pod]:
    pod = Pod(folder, env)
    try:
        wait_until(Path(f"{pod.gate}.waiting").exists)
        yield pod
    finally:
        pod.close()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Ending:
    with at_work(tmp_path_factory.mktemp("undisturbed") / "pod", {}) as pod:
        pod.gate.touch()
        assert pod.process.wait(PATIENCE) == 0
        return ending(pod.fleet, pod.config)


def taken_over(pod: Pod) -> Ending:
    pod.gate.touch()
    pod.process = pod.start()
    assert pod.process.wait(PATIENCE) == 0
    lines = pod.fleet.first_lines(pod.ticket)
    assert sum("Taken over by pod `pod-a` after an interruption" in line for line in lines) == 1
    assert sum(line.startswith("Claimed by pod") for line in lines) == 1
    return ending(pod.fleet, pod.config)


@pytest.mark.parametrize("way", ["a pattern", "a call of C"])
def test_without_a_unit_a_pod_whose_loop_stands_ends_itself_and_the_next_ends_as_if_it_had_not(
    way: str, undisturbed: Ending, tmp_path: Path
) -> None:
    with at_work(tmp_path / "pod", standing(tmp_path / "site", way, seconds=SOON)) as pod:
        stand(pod.process, tmp_path / "site")
        pod.process.send_signal(signal.SIGTERM)  # asks a loop that does not listen
        assert pod.process.wait(20 * SOON) == 1
        assert "Timeout (0:00:06)!" in pod.log()
        assert differences(undisturbed, taken_over(pod)) == []


@contextlib.contextmanager
def systemd(folder: Path) -> Iterator[socket.socket]:
    """The socket on which systemd listens to a unit with `Type=notify`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(folder / "notify"))
        line.settimeout(20)
        yield line


def test_in_a_unit_systemd_hears_of_the_loop_from_before_the_first_pass_until_it_stands(tmp_path: Path) -> None:
    with systemd(tmp_path) as line:
        env = standing(tmp_path / "site", "a call of C")
        env |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1200000"}
        with at_work(tmp_path / "stands", env) as pod:
            assert line.recv(99) == b"READY=1"
            assert [line.recv(99) for _ in range(5)] == [b"WATCHDOG=1"] * 5
            children = marked(pod.run)
            assert children
            for pid in children:  # one of which could feed the watchdog
                environment = Path(f"/proc/{pid}/environ").read_bytes()
                assert b"NOTIFY_SOCKET" not in environment
                assert b"WATCHDOG" not in environment
            stand(pod.process, tmp_path / "site")
            line.settimeout(1.2)
            with contextlib.suppress(TimeoutError):
                while line.recv(99) == b"WATCHDOG=1":
                    pass
            assert pod.process.poll() is None, "it is systemd's to end it"


def pending(pid: int) -> bool:
    texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return any(int(one, 16) for text in texts for one in re.findall(r"^S(?:ig|hd)Pnd:\s*(\w+)$", text, re.MULTILINE))


@pytest.mark.parametrize("way", ["a pattern", "a system call"])
def test_a_second_signal_ends_a_pod_whose_loop_stands_and_its_programs_at_once(way: str, tmp_path: Path) -> None:
    with at_work(tmp_path / "pod", standing(tmp_path / "site", way)) as pod:
        run = pod.run
        assert marked(run)
        stand(pod.process, tmp_path / "site")
        pod.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not pending(pod.process.pid))  # or the kernel hands the second one to another thread
        pod.process.send_signal(signal.SIGINT)
        assert pod.process.wait(20) in (128 + signal.SIGTERM, 128 + signal.SIGINT)
        wait_until(lambda: not marked(run), 5)
