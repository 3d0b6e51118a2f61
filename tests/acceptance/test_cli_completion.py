"""The shell completions that a package installs."""

from __future__ import annotations

import subprocess

import pytest

from support.fleet import AGENT


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_come_out_for_each_shell(shell: str) -> None:
    env = {"_AGENT_COMPLETE": f"source_{shell}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([AGENT], env=env, capture_output=True, text=True, check=True)
    assert "_AGENT_COMPLETE" in done.stdout
