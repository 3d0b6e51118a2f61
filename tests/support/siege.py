"""A real board under siege, and what somebody who is signed in sees of it meanwhile."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent import server
from support.commands import AGENT, environment

BACKLOG = '[[projects]]\nidentifier = "shop"\nname = "Shop"\n' + "".join(
    f'[[work_packages]]\nkey = "{number}"\nsubject = "Number {number}"\n' for number in range(50)
)


@dataclass
class Fortress:
    """A board behind its real command; `log` is its standard error."""

    url: str
    token: str
    process: subprocess.Popen[str]
    log: Path

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)

    def ask(self, connection: http.client.HTTPConnection, method: str, path: str, body: Any = None) -> None:
        """One request, which must succeed. A client of the standard library: others cost more than the board."""
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        connection.request(method, f"/api/v3{path}", None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        assert (answer.status, answer.read(1)) in ((200, b"{"), (201, b"{"))
        answer.read()

    @property
    def peak_mib(self) -> float:
        """The most memory that it ever had."""
        return self._kib("VmHWM") / 1024

    def _kib(self, name: str) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name))


@contextmanager
def fortress(folder: Path) -> Iterator[Fortress]:
    token = server.create(folder / "board").tokens["agent"]
    server.import_backlog(folder / "board", BACKLOG)
    log = folder / "log"
    command = [AGENT, "board", "serve", str(folder / "board"), "--listen", "127.0.0.1:0", "--json"]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            assert process.stdout
            yield Fortress(json.loads(process.stdout.readline())["url"], token, process, log)
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def besieged(fort: Fortress, connections: int, seconds: float) -> Iterator[dict[str, int]]:
    """While strangers are at it; what they did, afterwards."""
    host, _, port = urlsplit(fort.url).netloc.rpartition(":")
    done: dict[str, int] = {}
    command = [sys.executable, "-m", "support.besiegers", host, port, str(connections), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as strangers:
        try:
            assert strangers.stdout
            assert strangers.stdout.readline() == "ready\n"
            yield done
            done |= json.loads(strangers.stdout.readline())
        finally:
            strangers.kill()


def request_times(fort: Fortress, count: int, pause: float) -> list[float]:
    """Seconds of so many requests of somebody who is signed in: on one connection and on new ones, reading and writing."""
    kept = fort.connect()
    took = []
    for number in range(count):
        begun = time.perf_counter()
        connection = fort.connect() if number % 4 == 0 else kept
        if number % 4 == 1:
            fort.ask(connection, "POST", "/work_packages/1/activities", {"comment": {"raw": f"still here {number}"}})
        else:
            fort.ask(connection, "GET", f"/work_packages/{1 + number % 50}")
        took.append(time.perf_counter() - begun)
        if connection is not kept:
            connection.close()
        threading.Event().wait(pause)
    kept.close()
    return took


def p95(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.95)]
