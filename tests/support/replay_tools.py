"""Programs of others that tests drive, each in an environment of its own under build/, installed once."""

import fcntl
import subprocess
import sys
import venv
from pathlib import Path

from support.boards import missing

BUILD = Path(__file__).resolve().parents[2] / "build"
PACKAGES = {"openproject": "agent-tool-openproject-cli==0.5.4", "schemathesis": "schemathesis==4.32.5"}


def tool(command: str) -> Path:
    """The path of a command; without it and without a package index the test is skipped (in CI it fails)."""
    requirement = PACKAGES[command]
    folder = BUILD / "tools" / requirement.replace("==", "-")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # One of the run's workers installs it, the others wait.
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            # Our own pip installs it: one more, and compiling what is never run, take as long as all the rest.
            venv.create(folder, with_pip=False, clear=True)
            python = str(folder / "bin" / "python")
            pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
            command_line = [*pip, "install", "-qq", "--no-compile", requirement]
            done = subprocess.run(command_line, capture_output=True, text=True, check=False)
            if done.returncode:
                missing(f"{requirement} cannot be installed: {done.stderr[-500:]}")
            (folder / "complete").write_text(sys.version)
    return folder / "bin" / command
