"""The audit trail of a work package as the entries of a timeline. Pure.

One journal is one entry, whatever it holds: OpenProject merges what somebody changed and said within five minutes. What
the fleet did is told by its own comments alone; a person's copy of a marker is a comment like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from agent.page import markdown
from agent.texts import told
from agent.texts.report import Event
from agent.texts.told import Told
from agent.texts.trail import is_automatic_note

RENDERED: Final = 200_000
"""What the comments of one timeline may weigh as Markdown; older ones are shown as they were written."""

_CLAIMS: Final = (Event.CLAIMED, Event.TAKEN_OVER, Event.EPIC_TAKEN)
_BY_OTHERS: Final = (Event.COPIED, Event.EXPIRED, Event.RELEASED)


class Journal(Struct, frozen=True, kw_only=True):
    """One journal: who said and changed what, when."""

    id: int
    at: str
    user: int
    name: str
    notes: str
    changes: tuple[str, ...] = ()
    first: bool = False
    """Of the creation: what it changes is what the work package began with."""


def entries(journals: Sequence[Journal], fleet: Collection[int]) -> list[dict[str, Any]]:
    """A timeline, oldest first like the journals; `fleet` are the accounts that pods act as."""
    marks = {one.id: mark for one in journals if one.user in fleet and (mark := told.read(one.notes))}
    pods = {mark.run: mark.pod for mark in marks.values() if mark.event in _CLAIMS}
    left = RENDERED
    found = []
    for journal in reversed(journals):
        mark = marks.get(journal.id)
        text = mark.body if mark else journal.notes or _nothing(journal)
        left -= markdown.weight(text)
        shown = markdown.render(text) if left >= 0 else markdown.plain(text)
        found.append(_entry(journal, mark, pods, shown, fleet))
    return found[::-1]


def _nothing(journal: Journal) -> str:
    """What was changed and changed back within one journal leaves nothing else."""
    return "" if journal.changes or journal.first else "_The changes were retracted._"


def _entry(
    journal: Journal, mark: Told | None, pods: Mapping[str, str], shown: str, fleet: Collection[int]
) -> dict[str, Any]:
    return {
        "id": journal.id,
        "at": journal.at,
        "user": {"id": journal.user, "name": journal.name, "fleet": journal.user in fleet},
        "kind": _kind(journal, mark),
        "html": shown,
        "changes": [] if journal.first else list(journal.changes),
        "pod": _pod(mark, pods) if mark else None,
        **_particulars(mark or Told(run="", event="", title="")),
    }


def _kind(journal: Journal, mark: Told | None) -> str:
    if mark is not None:
        return "event"
    if journal.first:
        return "created"
    return "comment" if journal.notes.strip() and not is_automatic_note(journal.notes) else "change"


def _pod(mark: Told, pods: Mapping[str, str]) -> str | None:
    """Which pod did it: the one that had claimed the run, unless somebody else ended that claim."""
    return None if mark.event in _BY_OTHERS else mark.pod or pods.get(mark.run)


def _particulars(mark: Told) -> dict[str, Any]:
    counted = mark.input_tokens is not None and mark.output_tokens is not None
    return {
        "event": mark.event or None,
        "run": mark.run or None,
        "title": mark.title or None,
        "commits": [{"hash": mark.commit, "url": _web(mark.commit_url)}] if mark.commit else [],
        "branch": mark.branch or None,
        "branch_url": _web(mark.branch_url),
        "tokens": {"input": mark.input_tokens, "output": mark.output_tokens} if counted else None,
        "cost_usd": mark.cost_usd,
        "duration": mark.duration or None,
        "spike": mark.spike,
    }


def _web(url: str) -> str | None:
    """An address that a link of the page may lead to: the settings of pods make it, but a comment can be edited."""
    return url if url.lower().startswith(("https://", "http://")) else None
