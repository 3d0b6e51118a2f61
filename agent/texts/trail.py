"""Reading the audit trail back: what the fleet did already, and what a person said (DESIGN, section 5, last part).

OpenProject merges one user's changes and comment within five minutes into one activity, and writes automatic notes in
the name of whoever touched a child. So what the fleet did is told by markers alone, and what a person said is a
comment by another user that carries no marker of ours and is not such a note; whether it counts is the fleet's to say
(`Fleet.counts`). Ids of activities follow time: a
comment merges only into the last activity.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from agent.model import Activity, Change
from agent.texts import told
from agent.texts.bounded import LINE, Whole
from agent.texts.report import LET_THROUGH, Event, Marker, parse_marker

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_ENDS: Final = (Event.COMPLETED, Event.PUSHED, Event.ALREADY_DONE, Event.TEXT_CHANGED)
"""Of a run that left its work on the branch."""
_VERDICTS: Final = (*_ENDS, Event.FAILED, Event.SPIKE_CREATED)
_DIFFERS: Final = "/diff/"
_DESCRIBED: Final = "/diff/description"
"""In the board's sentence about an edited description: the link to what was edited, in no language."""
_LOOKED_AT: Final = 8_000
"""Characters of a comment in which a word is looked for: a mebibyte of line ends would hold the loop."""
_DEEPEST: Final = 20
_NOT_PLAIN: Final = ("]", "~~")
"""What may make something else of a paragraph's lines: the end of a link's or a picture's text, or of its name, a stroke."""
_HASH_DIGITS: Final = 16
_DIGITS: Final = frozenset("0123456789abcdef")
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


def _is_note(activity: Activity) -> bool:
    """Whether a comment is such a note: the first comes with the change it is about, and ends its line; a person's does not."""
    if not is_automatic_note(activity.text):
        return False
    return "#" not in activity.text or (bool(activity.changes) and activity.text.endswith("\n"))


def markers(activities: Sequence[Activity], fleet_users: Collection[int]) -> Iterator[tuple[Activity, Marker]]:
    """The fleet's own comments, oldest first; a person's copy of one does not count."""
    for activity in activities:
        mark = parse_marker(activity.text)
        if mark is not None and activity.user in fleet_users:
            yield activity, mark


def human_comments(
    activities: Sequence[Activity], fleet_users: Collection[int], *, after: int = 0
) -> tuple[Activity, ...]:
    """What anybody but the fleet said, oldest first; `after` is the id of an activity."""
    return tuple(
        activity
        for activity in activities
        if activity.id > after
        and activity.text.strip()
        and activity.user not in fleet_users
        and parse_marker(activity.text) is None
        and not _is_note(activity)
    )


def unclear(activities: Sequence[Activity], fleet_users: Collection[int]) -> tuple[Activity, ...]:
    """What is told to nobody, and is not the fleet's own: an account of the fleet wrote it by hand, or another copied a marker."""
    return tuple(
        activity
        for activity in activities
        if activity.text.strip()
        and (activity.user in fleet_users) == (parse_marker(activity.text) is None)
        and not _is_note(activity)
    )


def comments_for_run(activities: Sequence[Activity], fleet_users: Collection[int], *, run: str) -> tuple[Activity, ...]:
    """What was said that no work on the branch comes of: since the last claim of a run that left some there, else ever.

    A run that was stopped, gave the ticket back or failed took with it what it had read, if any model of it read at all. Of
    one that took kept work, it is the run that had made the work. A run that was taken over may have asked no model since.
    """
    marks = [(one, mark) for one, mark in markers(activities, fleet_users) if mark.run != run]
    took = {mark.run for one, mark in marks if mark.event == Event.COMPLETED and LET_THROUGH in one.text}
    ended, asked = set(), ""
    for _, mark in marks:
        if mark.event in _ENDS:
            ended.add(asked if mark.run in took else mark.run)
        elif mark.event in _VERDICTS:
            asked = mark.run
    starts = [one.id for one, mark in marks if mark.event == Event.CLAIMED and mark.run in ended]
    return human_comments(activities, fleet_users, after=max(starts, default=0))


