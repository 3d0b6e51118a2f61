"""The record of a history: what reached the board and the remote, by whom and when, and what it did there."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from agent.texts.report import Marker
from simulation.board import Row


class Violation(Struct, frozen=True):
    """An invariant that did not hold."""

    invariant: str
    at: float
    detail: str

    def __str__(self) -> str:
        return f"{self.invariant} at {self.at / 3600:.3f} h: {self.detail}"


class Write(Struct, kw_only=True):
    """A request other than a read, as it landed on the board.

    Attributes:
        at: when it landed.
        sent: when it was sent.
        process: who sent it.
        folder: the state folder of the sender: what "mine" means.
        pod: the sender's name.
        purpose: in the client's words.
        ticket: the work package in the path; of a creation the new one.
        before: as it was; None where there was none.
        after: as it is.
        status: of the answer.
        copy: the network's second copy of a request.
        late: it landed when its sender had given up or was gone.
    """

    at: float
    sent: float
    process: str
    folder: str
    pod: str
    method: str
    path: str
    purpose: str
    ticket: int
    before: Row | None
    after: Row | None
    status: int
    copy: bool = False
    late: bool = False
    body: Any = None
    mark: Marker | None = None
    """Of a comment of the fleet."""


class Line(Struct, frozen=True):
    """One event for people."""

    at: float
    who: str
    what: str


class Pass(Struct, frozen=True, kw_only=True):
    """One pass of a pod."""

    start: float
    end: float
    process: str
    outcome: str
    requests: int
    refusals: int
    faulty: bool
    """Faults could still occur."""


class History(Struct):
    """Everything that happened."""

    lines: list[Line] = field(default_factory=list)
    passes: list[Pass] = field(default_factory=list)
    requests: int = 0
    faults: int = 0
    hours: float = 0.0

    def add(self, at: float, who: str, what: str) -> None:
        """For people who look at a failing seed."""
        self.lines.append(Line(at, who, what))

    def told(self) -> str:
        """The whole history, a line an event."""
        return "\n".join(f"{one.at / 3600:8.4f} h  {one.who:<12} {one.what}" for one in self.lines)
