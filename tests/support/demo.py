"""`agent demo` as a process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from support.boards import missing
from support.claude_cli import FOLDER, VERSIONS
from support.vitals import watched

AGENT = (sys.executable, "-P", "-m", "agent")
LINK = re.compile(r"(http://127\.0\.0\.1:\d+)/#token=(opapi-[0-9a-f]{64})$", re.MULTILINE)
"""The page's address, which signs in."""
STAYS = "They stay until you press Ctrl-C."
ROW = re.compile(r"^#(\d+) (.+?) +(\d) (my Epic|release|bug|Epic task|alone) +(pod-[ab]) (\S+) +(\S+) +(.+?) *$")
REASON = re.compile(r"^(routed|gated|blocked|owned|spiked) +#(\d+): (.+?) +pod-[ab], ", re.MULTILINE)


def with_claude() -> tuple[str, ...]:
    """The options for the real Claude Code; fails or skips where that is missing."""
    program = FOLDER / VERSIONS[0] / "claude"
    if not program.exists():
        missing(f"there is no {program}; .ci/claude fetches it")
    return "--model", "claude", "--claude", str(program)


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


@dataclass(frozen=True)
class Shown:
    """A row of the table on the screen."""

    ticket: int
    rung: int
    pod: str
    commit: str
    result: str


def rows(screen: str) -> list[Shown]:
    """The table of what was done."""
    table = screen.split("What was done", 1)[1]
    found = [ROW.match(line) for line in table.splitlines()]
    return [Shown(int(one[1]), int(one[3]), one[5], one[7], one[8]) for one in found if one]


def assert_shows_everything(screen: str) -> None:
    """The table, with each rung that the demo promises, and each reason in a pod's words."""
    assert {one.rung for one in rows(screen)} == {2, 3, 4, 5, 6}
    assert {one.pod for one in rows(screen)} == {"pod-a", "pod-b"}
    words = {one[0]: one[2] for one in REASON.findall(screen.split("Why tickets were left alone", 1)[1])}
    assert words.keys() == {"routed", "gated", "blocked", "owned", "spiked"}
    assert words["routed"] == "routed to pod-b"
    assert re.search(r"is owned by pod-[ab]", words["owned"])
    assert re.search(r"Spike #\d+ is open", words["spiked"])
    assert "scripted" in screen.split("\n\n", 1)[0]
    # The only token is in the link to a page that goes with the demo.
    assert "opapi-" not in LINK.sub("", screen)
    play = screen.split("Before the first pod", 1)[1].split("All as it should be", 1)[0]
    assert max(map(len, play.splitlines())) <= 80
