"""Boards on which a thousand unavailable tickets stand before the one that can be taken (DESIGN, section 2, goals)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from support.backlogs import Backlog, Item, Link

AVAILABLE: Final = "behind"
"""The key of the one ticket that can be taken: it is the least urgent."""

TOKEN: Final = "00000000-0000-4000-8000-000000000001.n0 by pod-other try 1 for 4h @ 2026-11-24T08:00Z"


def crowd(reason: str, project: str, size: int) -> Backlog:
    """`size` tickets that this one reason keeps from being taken, all more urgent than the one behind them."""
    items, links = CROWDS[reason](project, size)
    behind = Item(key=f"{project}-{AVAILABLE}", type="Task", subject="The one", project=project, priority="Low")
    return Backlog((project,), (*items, behind), tuple(links))


def mixed(project: str, size: int) -> Backlog:
    """All reasons in one crowd, in equal parts."""
    items: list[Item] = []
    links: list[Link] = []
    for reason, make in CROWDS.items():
        more, joined = make(project, size // len(CROWDS), f"{project}-{reason}")
        items += more
        links += joined
    behind = Item(key=f"{project}-{AVAILABLE}", type="Task", subject="The one", project=project, priority="Low")
    return Backlog((project,), (*items, behind), tuple(links))


Made = tuple[list[Item], list[Link]]


def _tasks(project: str, size: int, mark: str, *, parent: str | None = None, **more: str) -> list[Item]:
    return [
        Item(
            key=f"{mark}-{n}", type="Task", subject=f"Task {n}", project=project, priority="High", parent=parent, **more
        )
        for n in range(size)
    ]


def _routed(project: str, size: int, mark: str = "") -> Made:
    return _tasks(project, size, mark or project, pod="pod-other"), []


def _taken(project: str, size: int, mark: str = "") -> Made:
    return _tasks(project, size, mark or project, assignee="human"), []


def _gated(project: str, size: int, mark: str = "") -> Made:
    mark = mark or project
    gate = Item(key=f"{mark}-gate", type="Summary task", subject="Not yet", project=project)
    return [gate, *_tasks(project, size, mark, parent=gate.key)], []


def _owned(project: str, size: int, mark: str = "") -> Made:
    mark = mark or project
    epic = Item(
        key=f"{mark}-epic",
        type="Epic",
        subject="Theirs",
        project=project,
        status="In progress",
        pod="pod-other",
        run=TOKEN,
    )
    return [epic, *_tasks(project, size, mark, parent=epic.key)], []


def _held(project: str, size: int, mark: str = "") -> Made:
    mark = mark or project
    epic = Item(key=f"{mark}-epic", type="Epic", subject="On hold", project=project, status="On hold")
    return [epic, *_tasks(project, size, mark, parent=epic.key)], []


def _blocked(project: str, size: int, mark: str = "") -> Made:
    mark = mark or project
    blockers = [
        Item(key=f"{mark}-blocker-{n}", type="User story", subject=f"First {n}", project=project)
        for n in range(max(size // 10, 1))
    ]
    tasks = _tasks(project, size, mark)
    links = [Link(type="blocks", source=blockers[n % len(blockers)].key, target=one.key) for n, one in enumerate(tasks)]
    return [*blockers, *tasks], links


def _blocked_above(project: str, size: int, mark: str = "") -> Made:
    mark = mark or project
    story = Item(key=f"{mark}-story", type="User story", subject="Later", project=project)
    first = Item(key=f"{mark}-first", type="User story", subject="First", project=project)
    return [story, first, *_tasks(project, size, mark, parent=story.key)], [
        Link(type="blocks", source=first.key, target=story.key)
    ]


def _spiked(project: str, size: int, mark: str = "") -> Made:
    tasks = _tasks(project, size, mark or project)
    spikes = [
        Item(
            key=f"{one.key}-spike",
            type="Spike",
            subject="Agent stuck on #{parent}: a question",
            project=project,
            parent=one.key,
        )
        for one in tasks
    ]
    return [*tasks, *spikes], []


def _spiked_by_a_person(project: str, size: int, mark: str = "") -> Made:
    tasks = _tasks(project, size, mark or project)
    spikes = [
        Item(key=f"{one.key}-spike", type="Spike", subject="How?", project=project, parent=one.key) for one in tasks
    ]
    return [*tasks, *spikes], []


def _containers(project: str, size: int, mark: str = "") -> Made:
    tasks = _tasks(project, size, mark or project)
    children = [
        Item(key=f"{one.key}-child", type="User story", subject="Part", project=project, parent=one.key)
        for one in tasks
    ]
    return [*tasks, *children], []


CROWDS: Final[dict[str, Callable[..., Made]]] = {
    "routed": _routed,
    "taken": _taken,
    "gated": _gated,
    "owned": _owned,
    "held": _held,
    "blocked": _blocked,
    "blocked-above": _blocked_above,
    "spiked": _spiked,
    "spiked-by-a-person": _spiked_by_a_person,
    "containers": _containers,
}


def big(project: str, size: int) -> Backlog:
    """An ordinary board of about `size` work packages: Epics with stories with tasks, a third closed, some blocked."""
    items: list[Item] = []
    links: list[Link] = []
    for e in range(max(size // 100, 1)):
        epic = Item(key=f"{project}-e{e}", type="Epic", subject=f"Epic {e}", project=project)
        items.append(epic)
        for s in range(9):
            story = Item(
                key=f"{epic.key}-s{s}", type="User story", subject=f"Story {e}.{s}", project=project, parent=epic.key
            )
            items.append(story)
            tasks = [
                Item(
                    key=f"{story.key}-t{t}",
                    type="Task",
                    subject=f"Task {e}.{s}.{t}",
                    project=project,
                    parent=story.key,
                    status="Closed" if (e + s + t) % 3 == 0 else "New",
                    priority=("Low", "Normal", "High", "Immediate")[(e + t) % 4],
                )
                for t in range(10)
            ]
            items += tasks
            links.append(Link(type="blocks", source=tasks[0].key, target=tasks[1].key))
    return Backlog((project,), tuple(items), tuple(links))
