"""Inside the pod that is to be killed: tells the test that an effect is about to happen, and that it has happened.

Runs as a script in the place of the model and of a check, and as `sitecustomize` of the agent's own process for what it does
to files. Git, Nix and bubblewrap have a script of bash before them (`killer.py`): there are dozens of them in a ticket, and
each start of Python takes longer than the program. Whoever hears that the pod was killed meanwhile has no effect any more.
"""

from __future__ import annotations

import functools
import os
import re
import runpy
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

GO: Final = b"go"
DEAD: Final = 137
ORPHANED_S: Final = 120
"""How long a model that lost its pod goes on, if nobody ends it."""

_RUN: Final = r"[0-9a-f]{8}-[0-9a-f-]{27}"
_FILES: Final = re.compile(
    rf"state\.json|catalog\.json|repositories/\w+/(runs/\d+\.json|work/\d+|mirror\.git/worktrees/\d+)|homes/{_RUN}|usage/{_RUN}\.json"
)
"""Below the state folder: what a restart reads."""


def reached(address: str, moment: str, effect: str) -> bool:
    """Say it, and hear whether the pod goes on."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(address)
        line.sendall(f"{moment} {effect}\n".encode())
        return line.recv(16) == GO


def watch_files(address: str, state: str) -> None:
    """From now on, this process tells of the files that it writes below `state`."""
    inside = False

    def told(verb: str, function: Callable[..., Any], which: int, due: Callable[[str], bool]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal inside
            path = os.fsdecode(args[which]) if isinstance(args[which], str | os.PathLike) else ""
            name = os.path.relpath(path, state) if path.startswith(state) else ""
            if inside or not _FILES.fullmatch(name) or not due(path):
                return function(*args, **kwargs)
            inside = True
            effect = f"{verb} {re.sub(_RUN, 'RUN', name)}"
            try:
                reached(address, "before", effect)
                return function(*args, **kwargs)
            finally:
                reached(address, "after", effect)
                inside = False

        return call

    os.replace = told("write", os.replace, 1, lambda _: True)
    os.mkdir = told("make", os.mkdir, 0, lambda path: Path(path).parent.is_dir() and not os.path.lexists(path))
    os.unlink = told("remove", os.unlink, 0, os.path.lexists)
    shutil.rmtree = told("remove", shutil.rmtree, 0, os.path.lexists)  # type: ignore[assignment]
    os.rmdir = told("remove", os.rmdir, 0, os.path.lexists)
    os.rename = told("remove", os.rename, 0, os.path.lexists)  # out of the way, into the trash


def model(address: str, real: str, script: str) -> int:
    """The scripted model; one that lost its pod in the middle goes on until somebody ends it."""
    if not reached(address, "before", "model start"):
        return DEAD
    Path("half.txt").write_text("begun\n")
    if not reached(address, "after", "model start"):
        time.sleep(ORPHANED_S)
    sys.argv = [real, script]
    out, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: PTH123, SIM115 - until the process ends
    said: list[str] = []
    sys.stdout.write = said.append  # type: ignore[method-assign, assignment]
    code: object = 0
    try:
        runpy.run_path(real, run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    sys.stdout = out
    if not reached(address, "before", "model end"):
        time.sleep(ORPHANED_S)
    out.write("".join(said))
    out.flush()
    if not reached(address, "after", "model end"):
        time.sleep(ORPHANED_S)
    return int(bool(code))


def check(address: str) -> int:
    """One of the repository's checks: it passes, announced, unless something in the worktree says that it fails."""
    if not reached(address, "before", "verify"):
        return DEAD
    passed = not Path("broken.txt").exists()
    if not reached(address, "after", "verify"):
        time.sleep(ORPHANED_S)
    return 0 if passed else 1


def main(role: str, *words: str) -> int:
    """One of the roles."""
    return model(*words) if role == "model" else check(*words)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
