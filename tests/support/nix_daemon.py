"""A Nix daemon of a test's own."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from support.nix_jail import PATH


class Daemon:
    """Its store, its socket, its sandbox or none."""

    def __init__(self, folder: Path, *, sandbox: str) -> None:
        folder.mkdir(parents=True)
        self.socket = folder / "run/socket"
        self.socket.parent.mkdir()
        own = f"local?store={folder}/store&state={folder}/state&log={folder}/log"
        settings = {
            "sandbox": sandbox,
            "sandbox-fallback": "false",
            "sandbox-paths": "/bin /usr /lib /lib64",
            "substituters": "",
        }
        config = "".join(f"{key} = {value}\n" for key, value in {**settings, "build-users-group": ""}.items())
        config += "experimental-features = nix-command flakes\n"
        env = {"PATH": PATH, "HOME": str(folder), "NIX_CONFIG": config, "NIX_DAEMON_SOCKET_PATH": str(self.socket)}
        self._process = subprocess.Popen(["nix", "daemon", "--store", own], env=env, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not self.socket.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        self.options = {"store": f"unix://{self.socket}?store={folder}/store", "substituters": ""}

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


def namespaces() -> bool:
    """Whether a daemon can have a sandbox of its own here."""
    return (
        os.getuid() == 0
        and subprocess.run(["unshare", "-mpnf", "true"], capture_output=True, check=False).returncode == 0
    )


needs_daemon = pytest.mark.skipif(not namespaces(), reason="a daemon with a sandbox of its own needs root")
