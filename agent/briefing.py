"""Collects what the model is told: the ticket and what is above it, answered Spikes, what people said, the repository's notes.

Comments, and edits of a Spike, are told only where their author counts (`Fleet.counts`): whoever else may write on a
ticket, by a forge's integration for instance, does not speak to the model. Texts of tickets are the project's to grant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct

from agent import choose
from agent.claim.protocol import Protocol
from agent.errors import NotFound, Refused, TicketFailure, TooLarge
from agent.git.workspace import Workspace
from agent.model import Activity, Fleet, WorkPackage
from agent.programs.instructions import NAME, Instructions, read_instructions
from agent.spikes import Spikes
from agent.state import RecordedClaim
from agent.texts import prompt, report, trail
from agent.texts.prompt import Comment, Item, PromptFacts, ResolvedSpike
from agent.texts.report import Event

MOST_SPIKES: Final = 50
"""Below one ticket, closed: each is a request or five, and anybody may make more of them."""


class Unanswered(Struct, frozen=True):
    """A Spike that was closed by somebody whose word does not count, and was not opened again for that yet."""

    spike: WorkPackage
    line: str
    """Why, as it stands on the Spike."""
    said: bool
    """Whether it stands there: a pod died before it could open the Spike, or it was closed once more."""
    never: bool
    """Whether such a closing is no answer however often: an integration's, or a second time on one ticket."""


class Word(Struct, frozen=True):
    """`push HASH` by somebody who counts, on the closed Spike of the ticket's last run: exactly that change is let through."""

    change: str
    run: str
    """The run that kept the work."""
    spike: int
    commit: str
    """What was kept; empty where the Spike does not say it."""

    @property
    def seen(self) -> str:
        """As the commit says it: the same change asked about again is another question."""
        return f"{self.change} {self.run[:8]}"


class Briefing(Struct, frozen=True):
    """What one run starts from."""

    facts: PromptFacts
    instructions: Instructions
    unanswered: tuple[Unanswered, ...] = ()
    left_out: tuple[str, ...] = ()
    """Whose words were left out, a line each, as far as the ticket does not say so yet."""
    word: Word | None = None
    taken_away: int | None = None
    """The Spike that asked last, where it is not below the ticket any more, and nobody who counts is known to have moved it."""

    def prompt(self) -> str:
        """The text for the model."""
        return prompt.build(self.facts)


async def read(
    protocol: Protocol,
    ticket: WorkPackage,
    epic: WorkPackage | None,
    record: RecordedClaim,
    workspace: Workspace,
    *,
    tools: bool,
) -> Briefing:
    """Ask the board and the base; `tools` as in the prompt's facts.

    Raises:
        TicketFailure: `.agent.toml` of the base cannot be understood, or too many Spikes are closed.
    """
    board = protocol.board
    instructions = await instructions_of(workspace)
    run = workspace.run
    activities = await board.activities(ticket.id, "what people said")
    there = await Spikes(protocol).of_ticket(ticket.id) if ticket.children else []
    closed = [one for one in there if one.status in protocol.fleet.closed]
    if len(closed) > MOST_SPIKES:
        raise TicketFailure(
            f"there are {len(closed)} closed Spikes below #{ticket.id}, and the words in no more than {MOST_SPIKES} are read: "
            "take those away that say nothing any more"
        )
    answered = [(one, await board.activities(one.id, f"the answers in Spike #{one.id}")) for one in closed]
    lets_through = any(trail.push_of(one.text) for _, journal in answered for one in journal)
    fleet = await protocol.who_counts(ticket.project) if lets_through else protocol.fleet
    said = trail.comments_for_run(activities, fleet.users, run=run)
    story = await _story(protocol, ticket)
    text = protocol.memory.state.texts.get(ticket.id)
    # The ticket's own trail says who asked, and where: its Spikes can be renamed and moved, and a word that was heeded once is
    # spent.
    named = trail.spikes_of(activities, fleet.users)
    asked = trail.last_verdict(activities, fleet.users, run=run)
    last = trail.spike_of(activities, fleet.users, asked)
    journals = [_Journal(one, journal, fleet, ticket, named) for one, journal in answered]
    spikes = [one for one in journals if one.is_of_ticket]
    facts = PromptFacts(
        work_package=_item(ticket),
        kind="Bug" if ticket.type in fleet.bugs else "",
        epic=_item(epic) if epic is not None else None,
        user_story=_item(story) if story is not None else None,
        spikes=_told(sorted(spikes, key=lambda spike: spike.number == last)),
        comments=_comments(one for one in said if fleet.counts(one.user, ticket.project)),
        previous=Item(ticket.id, text.subject, text.description) if text is not None else None,
        notes=instructions.notes,
        verify=instructions.verify.commands,
        tools=tools,
        resumed="it was interrupted; some of its work may be in the files already" if record.attempt > 1 else "",
    )
    mute = {one.user for one in said if not fleet.counts(one.user, ticket.project)}
    lines = [_line(user, fleet) for user in sorted(mute.union(*(one.mute() for one in journals)))]
    lines += _unclear(activities, fleet, ticket.project)
    lines += [line for one in journals for line in one.lost()]
    known = trail.lines_said(activities, fleet.users, Event.NOT_READ)
    return Briefing(
        facts,
        instructions,
        tuple(_unanswered(spikes)),
        tuple(line for line in dict.fromkeys(lines) if line not in known),
        next((spike.word() for spike in reversed(spikes) if spike.run and spike.run == asked), None),
        await _taken_away(protocol, ticket, last, (one for one in there if _is_there(one, ticket, fleet))),
    )


