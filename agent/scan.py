"""The ladder asked of a board too large to read: the server leaves out what is closed to us (DESIGN, section 2).

A row of a `select` list costs the server 0.1 ms, a work package in full 5 to 20, so only what is about to be touched is
read in full and judged by the pure ladder. What that judgement finds is turned into an exclusion, so that no number of
unavailable tickets hides an available one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from loguru import logger
from msgspec import Struct
from msgspec.structs import replace

from agent import choose
from agent.board.client import PAGE, Board
from agent.board.query import MOST, Filter, fitting, none_of, one_of, portions
from agent.choose import Reason, Rung, Why
from agent.errors import NotFound, Refused, TooLarge
from agent.model import Around, Fleet, Row, WorkPackage
from agent.survey import Survey, look
from agent.texts.claim_token import Key

RESTARTS: Final = 2
"""How often the lists are read again when an id in them has vanished (a 400 that does not name it)."""

LATER: Final = (Rung.BUG, Rung.EPIC_TASK, Rung.STANDALONE)
"""What comes after my own Epics."""

RUNGS: Final = (Rung.CONTINUE_EPIC, Rung.BUG, Rung.EPIC_TASK, Rung.STANDALONE)
"""Those that are found by searching; the others are about what is mine already."""

WITHIN_EPICS: Final = (Rung.CONTINUE_EPIC, Rung.EPIC_TASK)
"""Asked for with `ancestor =`."""

FEW_CHILDREN: Final = 20
"""Up to so many children are read in full together with the ancestors; more cost a request of their own."""

FEW_RELATED: Final = 100
"""For so many rows it is asked first what blocks them; if all of them wait, for the whole page."""

BATCHES: Final = (20, 100, PAGE)
"""How many rows are read in full at once after a container has been met: more each time, since they come in droves."""

NEWEST_FIRST: Final = (("id", "desc"),)

DUE_FIRST: Final = (("dueDate", "asc"), ("id", "asc"))
"""None last. Among more than a page of equals the pod's own order holds within the page."""

FULL_BATCH: Final = 500
"""Work packages in full per request of such a batch."""


class Candidate(Struct, frozen=True):
    """An available ticket as it was read: nothing may be read between this and the claim."""

    rung: Rung
    ticket: WorkPackage
    around: Around
    epic: WorkPackage | None


