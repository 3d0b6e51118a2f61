"""What a comment of the fleet tells, read back from the words that `agent.texts.report` wrote.

The board's page shows commits, tokens and pods as such, and counts runs by them. Names stand in code spans, so that a
name with any character in it reads back the same; nothing is taken from where a model's or a person's words stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from agent.texts.bounded import Start, Whole
from agent.texts.report import Event, parse_marker
from agent.texts.rewrite import APART, plain

LONGEST_TITLE: Final = 2_000
"""Characters of a first line that are looked at: ours have some hundred, and whoever forges one shall not cost much."""

_SEES: Final = "a comment with a marker of ours, which anybody may have forged"
_ADDRESS: Final = Start("told: the address of a link", r"\]\(([^\s<>()\[\]\\]*+)\)", sees=_SEES, longest=LONGEST_TITLE)
_TOKENS: Final = Whole(
    "told: tokens", r", ([0-9]{1,18}) input tokens / ([0-9]{1,18}) output tokens", sees=_SEES, longest=LONGEST_TITLE
)
_FIGURES: Final = Start(
    "told: price and duration",
    r"(?:Cost: ([0-9]{1,12}\.[0-9]{2}) USD(?: · |$))?"
    r"(?:Duration: ([0-9]{1,9} h(?: [0-9]{1,9} min)?|[0-9]{1,9} min|[0-9]{1,9} s)(?: · |$))?",
    sees=_SEES,
)
_SPENT: Final = Whole(
    "told: what a failure cost",
    r"Spent: ([0-9]{1,18}) input tokens / ([0-9]{1,18}) output tokens, ([0-9]{1,12}\.[0-9]{2}) USD",
    sees=_SEES,
    longest=LONGEST_TITLE,
)
_SPIKE: Final = Whole(
    "told: a Spike", r"Created spike #([1-9][0-9]{0,17}) for human review", sees=_SEES, longest=LONGEST_TITLE
)
_TRY: Final = Whole("told: a try", r"\(try ([0-9]{1,6}) of ([0-9]{1,6})\)", sees=_SEES, longest=LONGEST_TITLE)

_FIRST: Final[dict[str, tuple[str, ...]]] = {
    Event.CLAIMED: ("pod", ""),
    Event.TAKEN_OVER: ("pod", ""),
    Event.EPIC_TAKEN: ("pod",),
    Event.EXPIRED: ("pod",),
    Event.RELEASED: ("pod",),
    Event.PUSHED: ("branch", "commit"),
    Event.ALREADY_DONE: ("branch", "commit"),
    Event.STARTER_ADDED: ("", "commit"),
    Event.TEXT_CHANGED: ("commit",),
    Event.STOPPED: ("branch",),
}
"""What the names in a first line are that is ours from end to end, so that nobody else's words stand in it."""

_LAST: Final[dict[str, tuple[str, str, str]]] = {
    Event.FAILED: ("The work so far is in ", ".", "branch"),
    Event.GIVEN_BACK: ("This is trouble of pod ", " and says nothing about the ticket.", "pod"),
    Event.REFUSED: ("Pod ", " let go of the ticket and left its status: it is a person's now.", "pod"),
}
"""The last paragraph of those whose first line ends in somebody's reason."""


class Told(Struct, frozen=True, kw_only=True):
    """One comment; what it does not tell is empty or None.

    Attributes:
        run: the run id.
        event: plain text, since a newer version may know more of them.
        title: the first line without Markdown.
        body: the Markdown below it, without the marker and what the other fields say better.
        pod: the one that the event is about.
        branch: where work is: the result, a failure's or what was kept.
        branch_url: where people look at it.
        commit: the digits that are shown.
        commit_url: likewise.
        spike: the work package that asks a person.
        attempt: which try was interrupted.
        tries: of how many.
        input_tokens: of a run that ended.
        output_tokens: likewise.
        cost_usd: to the cent.
        duration: for people, such as `4 h 30 min`.
    """

    run: str
    event: str
    title: str
    body: str = ""
    pod: str = ""
    branch: str = ""
    branch_url: str = ""
    commit: str = ""
    commit_url: str = ""
    spike: int | None = None
    attempt: int | None = None
    tries: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    duration: str = ""


class _Name(Struct, frozen=True):
    """What `markup.code` or `markup.link` wrote."""

    text: str
    url: str = ""


_Parts = list[str | _Name]


def read(raw: str) -> Told | None:
    """What the comment tells; None where it does not end in a marker of ours. Whose it is, the caller has to know."""
    mark = parse_marker(raw)
    if mark is None:
        return None
    text = raw.rstrip().rpartition("\n")[0]
    first, _, body = text.partition("\n")
    line = _parts(first[:LONGEST_TITLE])
    told = Told(run=mark.run, event=mark.event, title=_plain(line).strip(), body=body.strip("\n"))
    return _with_particulars(told, line, first)