def last_verdict(activities: Sequence[Activity], fleet_users: Collection[int], *, run: str) -> str:
    """The run that was the last, but for this one, to come to an end of its own: done or failed; empty if there is none."""
    marks = (mark.run for _, mark in markers(activities, fleet_users) if mark.event in _VERDICTS and mark.run != run)
    return next(reversed([*marks]), "")


def releases_since_person(
    activities: Sequence[Activity], fleet_users: Collection[int], counts: Callable[[int], bool]
) -> int:
    """How often pods gave the ticket back for their own trouble since somebody who counts last spoke."""
    spoken = [activity.id for activity in human_comments(activities, fleet_users) if counts(activity.user)]
    since = max(spoken, default=0)
    return sum(a.id > since and mark.event == Event.GIVEN_BACK for a, mark in markers(activities, fleet_users))


# --- whose words they are: by the activity's user alone -----------------------------------------------------------


def closing(
    activities: Sequence[Activity],
    statuses: Collection[str],
    closed: Collection[str],
    counts: Callable[[int], bool],
) -> Activity | None:
    """What closed a work package that is closed: the last change from one status to a closed one; None if none shows.

    A status is set where the work package is made, and exchanged for another one later: a file or a field that has a
    status's name is added, emptied or taken away.

    Args:
        activities: the whole journal.
        statuses: the names of all statuses.
        closed: of the closed ones.
        counts: whose exchange of one closed status for another is a closing of its own; anybody else's leaves it as it was.
    """

    def closes(change: Change, *, made: bool) -> bool:
        if not (_swaps(change) or (made and change.values)):
            return False
        return change.values[-1] in closed and all(one in statuses for one in change.values)

    for one in reversed(activities):
        found = [each for each in one.changes if closes(each, made=one is activities[0])]
        if found and (counts(one.user) or not all(_swaps(each) and each.values[0] in closed for each in found)):
            return one
    return None


def is_boards_own(activity: Activity) -> bool:
    """Whether the board did it by itself, in nobody's name: OpenProject closes the duplicates of what somebody closes.

    It begins with why, a sentence that names no value and leads to no text (seen on 17.6).
    """
    first = activity.changes[0] if activity.changes else None
    return first is not None and not first.values and bool(first.text) and _DIFFERS not in first.text


def writers(activities: Sequence[Activity], subject: str) -> frozenset[int]:
    """Whose the description and the present subject are: who last edited them, else who made the work package."""
    made = [one.user for one in activities[:1]]
    described = [one.user for one in activities if any(_describes(change) for change in one.changes)]
    named = [one.user for one in activities if any(_swaps(change, to=subject) for change in one.changes)]
    return frozenset((made + described)[-1:] + (made + named)[-1:])


def _describes(change: Change) -> bool:
    """Whether it is about the description: such a sentence names no value, and any other may have that link as its value."""
    return not change.values and _DESCRIBED in change.text


def _swaps(change: Change, *, to: str | None = None) -> bool:
    """Whether it puts one value in the place of another, as of what is never empty: neither a file nor a field that is left."""
    return (
        len(change.values) == len(("from", "to"))
        and change.values[0] != change.values[1]
        and to in (None, change.values[1])
    )


def described_by(activities: Sequence[Activity]) -> frozenset[int]:
    """Everybody who ever had a hand on the description: who made the work package, and who edited it."""
    edited = [one.user for one in activities if any(_DESCRIBED in change.text for change in one.changes)]
    return frozenset([one.user for one in activities[:1]] + edited)


def placed_by(activities: Sequence[Activity], parent: str, kinds: Collection[str]) -> frozenset[int]:
    """Who put it below its present parent and made it of its present type, as far as that came after its making.

    Args:
        activities: the whole journal.
        parent: the subject of the parent as it is now: the board's sentence about the change has that one.
        kinds: the names that its type may have.
    """

    def moves(change: Change) -> bool:
        return not change.is_gone and change.values[-1:] == (parent,)

    def turns(change: Change) -> bool:
        return any(_swaps(change, to=kind) for kind in kinds)

    moved = [one.user for one in activities[1:] if any(map(moves, one.changes))]
    turned = [one.user for one in activities[1:] if any(map(turns, one.changes))]
    return frozenset(moved[-1:] + turned[-1:])