async def instructions_of(workspace: Workspace) -> Instructions:
    """What the base says that the work contains: no run judges itself, or the next.

    Raises:
        TicketFailure: it cannot be understood.
    """
    return read_instructions(await workspace.file_at_base(NAME))


def _is_there(spike: WorkPackage, ticket: WorkPackage, fleet: Fleet) -> bool:
    """An open one in another project holds nothing, so it is as good as gone."""
    return choose.holds(spike, ticket) or spike.status in fleet.closed


async def _taken_away(
    protocol: Protocol, ticket: WorkPackage, spike: int | None, there: Iterable[WorkPackage]
) -> int | None:
    """The Spike, where it is not among those below its ticket, and not known to have been moved by people who count alone."""
    if spike is None or any(one.id == spike for one in there):
        return None
    fleet = protocol.fleet
    try:
        journal = await protocol.board.activities(spike, f"who took Spike #{spike} away")
    except (NotFound, Refused, TooLarge):
        return spike
    hands = trail.taken_by(journal, ticket.subject, fleet.spike_names)
    return None if hands and all(fleet.counts(one, ticket.project) for one in hands) else spike


async def _story(protocol: Protocol, ticket: WorkPackage) -> WorkPackage | None:
    """The parent, if it is a story."""
    stories = protocol.fleet.stories
    if ticket.parent is None or not stories:
        return None
    parent = await protocol.board.work_package(ticket.parent, "what is above the ticket")
    return parent if parent.type in stories else None


def _unanswered(spikes: list[_Journal]) -> Iterator[Unanswered]:
    """The Spikes that nobody answered who counts.

    One that a run of the fleet came after is history. If such a one was closed by somebody who does not count, this ticket's
    one run for that was had.
    """
    asked = max((spike.made for spike in spikes if spike.run), default=0)
    past = [spike for spike in spikes if spike.made < asked and spike.closed < asked]
    spent = any(spike.is_foreign for spike in past)
    found = (spike.unanswered(spent=spent) for spike in spikes if spike not in past)
    return filter(None, found)


def _told(spikes: list[_Journal]) -> list[ResolvedSpike]:
    """What the model reads of them, the last first to be kept; those of which nothing is read take nobody's place."""
    found = [spike.resolved() for spike in spikes]
    return [one for one in found if one.comments or one.item.subject or one.item.description]


