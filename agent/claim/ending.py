"""The end of a claim: one function, whatever the cause, with one order of effects.

What runs on this host for it is ended and what is in its worktree is kept; the last word is put into the outbox; the
claim is given back by compare-and-swap on its own token, and only what is ours; the word is said; the claim is forgotten.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from typing import Final

from loguru import logger
from msgspec import Struct
from msgspec.structs import replace

from agent.claim import outbox, rules
from agent.claim.protocol import Protocol
from agent.claim.swap import Outcome, Swap, swap
from agent.claim.value import Claim
from agent.errors import Ignored, Refused, Unreachable
from agent.model import BoardText, Changes, WorkPackage
from agent.state import Farewell
from agent.texts import report
from agent.texts.where import NOWHERE, Where


class Cause(enum.StrEnum):
    """Every way in which a claim ends."""

    DONE = "done"
    TEXT_CHANGED = "text changed"
    FAILED = "failed"
    STOPPED = "stopped by a person"
    INTERRUPTED = "interrupted and given back"
    REFUSED = "refused report"
    SECOND_LOOK = "lost at the second look"
    EPIC_RELEASED = "Epic released"
    EXPIRED = "expired"
    RELEASED = "released by an operator"
    COPIED = "a copy of another's"
    LOST = "not on the board any more"


_RESULTS: Final = frozenset({Cause.DONE, Cause.TEXT_CHANGED})
"""The pod stays on the ticket: a reopened one returns to the pod with the context. Without its status it is no result."""

_PURPOSES: Final = {
    Cause.DONE: "#{} done",
    Cause.TEXT_CHANGED: "#{} back to ready, the text changed",
    Cause.REFUSED: "let go of a refused report of #{}",
}


class How(Struct, frozen=True, kw_only=True):
    """How a claim ends.

    Attributes:
        cause: why.
        word: the last word, given where the work is; None, or what gives None, where nothing is to be said.
        to: statuses to set instead of ready, in order of preference: the first that the workflow allows.
        always: the word is said even if nothing was ours any more.
        schedule_manually: switch it on again: a first Spike switches it off (reference, section 5.4).
        fence: reads the ticket, and raises if it may not be written any more; without one the token alone decides.
    """

    cause: Cause
    word: Callable[[Where], BoardText | None] | None = None
    to: tuple[int, ...] = ()
    always: bool = False
    schedule_manually: bool = False
    fence: Callable[[], Awaitable[WorkPackage]] | None = None


class Ended(Struct, frozen=True):
    """What came of it.

    Attributes:
        item: the work package as it was given back; None where nothing was ours any more.
        refusal: the board's words, where it does not even let go of it: it is left to expire.
    """

    item: WorkPackage | None = None
    refusal: Refused | None = None


async def end(protocol: Protocol, claim: Claim, how: How, leave: Callable[[], Awaitable[Where]] | None = None) -> Ended:
    """End a claim.

    Args:
        protocol: the pod's.
        claim: which one.
        how: by which cause, and with which words.
        leave: ends what runs on this host for it and keeps what is in its worktree; None where there is nothing.

    Raises:
        Superseded: the fence says that it is not ours any more.
        Unreachable: the board fell silent; the next pass goes on, and says what is still to be said.
    """
    where = await leave() if leave is not None else NOWHERE
    text = how.word(where) if how.word is not None else None
    word = outbox.put(protocol, claim, text) if text is not None else None
    swapped, notice = await _give_back(protocol, claim, how)
    given, refusal = swapped.written, swapped.refusal
    if isinstance(refusal, Refused):
        if how.cause in _RESULTS:
            return Ended(refusal=refusal)
        logger.error("#{}: its claim cannot be given back and is left to expire: {}", claim.ticket, refusal)
    if notice is not None:
        if given is not None and given.status == protocol.fleet.active:
            await outbox.say(protocol, notice, look=swapped.unheard)
        outbox.drop(protocol, notice)
    if word is not None:
        if given is not None or how.always:
            await outbox.say(protocol, word, look=swapped.unheard)
        outbox.drop(protocol, word)
    protocol.memory.forget(claim.ticket, str(claim.token))
    return Ended(given, refusal if isinstance(refusal, Refused) else None)


async def _give_back(protocol: Protocol, claim: Claim, how: How) -> tuple[Swap, Farewell | None]:
    """The first status that the workflow allows; where it allows none, everything else all the same, and a notice of it."""
    notice, refusal, unheard = None, None, False
    swapped = Swap(outcome=Outcome.LEFT)
    for to in _statuses(protocol, how):
        if to is None and refusal is not None:
            text = report.refused_report(claim.token.run, refused=str(refusal), pod=claim.token.pod)
            notice = outbox.put(protocol, claim, text)
        swapped = await _swap(protocol, claim, how, to)
        unheard = unheard or swapped.unheard
        if swapped.outcome is not Outcome.REFUSED:
            break
        refusal = swapped.refusal
        logger.warning("#{}: the board refuses the status: {}", claim.ticket, refusal)
    if isinstance(swapped.refusal, Ignored):
        raise swapped.refusal
    if swapped.outcome is Outcome.UNSETTLED:
        raise Unreachable(f"#{claim.ticket} could not be given back: the board does not settle it")
    return replace(swapped, unheard=unheard), notice


def _statuses(protocol: Protocol, how: How) -> tuple[int | None, ...]:
    if how.cause is Cause.REFUSED:
        return (None,)
    wanted = how.to or (protocol.fleet.ready,)
    return wanted if how.cause in _RESULTS else (*wanted, None)


async def _swap(protocol: Protocol, claim: Claim, how: How, to: int | None) -> Swap:
    board = protocol.board

    async def read() -> WorkPackage:
        return await board.work_package(claim.ticket, "what is still ours to give back")

    def wanted(item: WorkPackage) -> Changes | None:
        if not claim.is_on(item):
            return None
        if how.cause in _RESULTS and to is not None:
            return Changes(run="", status=to)
        ours = rules.give_back(item, claim.token, protocol.fleet, to=to)
        return replace(ours, schedule_manually=True) if how.schedule_manually else ours

    purpose = _PURPOSES.get(how.cause, "give back #{}").format(claim.ticket)
    return await swap(board, how.fence or read, wanted, purpose)