def taken_by(activities: Sequence[Activity], parent: str, kinds: Collection[str]) -> frozenset[int]:
    """Who last took it from below that parent, or made another type of it than those; empty if that does not show."""

    def leaves(change: Change) -> bool:
        return (change.is_gone or _swaps(change)) and change.values[:1] == (parent,)

    def turns(change: Change) -> bool:
        return _swaps(change) and change.values[0] in kinds

    left = [one.user for one in activities if any(map(leaves, one.changes))]
    turned = [one.user for one in activities if any(map(turns, one.changes))]
    return frozenset(left[-1:] + turned[-1:])


def spike_of(activities: Sequence[Activity], fleet_users: Collection[int], run: str) -> int | None:
    """The number of the Spike with which a run asked, as the fleet said it on the ticket."""
    return next((spike for asks, spike in _asked(activities, fleet_users) if asks == run), None)


def spikes_of(activities: Sequence[Activity], fleet_users: Collection[int]) -> dict[int, str]:
    """The numbers of all Spikes with which runs asked, as the fleet said it on the ticket, and the runs."""
    return {spike: run for run, spike in _asked(activities, fleet_users)}


def _asked(activities: Sequence[Activity], fleet_users: Collection[int]) -> Iterator[tuple[str, int]]:
    for one, mark in markers(activities, fleet_users):
        said = told.read(one.text)
        if said is not None and said.spike is not None:
            yield mark.run, said.spike


def lines_said(activities: Sequence[Activity], fleet_users: Collection[int], event: str) -> frozenset[str]:
    """The lines of the fleet's own comments of one kind, whatever the run."""
    own = (one.text for one, mark in markers(activities, fleet_users) if mark.event == event)
    return frozenset(line for text in own for line in text.splitlines())


def push_of(text: str) -> str:
    """The hash that a comment lets through: `push HASH`, alone in a line as the board shows it; of several the last.

    In a plain paragraph each line is one. What is fenced, indented, listed, quoted (with the lines that go on there), struck
    out or within a link is no answer, nor what stands behind HTML, which may hide it, or far down in a long text.
    """
    near = text[:_LOOKED_AT]
    if not any(map(_hash_in, near.replace("\r", "\n").split("\n"))):
        return ""
    return next(reversed([*_words(near)]), "")


def _words(text: str) -> Iterator[str]:
    before = ""
    for token in _parser().parse(text):
        if token.type == "html_block" or any(one.type == "html_inline" for one in token.children or ()):
            return
        if before == "paragraph_open" and token.level == 1 and not any(sign in token.content for sign in _NOT_PLAIN):
            yield from filter(None, map(_hash_in, _lines(token.children or ())))
        before = token.type


def _lines(pieces: Iterable[Token]) -> Iterator[str]:
    """The lines of a paragraph that are plain text; the others are empty."""
    line, plain = "", True
    for one in pieces:
        if one.type in ("softbreak", "hardbreak"):
            yield line if plain else ""
            line, plain = "", True
        else:
            line, plain = line + one.content, plain and one.type == "text" and not one.level
    yield line if plain else ""


def _hash_in(line: str) -> str:
    """The hash of a line that is the word and nothing else."""
    first, _, rest = line.replace("\t", " ").replace("\u00a0", " ").strip(" ").partition(" ")
    found = rest.strip(" ")
    return found if first == "push" and len(found) == _HASH_DIGITS and set(found) <= _DIGITS else ""


@functools.cache
def _parser() -> MarkdownIt:
    """What is asked for is found by the signs that are in it, so no link is looked for: that may take long."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 - most passes have no such word to read

    made = MarkdownIt("commonmark", {"html": True, "maxNesting": _DEEPEST}).enable("table")
    return made.disable(["link", "image", "autolink", "reference"])
