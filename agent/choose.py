"""The decision ladder, pure: which work package this pod takes next, and why it does not take the others.

Values in, a choice out; no clock, no randomness, no I/O (DESIGN, section 2). The scan asks the same questions of the
server with filters; a property test holds the two together.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum, StrEnum

from msgspec import Struct

from agent.model import Around, Fleet, Relation, Row, WorkPackage
from agent.texts import claim_token
from agent.texts.claim_token import SIGN


class Rung(IntEnum):
    """The rungs are the product: their order stays."""

    FINISH = 1
    CONTINUE_EPIC = 2
    RELEASE_EPIC = 3
    BUG = 4
    EPIC_TASK = 5
    STANDALONE = 6
    NOTHING = 7


class Reason(StrEnum):
    """Why a work package is not taken, as `agent explain` names it."""

    NOT_EXECUTABLE = "not executable"
    NOT_READY = "not ready"
    NO_REPOSITORY = "no repository"
    UNREACHABLE = "repository unreachable"
    NOT_ASSIGNABLE = "not a possible assignee"
    FIELDS = "lacks the fleet's fields"
    REFUSED = "refused by the board"
    NO_SPIKE = "no Spike possible"
    TAKEN = "taken"
    ROUTED = "routed"
    EPIC = "Epic"
    GATED = "gated"
    CONTAINER = "container"
    SPIKED = "spiked"
    BLOCKED = "blocked"
    TOO_LONG = "too long to be read"


class Why(Struct, frozen=True):
    """One reason with its particulars.

    `by` is the work package below which everything is closed for this reason, 0 where it is the ticket's own.
    """

    reason: Reason
    detail: str
    by: int = 0


class Choice(Struct, frozen=True):
    """What the ladder yields: a rung, the work package to take, and the Epics to give up on the way."""

    rung: Rung
    ticket: int | None = None
    releases: tuple[int, ...] = ()


def epic_of(ancestors: Sequence[WorkPackage], fleet: Fleet) -> WorkPackage | None:
    """The outermost Epic above a work package: lock, branch and worktree in one. Ancestors come root first."""
    return next(iter(epics_above(ancestors, fleet)), None)


def epics_above(ancestors: Sequence[WorkPackage], fleet: Fleet) -> list[WorkPackage]:
    """Every Epic above a work package: the outermost is the lock, but a person may close or route an inner one too."""
    return [one for one in ancestors if one.type in fleet.epics]


def is_owned(epic: WorkPackage, fleet: Fleet) -> bool:
    """Owned = active and a token in the run field; a person's "In progress" is no ownership."""
    return epic.status == fleet.active and SIGN in epic.run


def is_mine(item: WorkPackage, fleet: Fleet) -> bool:
    """Mine = active with a token that my state folder recorded for this very work package; my name proves nothing."""
    return item.status == fleet.active and claim_token.key(item.id, item.run) in fleet.mine


def is_fleet_assigned(item: WorkPackage | Row, fleet: Fleet) -> bool:
    """Whether the assignee is one of the accounts that pods act as."""
    return item.assignee is not None and item.assignee.kind == "users" and item.assignee.id in fleet.users


def is_unfinished(item: WorkPackage, fleet: Fleet) -> bool:
    """A run of this pod that nobody took, moved or re-routed meanwhile: rung 1."""
    return (
        item.type in fleet.executable
        and is_mine(item, fleet)
        and is_fleet_assigned(item, fleet)
        and item.pod in ("", fleet.pod)
    )


def is_taken(item: WorkPackage | Row, fleet: Fleet) -> bool:
    """People keep what they took."""
    return item.assignee is not None and not is_fleet_assigned(item, fleet)


def rendezvous(pod: str, ticket: int) -> bytes:
    """Each pod's own order among equals, so that a fleet that wakes together does not collide (highest random weight)."""
    return hashlib.blake2b(f"{pod}\0{ticket}".encode(), digest_size=8).digest()


