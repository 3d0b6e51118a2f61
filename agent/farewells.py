"""The last word on a claim that was given back: noted before, so that a kill between the two leaves nobody without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from loguru import logger

from agent.errors import NotFound, Refused, TooLarge
from agent.model import BoardText, WorkPackage
from agent.protocol import Protocol
from agent.state import Farewell
from agent.texts import claim_token, report
from agent.texts.claim_token import ClaimToken
from agent.texts.report import Event, Marker

_ENDS: Final = frozenset(
    {
        Event.PUSHED,
        Event.ALREADY_DONE,
        Event.FAILED,
        Event.STOPPED,
        Event.GIVEN_BACK,
        Event.REFUSED,
        Event.EPIC_RELEASED,
        Event.EXPIRED,
    }
)
"""What a run says last."""


async def give_back(
    protocol: Protocol, number: int, token: ClaimToken, text: BoardText, *, to: Sequence[int] = (), always: bool = False
) -> WorkPackage | None:
    """Give back what is still ours of a work package, then say so; None = nothing was.

    Args:
        protocol: the pod's protocol.
        number: the work package.
        token: the claim that ends.
        text: the comment, with its marker.
        to: statuses to set instead of ready, see `Protocol.give_back`.
        always: say it even if nothing was ours any more.

    Raises:
        Unreachable: the board fell silent; the next pass says what is still to be said.
    """
    farewell = Farewell(number, str(token), text)
    protocol.memory.change(lambda state: state.with_farewell(farewell))
    given = await protocol.try_give_back(number, token, to=to)
    if given is not None or always:
        await _say(protocol, farewell)
    _forget(protocol, farewell)
    return given


async def catch_up(protocol: Protocol) -> list[WorkPackage]:
    """Say what a pod that died could not say any more; what was given back so, as it is now.

    A claim that is still there, or that its holder has renewed or taken over meanwhile, was not given back: what becomes
    of it is decided anew.
    """
    told = []
    for farewell in protocol.memory.state.farewells:
        try:
            item = await protocol.board.work_package(farewell.ticket, "was it given back")
        except (NotFound, Refused, TooLarge) as gone:
            logger.info("#{}: nothing is left to say: {}", farewell.ticket, gone)
        else:
            shown, marker = claim_token.parse(item.run), report.parse_marker(farewell.text)
            if marker is not None and (shown is None or shown.run != marker.run):
                if not await _is_told(protocol, item.id, marker):
                    await _say(protocol, farewell)
                told.append(item)
        _forget(protocol, farewell)
    return told


async def _is_told(protocol: Protocol, number: int, marker: Marker) -> bool:
    """Whether this was said; of a claim that a judge let expire also whether its holder came back and ended the run."""
    said = await protocol.events(number, marker.run)
    return bool(said & (_ENDS if marker.event == Event.EXPIRED else {marker.event}))


def _forget(protocol: Protocol, farewell: Farewell) -> None:
    protocol.memory.change(lambda state: state.without_farewell(farewell))


async def _say(protocol: Protocol, farewell: Farewell) -> None:
    try:
        await protocol.say(farewell.ticket, farewell.text, "what became of the claim")
    except Refused as refusal:
        logger.warning("#{}: cannot say what became of its claim: {}", farewell.ticket, refusal)
