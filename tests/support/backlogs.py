"""Whole boards as values, and how they get onto either server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct


class Item(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A work package to be; everything else by name. `run` is the text of the field `Agent run`."""

    key: str
    type: str
    subject: str
    project: str
    parent: str | None = None
    status: str = "New"
    priority: str = "Normal"
    pod: str | None = None
    run: str | None = None
    assignee: str | None = None
    due_date: str | None = None
    description: str = ""


class Link(Struct, frozen=True, kw_only=True, rename={"source": "from", "target": "to"}):
    """A relation in its canonical direction."""

    type: str
    source: str
    target: str


class Backlog(Struct, frozen=True):
    """Projects by identifier, with what is in them; parents come before their children."""

    projects: tuple[str, ...]
    work_packages: tuple[Item, ...]
    relations: tuple[Link, ...] = ()


def into_openproject(folder: Path, script: Path, backlog: Backlog) -> dict[str, int]:
    """Import into the server that runs in `folder`; the ids by key.

    Args:
        folder: where the real OpenProject runs.
        script: the command that controls it.
        backlog: what to import.
    """
    code = Path(__file__).with_name("import.rb").read_text(encoding="utf-8")
    text = msgspec.json.encode(backlog).decode()
    program = folder / "import.rb"
    program.write_text(f"BACKLOG = <<'END_OF_BACKLOG'\n{text}\nEND_OF_BACKLOG\n{code}", encoding="utf-8")
    done = subprocess.run([script, "runner", folder, program], capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("IDS "):
            found: dict[str, int] = json.loads(line.removeprefix("IDS "))
            return found
    raise AssertionError(f"the import failed: {done.stdout[-2000:]}{done.stderr[:2000]}")


def as_toml_value(value: Any) -> str:
    """A string for TOML: JSON's strings are TOML's basic strings."""
    return json.dumps(value)
