"""The sample backlog, `backlog.toml`: imported into the embedded board, written ticket by ticket into an OpenProject."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

from agent.demo.hands import Hands

FILE: Final = "backlog.toml"
GATES: Final = ("Phase", "Summary task")
"""What a gate is called: its name since OpenProject 17.6 is the second."""
ROUTED_TO: Final = "pod-b"


def text() -> str:
    """The backlog as `agent board import` takes it."""
    return (resources.files("agent.demo") / FILE).read_text(encoding="utf-8")


def save(folder: Path) -> Path:
    """The backlog as a file."""
    file = folder / FILE
    file.write_text(text(), encoding="utf-8")
    return file


def write(hands: Hands) -> Mapping[str, int]:
    """Write the tickets through the board's API, as a person; their ids by key."""
    content: dict[str, list[dict[str, Any]]] = tomllib.loads(text())
    gate = next(one for one in GATES if one in hands.ids("types"))
    ids: dict[str, int] = {}
    for entry in content["work_packages"]:
        kind = gate if entry["type"] in GATES else entry["type"]
        ids[entry["key"]] = hands.create({**entry, "type": kind}, ids.get(entry.get("parent", "")))
    for relation in content["relations"]:
        hands.relate(ids[relation["from"]], relation["type"], ids[relation["to"]])
    return ids
