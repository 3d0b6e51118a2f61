"""Compare-and-swap on a work package: the one loop, and the one type of what can come of it.

Content decides, never an error code: a 409 or a silence proves nothing, since children bump their ancestors and answers
get lost. After each, the work package is read again, and what it shows settles the matter.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from typing import Final

from loguru import logger
from msgspec import UNSET, Struct
from msgspec.structs import replace

from agent.board.client import Board
from agent.errors import Conflict, Ignored, NotFound, Refused, Unreachable
from agent.model import Changes, WorkPackage

SWAPS: Final = 5
"""How often it is repeated while the work package still allows it."""


class Outcome(enum.Enum):
    """What came of it."""

    WRITTEN = "the work package carries it"
    LEFT = "it is not wanted any more, by what the work package shows now"
    GONE = "the work package is gone, or hidden"
    REFUSED = "the board says no"
    IGNORED = "the board took a part, and dropped the rest without a word"
    UNSETTLED = "it changes faster than it can be written, or the board does not answer"


class Swap(Struct, frozen=True, kw_only=True):
    """What came of a compare-and-swap.

    Attributes:
        outcome: which of the six.
        item: as it is now; where it was refused or ignored, as it was before; None where it is gone.
        refusal: the board's words.
        unheard: a try went unsettled: what the work package shows now may be this one's doing.
        in_flight: a try went unanswered: it may land still, as long as the lockVersion stands.
    """

    outcome: Outcome
    item: WorkPackage | None = None
    refusal: Refused | Ignored | None = None
    unheard: bool = False
    in_flight: bool = False

    @property
    def written(self) -> WorkPackage | None:
        """The work package with what was to be written; None for every other outcome."""
        return self.item if self.outcome is Outcome.WRITTEN else None


def carries(item: WorkPackage, sent: Changes) -> bool:
    """Whether a work package shows everything that was to be written."""
    assignee = None if item.assignee is None else item.assignee.id
    pairs = (
        (sent.status, item.status),
        (sent.assignee, assignee),
        (sent.pod, item.pod),
        (sent.run, item.run),
        (sent.schedule_manually, item.schedule_manually),
    )
    return all(wanted is UNSET or wanted == shown for wanted, shown in pairs)


async def swap(
    board: Board,
    read: Callable[[], Awaitable[WorkPackage]],
    wanted: Callable[[WorkPackage], Changes | None],
    purpose: str,
    *,
    start: WorkPackage | None = None,
    landed: Callable[[WorkPackage, Changes], bool] = carries,
) -> Swap:
    """Write what is wanted of the very representation whose lockVersion is sent.

    Args:
        board: where.
        read: the work package as it is now; what it raises ends the loop, but for a 404.
        wanted: what to write into this representation; None where there is nothing to write any more.
        purpose: for the log, and in the request's name.
        start: as it was read already.
        landed: whether an unsettled try has happened after all.
    """
    item, sent, in_flight = start, None, False
    for left in reversed(range(SWAPS + 1)):
        try:
            item = item or await read()
        except NotFound:
            return Swap(outcome=Outcome.GONE, unheard=sent is not None, in_flight=in_flight)
        if sent is not None and landed(item, sent):
            return Swap(outcome=Outcome.WRITTEN, item=item, unheard=True)
        changes = wanted(item) if left else None
        if changes is None:
            outcome = Outcome.LEFT if left else Outcome.UNSETTLED
            return Swap(outcome=outcome, item=item, unheard=sent is not None, in_flight=in_flight)
        tried = await _send(board, item, changes, purpose)
        in_flight = in_flight or tried.in_flight
        if tried.outcome is not Outcome.UNSETTLED:
            return replace(tried, in_flight=in_flight)
        item, sent = None, changes
    raise AssertionError("unreachable")


async def _send(board: Board, item: WorkPackage, changes: Changes, purpose: str) -> Swap:
    """One try; unsettled where the work package has to be read again."""
    try:
        return Swap(outcome=Outcome.WRITTEN, item=await board.patch(item, changes, purpose))
    except Ignored as ignored:
        return Swap(outcome=Outcome.IGNORED, item=item, refusal=ignored)
    except Refused as refusal:
        return Swap(outcome=Outcome.REFUSED, item=item, refusal=refusal)
    except NotFound:
        return Swap(outcome=Outcome.GONE)
    except (Conflict, Unreachable) as unsettled:
        logger.info("#{}: “{}” is not settled, reading again: {}", item.id, purpose, unsettled)
        return Swap(outcome=Outcome.UNSETTLED, in_flight=isinstance(unsettled, Unreachable))
