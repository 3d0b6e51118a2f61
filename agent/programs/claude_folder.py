"""Claude Code's own folder: what it reads there is ours, and what it starts lives in the development shell.

Claude Code itself stays out of that shell, whose variables are the repository's (BUN_OPTIONS, ANTHROPIC_BASE_URL, LD_AUDIT and
what comes next year would all reach into it). Only its commands go in: each is run by a `bash` of ours that takes the shell's
environment from a file. Every variable that is not ours here would be one too many, so nothing is filtered.

It takes variables from files as well: from `.claude.json`, from `--settings`, which the older one writes to TMPDIR when it is
no file, from `.config/anthropic` in its HOME. So its HOME is this folder, and a sandbox shows it read-only to all, but for the
places where it must write; what it believes is in none of them.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.programs.removal import remove_folder

_SETTINGS: Final = json.dumps({"env": {"LD_PRELOAD": ""}})
"""What it starts is no part of it, and begins without the library that it was started with."""
_SHELL: Final = """\
#!{bash}
unset {own}
export SHELL={bash}
shell=()
[ ! -f {environment} ] || mapfile -d '' -t shell < {environment}
for one in "${{shell[@]}}"; do
  case $one in PATH=*) shell+=("__PATH=${{one#PATH=}}") ;; esac
done
exec {env} -- "${{shell[@]}}" {bash} "$@"
"""
"""Takes the place of bash for its commands."""
_BEFORE: Final = """[ -z "${__PATH-}" ] || export PATH="$__PATH"; unset __PATH"""
"""Said before each command: by then it has set PATH to its own."""


class ClaudeFolder(Struct, frozen=True):
    """The folder of one run.

    Attributes:
        path: its HOME, and where its configuration is.
    """

    path: Path

    @classmethod
    def below(cls, home: Path) -> ClaudeFolder:
        """The one in a run's HOME."""
        return cls(home / ".claude")

    @property
    def environment(self) -> Path:
        """What its commands get, one variable after the other, each with a NUL behind it."""
        return self.path / "environment"

    @property
    def settings(self) -> Path:
        """The file for `--settings`."""
        return self.path / "flags.json"

    @property
    def writable(self) -> tuple[Path, ...]:
        """Where it, and all else in its sandbox, may write."""
        return tuple(self.path / name for name in ("projects", "session-env", "shell-snapshots"))

    def variables(self) -> dict[str, str]:
        """What leads it here."""
        return {
            "HOME": str(self.path),
            "CLAUDE_CONFIG_DIR": str(self.path),
            "CLAUDE_CODE_SHELL": str(self.path / "bash"),
            "CLAUDE_ENV_FILE": str(self.path / "before-each-command.sh"),
            # Bun unpacks native modules there, and then loads what lies there by then.
            "BUN_TMPDIR": str(self.path),
            # The newer one listens there for messages of other sessions; there can be no socket.
            "XDG_RUNTIME_DIR": "/proc",
        }

    def prepare(self, *, bash: str, env: str, own: Collection[str], shell: Mapping[str, str]) -> None:
        """Make it, as it must be when the program starts; nothing of an earlier try stays.

        Args:
            bash: the program.
            env: likewise.
            own: the names of the variables that are its own, and not its commands'.
            shell: the environment of its commands, where there is no development shell.
        """
        remove_folder(self.path)
        for folder in self.writable:
            folder.mkdir(mode=0o700, parents=True)
        self.environment.write_bytes(b"".join(os.fsencode(f"{name}={value}\0") for name, value in shell.items()))
        words = {"bash": bash, "env": env, "environment": str(self.environment)}
        script = _SHELL.format(
            own=" ".join(sorted({*own, *shell})), **{name: shlex.quote(word) for name, word in words.items()}
        )
        for name, text in (
            (".claude.json", "{}"),
            (self.settings.name, _SETTINGS),
            ("bash", script),
            ("before-each-command.sh", _BEFORE),
        ):
            (self.path / name).write_text(text, encoding="utf-8")
        (self.path / "bash").chmod(0o700)
