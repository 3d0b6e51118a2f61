"""The board at one moment: every card, with what a pod would say of it, and the pods. And one card alone, for a panel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from agent.choose import Reason
from agent.model import WorkPackage
from agent.page import scene
from agent.page.cards import Because, Card, Claim
from agent.page.scene import Near, Scene, Setting
from agent.server.access import Viewer
from agent.server.store import Db
from agent.texts import claim_token

CLOSED_OF_A_PROJECT: Final = 200
"""So many of the closed ones are shown, the last changed first."""
CLOSED_IN_ALL: Final = 2000
"""With many projects it is fewer of each,"""
FEWEST_CLOSED: Final = 20
"""yet as many as these."""
UNSEEN: Final = "because of a work package that you may not see"


SURROUNDINGS: Final = frozenset((Reason.EPIC, Reason.GATED, Reason.CONTAINER, Reason.SPIKED, Reason.BLOCKED))
"""The reasons that tell of other work packages."""


class Sight(Struct, frozen=True):
    """A card, and of which other projects than its own it tells: who does not see them is told less."""

    card: Card
    foreign: frozenset[int] = frozenset()
    parent_project: int | None = None
    epic_project: int | None = None


class Look(Struct, frozen=True, kw_only=True):
    """The whole board, and what it was made of."""

    scene: Scene
    sights: Mapping[int, Sight]
    closed: Mapping[int, int]
    """How many closed ones there are in each project, shown or not."""
    inputs: Mapping[int, tuple[object, ...]]


def one(db: Db, viewer: Viewer, known: Setting, id_: int) -> tuple[Card, list[Because]] | None:
    """One work package as a card, and all that keeps a pod from it, whatever its type and status.

    Returns:
        None if there is none that the viewer may see.
    """
    found = scene.of_one(db, known, id_)
    if not found.shown:
        return None
    item = found.items[id_]
    near = found.near(item)
    card = seen_by(_sight(found, item, near), viewer.projects)
    if card is None:
        return None
    reasons = [Because(str(why.reason), why.detail) for why in known.judge.reasons(item, scene.around(near))]
    return card, reasons if _foreign(item, near) <= viewer.projects.keys() else list(map(_hidden, reasons))


def seen_by(sight: Sight, projects: Mapping[int, object]) -> Card | None:
    """A card as somebody sees it who sees these projects; None if it is in none of them."""
    card = sight.card
    if card.project not in projects:
        return None
    if all(one in projects for one in sight.foreign):
        return card
    return replace(
        card,
        parent=card.parent if sight.parent_project in projects else None,
        epic=card.epic if sight.epic_project in projects else None,
        reasons=tuple(map(_hidden, card.reasons)),
    )


def _hidden(reason: Because) -> Because:
    return Because(reason.reason, UNSEEN) if reason.reason in SURROUNDINGS else reason


def look(db: Db, before: Look | None = None) -> Look:
    """Every open work package, and the last closed ones. What nothing has happened to is taken over as it was."""
    known = scene.setting(db, before.scene.known if before else None)
    recent, closed = recently_closed(db, known)
    found = scene.of_open(db, known, recent, before.scene if before else None)
    old = before if before is not None and before.scene.known is known else None
    sights: dict[int, Sight] = {}
    inputs: dict[int, tuple[object, ...]] = {}
    for id_ in found.shown:
        item = found.items[id_]
        near = found.near(item)
        inputs[id_] = (item, near)
        if old is not None and old.inputs.get(id_) == inputs[id_]:
            inputs[id_] = old.inputs[id_]
            sights[id_] = old.sights[id_]
        else:
            sights[id_] = _sight(found, item, near)
    return Look(scene=found, sights=sights, closed=closed, inputs=inputs)


def recently_closed(db: Db, known: Setting) -> tuple[list[int], dict[int, int]]:
    """The closed ones that are shown, and how many there are in each project."""
    projects = db.column("SELECT id FROM projects")
    most = max(FEWEST_CLOSED, min(CLOSED_OF_A_PROJECT, CLOSED_IN_ALL // max(1, len(projects))))
    counts: dict[int, int] = {}
    ids: list[int] = []
    for project in projects:
        youngest: list[tuple[str, int]] = []
        for status in known.words.closed:
            count = db.value(
                "SELECT count(*) FROM work_packages WHERE status_id = ? AND project_id = ?", status, project
            )
            counts[project] = counts.get(project, 0) + count
            if count:
                rows = db.rows(
                    "SELECT updated_at, id FROM work_packages WHERE status_id = ? AND project_id = ? ORDER BY updated_at DESC LIMIT ?",
                    status,
                    project,
                    most,
                )
                youngest += [(row["updated_at"], row["id"]) for row in rows]
        ids += [id_ for _, id_ in sorted(youngest, reverse=True)[:most]]
    return ids, counts


def _sight(found: Scene, item: WorkPackage, near: Near) -> Sight:
    known = found.known
    verdict = known.judge.verdict(item, scene.around(near))
    token = claim_token.parse(item.run) if item.run else None
    parent = near[0][-1] if near[0] else None
    epic = next((one for one in near[0] if one.type in known.words.epics), None)
    card = Card(
        id=item.id,
        lock=item.lock_version,
        project=item.project,
        type=item.type,
        subject=item.subject,
        status=item.status,
        priority=item.priority,
        parent=item.parent,
        epic=epic.id if epic else None,
        assignee=item.assignee.id if item.assignee else None,
        pod=item.pod,
        claim=Claim(token.pod, f"{token.at.isoformat()[:16]}:00Z", token.attempt) if token else None,
        due=item.due_date.isoformat() if item.due_date else None,
        updated=item.updated_at,
        badges=verdict.badges,
        reasons=verdict.reasons,
    )
    return Sight(card, _foreign(item, near), parent.project if parent else None, epic.project if epic else None)


def _foreign(item: WorkPackage, near: Near) -> frozenset[int]:
    """The other projects that surround a work package: nearly always none."""
    ancestors, children, _, others = near
    return frozenset(one.project for one in (*ancestors, *children, *others) if one.project != item.project)
