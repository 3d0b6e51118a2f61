"""What the statuses, types and fields of a board mean to the fleet, by the names that the settings have as defaults. Pure.

A board knows no settings: pods bring their own. A test holds these names against the defaults.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

READY: Final = "New"
ACTIVE: Final = "In progress"
DONE: Final = ("In testing", "Closed")
BUGS: Final = ("Bug",)
TASKS: Final = ("Task", "Feature")
EPIC: Final = "Epic"
STORY: Final = "User story"
SPIKE: Final = "Spike"
GATES: Final = ("Phase", "Summary task")
POD_FIELD: Final = "Agent pod"
RUN_FIELD: Final = "Agent run"

FLEET_LOGIN: Final = "agent"
"""How the logins of the fleet's accounts begin, as `agent board init` and the demo make them."""


class Words(Struct, frozen=True, kw_only=True):
    """A board's ids by what they mean; 0 and nothing where it has no such thing."""

    ready: int
    active: int
    done: tuple[int, ...]
    closed: frozenset[int]
    opened: tuple[int, ...]
    """Every status that is not closed."""
    bugs: frozenset[int]
    tasks: frozenset[int]
    epics: frozenset[int]
    stories: frozenset[int]
    spikes: frozenset[int]
    gates: frozenset[int]
    priorities: tuple[int, ...]
    """Most urgent first."""
    pod_field: int
    run_field: int
    complete: frozenset[int]
    """The types that carry both fields."""

    @property
    def executable(self) -> frozenset[int]:
        """The types that agents work on."""
        return self.bugs | self.tasks

    def role(self, status: int) -> str:
        """What a status means: ready, active, done, closed or other."""
        if status in self.closed:
            return "closed"
        return {self.ready: "ready", self.active: "active"}.get(status, "done" if status in self.done else "other")

    def kind(self, type_: int) -> str:
        """What a type means: bug, task, epic, story, spike, gate or other."""
        kinds = (
            (self.bugs, "bug"),
            (self.tasks, "task"),
            (self.epics, "epic"),
            (self.stories, "story"),
            (self.spikes, "spike"),
            (self.gates, "gate"),
        )
        return next((name for ids, name in kinds if type_ in ids), "other")


def words_of(
    statuses: Sequence[Mapping[str, Any]],
    types: Sequence[Mapping[str, Any]],
    priorities: Sequence[Mapping[str, Any]],
    fields: Mapping[int, str],
    fields_of_type: Mapping[int, Iterable[int]],
) -> Words:
    """The meanings, from the rows of the board's tables, each in its order."""
    by_status = {row["name"]: row["id"] for row in statuses}
    by_type = {row["name"]: row["id"] for row in types}
    by_field = {name: id_ for id_, name in fields.items()}
    pod_field, run_field = by_field.get(POD_FIELD, 0), by_field.get(RUN_FIELD, 0)
    closed = frozenset(row["id"] for row in statuses if row["is_closed"])
    return Words(
        ready=by_status.get(READY, 0),
        active=by_status.get(ACTIVE, 0),
        done=tuple(by_status[name] for name in DONE if name in by_status),
        closed=closed,
        opened=tuple(row["id"] for row in statuses if row["id"] not in closed),
        bugs=_found(BUGS, by_type),
        tasks=_found(TASKS, by_type),
        epics=_found((EPIC,), by_type),
        stories=_found((STORY,), by_type),
        spikes=_found((SPIKE,), by_type),
        gates=_found(GATES, by_type),
        priorities=tuple(row["id"] for row in reversed(priorities)),
        pod_field=pod_field,
        run_field=run_field,
        complete=frozenset(type_ for type_, ids in fields_of_type.items() if {pod_field, run_field} <= set(ids)),
    )


def _found(names: Iterable[str], among: Mapping[str, int]) -> frozenset[int]:
    return frozenset(among[name] for name in names if name in among)
