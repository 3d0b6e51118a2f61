import faulthandler
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from agent.watchdog import BEATS, STANDS, Watchdog


@pytest.fixture
def armed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the interpreter's own watchdog was asked: it would end the tests."""
    asked: list[Any] = []
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda seconds, **_: asked.append(seconds))
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", lambda: asked.append("off"))
    return asked


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told_and_then_it_is_the_only_watchdog(abstract: bool, tmp_path: Path, armed: list[Any]) -> None:
    path = f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(f"\0{path}" if abstract else path)
        dog = Watchdog(f"@{path}" if abstract else path, 30.0)
        assert dog.pause == 30.0 / BEATS
        with dog.watching():
            dog.beat()
        assert [line.recv(99) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
    assert armed == []


@pytest.mark.parametrize(("address", "seconds"), [("", 0.0), ("", 30.0), ("@nobody listens here", 0.0)])
def test_where_systemd_waits_for_no_beat_the_process_watches_itself(
    address: str, seconds: float, armed: list[Any]
) -> None:
    dog = Watchdog(address, seconds)
    assert dog.pause < STANDS / 2
    with dog.watching():
        dog.beat()
    assert armed == [STANDS, STANDS, "off"]


def test_a_word_that_systemd_does_not_take_is_logged_and_holds_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    sink = logger.add(said.append, format="{message}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(f"{tmp_path}/notify")
        dog = Watchdog(f"{tmp_path}/notify", 30.0)
        for _ in range(1000):  # nobody reads
            dog.beat()
    logger.remove(sink)
    assert said[0].startswith("systemd was not told WATCHDOG=1: ")


STUCK = """
import sys
from agent import watchdog
watchdog.STANDS = 0.2
with watchdog.Watchdog().watching():
    while True:
        sys.argv[1:] and print("x" * 4096, file=sys.stderr)
"""


@pytest.mark.parametrize("words", [(), ("it stands in a write",)])
def test_a_process_that_stands_ends_though_nobody_reads_what_it_says(words: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, bytes(4096))
    except BlockingIOError:
        os.set_blocking(writer, True)
    with subprocess.Popen([sys.executable, "-c", STUCK, *words], stderr=writer) as process:
        try:
            assert process.wait(20)
        finally:
            process.kill()
            os.close(reader)
            os.close(writer)