def row_key(due: dt.date | None, pod: str, ticket: int) -> tuple[dt.date, bytes]:
    """The order among tickets of one priority: due date (none last), then the pod's own order."""
    return due or dt.date.max, rendezvous(pod, ticket)


def order_key(ticket: WorkPackage, fleet: Fleet) -> tuple[bool, int, tuple[dt.date, bytes]]:
    """The order inside a rung: routed to me, priority, due date, the pod's own order."""
    urgency = fleet.priorities.index(ticket.priority) if ticket.priority in fleet.priorities else len(fleet.priorities)
    return ticket.pod != fleet.pod, urgency, row_key(ticket.due_date, fleet.pod, ticket.id)


def own_reasons(ticket: WorkPackage, fleet: Fleet) -> list[Why]:
    """The reasons that the work package itself shows."""
    who = (ticket.assignee.name if ticket.assignee else "") or "somebody"
    shown = (
        (ticket.type not in fleet.executable, Reason.NOT_EXECUTABLE, "its type is none that agents execute"),
        (ticket.status != fleet.ready, Reason.NOT_READY, "its status is not the ready one"),
        (ticket.project not in fleet.projects, Reason.NO_REPOSITORY, "no repository is set for its project"),
        (ticket.project in fleet.unreachable, Reason.UNREACHABLE, "the repository of its project did not answer"),
        (
            ticket.project in fleet.unassignable,
            Reason.NOT_ASSIGNABLE,
            "this pod's account cannot be an assignee in its project",
        ),
        (ticket.project in fleet.spikeless, Reason.NO_SPIKE, "no Spike can be created in its project"),
        (not ticket.has_fields, Reason.FIELDS, "its type lacks the fleet's fields"),
        (
            (ticket.id, ticket.lock_version) in fleet.refused,
            Reason.REFUSED,
            "the board refused its claim: the workflow, or a required field",
        ),
        (is_taken(ticket, fleet), Reason.TAKEN, f"assigned to {who}, who is no fleet user"),
        (ticket.pod not in ("", fleet.pod), Reason.ROUTED, f"routed to {ticket.pod}"),
    )
    return [Why(reason, detail) for true, reason, detail in shown if true]


def epic_reasons(epic: WorkPackage, fleet: Fleet) -> list[Why]:
    """Why nothing below this Epic can be taken."""
    found = []
    if is_owned(epic, fleet) and not is_mine(epic, fleet):
        found.append(Why(Reason.EPIC, f"Epic #{epic.id} is owned by {epic.pod or 'another pod'}", epic.id))
    elif epic.pod and epic.pod != fleet.pod:
        found.append(Why(Reason.EPIC, f"Epic #{epic.id} is routed to {epic.pod}", epic.id))
    if epic.status not in fleet.workable:
        found.append(Why(Reason.EPIC, f"Epic #{epic.id} is neither ready, active nor waiting for review", epic.id))
    if not epic.has_fields:
        found.append(Why(Reason.FIELDS, f"the type of Epic #{epic.id} lacks the fleet's fields", epic.id))
    return found


def blockers(ticket: WorkPackage, around: Around, fleet: Fleet) -> list[Why]:
    """Incomplete work packages that the ticket or one of its ancestors waits for; an unknown one counts as open."""
    chain = {ticket.id, *(one.id for one in around.ancestors)}
    others = {one.id: one for one in around.others}
    epic = epic_of(around.ancestors, fleet)
    found = []
    for relation in around.relations:
        pair = relation.blocked_and_blocker()
        if pair is None or pair[0] not in chain:
            continue
        blocked, blocker = pair
        other = others.get(blocker)
        if other is not None and is_complete(other, epic, fleet):
            continue
        whom = "" if blocked == ticket.id else f" (through its ancestor #{blocked})"
        found.append(Why(Reason.BLOCKED, f"waits for #{blocker}{whom}", blocked if blocked != ticket.id else 0))
    return found


def is_complete(blocker: WorkPackage, epic: WorkPackage | None, fleet: Fleet) -> bool:
    """Closed; or done below the same Epic, since the two share its branch."""
    if blocker.status in fleet.closed:
        return True
    return blocker.status in fleet.done and epic is not None and epic.id in blocker.ancestors