class _Journal:
    """A closed Spike and all that happened to it.

    Args:
        spike: as it is now.
        activities: its whole journal.
        fleet: who counts.
        ticket: what it lies below.
        named: the Spikes that the ticket's own trail names, and whose they are: they ask about it, whoever renamed, edited or
            moved them since.
    """

    def __init__(
        self,
        spike: WorkPackage,
        activities: list[Activity],
        fleet: Fleet,
        ticket: WorkPackage,
        named: Mapping[int, str],
    ) -> None:
        project = ticket.project
        self._spike = spike
        self._activities = activities
        self._fleet = fleet
        self._said = trail.human_comments(activities, fleet.users)
        hands = trail.described_by(activities) - fleet.users
        foreign = hands | (trail.writers(activities, spike.subject) - fleet.users)
        self._foreign = {one for one in foreign if not fleet.counts(one, project)}
        self._is_mixed = bool(hands & self._foreign) and bool(hands - self._foreign)
        self._project = project
        self._marks = list(trail.markers(activities, fleet.users))
        self._is_duplicate = any(mark.event == Event.SPIKE_DUPLICATE for _, mark in self._marks)
        names = fleet.statuses
        closed = {names.get(one, "") for one in fleet.closed}
        self._end = trail.closing(activities, frozenset(names.values()), closed, self._counts)
        self._closer = self._end.user if self._end is not None else 0
        placers = trail.placed_by(activities, ticket.subject, fleet.spike_names)
        made_by = {one.user for one in activities[:1]}
        if not choose.holds(spike, ticket):  # whoever makes one there may have no say here
            placers |= made_by
        self._movers = {one for one in placers - fleet.users if not fleet.counts(one, project)}
        is_fleets = bool(made_by) and made_by <= fleet.users
        is_named = is_fleets and spike.id in named
        is_elsewheres = is_fleets and not is_named and report.spike_ticket(spike.subject) not in (None, ticket.id)
        self.is_of_ticket = is_named or (not self._movers and (not is_elsewheres or bool(placers - fleet.users)))
        """Whether its answer is one about this ticket: it was made here, or brought here by somebody who counts."""
        asks_here = is_fleets and not is_elsewheres and not self._is_duplicate  # a marker can be copied
        mark = report.parse_marker(spike.description)
        self.run = (named.get(spike.id) or (mark.run if mark is not None else "")) if asks_here else ""
        """The run that asked here; empty where a person did, or a late request asked a second time."""

    def mute(self) -> set[int]:
        """Who wrote here, or brought it here, and is not read."""
        if not self.is_of_ticket:
            return self._movers
        return self._foreign | {one.user for one in self._said if not self._counts(one.user)}

    def lost(self) -> list[str]:
        """What else is not read here, a line each."""
        if not self.is_of_ticket:
            return []
        text = [report.left_out_text(self._spike.id)] if self._is_mixed else []
        return text + _unclear(self._activities, self._fleet, self._project)

    def resolved(self) -> ResolvedSpike:
        """What the model reads of it: not its text where anybody had a hand on it who does not count."""
        text = report.unmarked(self._spike.description)
        item = Item(self._spike.id, "", "") if self._foreign else Item(self._spike.id, self._spike.subject, text)
        return ResolvedSpike(item, _comments(one for one in self._said if self._counts(one.user)))

    @property
    def number(self) -> int:
        """Of the Spike itself."""
        return self._spike.id

    @property
    def made(self) -> int:
        """The number of the activity that made it."""
        return self._activities[0].id if self._activities else 0

    @property
    def closed(self) -> int:
        """Likewise of what closed it; 0 where none shows."""
        return self._end.id if self._end is not None else 0

    @property
    def is_foreign(self) -> bool:
        """Whether somebody is known to have closed it who does not count; the fleet closes what is too many."""
        return self._end is not None and not self._counts(self._closer) and self._closer not in self._fleet.users

    def unanswered(self, *, spent: bool) -> Unanswered | None:
        """What to say where it was closed by somebody who does not count; closed once more, it counts, unless the board did it.

        Args:
            spent: whether that was so already for another Spike of the ticket: then it counts no more, as an integration's
                never does.
        """
        if self._is_duplicate or self._counts(self._closer):
            return None
        line = _line(self._closer, self._fleet)
        is_boards = self._end is not None and trail.is_boards_own(self._end)
        if is_boards or self._closer in self._fleet.integrations or (spent and self.is_foreign):
            known = trail.lines_said(self._activities, self._fleet.users, Event.SPIKE_REOPENED)
            return Unanswered(self._spike, line, said=line in known, never=True)
        said = [one.id for one, mark in self._marks if mark.event == Event.SPIKE_REOPENED]
        if said and (not self.is_foreign or self.closed > said[-1]):
            return None
        return Unanswered(self._spike, line, said=bool(said), never=False)

    def word(self) -> Word | None:
        """What of the fleet's own question a person let through, by the last that was said there: what comes after takes it back.

        None where somebody who does not count ever changed the question: what stood there may not be what it was about.
        """
        hands = trail.described_by(self._activities) - self._fleet.users
        if not all(map(self._counts, hands)):
            return None
        spoken = [trail.push_of(one.text) for one in self._said if self._counts(one.user)]
        change = next(reversed(spoken), "")
        if not change:
            return None
        return Word(change, self.run, self._spike.id, report.let_through(self._spike.description))

    def _counts(self, user: int) -> bool:
        return self._fleet.counts(user, self._project)


def _unclear(activities: list[Activity], fleet: Fleet, project: int) -> list[str]:
    """Why comments are not read that are neither the fleet's own nor anybody else's, a line each."""
    said = trail.unclear(activities, fleet.users)
    return [
        report.left_out_comment(one.user, fleets=one.user in fleet.users)
        if one.user in fleet.users or fleet.counts(one.user, project)
        else _line(one.user, fleet)
        for one in said
    ]


def _line(user: int, fleet: Fleet) -> str:
    return report.left_out(user, integration=user in fleet.integrations)


def _item(one: WorkPackage) -> Item:
    return Item(one.id, one.subject, one.description)


def _comments(said: Iterable[Activity]) -> tuple[Comment, ...]:
    return tuple(Comment(f"user {one.user}", one.created_at, one.text) for one in said)
