"""The board at one moment: every card, with what a pod would say of it, and the pods. And one card alone, for a panel."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from typing import Final

from msgspec import Struct

from agent.model import WorkPackage
from agent.page import scene
from agent.page.cards import Because, Card, Holder
from agent.page.scene import Near, Scene, Setting
from agent.server.access import Viewer
from agent.server.store import Db
from agent.texts import claim_token

CLOSED_OF_A_PROJECT: Final = 200
"""So many of the closed ones are shown, the last changed first: whatever other projects there are."""


class Sight(Struct, frozen=True):
    """A card for those who see all that surrounds it and all that the fleet did; and the work package itself with that."""

    card: Card
    foreign: frozenset[int]
    """The other projects of what surrounds it."""
    item: WorkPackage
    near: Near


class View(Struct, frozen=True, kw_only=True):
    """Somebody's eyes."""

    viewer: Viewer
    known: Setting
    """To whom these accounts are the fleet's, for what they did in visible projects."""

    @property
    def projects(self) -> Mapping[int, object]:
        """All that are visible."""
        return self.viewer.projects

    @property
    def fleet(self) -> frozenset[int]:
        """The accounts that pods act as, as far as is visible."""
        return self.known.facts.fleet


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
    card = seen_by(View(viewer=viewer, known=known), _sight(known, item, near))
    if card is None:
        return None
    around = scene.around(visible(near, viewer.projects))
    return card, [Because(str(why.reason), why.detail) for why in known.judge.reasons(item, around)]


def seen_by(view: View, sight: Sight) -> Card | None:
    """A card as somebody sees it; None if it is in no project that they see.

    It is judged as a pod with the same eyes judges it: by what it sees.
    """
    if sight.card.project not in view.projects:
        return None
    if view.known.is_whole and all(one in view.projects for one in sight.foreign):
        return sight.card
    return _sight(view.known, sight.item, visible(sight.near, view.projects)).card


def visible(near: Near, projects: Mapping[int, object]) -> Near:
    """What surrounds a work package as if what is in other projects had never been."""
    ancestors, children, relations, others = near
    above = list(takewhile(lambda one: one.project in projects, reversed(ancestors)))[::-1]
    hidden = {one.id for one in (*ancestors, *others) if one.project not in projects}
    hidden |= {one.id for one in ancestors} - {one.id for one in above}
    return (
        above,
        [one for one in children if one.project in projects],
        [one for one in relations if not {one.source, one.target} & hidden],
        [one for one in others if one.id not in hidden],
    )


def look(db: Db, before: Look | None = None) -> Look:
    """Every open work package, and the last closed ones. What nothing has happened to is taken over as it was."""
    known = scene.setting(db, before.scene.known if before else None)
    recent, closed = recently_closed(db, known)
    found = scene.of_open(db, known, recent, before.scene if before else None)
    old = before if before is not None and before.scene.known is known else None
    sights: dict[int, Sight] = {}
    inputs: dict[int, tuple[object, ...]] = {}
    for id_ in sorted(found.shown):
        item = found.items[id_]
        near = found.near(item)
        inputs[id_] = (item, near)
        if old is not None and old.inputs.get(id_) == inputs[id_]:
            inputs[id_] = old.inputs[id_]
            sights[id_] = old.sights[id_]
        else:
            sights[id_] = _sight(known, item, near)
    return Look(scene=found, sights=sights, closed=closed, inputs=inputs)


def recently_closed(db: Db, known: Setting) -> tuple[list[int], dict[int, int]]:
    """The closed ones that are shown, and how many there are in each project."""
    projects = db.column("SELECT id FROM projects")
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
                    CLOSED_OF_A_PROJECT,
                )
                youngest += [(row["updated_at"], row["id"]) for row in rows]
        ids += [id_ for _, id_ in sorted(youngest, reverse=True)[:CLOSED_OF_A_PROJECT]]
    return ids, counts


def _sight(known: Setting, item: WorkPackage, near: Near) -> Sight:
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
        parent=parent.id if parent else None,
        epic=epic.id if epic else None,
        assignee=item.assignee.id if item.assignee else None,
        pod=item.pod,
        claim=Holder(token.pod, f"{token.at.isoformat()[:16]}:00Z", token.attempt) if token else None,
        due=item.due_date.isoformat() if item.due_date else None,
        updated=item.updated_at,
        badges=verdict.badges,
        reasons=verdict.reasons,
    )
    return Sight(card, _foreign(item, near), item, near)


def _foreign(item: WorkPackage, near: Near) -> frozenset[int]:
    """The other projects that surround a work package: nearly always none."""
    ancestors, children, _, others = near
    return frozenset(one.project for one in (*ancestors, *children, *others) if one.project != item.project)