class Scan:
    """One cycle's walk down rungs 2 and 4 to 6.

    Args:
        board: where to ask.
        fleet: who asks.
        my_epics: the Epics that this pod owns.
        answers: whether the repository of a project can be reached; asked before a ticket is read in full.
    """

    def __init__(
        self, board: Board, fleet: Fleet, my_epics: Iterable[int], answers: Callable[[int], Awaitable[bool]]
    ) -> None:
        self.fleet = fleet
        self.met: dict[int, tuple[Row, list[Why]]] = {}
        """What was judged and why it was not taken."""
        self._board = board
        self._answers = answers
        self._my_epics = frozenset(my_epics)
        self._counts: dict[str, int] | None = None
        self._survey: Survey | None = None
        self._lost: set[int] = set()
        self._forget()

    def _forget(self) -> None:
        self._out: set[int] = set()
        self._subtrees: set[int] = set()
        self._takers: set[int] = set()
        self._expanded: frozenset[int] = frozenset()
        self._below: set[int] = set()
        self._closed_asked = False
        self._batches = 0
        self._related: set[int] = set()

    def skip(self, candidate: Candidate, *, mine: frozenset[Key], whole_epic: bool = False) -> None:
        """Not this one again in this cycle; with `whole_epic` nothing below its Epic either.

        `mine` is so now: an Epic may have been won before the ticket was lost.
        """
        self.fleet = replace(self.fleet, mine=mine)
        self._lost.add(candidate.ticket.id)
        self._out.add(candidate.ticket.id)
        if whole_epic and candidate.epic is not None:
            self._subtrees.add(candidate.epic.id)

    def own(self, epics: Iterable[int], mine: frozenset[Key]) -> None:
        """These Epics are this pod's from now on."""
        self._my_epics = frozenset(epics)
        self.fleet = replace(self.fleet, mine=mine)

    def surplus_spikes(self) -> frozenset[int]:
        """Tickets that more than one open Spike of ours names: a lost POST may have landed late."""
        return self._survey.twice_spiked if self._survey is not None else frozenset()

    async def next(self, rungs: Sequence[Rung] = RUNGS) -> Candidate | None:
        """The best available ticket on these rungs, read in full; None when nothing is left there for this pod.

        Raises:
            Refused: the board refuses a list even after it was made anew: an unknown blocker counts as open and an
                unknown Epic ends the cycle.
        """
        for restart in range(RESTARTS + 1):
            try:
                return await self._walk(rungs)
            except Refused as refusal:
                if refusal.status not in (400, 422) or restart == RESTARTS:
                    raise
                self._counts = self._survey = None
                self._forget()
        raise AssertionError("unreachable")

    async def survey(self) -> Survey | None:
        """The board at large; None where no ready executable ticket exists at all, or none can be ours."""
        if not self._types() or not self.fleet.open_projects:
            return None
        if self._counts is None:
            self._counts = await self._board.groups(self._ready(self._types()), "type", "count what is ready")
        if not any(self._counts.values()):
            return None
        if self._survey is None:
            self._survey = await look(self._board, self.fleet, self._counts)
            self._out |= self._survey.spiked
        return self._survey

    # -- the lists -------------------------------------------------------------------------------------------------

    def _types(self) -> frozenset[int]:
        """The executable types that carry the fleet's fields in some project."""
        fleet, projects = self.fleet, self.fleet.open_projects
        return frozenset(
            kind for kind in fleet.executable if any((one, kind) not in fleet.fieldless for one in projects)
        )

    def _ready(self, types: Iterable[int]) -> list[Filter | None]:
        return [
            one_of("status", [self.fleet.ready]),
            one_of("type", types),
            one_of("project", self.fleet.open_projects),
        ]

    def filters(self, rung: Rung, survey: Survey, *, routed: bool) -> list[Filter | None] | None:
        """What the server is asked on a rung; None where nothing can match."""
        fleet, fields = self.fleet, self._board.fields
        closed = survey.closed_subtrees | self._subtrees
        types, under = {
            Rung.CONTINUE_EPIC: (fleet.executable, self._my_epics & survey.epics - closed),
            Rung.BUG: (fleet.bugs, None),
            Rung.EPIC_TASK: (fleet.tasks, survey.good_epics - closed),
            Rung.STANDALONE: (fleet.tasks, None),
        }[rung]
        types = types & self._types()
        if not types or under == frozenset() or not any(survey.by_type.get(str(one)) for one in types):
            return None
        if not self.fleet.open_projects:
            return None
        if rung is Rung.STANDALONE:
            closed |= survey.epics
        wanted = [
            *self._ready(types),
            one_of("ancestor", sorted(under)[:MOST]) if under else none_of("ancestor", sorted(closed)[:MOST]),
            one_of(fields.pod, [fleet.pod]) if routed else none_of(fields.pod, survey.others),
            none_of("id", sorted(self._out | self._below if under else self._out)[:MOST]),
            none_of("assignee", self._takers),
        ]
        return fitting(wanted)

    async def _expand(self, survey: Survey) -> None:
        """The ready tickets below what is closed to us, by id.

        Of two filters with one name the last counts (measured on 17.6): `ancestor =` leaves no room for `ancestor !`.
        """
        fresh = (survey.closed_subtrees | self._subtrees) - self._expanded
        if not fresh:
            return
        self._expanded |= fresh
        for some in portions(fresh):
            below = [*self._ready(self._types()), one_of("ancestor", some)]
            self._below |= {one.id for one in await self._board.rows(below, "what is closed to us")}

    # -- the walk --------------------------------------------------------------------------------------------------

    async def _walk(self, rungs: Sequence[Rung]) -> Candidate | None:
        survey = await self.survey()
        if survey is None:
            return None
        for rung in rungs:
            for routed in (True, False) if survey.routed_to_me else (False,):
                found = await self._best(rung, survey, routed=routed)
                if found is not None:
                    return found
        return None

    async def _best(self, rung: Rung, survey: Survey, *, routed: bool) -> Candidate | None:
        """The best of one rung: asks again with what was learned, until nothing new is learned."""
        if rung in WITHIN_EPICS and self.filters(rung, survey, routed=routed) is not None:
            await self._expand(survey)
        while (filters := self.filters(rung, survey, routed=routed)) is not None:
            found, again = await self._search(rung, filters)
            if not again:
                return found
        return None

    async def _search(self, rung: Rung, filters: list[Filter | None]) -> tuple[Candidate | None, bool]:
        """Down the priorities and their pages; see `_pick`."""
        counts = await self._board.groups(filters, "priority", f"rung {rung:d} by priority")
        for priority in sorted(counts, key=self._urgency):
            alike = [*filters, one_of("priority", [priority])]
            async for rows in self._board.row_pages(alike, f"rung {rung:d}", sort=DUE_FIRST):
                found, again = await self._pick(rung, rows)
                if found is not None or again:
                    return found, again
        return None, False

    def _urgency(self, priority: str) -> int:
        known = [str(one) for one in self.fleet.priorities]
        return known.index(priority) if priority in known else len(known)

    async def _pick(self, rung: Rung, rows: Sequence[Row]) -> tuple[Candidate | None, bool]:
        """The first available one; else whether the server has to be asked again, since it can leave out more now."""
        fleet, takers = self.fleet, len(self._takers)
        waiting = sorted(rows, key=lambda one: choose.row_key(one.due_date, fleet.pod, one.id))
        while waiting:
            row = waiting.pop(0)
            if row.id in self._out | self._lost or (rung in WITHIN_EPICS and row.id in self._below):
                continue
            if self._refused_by_row(row):
                continue
            if not await self._answers(row.project):
                self.fleet = fleet = replace(fleet, unreachable=fleet.unreachable | {row.project})
                return None, True
            if row.id not in self._related and waiting:
                await self._drop_blocked([row, *waiting])
                if row.id in self._out:
                    continue
            known = len(self._subtrees)
            found, whys = await self._judge(rung, row)
            if found is not None:
                return found, False
            if len(self._subtrees) > known:
                await self._close_subtrees(rung, whys)
                return None, True
            await self._learn(whys, waiting)
        return None, len(self._takers) > takers

    def _refused_by_row(self, row: Row) -> bool:
        """Whether the row alone shows that the ticket cannot be taken."""
        fleet = self.fleet
        if choose.is_taken(row, fleet):
            assert row.assignee is not None  # noqa: S101 - that is what taken means
            if fleet.is_assignable(row.assignee.id):
                self._takers.add(row.assignee.id)
            else:
                self._out.add(row.id)
            self._note(row, [Why(Reason.TAKEN, f"assigned to {row.assignee.name}, who is no fleet user")])
            return True
        if (row.project, row.type) in fleet.fieldless:
            self._drop(row, [Why(Reason.FIELDS, "its type lacks the fleet's fields")])
            return True
        return False

    async def _judge(self, rung: Rung, row: Row) -> tuple[Candidate | None, list[Why]]:
        fleet = self.fleet
        try:
            ticket = await self._board.work_package(row.id, "the candidate")
            whys = choose.own_reasons(ticket, fleet)
            if not whys:
                around = await read_around(self._board, ticket)
                whys = choose.surrounding_reasons(ticket, around, fleet)
                if not whys:
                    return Candidate(rung, ticket, around, choose.epic_of(around.ancestors, fleet)), []
        except NotFound:
            self._out.add(row.id)
            return None, []
        except TooLarge as large:  # others wrote that, so it is no reason to leave the rest of the work alone
            whys = [Why(Reason.TOO_LONG, str(large))]
            logger.warning("#{} is not taken: {}", row.id, large)
        self._drop(row, whys)
        self._subtrees |= {why.by for why in whys if why.by}
        return None, whys

    async def _close_subtrees(self, rung: Rung, whys: Sequence[Why]) -> None:
        """A whole subtree dropped out. Closed Epics and gates come in numbers and are asked for once, together."""
        if {why.reason for why in whys} & {Reason.EPIC, Reason.GATED} and not self._closed_asked:
            self._closed_asked = True
            closed = [one_of("type", self.fleet.epics | self.fleet.gates), one_of("status", self.fleet.closed)]
            rows = await self._board.rows(closed, "closed Epics and gates", sort=NEWEST_FIRST, first_page=True)
            self._subtrees |= {one.id for one in rows}
        if rung in WITHIN_EPICS and self._survey is not None:
            await self._expand(self._survey)

    async def _learn(self, whys: Sequence[Why], waiting: list[Row]) -> None:
        """What one judgement suggests about the rows behind it, asked for all of them at once."""
        if {why.reason for why in whys} & {Reason.CONTAINER, Reason.SPIKED}:
            await self._drop_parents([one for one in waiting if one.id not in self._out])

    async def _drop_blocked(self, rows: Sequence[Row]) -> None:
        """Those that wait for something neither closed nor done; what is done may do for its own Epic: judged singly.

        Asked for the next rows at once, before any of them is read in full: few at first, then for the whole page.
        """
        size = FEW_RELATED if not self._related else PAGE
        by_id = {one.id: one for one in rows[:size] if one.id not in self._out | self._related}
        self._related |= by_id.keys()
        try:
            relations = await self._board.relations(by_id, "what blocks the next ones")
        except TooLarge as large:
            logger.warning("what blocks the next ones is asked one by one: {}", large)
            return
        pairs = [pair for pair in (one.blocked_and_blocker() for one in relations) if pair and pair[0] in by_id]
        if not pairs:
            return
        ends = await self._board.rows_of({blocker for _, blocker in pairs}, "their blockers")
        undone = {one.id for one in ends if one.status not in self.fleet.closed | set(self.fleet.done)}
        for blocked, blocker in pairs:
            if blocker in undone:
                self._drop(by_id[blocked], [Why(Reason.BLOCKED, f"waits for #{blocker}")])

    async def _drop_parents(self, rows: Sequence[Row]) -> None:
        """Those that have a child other than a closed Spike, up to the first that has none.

        A row does not show children and no filter asks for them, so this is dear: such rows come in droves, and more
        of them are read in full each time.
        """
        while batch := rows[: BATCHES[min(self._batches, len(BATCHES) - 1)]]:
            self._batches += 1
            rows = rows[len(batch) :]
            by_id = {one.id: one for one in batch}
            full = await self._board.work_packages([one_of("id", by_id)], "the others in full", size=FULL_BATCH)
            parent_of = {child: one.id for one in full for child in one.children}
            children = await self._board.rows_of(parent_of, "the others' children")
            for child in children:
                parent = by_id[parent_of[child.id]]
                if not choose.holds(child, parent):
                    continue
                if child.type not in self.fleet.spikes:
                    self._drop(parent, [Why(Reason.CONTAINER, f"it has a child (#{child.id})")])
                elif child.status not in self.fleet.closed:
                    self._drop(parent, [Why(Reason.SPIKED, f"Spike #{child.id} is open")])
            if not self._out >= by_id.keys():
                return

    def _drop(self, row: Row, whys: list[Why]) -> None:
        self._out.add(row.id)
        self._note(row, whys)

    def _note(self, row: Row, whys: list[Why]) -> None:
        self.met.setdefault(row.id, (row, whys))


