"""Run a command while a real OpenProject boots and is filled beside it: `python -m support.beside make lint unit`.

Boot and import take a minute on one core. The tests of the command, and of its children, use that server.
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
    try:
        return subprocess.run(command, env=env, check=False).returncode
    finally:
        if filling is not None:
            filling.kill()
            filling.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
