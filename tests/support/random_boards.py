"""Random boards with everything that the ladder looks at, small enough to be read whole."""

from __future__ import annotations

import random
from typing import Final

from support.backlogs import Backlog, Item, Link

OTHERS: Final = "00000000-0000-4000-8000-00000000000{n}.n{n} by pod-other try 1 for 4h @ 2026-11-24T08:00Z"
MINE: Final = "00000000-0000-4000-8000-0000000000aa.n9 by pod-a try 1 for 4h @ 2026-11-24T08:00Z"
"""The token that the pod under test has recorded."""

STATUSES: Final = ("New", "New", "New", "New", "In progress", "In testing", "Closed", "On hold")


def random_backlog(chance: random.Random, project: str, size: int) -> Backlog:
    """A board of up to `size` work packages.

    What OpenProject forbids does not occur: relations between a work package and its ancestors, circles, two relations
    of one pair. Blockers come before what they block, which rules circles out.
    """
    items: list[Item] = []
    for n in range(chance.randint(1, size)):
        kind = chance.choice(
            ["Task", "Task", "Task", "Bug", "Bug", "Feature", "Epic", "User story", "Summary task", "Spike"]
        )
        parents = [one for one in items if one.type != "Spike"]
        parent = chance.choice(parents) if parents and (kind == "Spike" or chance.random() < 0.6) else None
        if kind == "Spike" and parent is None:
            kind = "Task"
        items.append(_item(chance, project, n, kind, parent))
    return Backlog((project,), tuple(items), tuple(_links(chance, items)))


def _item(chance: random.Random, project: str, n: int, kind: str, parent: Item | None) -> Item:
    status = chance.choice(STATUSES)
    if kind == "Spike":
        status = chance.choice(["New", "Closed"])
    elif kind == "Summary task":
        status = chance.choice(["New", "In progress", "In progress", "In progress", "Closed"])
    pod: str | None = chance.choice([None] * 6 + ["pod-a", "pod-other"])
    run: str | None = None
    if kind == "Epic" and status == "In progress" and chance.random() < 0.7:
        pod, run = chance.choice([("pod-a", MINE), ("pod-other", OTHERS.format(n=chance.randint(1, 9)))])
    subject = "Agent stuck on #{parent}: help" if kind == "Spike" and chance.random() < 0.5 else f"{kind} {n}"
    return Item(
        key=f"{project}-{n}",
        type=kind,
        subject=subject,
        project=project,
        parent=parent.key if parent else None,
        status=status,
        priority=chance.choice(["Low", "Normal", "Normal", "High", "Immediate"]),
        pod=pod,
        run=run,
        assignee=chance.choice([None] * 6 + ["human", "agent"]),
        due_date=chance.choice([None, None, None, "2026-12-01", "2026-12-09"]),
    )


def _links(chance: random.Random, items: list[Item]) -> list[Link]:
    above = {one.key: one.parent for one in items}
    parents = set(above.values())

    def chain(key: str | None) -> set[str]:
        found = set()
        while key is not None:
            found.add(key)
            key = above[key]
        return found

    links: list[Link] = []
    pairs: set[tuple[str, str]] = set()
    for _ in range(len(items) // 4):
        first, second = sorted(chance.sample(range(len(items)), 2)) if len(items) > 1 else (0, 0)
        a, b = items[first], items[second]
        if a is b or (a.key, b.key) in pairs or a.key in chain(b.key) or b.key in chain(a.key):
            continue
        pairs.add((a.key, b.key))
        kind = chance.choice(["blocks", "follows", "requires", "relates"])
        if kind == "follows" and {a.key, b.key} & parents:
            kind = "requires"  # dates follow children, so that a circle could run through the hierarchy
        # "a blocks b", "b follows a", "b requires a": the earlier one is the blocker.
        links.append(
            Link(type=kind, source=a.key, target=b.key)
            if kind in ("blocks", "relates")
            else Link(type=kind, source=b.key, target=a.key)
        )
    return links
