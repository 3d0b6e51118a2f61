"""Who codes in the demo: the script itself, Claude Code with the script behind its API, or Claude Code with a real model."""

from __future__ import annotations

import contextlib
import enum
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

import agent
from agent.demo import messages_api
from agent.demo.tool_calls import demo
from agent.demo.trouble import NotHere

KEY_FILE: Final = "model-key"
"""In the folder of each pod, where a key is needed."""
_ACT_S: Final = 240.0
_REAL_ACT_S: Final = 3600.0
"""A real model takes minutes for a ticket."""


class Model(enum.StrEnum):
    """The models that can play the coding model."""

    SCRIPTED = "scripted"
    CLAUDE = "claude"


class Coder(Struct, frozen=True, kw_only=True):
    """A coding model for the pods.

    Attributes:
        title: who it is, for the screen.
        settings: the lines of [model] in a pod's settings.
        readable: what the sandbox has to show for it.
        key: what goes into the key file; empty for none.
        scripted: whether what it does is known beforehand.
        longest_s: seconds that an act may take.
    """

    title: str
    settings: tuple[str, ...]
    readable: tuple[str, ...] = ()
    key: str = ""
    scripted: bool = True
    longest_s: float = _ACT_S


@contextlib.contextmanager
def coder(model: Model, program: str, key: str) -> Iterator[Coder]:
    """The coder, and what it needs while it works.

    Args:
        model: which one.
        program: Claude Code's, a name in PATH or a path.
        key: for the real API; empty for the scripted one.

    Raises:
        NotHere: the program is not on this machine.
    """
    if model is Model.SCRIPTED:
        yield _script()
        return
    found = shutil.which(program)
    if found is None:
        raise NotHere(f"Claude Code is missing ({program}). `make demo MODEL=claude` fetches it.")
    place = ('kind = "claude"', f"program = {json.dumps(str(Path(found).resolve()))}", f'key_file = "{KEY_FILE}"')
    if key:
        title = "Claude Code with a real model, at most $2 a ticket"
        limits = ("max_usd = 2",)
        yield Coder(title=title, settings=place + limits, key=key, scripted=False, longest_s=_REAL_ACT_S)
        return
    with messages_api.serving(demo) as api:
        title = "the real Claude Code; what answers it is scripted"
        yield Coder(title=title, settings=(*place, f"api = {json.dumps(api.url)}"), key="no-key-is-needed")


def _script() -> Coder:
    # -P: the working directory, which is the model's worktree, is no place to import from.
    command = [sys.executable, "-P", "-m", "agent.demo.model"]
    return Coder(
        title="scripted: a program with nine recipes, no real model",
        settings=('kind = "command"', f"command = {json.dumps(command)}"),
        readable=(sys.prefix, sys.base_prefix, str(Path(agent.__file__).parent)),
    )