async def read_around(board: Board, ticket: WorkPackage) -> Around:
    """What decides about a ticket besides itself, in two requests, three with many children.

    Raises:
        Refused: one of them vanished meanwhile; unknown things are never taken for harmless, so read again.
        TooLarge: one of them is too long to be read.
    """
    chain = {ticket.id, *ticket.ancestors}
    relations = await board.relations(chain, "relations of the ticket and its ancestors")
    ends = {end for one in relations if one.blocked_and_blocker() for end in (one.source, one.target)} - {ticket.id}
    few = ticket.children if len(ticket.children) <= FEW_CHILDREN else ()
    near = {*ticket.ancestors, *ends, *few}
    if len(near) > MOST:
        raise TooLarge(f"More than {MOST:,} work packages are above #{ticket.id}, below it or in its relations")
    full = await board.work_packages([one_of("id", near)], "what is around the ticket") if near else []
    by_id = {one.id: one for one in full}
    if few and by_id.keys() >= set(few):
        children = [choose.as_row(by_id[one]) for one in few]
    else:  # they are many, or one is too long, and whether it holds the ticket is told by its row
        children = await board.rows([one_of("parent", [ticket.id])], "children") if ticket.children else []
    rows = {one.id: one for one in children}
    unread = {one for one in few if one not in by_id and (one not in rows or choose.holds(rows[one], ticket))}
    if unread or not by_id.keys() >= set(ticket.ancestors):
        raise TooLarge(
            f"Something above or below #{ticket.id} is too long to be read, or hidden: nothing is known of it"
        )
    return Around(
        ancestors=tuple(by_id[one] for one in ticket.ancestors),
        children=tuple(children),
        relations=tuple(relations),
        others=tuple(full),
    )
