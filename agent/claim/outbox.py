"""The last words on claims: noted before the claim is given back, so that a kill between the two leaves nobody without them."""

from __future__ import annotations

from typing import Final

from loguru import logger

from agent.claim.protocol import Protocol
from agent.claim.value import Claim
from agent.errors import NotFound, Refused, TooLarge
from agent.model import BoardText, WorkPackage
from agent.state import Farewell
from agent.texts import claim_token, report
from agent.texts.report import Event, Marker

_ENDS: Final = frozenset(
    {
        Event.PUSHED,
        Event.ALREADY_DONE,
        Event.FAILED,
        Event.STOPPED,
        Event.GIVEN_BACK,
        Event.REFUSED,
        Event.RELEASED,
        Event.EPIC_RELEASED,
        Event.EXPIRED,
    }
)
"""What a run says last."""


def put(protocol: Protocol, claim: Claim, text: BoardText) -> Farewell:
    """A word that is due as soon as the claim is gone from the board."""
    farewell = Farewell(claim.ticket, str(claim.token), text)
    protocol.memory.change(lambda state: state.with_farewell(farewell))
    return farewell


def drop(protocol: Protocol, farewell: Farewell) -> None:
    """It was said, or is not to be said."""
    protocol.memory.change(lambda state: state.without_farewell(farewell))


async def say(protocol: Protocol, farewell: Farewell, *, look: bool) -> None:
    """Say it.

    Args:
        protocol: the pod's.
        farewell: the word.
        look: whether it may have been said already, by this pod or by another that ended the same claim.
    """
    marker = report.parse_marker(farewell.text)
    if look and marker is not None and await _is_told(protocol, farewell.ticket, marker):
        return
    notify = marker is not None and marker.event == Event.REFUSED
    try:
        await protocol.say(farewell.ticket, farewell.text, "what became of the claim", notify=notify)
    except Refused as refusal:
        logger.warning("#{}: cannot say what became of its claim: {}", farewell.ticket, refusal)


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
            marker = report.parse_marker(farewell.text)
            if marker is not None and _is_due(protocol, item, marker):
                await say(protocol, farewell, look=True)
                told.append(item)
        drop(protocol, farewell)
    return told


def _is_due(protocol: Protocol, item: WorkPackage, marker: Marker) -> bool:
    """Whether the claim is gone; that a status was refused is of interest only while it stands."""
    shown = claim_token.parse(item.run)
    if marker.event == Event.REFUSED:
        return not item.run and item.status == protocol.fleet.active
    return shown is None or shown.run != marker.run


async def _is_told(protocol: Protocol, number: int, marker: Marker) -> bool:
    """Whether this was said; of a claim that a judge let expire also whether its holder came back and ended the run."""
    said = await protocol.events(number, marker.run)
    return bool(said & (_ENDS if marker.event == Event.EXPIRED else {marker.event}))
