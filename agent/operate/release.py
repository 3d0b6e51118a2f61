"""Giving a claim back by hand, whoever holds it (`agent release`): for a pod that is gone, or gone wrong.

By compare-and-swap on the token that the board shows, and only what is the claim's: what a person has set meanwhile
stays. A pod that still works on it sees that its token is gone, and stops.
"""

from __future__ import annotations

from msgspec import Struct

from agent.board.query import contains
from agent.claim import ending
from agent.claim.ending import Cause, How
from agent.claim.protocol import Protocol
from agent.claim.value import Claim
from agent.errors import ConfigurationError
from agent.model import WorkPackage
from agent.texts import claim_token, report


class Released(Struct, frozen=True, kw_only=True):
    """One claim that was to be given back; `done` is False if it changed hands meanwhile."""

    ticket: int
    subject: str
    pod: str
    run: str
    done: bool
    ready: bool = True
    """Whether it is in the ready status again: a workflow or a person may have it otherwise."""


async def release_ticket(protocol: Protocol, number: int) -> Released:
    """Give back the claim that one work package shows.

    Raises:
        ConfigurationError: it carries none.
        NotFound: it does not exist, or this account may not see it.
    """
    item = await protocol.board.work_package(number, "the claim to release")
    claim = Claim.shown(item)
    if claim is None:
        held = f"“{item.run}” in the run field is no token" if item.run else "the run field is empty"
        raise ConfigurationError(f"#{number} carries no claim: {held}. There is nothing to release.")
    return await _release(protocol, item, claim)


async def release_pod(protocol: Protocol, pod: str) -> list[Released]:
    """Give back everything that a pod holds; its Epics after what is below them.

    Raises:
        ConfigurationError: no pod can have that name.
    """
    if not claim_token.is_pod_name(pod):
        raise ConfigurationError(f"“{pod}” is no name of a pod. Allowed: {claim_token.POD_NAME}.")
    board, fleet = protocol.board, protocol.fleet
    found = await board.work_packages([contains(board.fields.run, f" by {pod} try ")], "what the pod holds")
    claims = [(one, claim) for one in found if (claim := Claim.shown(one)) and claim.token.pod == pod]
    claims.sort(key=lambda held: (held[0].type in fleet.epics, held[0].id))
    return [await _release(protocol, item, claim) for item, claim in claims]


async def _release(protocol: Protocol, item: WorkPackage, claim: Claim) -> Released:
    token = claim.token
    how = How(cause=Cause.RELEASED, word=lambda _: report.released(token.run, pod=token.pod))
    ended = await ending.end(protocol, claim, how)
    if ended.refusal is not None:
        raise ended.refusal
    done = ended.item
    return Released(
        ticket=item.id,
        subject=item.subject,
        pod=token.pod,
        run=token.run,
        done=done is not None,
        ready=done is not None and done.status == protocol.fleet.ready,
    )
