"""Whole boards as values, and how they get onto either server."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.server import import_backlog


class Item(Struct, frozen=True, kw_only=True):
    """A work package to be; everything else by name. `{parent}` in a subject is the parent's id; `run` fills `Agent run`."""

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


def into_embedded(folder: Path, backlog: Backlog) -> dict[str, int]:
    """Import into an embedded board; the ids by key. What its import does not know is written into its tables."""
    imported = import_backlog(folder, as_toml(backlog))
    ids = dict(imported.work_packages)
    with contextlib.closing(sqlite3.connect(folder / "board.sqlite3")) as db, db:
        field = db.execute("SELECT id FROM custom_fields WHERE name = 'Agent run'").fetchone()[0]
        runs = [(ids[one.key], field, one.run) for one in backlog.work_packages if one.run]
        db.executemany("INSERT INTO custom_values VALUES (?, ?, ?)", runs)
        db.execute("UPDATE work_packages SET subject = replace(subject, '{parent}', parent_id) WHERE parent_id > 0")
    return ids


def as_toml(backlog: Backlog) -> str:
    """The backlog as `agent board import` reads it. JSON's strings are TOML's basic strings."""
    lines = []
    for name in backlog.projects:
        lines += [
            "[[projects]]",
            f'identifier = "{name}"',
            f'name = "{name}"',
            'members = ["agent", "agent2", "human"]',
        ]
    for item in backlog.work_packages:
        lines.append("[[work_packages]]")
        for key, value in msgspec.to_builtins(item).items():
            if value is not None and key != "run":
                lines.append(f"{key} = {value if key == 'due_date' else json.dumps(value)}")
    for link in backlog.relations:
        lines += ["[[relations]]", f'type = "{link.type}"', f'from = "{link.source}"', f'to = "{link.target}"']
    return "\n".join(lines)
