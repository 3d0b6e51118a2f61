"""Reading the audit trail back: what the fleet did already, and what a person said (DESIGN, section 5, last part).

OpenProject merges one user's changes and comment within five minutes into one activity, and writes automatic notes in
the name of whoever touched a child. So what the fleet did is told by markers alone, and what a person said is a
comment by another user that carries no marker of ours and is not such a note. Ids of activities follow time: a
comment merges only into the last activity.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from agent.model import Activity
from agent.texts.bounded import LINE, Whole
from agent.texts.report import Event, Marker, parse_marker

_STARTS: Final = (Event.CLAIMED, Event.TAKEN_OVER)
_AUTOMATIC: Final = Whole(
    "trail: a note of the board itself",
    r"_[^\n#]*+#\d++[^\n#]*+(?<=_)|_The changes were retracted\._",
    sees="a comment of a person",
    longest=LINE,
)


def is_automatic_note(text: str) -> bool:
    """Whether the board wrote it: the whole text in underscores with one `#id`, in any language.

    `_Updated automatically by changing values within child work package #77_` (openproject-api.md, section 5.4), and
    `_The changes were retracted._` where somebody undid a change within five minutes (seen on 17.6).
    """
    return _AUTOMATIC.match(text.strip()) is not None


def markers(activities: Sequence[Activity], fleet_users: Collection[int]) -> Iterator[tuple[Activity, Marker]]:
    """The fleet's own comments, oldest first; a person's copy of one does not count."""
    for activity in activities:
        mark = parse_marker(activity.text)
        if mark is not None and activity.user in fleet_users:
            yield activity, mark


def human_comments(
    activities: Sequence[Activity], fleet_users: Collection[int], *, after: int = 0
) -> tuple[Activity, ...]:
    """What people said, oldest first; `after` is the id of an activity."""
    return tuple(
        activity
        for activity in activities
        if activity.id > after
        and activity.text.strip()
        and activity.user not in fleet_users
        and parse_marker(activity.text) is None
        and not is_automatic_note(activity.text)
    )


def last_human_comment(activities: Sequence[Activity], fleet_users: Collection[int]) -> Activity | None:
    """The last thing that a person said."""
    return next(reversed(human_comments(activities, fleet_users)), None)


def comments_for_run(activities: Sequence[Activity], fleet_users: Collection[int], *, run: str) -> tuple[Activity, ...]:
    """What people said that no earlier run has read: since the last claim of another run, else ever."""
    starts = [a.id for a, mark in markers(activities, fleet_users) if mark.event in _STARTS and mark.run != run]
    return human_comments(activities, fleet_users, after=max(starts, default=0))


def releases_since_person(activities: Sequence[Activity], fleet_users: Collection[int]) -> int:
    """How often pods gave the ticket back for their own trouble since a person last spoke."""
    last = last_human_comment(activities, fleet_users)
    since = 0 if last is None else last.id
    return sum(a.id > since and mark.event == Event.GIVEN_BACK for a, mark in markers(activities, fleet_users))
