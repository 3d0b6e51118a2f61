"""The check, before any claim, that a sandbox can be made on this host."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from agent.errors import PodTrouble
from agent.programs.runner import Job, Runner
from agent.sandbox.jail import Jail, Limits
from agent.sandbox.sandbox import Sandbox

_LIMITS = Limits(disk=1 << 30, processes=1000)


async def check(runner: Runner, env: Mapping[str, str]) -> None:
    """Run `true` in a sandbox.

    Args:
        runner: what starts processes.
        env: its PATH leads to bubblewrap.

    Raises:
        PodTrouble: it does not work here; the message says what to install or to set.
    """
    with tempfile.TemporaryDirectory(prefix="agent-sandbox-check-") as name:
        folder = Path(name)
        sandbox = Sandbox(runner=runner, jail=Jail(writable=(folder,), tmp=folder / "tmp"), limits=_LIMITS)
        done = await sandbox.run(Job(argv=("true",), cwd=folder, env={"PATH": env.get("PATH", "")}, timeout=60))
    if not done.ok:
        raise PodTrouble(
            f"a sandbox on this host does not run even `true`: {done.ended.value}, exit code {done.returncode}"
        )
