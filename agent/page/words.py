"""What the statuses, types and fields of a board mean to the fleet, by the names that the settings have as defaults. Pure.

A board knows no settings: pods bring their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from agent.settings.keys import KEYS

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
    pod_field, run_field = (by_field.get(_default(f"fields.{name}"), 0) for name in ("pod", "run"))
    closed = frozenset(row["id"] for row in statuses if row["is_closed"])
    return Words(
        ready=by_status.get(_default("statuses.ready"), 0),
        active=by_status.get(_default("statuses.active"), 0),
        done=tuple(by_status[name] for name in _default("statuses.done") if name in by_status),
        closed=closed,
        opened=tuple(row["id"] for row in statuses if row["id"] not in closed),
        bugs=_found(_default("types.bugs"), by_type),
        tasks=_found(_default("types.tasks"), by_type),
        epics=_found([_default("types.epic")], by_type),
        stories=_found([_default("types.story")], by_type),
        spikes=_found([_default("types.spike")], by_type),
        gates=_found(_default("types.gates"), by_type),
        priorities=tuple(row["id"] for row in reversed(priorities)),
        pod_field=pod_field,
        run_field=run_field,
        complete=frozenset(type_ for type_, ids in fields_of_type.items() if {pod_field, run_field} <= set(ids)),
    )


def _found(names: Iterable[str], among: Mapping[str, int]) -> frozenset[int]:
    return frozenset(among[name] for name in names if name in among)


def _default(key: str) -> Any:
    return KEYS[f"board.{key}"].default