def _with_particulars(told: Told, line: _Parts, first: str) -> Told:
    if told.event == Event.COMPLETED:
        return _completed(told, line[-1])
    if told.event in _FIRST:
        return _named(told, line, _FIRST[told.event])
    if told.event in _LAST:
        named = _from_last(told, *_LAST[told.event])
        return _with_spent(named) if told.event == Event.FAILED else named
    if told.event == Event.SPIKE_CREATED and (found := _SPIKE.match(first)):
        return replace(told, spike=int(found[1]))
    if told.event == Event.INTERRUPTED and (found := _TRY.match(first[first.rfind("(") :])):
        return replace(told, attempt=int(found[1]), tries=int(found[2]))
    return told


def _named(told: Told, line: _Parts, slots: tuple[str, ...]) -> Told:
    """The names of a line, each in its field; a line with more or fewer names is none of ours."""
    names = [part for part in line if isinstance(part, _Name)]
    if len(names) != len(slots):
        return told
    found = {slot: name.text for slot, name in zip(slots, names, strict=True) if slot}
    urls = {f"{slot}_url": name.url for slot, name in zip(slots, names, strict=True) if slot in ("branch", "commit")}
    return replace(told, **found, **urls)


def _from_last(told: Told, start: str, end: str, slot: str) -> Told:
    """The name in the last paragraph, where that is ours: evidence is fenced, so its last line is a fence."""
    last = told.body.rpartition("\n\n")[2]
    match _parts(last[:LONGEST_TITLE]):
        case [before, _Name(), after] if (before, after) == (start, end):
            body = told.body.removesuffix(last).strip("\n") if slot == "branch" else told.body
            return _named(replace(told, body=body), _parts(last), (slot,))
    return told


def _with_spent(told: Told) -> Told:
    # The last of what is left, where it is ours: evidence is fenced.
    body, _, last = told.body.rpartition("\n\n")
    found = _SPENT.match(last)
    if found is None:
        return told
    return replace(told, body=body, input_tokens=int(found[1]), output_tokens=int(found[2]), cost_usd=float(found[3]))


def _completed(told: Told, tokens: str | _Name) -> Told:
    # The model's words are a quotation: no line of theirs can be the last paragraph.
    summary, gap, last = told.body.rpartition("\n\n")
    figures = _FIGURES.match(last)
    cost, duration = figures.groups() if figures else (None, None)
    counted = _TOKENS.match(tokens) if isinstance(tokens, str) else None
    return replace(
        told,
        body=f"{summary}{gap}{last[figures.end() if figures else 0 :]}".strip("\n"),
        input_tokens=int(counted[1]) if counted else None,
        output_tokens=int(counted[2]) if counted else None,
        cost_usd=None if cost is None else float(cost),
        duration=duration or "",
    )


def _parts(line: str) -> _Parts:
    """A line as literal text and names in turn: text comes first and last, if only as an empty one."""
    parts: _Parts = []
    end = 0
    for start, stop, name in _names(line):
        parts += [line[end:start], name]
        end = stop
    return [*parts, line[end:]]


def _names(line: str) -> Iterator[tuple[int, int, _Name]]:
    """Where the names of a line begin and end: a name ends with as many backticks as it began with."""
    rows = list(_rows(line))
    closing: dict[int, int] = {}
    partner = [0] * len(rows)
    for number in reversed(range(len(rows))):
        size = rows[number][1] - rows[number][0]
        partner[number] = closing.get(size, -1)
        closing[size] = number
    end = 0
    for number, (start, opened) in enumerate(rows):
        if start < end or partner[number] < 0:
            continue
        closes, end = rows[partner[number]]
        name = _unpadded(line[opened:closes])
        address = _ADDRESS.match(line, end) if line[start - 1 : start] == "[" else None
        if address:
            end = address.end()
        yield start - bool(address), end, _Name(name, address[1] if address else "")


def _rows(line: str) -> Iterator[tuple[int, int]]:
    """Where backticks stand together."""
    start = line.find("`")
    while start >= 0:
        end = start + len(line[start:]) - len(line[start:].lstrip("`"))
        yield start, end
        start = line.find("`", end)


def _plain(parts: _Parts) -> str:
    return "".join(plain(part) if isinstance(part, str) else part.text for part in parts)


def _unpadded(content: str) -> str:
    """A name that begins or ends with a backtick, and an empty one, stand between two spaces."""
    name = content[1:-1] if content.startswith(" ") and content.endswith(" ") else content
    return name.replace(APART, "")
