"""`agent demo` as a process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from support.vitals import watched

AGENT = (sys.executable, "-P", "-m", "agent")
LINK = re.compile(r"(http://127\.0\.0\.1:\d+)/#token=(opapi-[0-9a-f]{64})$", re.MULTILINE)
"""The page's address, which signs in."""
STAYS = "They stay until you press Ctrl-C."


def start(tmp: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command as a process whose temporary files are below `tmp`."""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp), "TMPDIR": str(tmp), "LANG": "C.UTF-8", **watched()}
    return subprocess.Popen(
        [*AGENT, "demo", *arguments],
        cwd=tmp,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Its output up to the line with these words."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return "".join(lines)
    raise AssertionError(f"“{words}” never came:\n{''.join(lines)}")
