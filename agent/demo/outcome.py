"""Pure: what the demo has to show at its end, and whether that is what it should be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from agent.demo.hands import Said, Ticket
from agent.demo.pods import Pass, Seen

EXECUTABLE: Final = ("Bug", "Task", "Feature")
DONE: Final = ("In testing", "Closed")
OPEN: Final = ("New", "In progress")
RUNGS: Final[Mapping[int, str]] = {
    1: "finish",
    2: "my Epic",
    3: "release",
    4: "bug",
    5: "Epic task",
    6: "alone",
}
"""The rungs of the ladder in a word or two."""
WANTED_RUNGS: Final = (2, 3, 4, 5, 6)
WANTED_REASONS: Final = ("blocked", "gated", "spiked", "routed", "Epic")
"""As `agent explain` names them; of the last, ownership is wanted."""

_TAKEN_BY: Final = re.compile(r"Epic taken by pod `([^`]+)`")
_NOTHING_LEFT: Final = "Released: nothing left to do"


class Row(Struct, frozen=True, kw_only=True):
    """A line of the final table; `result` is the status that the board shows, or the Spike that was created."""

    ticket: int
    subject: str
    rung: int
    pod: str
    branch: str = ""
    commit: str = ""
    result: str


def rows(passes: Iterable[Pass], board: Mapping[int, Ticket]) -> list[Row]:
    """What pods did, in the order in which they did it."""
    return [
        Row(
            ticket=one.ticket,
            subject=board[one.ticket].subject,
            rung=one.rung,
            pod=one.pod,
            branch=one.branch,
            commit=one.commit,
            result=_result(one, board),
        )
        for one in passes
    ]


def _result(one: Pass, board: Mapping[int, Ticket]) -> str:
    if one.kind == "done":
        return board[one.ticket].status
    return f"Spike #{one.spike}" if one.spike else one.kind


def releases(epic: Ticket, said: Sequence[Said]) -> Iterator[Row]:
    """Rung 3, read in an Epic's audit trail: given up since nothing was left to do in it."""
    takers = {one.run: found[1] for one in said if (found := _TAKEN_BY.match(one.text))}
    for one in said:
        if one.event == "epic_released" and one.text.startswith(_NOTHING_LEFT):
            yield Row(ticket=epic.id, subject=epic.subject, rung=3, pod=takers.get(one.run, ""), result=epic.status)


def reasons(seen: Iterable[Seen]) -> dict[str, Seen]:
    """The first example of each reason that a pod gave; of "Epic" one that is owned."""
    found: dict[str, Seen] = {}
    for one in seen:
        if one.reason != "Epic" or "owned by" in one.detail:
            found.setdefault(one.reason, one)
    return found


def name_of(reason: str) -> str:
    """What the demo calls a reason: of the reason "Epic" it shows the kind that is owned."""
    return "owned" if reason == "Epic" else reason


def wrong(table: Iterable[Row], seen: Iterable[Seen], board: Mapping[int, Ticket]) -> Iterator[str]:
    """What is not as it should be, each in a sentence."""
    table = list(table)
    rungs, given = {one.rung for one in table}, reasons(seen)
    for rung in WANTED_RUNGS:
        if rung not in rungs:
            yield f"Rung {rung} ({RUNGS[rung]}) did not occur."
    for reason in WANTED_REASONS:
        if reason not in given:
            yield f"No pod gave the reason “{reason}”."
    for one in board.values():
        yield from _unfinished(one)
    for one in board.values():
        if one.type in EXECUTABLE and not any(row.ticket == one.id and row.commit for row in table):
            yield f"No pod reported a commit for #{one.id} {one.subject}."
    if not any(one.type == "Spike" for one in board.values()):
        yield "No Spike was created."


def _unfinished(one: Ticket) -> Iterator[str]:
    if one.run:
        yield f"#{one.id} {one.subject} is still claimed: {one.run}"
    if one.type in (*EXECUTABLE, "Epic") and one.status not in DONE:
        yield f"#{one.id} {one.subject} is {one.status}, not done."
    if one.type == "Spike" and one.status in OPEN:
        yield f"Spike #{one.id} is {one.status}, not closed."
