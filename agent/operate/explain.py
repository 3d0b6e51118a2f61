"""Why: the choice that this pod would make now, and what keeps it from everything else (`agent explain`).

The server is asked per reason, with the filters by which the scan leaves it out turned round: a count and the first ten,
about one request a reason, whatever the size of the board. What no filter can ask (children of another kind, a person's
Spike) is told of what the scan met. One ticket alone is read in full, with all that is around it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from loguru import logger
from msgspec import Struct
from msgspec.structs import replace

from agent import choose
from agent.board.catalog import name_of
from agent.board.client import PAGE
from agent.board.query import Filter, none_of, one_of, portions
from agent.choose import Reason, Rung, Why
from agent.errors import Conflict, PodTrouble, Refused, TooLarge
from agent.model import Around, Row, WorkPackage
from agent.pod import Pod
from agent.scan import DUE_FIRST, LATER, RUNGS, Candidate, Scan, read_around
from agent.survey import Survey
from agent.texts import claim_token
from agent.texts.markup import spoken

FIRST: Final = 10
"""How many work packages are shown for each reason."""


class Example(Struct, frozen=True, omit_defaults=True):
    """One work package that is not taken."""

    id: int
    subject: str
    detail: str = ""
    """The particulars, where they are known without a request of their own; left out of JSON where they are not."""


class Kept(Struct, frozen=True):
    """One reason: how many it keeps from being taken, and the first of them; `at_least` where only a part was looked at."""

    reason: Reason
    count: int
    first: tuple[Example, ...] = ()
    at_least: bool = False


class Overview(Struct, frozen=True, kw_only=True):
    """What this pod would do now, and why it leaves the rest."""

    pod: str
    rung: Rung
    ticket: int | None = None
    subject: str = ""
    epic: int | None = None
    releases: tuple[int, ...] = ()
    """My Epics with nothing left to do, given up on the way."""
    ready: int = 0
    """Ready executable tickets on the whole board."""
    reasons: tuple[Kept, ...] = ()
    notes: tuple[str, ...] = ()


class Explanation(Struct, frozen=True, kw_only=True):
    """One ticket, and every reason why this pod does not take it."""

    ticket: int
    subject: str
    type: str
    status: str
    priority: str
    pod: str
    claimed: str = ""
    """Who holds it since when, empty where nobody does."""
    reasons: tuple[Why, ...] = ()
    rung: Rung | None = None
    """Where an available ticket is found."""
    before: int = 0
    """How many come before it, at most."""
    next: int | None = None
    """What this pod would take now."""
    notes: tuple[str, ...] = ()


class Explainer:
    """Looks and changes nothing.

    Args:
        pod: opened to look only.
    """

    def __init__(self, pod: Pod) -> None:
        self._pod = pod
        self._board = pod.board
        self._fleet = replace(pod.fleet, mine=pod.memory.mine)
        self._troubles: dict[int, str] = {}
        self._places: set[int] = set()
        self._blocked_ids: set[int] = set()
        """Those that the bulk question about blockers counted already."""
        self._unread: tuple[str, ...] = ()
        """What others made too long to be read."""

    # -- the board at large ----------------------------------------------------------------------------------------

    async def overview(self) -> Overview:
        """The choice, then each reason.

        Raises:
            BoardError: the board did not answer, or an id vanished from a list twice.
        """
        try:
            return await self._overview()
        except Refused as refusal:
            if refusal.status not in (400, 422):
                raise
            logger.info("a list changed while it was read, once more: {}", refusal)
            return await self._overview()

    async def _overview(self) -> Overview:
        mine = await self._mine()
        scan, candidate = await self._walk(mine)
        unfinished = self._unfinished(mine)
        epics = tuple(one.id for one in mine if one.type in self._fleet.epics)
        continued = candidate is not None and candidate.rung is Rung.CONTINUE_EPIC
        ready = await self._board.count(self._ready(), "what is ready")
        seen = Overview(
            pod=self._fleet.pod,
            rung=Rung.NOTHING,
            releases=() if unfinished or continued else epics,
            ready=ready,
            reasons=tuple(await self._reasons(scan)) if ready else (),
            notes=tuple(self._notes()),
        )
        if unfinished is not None:
            return replace(seen, rung=Rung.FINISH, ticket=unfinished.id, subject=unfinished.subject)
        if candidate is None:
            return seen
        epic = candidate.epic.id if candidate.epic else None
        ticket = candidate.ticket
        return replace(seen, rung=candidate.rung, ticket=ticket.id, subject=ticket.subject, epic=epic)

    async def _mine(self) -> list[WorkPackage]:
        """What carries a token that the state folder recorded, and is active."""
        tokens = {claim.token for claim in self._pod.memory.state.claims}
        if not tokens:
            return []
        found = await self._board.work_packages([one_of(self._board.fields.run, tokens)], "what is mine")
        return [one for one in found if choose.is_mine(one, self._fleet)]

    def _unfinished(self, mine: Iterable[WorkPackage]) -> WorkPackage | None:
        return next((one for one in mine if choose.is_unfinished(one, self._fleet)), None)

    async def _walk(self, mine: Iterable[WorkPackage]) -> tuple[Scan, Candidate | None]:
        """The scan of a cycle, and what it finds."""
        epics = [one.id for one in mine if one.type in self._fleet.epics]
        scan = Scan(self._board, self._fleet, epics, self._answers)
        candidate = await scan.next((Rung.CONTINUE_EPIC,)) if epics else None
        if candidate is None:
            scan.own((), self._fleet.mine)
            candidate = await scan.next(LATER)
        return scan, candidate

    async def _answers(self, project: int) -> bool:
        """The real preflight of a project's repository, once."""
        if project not in self._places and project not in self._troubles:
            try:
                await self._pod.place(project)
            except PodTrouble as trouble:
                self._troubles[project] = str(trouble)
                self._fleet = replace(self._fleet, unreachable=self._fleet.unreachable | {project})
            else:
                self._places.add(project)
        return project in self._places

    def _notes(self) -> list[str]:
        now = self._pod.memory.now()
        wait = self._pod.memory.state.wait(now.at, now.boot)
        notes = [f"This pod waits {spoken(wait)} more after trouble before it claims anything."] if wait else []
        notes += [f"{one[:1].upper()}{one[1:]}." for _, one in sorted(self._troubles.items())]
        return [*notes, *self._unread]

    # -- reasons ---------------------------------------------------------------------------------------------------

    def _ready(self, projects: Iterable[int] = ()) -> list[Filter | None]:
        fleet, wanted = self._fleet, list(projects)
        ready = [one_of("status", [fleet.ready]), one_of("type", fleet.executable)]
        return [*ready, one_of("project", wanted) if wanted else None]

    async def _reasons(self, scan: Scan) -> list[Kept]:
        """In the order of `Reason`; those that keep nothing back are left out."""
        fleet = self._fleet
        found = [
            await self._kept(Reason.NO_REPOSITORY, [none_of("project", fleet.projects)]),
            await self._of_projects(Reason.UNREACHABLE, fleet.unreachable),
            await self._of_projects(Reason.NOT_ASSIGNABLE, fleet.unassignable),
            await self._of_projects(Reason.NO_SPIKE, fleet.spikeless),
            await self._fieldless(),
        ]
        survey = await scan.survey()
        if survey is not None:
            found += await self._surveyed(survey, self._ready(fleet.open_projects))
        by_reason = {one.reason: one for one in found}
        for row, whys in scan.met.values():
            for why in whys:
                by_reason[why.reason] = self._with_met(by_reason.get(why.reason, Kept(why.reason, 0)), row, why)
        return [by_reason[one] for one in Reason if one in by_reason and by_reason[one].count]

    def _with_met(self, kept: Kept, row: Row, why: Why) -> Kept:
        """What the scan met: its particulars for those that are counted, and those that no filter asks for."""
        if any(one.id == row.id for one in kept.first):
            first = [replace(one, detail=why.detail) if one.id == row.id else one for one in kept.first]
            return replace(kept, first=tuple(first))
        unasked = why.reason in (Reason.CONTAINER, Reason.SPIKED, Reason.BLOCKED, Reason.TOO_LONG)
        if not unasked or ({row.id, why.by} & self._blocked_ids and why.reason is Reason.BLOCKED):
            return kept
        more = (*kept.first, Example(row.id, row.subject, why.detail))[:FIRST]
        return replace(kept, count=kept.count + 1, first=more, at_least=True)

    async def _surveyed(self, survey: Survey, ready: list[Filter | None]) -> list[Kept]:
        """The reasons that a filter can ask for, below the projects that are open to this pod."""
        fleet = self._fleet
        shut: list[Filter | None] = [one_of("type", fleet.epics | fleet.gates), ("status", "c", ()), ready[-1]]
        closed = await self._board.rows(shut, "closed Epics and gates", sort=(("id", "desc"),), first_page=True)
        bad_epics = survey.epics - survey.good_epics | {one.id for one in closed if one.type in fleet.epics}
        gates = survey.closed_subtrees - bad_epics | {one.id for one in closed if one.type in fleet.gates}
        holders = await self._board.groups(ready, "assignee", "who took what")
        users = {int(one) for one in holders if one.isdigit()} - fleet.users
        takers = [one for one in users if fleet.is_assignable(one)]
        inside: tuple[tuple[Reason, str, Collection[int], str], ...] = (
            (Reason.TAKEN, "assignee", takers, ""),
            (Reason.EPIC, "ancestor", bad_epics, "Epic #{}"),
            (Reason.GATED, "ancestor", gates, "below #{}"),
            (Reason.SPIKED, "id", survey.spiked, ""),
        )
        found = [await self._kept_by(reason, ready, name, keepers, words) for reason, name, keepers, words in inside]
        if survey.others:
            routed = [*ready, one_of(self._board.fields.pod, survey.others)]
            found.append(await self._kept(Reason.ROUTED, routed, _only(survey.others, "to {}")))
        return [*found, await self._blocked(survey, ready)]

    async def _kept_by(
        self, reason: Reason, ready: list[Filter | None], name: str, keepers: Collection[int], words: str
    ) -> Kept:
        """What some of these keep from us; in as many questions as their ids have room in."""
        parts = [
            await self._kept(reason, [*ready, one_of(name, some)], _only(keepers, words)) for some in portions(keepers)
        ]
        if len(parts) < 2:  # noqa: PLR2004 - there is nothing to add up
            return parts[0] if parts else Kept(reason, 0)
        first = {one.id: one for part in parts for one in part.first}
        shown = tuple(first[one] for one in sorted(first)[:FIRST])
        if name == "ancestor":  # what lies below two of them may be in two parts
            return Kept(reason, max(part.count for part in parts), shown, at_least=True)
        return Kept(reason, sum(part.count for part in parts), shown)

    async def _kept(self, reason: Reason, filters: list[Filter | None], detail: str = "") -> Kept:
        if not any(one and one[0] == "status" for one in filters):
            filters = [*self._ready(), *filters]
        count, rows = await self._board.sample(filters, FIRST, f"reason: {reason}")
        first = [Example(one.id, one.subject, detail) for one in rows]
        if reason is Reason.TAKEN:
            first = [
                replace(one, detail=row.assignee.name if row.assignee else "")
                for one, row in zip(first, rows, strict=True)
            ]
        return Kept(reason, count, tuple(first))

    async def _of_projects(self, reason: Reason, projects: frozenset[int]) -> Kept:
        return await self._kept(reason, self._ready(projects)) if projects else Kept(reason, 0)

    async def _fieldless(self) -> Kept:
        total = 0
        first: list[Example] = []
        for project in sorted({project for project, _ in self._fleet.fieldless}):
            kinds = [kind for one, kind in self._fleet.fieldless if one == project and kind in self._fleet.executable]
            if kinds:
                where = [one_of("project", [project]), one_of("type", kinds)]
                part = await self._kept(Reason.FIELDS, [one_of("status", [self._fleet.ready]), *where])
                total, first = total + part.count, [*first, *part.first]
        return Kept(Reason.FIELDS, total, tuple(first[:FIRST]))

    async def _blocked(self, survey: Survey, ready: list[Filter | None]) -> Kept:
        """By relations of the first thousand ready tickets, and of the Epics above them.

        A blocker that is done but not closed may do for its own Epic, so it is not counted here.
        """
        rows = {one.id: one for one in await self._board.rows(ready, "the first that are ready", first_page=True)}
        epics = sorted(survey.good_epics)[:PAGE]
        try:
            relations = await self._board.relations([*rows, *epics], "what blocks them")
        except TooLarge as large:
            self._unread = (f"Who waits for another ticket is not counted: {large}",)
            return Kept(Reason.BLOCKED, 0)
        pairs = [pair for pair in (one.blocked_and_blocker() for one in relations) if pair]
        pairs = [(blocked, by) for blocked, by in pairs if blocked in rows or blocked in epics]
        if not pairs:
            return Kept(Reason.BLOCKED, 0)
        ends = await self._board.rows_of({by for _, by in pairs}, "their blockers")
        undone = {one.id for one in ends if one.status not in self._fleet.closed | set(self._fleet.done)}
        waits = {blocked: by for blocked, by in pairs if by in undone}
        self._blocked_ids = set(waits)
        own = [Example(one, rows[one].subject, f"waits for #{waits[one]}") for one in sorted(waits) if one in rows]
        above = [one for one in waits if one not in rows]
        below = await self._kept_by(Reason.BLOCKED, ready, "ancestor", above, "")
        first = (*own, *below.first)[:FIRST]
        return Kept(Reason.BLOCKED, len(own) + below.count, first, at_least=below.at_least or len(rows) == PAGE)

    # -- one ticket ------------------------------------------------------------------------------------------------

    async def ticket(self, number: int) -> Explanation:
        """Everything that keeps this pod from one ticket.

        Raises:
            NotFound: it does not exist, or this account may not see it.
        """
        item = await self._board.work_package(number, "the ticket to explain")
        if item.project in self._fleet.projects:
            await self._answers(item.project)
        around, long = await self._around(item)
        epic = choose.epic_of(around.ancestors, self._fleet)
        whys = [*long, *(self._worded(one, item) for one in choose.reasons(item, around, self._fleet))]
        whys += await self._workflow(item, epic)
        catalog = self._pod.catalog
        seen = Explanation(
            ticket=item.id,
            subject=item.subject,
            type=name_of(item.type, catalog.types),
            status=name_of(item.status, catalog.statuses),
            priority=name_of(item.priority, catalog.priorities),
            pod=self._fleet.pod,
            claimed=self._claim(item),
            reasons=tuple(whys),
            notes=tuple(self._notes()),
        )
        if choose.is_unfinished(item, self._fleet):  # whatever would keep a pod from beginning it
            return replace(seen, reasons=(), rung=Rung.FINISH, next=item.id)
        if whys:
            return seen
        mine = await self._mine()
        scan, candidate = await self._walk(mine)
        rung = choose.rung_of(item, around.ancestors, self._fleet)
        before = 0 if candidate and candidate.ticket.id == item.id else await self._ahead(scan, item, rung)
        unfinished = self._unfinished(mine)
        coming = unfinished or (candidate.ticket if candidate else None)
        return replace(seen, rung=rung, before=before + (unfinished is not None), next=coming.id if coming else None)

    async def _around(self, item: WorkPackage) -> tuple[Around, list[Why]]:
        """What is around a ticket; nothing, and why, where others wrote too much there."""
        try:
            return await read_around(self._board, item), []
        except TooLarge as large:
            return Around(), [Why(Reason.TOO_LONG, str(large))]

    def _worded(self, why: Why, item: WorkPackage) -> Why:
        """The names behind the ids, and the preflight's own sentence."""
        catalog, fleet = self._pod.catalog, self._fleet
        status, kind = name_of(item.status, catalog.statuses), name_of(item.type, catalog.types)
        wanted = ", ".join(name_of(one, catalog.types) for one in sorted(fleet.executable))
        details = {
            Reason.NOT_READY: f"its status is {status}, not {name_of(fleet.ready, catalog.statuses)}",
            Reason.NOT_EXECUTABLE: f"its type is {kind}; agents take {wanted}",
            Reason.UNREACHABLE: self._troubles.get(item.project, "it failed lately and is asked again later"),
        }
        return replace(why, detail=details.get(why.reason, why.detail))

    async def _workflow(self, item: WorkPackage, epic: WorkPackage | None) -> list[Why]:
        """Whether the board would let this account claim the ticket and its Epic; asked of those that are ready."""
        fleet = self._fleet
        found: list[Why] = []
        if item.project not in fleet.projects:
            return found  # no pod of this fleet would try, and this account may not even ask
        active = name_of(fleet.active, self._pod.catalog.statuses)
        for one, kinds in ((item, fleet.executable), (epic, fleet.epics)):
            if one is None or one.status != fleet.ready or one.type not in kinds:
                continue
            who = "this account" if one is item else f"this account in its Epic #{one.id}"
            by = 0 if one is item else one.id
            try:
                allowed = await self._board.allowed_statuses(one, "what the workflow allows")
            except Conflict:
                continue  # it was just changed
            except Refused as refusal:
                found.append(Why(Reason.REFUSED, str(refusal), by))
                continue
            if fleet.active not in allowed:
                found.append(Why(Reason.REFUSED, f"the workflow does not let {who} set it to {active}", by))
        return found

    def _claim(self, item: WorkPackage) -> str:
        token = claim_token.parse(item.run)
        if token is None:
            return ""
        whose = f"pod {token.pod}"
        if claim_token.key(item.id, item.run) in self._fleet.mine:
            whose = "this pod"
        elif token.pod == self._fleet.pod:
            whose = f"a pod with this name ({token.pod}), in a claim that this state folder does not know"
        lifetime = claim_token.duration_text(token.lifetime_s)
        return f"{whose} since {token.at:%Y-%m-%d %H:%M} UTC (try {token.attempt}, for {lifetime})"

    async def _ahead(self, scan: Scan, ticket: WorkPackage, rung: Rung) -> int:
        """How many come before an available ticket, at most: some may prove unavailable once they are read in full."""
        fleet, survey = self._fleet, await scan.survey()
        if survey is None:
            return 0
        here = (rung, ticket.pod == fleet.pod)
        turns = (True, False) if survey.routed_to_me else (False,)
        count = 0
        for step in ((one, routed) for one in RUNGS for routed in turns):
            filters = scan.filters(step[0], survey, routed=step[1])
            groups = await self._board.groups(filters, "priority", "who comes before") if filters else {}
            if step != here:
                count += sum(groups.values())
                continue
            order = [str(priority) for priority in fleet.priorities]
            urgent = order[: order.index(str(ticket.priority))] if str(ticket.priority) in order else order
            count += sum(groups.get(priority, 0) for priority in urgent)
            if filters and str(ticket.priority) in groups:
                same = [*filters, one_of("priority", [ticket.priority])]
                rows = await self._board.rows(same, "its equals", sort=DUE_FIRST, first_page=True)
                key = choose.row_key(ticket.due_date, fleet.pod, ticket.id)
                count += sum(choose.row_key(row.due_date, fleet.pod, row.id) < key for row in rows)
            break
        return count


def _only(keepers: Collection[object], words: str) -> str:
    """Who keeps a ticket, known without asking again where only one can be meant."""
    return words.format(*keepers) if words and len(keepers) == 1 else ""
