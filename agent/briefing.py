"""Collects what the model is told: the ticket and what is above it, answered Spikes, what people said, the repository's notes."""

from __future__ import annotations

from msgspec import Struct

from agent.board.client import Board
from agent.git.workspace import Workspace
from agent.model import Activity, Fleet, WorkPackage
from agent.programs.instructions import NAME, Instructions, read_instructions
from agent.protocol import Protocol
from agent.spikes import Spikes
from agent.state import RecordedClaim
from agent.texts import prompt, trail
from agent.texts.prompt import Comment, Item, PromptFacts, ResolvedSpike


class Briefing(Struct, frozen=True):
    """What one run starts from."""

    facts: PromptFacts
    instructions: Instructions

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
        TicketFailure: `.agent.toml` of the base cannot be understood.
    """
    board, fleet = protocol.board, protocol.fleet
    instructions = await instructions_of(workspace)
    run = workspace.run
    said = await board.activities(ticket.id, "what people said")
    story = await _story(board, ticket, fleet)
    text = protocol.memory.state.texts.get(ticket.id)
    facts = PromptFacts(
        work_package=_item(ticket),
        kind="Bug" if ticket.type in fleet.bugs else "",
        epic=_item(epic) if epic is not None else None,
        user_story=_item(story) if story is not None else None,
        spikes=[await _resolved(board, spike, fleet) for spike in await _answered(protocol, ticket)],
        comments=_comments(trail.comments_for_run(said, fleet.users, run=run)),
        previous=Item(ticket.id, text.subject, text.description) if text is not None else None,
        notes=instructions.notes,
        verify=instructions.verify.commands,
        tools=tools,
        resumed="it was interrupted; some of its work may be in the files already" if record.attempt > 1 else "",
    )
    return Briefing(facts, instructions)


async def instructions_of(workspace: Workspace) -> Instructions:
    """What the base says that the work contains: no run judges itself, or the next.

    Raises:
        TicketFailure: it cannot be understood.
    """
    return read_instructions(await workspace.file_at_base(NAME))


async def _answered(protocol: Protocol, ticket: WorkPackage) -> list[WorkPackage]:
    """The closed Spikes of a ticket; nothing is asked where it has no children."""
    if not ticket.children:
        return []
    closed = protocol.fleet.closed
    return [one for one in await Spikes(protocol).of_ticket(ticket.id) if one.status in closed]


async def _resolved(board: Board, spike: WorkPackage, fleet: Fleet) -> ResolvedSpike:
    said = await board.activities(spike.id, f"the answers in Spike #{spike.id}")
    return ResolvedSpike(_item(spike), _comments(trail.human_comments(said, fleet.users)))


async def _story(board: Board, ticket: WorkPackage, fleet: Fleet) -> WorkPackage | None:
    """The parent, if it is a story."""
    if ticket.parent is None or not fleet.stories:
        return None
    parent = await board.work_package(ticket.parent, "what is above the ticket")
    return parent if parent.type in fleet.stories else None


def _item(one: WorkPackage) -> Item:
    return Item(one.id, one.subject, one.description)


def _comments(said: tuple[Activity, ...]) -> tuple[Comment, ...]:
    return tuple(Comment(f"user {one.user}", one.created_at, one.text) for one in said)
