"""What is ours and what is a person's, pure: when a claim is over, and what may be given back (DESIGN, section 3)."""

from __future__ import annotations

from msgspec import UNSET

from agent.choose import is_fleet_assigned, is_mine
from agent.claim.value import Claim
from agent.model import Changes, Fleet, WorkPackage
from agent.texts.claim_token import ClaimToken


def ticket_lost(item: WorkPackage, claim: Claim, epic: int | None, fleet: Fleet) -> str:
    """Why the holder must stop, in the words of the ticket's comment; empty = still mine.

    Args:
        item: the ticket as it is now.
        claim: as it was made.
        epic: the outermost Epic above it now.
        fleet: who is who.
    """
    changed = {
        "the claim is another's now": bool(item.run) and not claim.is_on(item),
        "the claim was cleared": not item.run,
        "its status was changed": item.status != fleet.active,
        "its assignee was changed": not is_fleet_assigned(item, fleet),
        f"it was routed to {item.pod}": item.pod not in ("", claim.token.pod),
        "it was moved to another project": item.project != claim.project,
        "its type was changed": item.type != claim.type,
        "it was moved to another Epic": epic != claim.epic,
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


def is_routed(item: WorkPackage, old: ClaimToken | None) -> bool:
    """Whether the pod field of what is about to be claimed is a person's, so that giving back leaves it.

    Args:
        item: the representation whose lockVersion is sent.
        old: the token of ours that is replaced; None if it is taken anew.
    """
    if old is None or item.pod != old.pod:
        return bool(item.pod)
    return old.routed


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
