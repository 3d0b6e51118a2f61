"""Run a command while what it needs later is made ready beside it: `python -m support.beside make lint unit slow`.

A real OpenProject boots and is filled, which takes a minute on one core; the tests of the command, and of its children, use
that server. The programs that tests fetch come meanwhile, which is waiting for the most part.
"""

from __future__ import annotations

import os
import subprocess
import sys

from support.boards import CONTROLLER, can_be_booted

_FILL = "from support.worlds import filled_openproject; filled_openproject().close()"


def main(command: list[str]) -> int:
    """Returns the command's exit code; the server goes with this process."""
    env = {**os.environ, CONTROLLER: str(os.getpid())}
    # What goes wrong here goes wrong again in the first test that asks for the server, and is reported there.
    filling = (
        subprocess.Popen([sys.executable, "-c", _FILL], env=env, stderr=subprocess.DEVNULL) if can_be_booted() else None
    )
    fetching = subprocess.Popen([".ci/claude"], stderr=subprocess.DEVNULL)
    try:
        return subprocess.run(command, env=env, check=False).returncode
    finally:
        fetching.terminate()  # it removes what it has begun
        if filling is not None:
            filling.kill()
            filling.wait()
        fetching.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
