"""How a run ends: what the cycle hands on and the screen shows. Pure."""

from __future__ import annotations

import enum

from msgspec import Struct


class Ending(enum.StrEnum):
    """How a run can end."""

    DONE = "done"
    TEXT_CHANGED = "text changed"
    FAILED = "failed"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    REFUSED = "refused"
    GONE = "gone"


class End(Struct, frozen=True):
    """How a run ended, and what it left."""

    kind: Ending
    branch: str = ""
    commit: str = ""
    spike: int | None = None
    reason: str = ""
