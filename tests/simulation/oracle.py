"""What a work package is available for, read from the store; written from DESIGN, section 2, and not from the code."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from simulation.board import Row, SimBoard

FLEET: Final = frozenset({"agent", "agent2"})
EXECUTABLE: Final = frozenset({"Task", "Feature", "Bug"})
GATES: Final = frozenset({"Phase", "Summary task"})
CLOSED: Final = frozenset({"Closed", "Rejected"})
DONE: Final = CLOSED | {"In testing"}
WORKABLE: Final = frozenset({"New", "In progress", "In testing"})
_TOKEN: Final = re.compile(r"([0-9a-f-]{36})\.(\S+) by (\S+) try (\d+) for (\S+) @ (\S+)( routed)?")


class Token(Struct, frozen=True):
    """A claim's text, taken apart."""

    run: str
    nonce: str
    pod: str
    attempt: int
    routed: bool
    """The work package was routed before it was claimed."""

    @classmethod
    def read(cls, text: str) -> Token | None:
        found = _TOKEN.fullmatch(text)
        return None if found is None else cls(found[1], found[2], found[3], int(found[4]), bool(found[7]))


def epic_above(ancestors: list[Row]) -> Row | None:
    """The outermost."""
    return next((one for one in ancestors if one.type == "Epic"), None)


def own_reasons(row: Row, pod: str) -> set[str]:
    """What the ticket itself shows."""
    found = set()
    if row.status != "New":
        found.add("not ready")
    if row.assignee and row.assignee not in FLEET:
        found.add("taken")
    if row.pod not in ("", pod):
        found.add("routed")
    return found


def surroundings(board: SimBoard, row: Row, pod: str, mine: frozenset[str]) -> set[str]:
    """What is around it, each with what it is about; `mine` are the tokens of this pod's state folder."""
    above = board.ancestors(row.id)
    found = {f"gated by #{one.id}" for one in above if one.type in GATES and one.status != "In progress"}
    for one in above:
        if one.type == "Epic":
            found |= _closed(one, pod, mine)
    for child in board.children(row.id):
        if child.type != "Spike":
            found.add("container")
        elif child.status not in CLOSED:
            found.add(f"Spike #{child.id} is open")
    epic = epic_above(above)
    for blocked, blocker in board.blockers([row.id, *(one.id for one in above)]):
        if not _complete(board, blocker, epic):
            found.add(f"#{blocked} waits for #{blocker.id}")
    return found


def _closed(epic: Row, pod: str, mine: frozenset[str]) -> set[str]:
    """Why nothing below this Epic can be taken."""
    found = set()
    if epic.status not in WORKABLE:
        found.add(f"Epic #{epic.id} is {epic.status}")
    if epic.status == "In progress" and "@" in epic.run and epic.run not in mine:
        found.add(f"Epic #{epic.id} is another's")
    elif epic.pod not in ("", pod):
        found.add(f"Epic #{epic.id} is routed to another")
    return found


def _complete(board: SimBoard, blocker: Row, epic: Row | None) -> bool:
    if blocker.status in CLOSED:
        return True
    return blocker.status in DONE and epic is not None and epic.id in {one.id for one in board.ancestors(blocker.id)}
