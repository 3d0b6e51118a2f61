"""What is ours and what is a person's, pure: when a claim is over, and what may be given back (DESIGN, section 3)."""

from __future__ import annotations

from msgspec import UNSET, Struct

from agent.choose import is_fleet_assigned, is_mine
from agent.model import Changes, Fleet, WorkPackage
from agent.state import RecordedClaim
from agent.texts import claim_token
from agent.texts.claim_token import ClaimToken


class Held(Struct, frozen=True, kw_only=True):
    """A claim as it was made: what watch and fence compare the board with."""

    ticket: int
    token: ClaimToken
    project: int
    type: int
    epic: int | None = None

    @classmethod
    def of(cls, record: RecordedClaim, token: ClaimToken) -> Held:
        """The claim as it was recorded when it was made."""
        return cls(ticket=record.ticket, token=token, project=record.project, type=record.type, epic=record.epic)

    @property
    def owner(self) -> int:
        """Who owns the branch: the Epic, else the ticket."""
        return self.epic or self.ticket


def same_claim(item: WorkPackage, token: ClaimToken) -> bool:
    """Whether the work package carries this very token; run id and nonce count, not the rest of the text."""
    return token.same_claim(claim_token.parse(item.run))


def ticket_lost(item: WorkPackage, held: Held, epic: int | None, fleet: Fleet) -> str:
    """Why the holder must stop, in the words of the ticket's comment; empty = still mine.

    Args:
        item: the ticket as it is now.
        held: the claim.
        epic: the outermost Epic above it now.
        fleet: who is who.
    """
    changed = {
        "the claim is another's now": bool(item.run) and not same_claim(item, held.token),
        "the claim was cleared": not item.run,
        "its status was changed": item.status != fleet.active,
        "its assignee was changed": not is_fleet_assigned(item, fleet),
        f"it was routed to {item.pod}": item.pod not in ("", held.token.pod),
        "it was moved to another project": item.project != held.project,
        "its type was changed": item.type != held.type,
        "it was moved to another Epic": epic != held.epic,
    }
    return next((why for why, true in changed.items() if true), "")


def epic_lost(epic: WorkPackage | None, fleet: Fleet) -> str:
    """Why the Epic of a held ticket is not ours any more; empty = it is."""
    if epic is None:
        return ""
    if not is_mine(epic, fleet):
        return f"its Epic #{epic.id} is not this pod's any more"
    if epic.pod not in ("", fleet.pod):
        return f"its Epic #{epic.id} was routed to {epic.pod}"
    return ""


def give_back(item: WorkPackage, token: ClaimToken, fleet: Fleet, *, to: int | None) -> Changes:
    """Only what is ours: what a person has set meanwhile stays.

    The token always; the status only if it is still active; the assignee only if it is a fleet user; the pod field
    only if it is the token's pod and the ticket was not routed before the claim.

    Args:
        item: the work package as it is now, with our token.
        token: the claim that ends.
        fleet: who is who.
        to: the status to set if it is still active; None leaves it.
    """
    return Changes(
        run="",
        status=to if to is not None and item.status == fleet.active else UNSET,
        assignee=None if is_fleet_assigned(item, fleet) else UNSET,
        pod="" if item.pod == token.pod and not token.routed else UNSET,
    )
