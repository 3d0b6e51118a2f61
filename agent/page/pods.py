"""The fleet at work, read from claims, routes and what pods wrote lately. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from agent.page.cards import Card, Doing, Named, Pod
from agent.page.words import Words


class Seen(Struct, frozen=True):
    """The last thing that a pod wrote in a project: when, and whether it told of trouble in the middle of a run."""

    at: str
    interrupted: bool = False


def pods(cards: Iterable[Card], seen: Mapping[str, Seen], words: Words) -> list[Pod]:
    """All that are known from these cards and from what was seen, by name."""
    doing: dict[str, Card] = {}
    epics: dict[str, Card] = {}
    routed: dict[str, int] = {}
    for card in cards:
        if card.status in words.closed:
            continue
        if card.claim is not None:
            held = doing if card.type in words.executable else epics
            before = held.get(card.claim.pod)
            if card.status == words.active and (
                before is None or before.claim is None or before.claim.since <= card.claim.since
            ):
                held[card.claim.pod] = card
        elif card.pod:
            routed.setdefault(card.pod, 0)
            if card.status == words.ready and card.type in words.executable:
                routed[card.pod] += 1
    names = sorted({*doing, *epics, *routed, *seen})
    return [_pod(name, doing.get(name), epics.get(name), seen.get(name), routed.get(name, 0)) for name in names]


def _pod(name: str, doing: Card | None, epic: Card | None, seen: Seen | None, routed: int) -> Pod:
    claim = doing.claim if doing else None
    waiting = seen is not None and seen.interrupted if doing else epic is not None
    state = "waiting" if waiting else "working" if doing else "idle"
    return Pod(
        name=name,
        state=state,
        doing=Doing(doing.id, doing.subject, claim.since, claim.attempt) if doing and claim else None,
        epic=Named(epic.id, epic.subject) if epic else None,
        seen=seen.at if seen else None,
        routed=routed,
    )
