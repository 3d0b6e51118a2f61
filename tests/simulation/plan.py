"""What a history is made of, drawn from its seed: swarm style, each seed has its own kinds of faults and how often."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

REQUEST_FAULTS: Final = (
    "lost_request",
    "lost_response",
    "duplicate",
    "delay",
    "busy",
    "broken_answer",
    "storm",
    "meddle",
)
"""What befalls a request. `busy`: 429 or 5xx, nothing happened. `broken_answer`: 502, and it happened. `storm`: just before
it lands somebody edits something that the fleet does not look at; `meddle`: something that it does."""

GIT_FAULTS: Final = ("git_down", "git_lost", "git_late", "git_refused")
POD_FAULTS: Final = ("kill", "kill_at_effect", "freeze", "long_freeze", "lost_folder", "reboot", "kept_down")
MODEL_FAULTS: Final = ("hangs", "fails", "checks_fail", "changes_nothing", "stuck", "overloaded", "night")
WORLD_FAULTS: Final = ("skew", "twin", "workflow")
HANDS: Final = (
    "edit", "close", "prioritise", "route", "reparent", "gate", "block", "take", "give", "delete", "hold", "hold_epic",
    "route_epic", "spike", "answer", "comment", "reopen", "new", "push", "merge", "copy",
)  # fmt: skip
KINDS: Final = (
    *REQUEST_FAULTS,
    *GIT_FAULTS,
    *POD_FAULTS,
    *MODEL_FAULTS,
    *WORLD_FAULTS,
    *(f"hand_{one}" for one in HANDS),
)
"""Everything that a plan can be without."""

_RATES: Final = {
    **dict.fromkeys(REQUEST_FAULTS, (0.01, 0.06)),
    "storm": (0.05, 0.3),
    "meddle": (0.005, 0.08),
    **dict.fromkeys(GIT_FAULTS, (0.02, 0.12)),
    "git_refused": (0.02, 0.08),
    "kill": (0.2, 1.5),
    "kill_at_effect": (0.002, 0.02),
    "freeze": (0.001, 0.008),
    "long_freeze": (0.0003, 0.0015),
    "lost_folder": (0.05, 0.3),
    "reboot": (0.1, 0.5),
    "kept_down": (0.05, 0.3),
    **dict.fromkeys(MODEL_FAULTS, (0.03, 0.25)),
    "night": (0.5, 1.0),
    **dict.fromkeys(WORLD_FAULTS, (1.0, 1.0)),
    **{f"hand_{one}": (0.2, 1.5) for one in HANDS},
    **{f"hand_{one}": (0.05, 0.5) for one in ("close", "delete", "take", "hold", "hold_epic", "spike", "copy")},
    "hand_edit": (0.5, 4.0),
    "hand_new": (0.5, 4.0),
}
"""Least and most: per request, per git command, per crossing, per run or per hour, whichever fits."""


class Plan(Struct, frozen=True, kw_only=True):
    """Which history, and what it is made smaller by when a failing one is looked at.

    Attributes:
        seed: decides everything else.
        without: kinds that do not occur.
        tickets: at most so many at the start.
        pods: at most so many.
        hours: how long the phase with faults lasts; drawn where it is 0.
    """

    seed: int
    without: frozenset[str] = frozenset()
    tickets: int = 0
    pods: int = 0
    hours: float = 0.0

    def command(self) -> str:
        """How to see it again."""
        parts = [f"make simulate SEED={self.seed}"]
        if self.without:
            parts.append(f"WITHOUT={','.join(sorted(self.without))}")
        parts += [
            f"{name.upper()}={value:g}" for name in ("tickets", "pods", "hours") if (value := getattr(self, name))
        ]
        return " ".join(parts)


class Swarm:
    """The kinds that are on in a history, and how often each strikes. Each kind has a randomness of its own."""

    def __init__(self, plan: Plan) -> None:
        chance = random.Random(f"{plan.seed}/swarm")
        drawn = {kind: (chance.random() < 0.5, chance.uniform(*_RATES[kind])) for kind in KINDS}
        self.rates = {kind: rate for kind, (on, rate) in drawn.items() if on and kind not in plan.without}
        self.happened: dict[str, int] = {}
        self.over = False
        """The phase without faults has begun."""
        self._chance = {kind: random.Random(f"{plan.seed}/{kind}") for kind in KINDS}

    def on(self, kind: str) -> bool:
        """Whether this kind occurs at all."""
        return kind in self.rates

    def strikes(self, kind: str) -> bool:
        """Whether it strikes here and now."""
        if self.over or kind not in self.rates or self._chance[kind].random() >= self.rates[kind]:
            return False
        self.count(kind)
        return True

    def count(self, kind: str) -> None:
        """It struck."""
        self.happened[kind] = self.happened.get(kind, 0) + 1

    def chance(self, kind: str) -> random.Random:
        """The randomness of a kind."""
        return self._chance[kind]

    def moments(self, kind: str, hours: float) -> Iterator[float]:
        """When something that comes by itself comes, in seconds."""
        rate, at = self.rates.get(kind, 0.0), 0.0
        while rate > 0:
            at += self._chance[kind].expovariate(rate) * 3600
            if at > hours * 3600:
                return
            yield at
