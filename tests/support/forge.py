"""A real Gitea, booted once for a whole run from what lies beside the checkout."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from support.boards import missing

CONTROL = Path(__file__).resolve().parents[3] / "shared" / "forge" / "forge"
TIMEOUT = 60.0


@dataclass(frozen=True)
class Forge:
    """A running forge: where its API is, and a token of each account."""

    api: str
    tokens: dict[str, str]

    def client(self, account: str) -> httpx.Client:
        """Its API in the name of an account."""
        return httpx.Client(
            base_url=self.api, headers={"Authorization": f"token {self.tokens[account]}"}, timeout=TIMEOUT
        )


def gitea() -> Forge:
    """The forge of this run; a counted skip where there is none."""
    if not CONTROL.exists():
        missing(f"no forge: {CONTROL} does not exist")
    controller = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    folder = Path(tempfile.gettempdir()) / f"agent-forge-{controller}"
    folder.mkdir(exist_ok=True)
    with (folder / "boot.lock").open("w") as lock:  # one of the run's workers boots it, the others wait
        fcntl.flock(lock, fcntl.LOCK_EX)
        described = folder / "here" / "forge.json"
        if not described.exists():
            _boot(folder, controller)
        document = json.loads(described.read_text(encoding="utf-8"))
    return Forge(document["api"], document["tokens"])


def _boot(folder: Path, controller: int) -> None:
    # Stopped and removed when the test run ends, however it ends.
    watch = 'while kill -0 "$1" 2> /dev/null; do sleep 0.5; done; "$2" stop "$3/here"; rm -rf "$3"'
    subprocess.run(["setsid", "-f", "sh", "-c", watch, "watch", str(controller), str(CONTROL), str(folder)], check=True)
    command = [str(CONTROL), "start", str(folder / "here"), "--port", "0"]
    started = subprocess.run(command, capture_output=True, text=True, check=False)
    if started.returncode != 0:
        pytest.fail(f"the forge did not start: {started.stderr[-2000:]}")
