"""Whether a claim is still ours: the fence before each effect, and what the watch asks every minute."""

from __future__ import annotations

from typing import Final

from agent import choose
from agent.board.query import one_of
from agent.choose import Why
from agent.claim import rules
from agent.claim.protocol import Protocol
from agent.claim.value import Claim
from agent.errors import NotFound, Refused, Superseded
from agent.model import WorkPackage
from agent.scan import read_around

FORBIDDEN: Final = 403


async def check(protocol: Protocol, claim: Claim) -> WorkPackage:
    """Read ticket and Epic and compare them with the claim, immediately before an effect; the ticket as it is now.

    Raises:
        Superseded: it is not ours any more, and why.
    """
    fleet, board = protocol.fleet, protocol.board
    try:
        ticket = await board.work_package(claim.ticket, "is it still mine")
        outermost = None
        if claim.epic is not None and claim.epic in ticket.ancestors:
            outermost = await board.work_package(claim.epic, "is its Epic still mine")
        elif ticket.ancestors:
            above = await board.work_packages([one_of("id", ticket.ancestors)], "which Epic it is in")
            by_id = {one.id: one for one in above}
            outermost = choose.epic_of([by_id[one] for one in ticket.ancestors if one in by_id], fleet)
    except NotFound as gone:
        raise Superseded("it is gone or hidden from the fleet") from gone
    except Refused as refusal:
        if refusal.status != FORBIDDEN:
            raise
        raise Superseded("it is hidden from the fleet") from refusal
    epic = outermost.id if outermost is not None else None
    why = rules.ticket_lost(ticket, claim, epic, fleet) or rules.epic_lost(outermost, fleet)
    if why:
        raise Superseded(why)
    return ticket


async def second_look(protocol: Protocol, ticket: WorkPackage) -> list[Why]:
    """Relations, gates and Spikes do not bump a lockVersion: what came up between the choice and the claim?"""
    around = await read_around(protocol.board, ticket)
    return choose.surrounding_reasons(ticket, around, protocol.fleet)
