"""Giving a claim back by hand, whoever holds it (`agent release`): for a pod that is gone, or gone wrong.

By compare-and-swap on the token that the board shows, and only what is the claim's: what a person has set meanwhile
stays. A pod that still works on it sees that its token is gone, and stops.
"""

from __future__ import annotations

from msgspec import Struct

from agent.board.query import contains
from agent.errors import ConfigurationError
from agent.model import WorkPackage
from agent.protocol import Protocol
from agent.texts import claim_token, report
from agent.texts.claim_token import ClaimToken


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
    token = claim_token.parse(item.run)
    if token is None:
        held = f"“{item.run}” in the run field is no token" if item.run else "the run field is empty"
        raise ConfigurationError(f"#{number} carries no claim: {held}. There is nothing to release.")
    return await _release(protocol, item, token)


async def release_pod(protocol: Protocol, pod: str) -> list[Released]:
    """Give back everything that a pod holds; its Epics after what is below them.

    Raises:
        ConfigurationError: no pod can have that name.
    """
    if not claim_token.is_pod_name(pod):
        raise ConfigurationError(f"“{pod}” is no name of a pod. Allowed: {claim_token.POD_NAME}.")
    board, fleet = protocol.board, protocol.fleet
    found = await board.work_packages([contains(board.fields.run, f" by {pod} try ")], "what the pod holds")
    claims = [(one, token) for one in found if (token := claim_token.parse(one.run)) and token.pod == pod]
    claims.sort(key=lambda claim: (claim[0].type in fleet.epics, claim[0].id))
    return [await _release(protocol, item, token) for item, token in claims]


async def _release(protocol: Protocol, item: WorkPackage, token: ClaimToken) -> Released:
    done = await protocol.give_back(item.id, token)
    if done is not None:
        await protocol.say(item.id, report.released(token.run, pod=token.pod), "released by an operator")
    return Released(
        ticket=item.id,
        subject=item.subject,
        pod=token.pod,
        run=token.run,
        done=done is not None,
        ready=done is not None and done.status == protocol.fleet.ready,
    )