def holds(child: WorkPackage | Row, ticket: WorkPackage | Row) -> bool:
    """Whether a child has a say about its parent: one in another project may be anybody's who has no say in the parent's."""
    return child.project == ticket.project


def surrounding_reasons(ticket: WorkPackage, around: Around, fleet: Fleet) -> list[Why]:
    """The reasons that do not bump the ticket's lockVersion, so that they are asked for again after the claim."""
    found = [why for epic in epics_above(around.ancestors, fleet) for why in epic_reasons(epic, fleet)]
    found += [
        Why(Reason.GATED, f"{gate.subject} (#{gate.id}) is not active", gate.id)
        for gate in around.ancestors
        if gate.type in fleet.gates and gate.status != fleet.active
    ]
    children = [child for child in around.children if holds(child, ticket)]
    for child in children:
        if child.type not in fleet.spikes:
            found.append(Why(Reason.CONTAINER, f"it has a child that is no Spike (#{child.id})"))
            break
    found += [
        Why(Reason.SPIKED, f"Spike #{child.id} is open")
        for child in children
        if child.type in fleet.spikes and child.status not in fleet.closed
    ]
    return found + blockers(ticket, around, fleet)


def reasons(ticket: WorkPackage, around: Around, fleet: Fleet) -> list[Why]:
    """Everything that keeps this pod from taking the work package; empty = available."""
    return own_reasons(ticket, fleet) + surrounding_reasons(ticket, around, fleet)


def rung_of(ticket: WorkPackage, ancestors: Sequence[WorkPackage], fleet: Fleet) -> Rung:
    """The rung on which an available ticket is found."""
    epics = epics_above(ancestors, fleet)
    if any(is_mine(epic, fleet) for epic in epics):
        return Rung.CONTINUE_EPIC
    if ticket.type in fleet.bugs:
        return Rung.BUG
    return Rung.EPIC_TASK if epics else Rung.STANDALONE


def around_in(board: Mapping[int, WorkPackage], relations: Iterable[Relation], ticket: WorkPackage) -> Around:
    """The surroundings of a ticket, taken from a whole board in memory."""
    chain = {ticket.id, *ticket.ancestors}
    mine = tuple(one for one in relations if one.source in chain or one.target in chain)
    ends = {one.source for one in mine} | {one.target for one in mine}
    return Around(
        ancestors=tuple(board[one] for one in ticket.ancestors if one in board),
        children=tuple(as_row(board[one]) for one in ticket.children if one in board),
        relations=mine,
        others=tuple(board[one] for one in sorted(ends) if one in board),
    )


def as_row(item: WorkPackage) -> Row:
    """The part of a work package that a `select` list tells."""
    return Row(item.id, item.subject, item.project, item.type, item.status, item.assignee, item.due_date)


def ladder(board: Sequence[WorkPackage], relations: Sequence[Relation], fleet: Fleet) -> Choice:
    """The whole decision over a board in memory.

    No pod calls it: a pod asks the server (`agent.scan`), and a property test holds the two together.
    """
    by_id = {one.id: one for one in board}
    for item in board:
        if is_unfinished(item, fleet):
            return Choice(Rung.FINISH, item.id)
    best: dict[Rung, WorkPackage] = {}
    for item in board:
        around = around_in(by_id, relations, item)
        if reasons(item, around, fleet):
            continue
        rung = rung_of(item, around.ancestors, fleet)
        if rung not in best or order_key(item, fleet) < order_key(best[rung], fleet):
            best[rung] = item
    if Rung.CONTINUE_EPIC in best:
        return Choice(Rung.CONTINUE_EPIC, best[Rung.CONTINUE_EPIC].id)
    stale = tuple(one.id for one in board if one.type in fleet.epics and is_mine(one, fleet))
    for rung in (Rung.BUG, Rung.EPIC_TASK, Rung.STANDALONE):
        if rung in best:
            return Choice(rung, best[rung].id, stale)
    return Choice(Rung.NOTHING, None, stale)
