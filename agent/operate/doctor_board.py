"""The board's part of `agent doctor`: account, types, statuses, fields, projects, permissions and workflow.

Nothing is changed: the workflow is asked for in the forms of work packages that exist, and where none exists in the
status that is needed, it is said that the step was not checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.board import catalog as catalogs
from agent.board.catalog import Catalog, Names, ProjectFacts, find, name_of
from agent.board.client import Board
from agent.board.discovery import discover
from agent.board.query import Filter, contains, is_open, one_of
from agent.errors import BoardError, Conflict, NotFound, Refused, Unreachable
from agent.model import Draft, Row, WorkPackage
from agent.operate.doctor_words import words
from agent.operate.findings import Finding, fail, ok, unknown, warn
from agent.state import State
from agent.texts import claim_token, outlet

ADMIN: Final = "Administration → Work packages"
WORKFLOW: Final = f"{ADMIN} → Workflow"
NEEDED: Final = (
    ("updateImmediately", "edit work packages"),
    ("addComment", "add comments to work packages"),
    ("addChild", "add work packages and manage subtasks"),
)
"""Links of a work package that are there for who may follow them, and the permission behind each."""


class BoardDoctor:
    """Looks at a board with the eyes of one pod.

    Args:
        board: connected; its fields are set on the way.
        names: what the settings call the fleet's types, statuses and fields.
        identifiers: the projects that the settings give a repository.
        pod: the name of this pod.
        state: what its state folder remembers.
    """

    def __init__(
        self, board: Board, names: Names, identifiers: Sequence[str], *, pod: str, state: State | None
    ) -> None:
        self._board = board
        self._names = names
        self._identifiers = identifiers
        self._pod = pod
        self._state = state
        self._me = ""

    async def look(self) -> list[Finding]:
        """Everything about the board."""
        try:
            me = await self._board.me()
        except BoardError as error:
            return [self._unreached(error)]
        self._me = me.name
        found = [ok("board", f"{self._board.url} answers; the account is {me.name}")]
        try:
            catalog = await discover(self._board, self._names, self._identifiers)
        except BoardError as error:
            refused = fail("board", str(error), "give the account a role that may view work packages")
            return [*found, refused]
        self._board.fields = catalog.fields
        found += self._statuses(catalog) + self._types(catalog) + self._gates(catalog) + self._fields(catalog)
        found += await self._filters(catalog)
        for identifier in self._identifiers:
            facts = next((one for one in catalog.projects if one.project.identifier == identifier), None)
            found += await self._project(identifier, facts, catalog)
        found += self._fleet_users(catalog) + words(self._names, catalog)
        found += await self._workflows(catalog)
        return found + await self._foreign_claims(catalog)

    def _unreached(self, error: BoardError) -> Finding:
        match error:
            case Unreachable():
                return fail("board", str(error), "is board.url right, is the board up, does the network allow it?")
            case NotFound():
                return fail("board", str(error), "board.url must be the address without /api/v3")
            case Refused(status=401 | 403):
                remedy = "make a token (My account → Access tokens → API) and put it where board.token_file says"
                return fail("token", str(error), remedy)
            case _:
                return fail("board", str(error), "is board.url the address of an OpenProject?")

    # -- what the board is made of ---------------------------------------------------------------------------------

    def _statuses(self, catalog: Catalog) -> list[Finding]:
        names, found = self._names, []
        for key, name in (("ready", names.ready), ("active", names.active)):
            if find([name], catalog.statuses):
                found.append(ok("status", f"{name} ({key})"))
            else:
                remedy = f"create it ({ADMIN} → Status), or set board.statuses.{key}"
                found.append(fail("status", f"there is no status “{name}”", remedy))
        there = [name for name in names.done if find([name], catalog.statuses)]
        if there:
            found.append(ok("status", f"{', '.join(there)} (done)"))
        else:
            remedy = f"create one ({ADMIN} → Status), or set board.statuses.done"
            found.append(fail("status", f"there is none of the done statuses {', '.join(names.done)}", remedy))
        return found

    def _types(self, catalog: Catalog) -> list[Finding]:
        names, found = self._names, []
        executable = [name for name in (*names.bugs, *names.tasks) if find([name], catalog.types)]
        missing = [name for name in (*names.bugs, *names.tasks) if name not in executable]
        if executable:
            found.append(ok("type", f"{', '.join(executable)} (agents work on them)"))
        for name in missing:
            text, remedy = f"there is no type “{name}”", "create it, or take it out of board.types"
            found.append(warn("type", text, remedy) if executable else fail("type", text, remedy))
        for key, name in (("epic", names.epic), ("spike", names.spike)):
            if find([name], catalog.types):
                found.append(ok("type", f"{name} ({key})"))
            else:
                remedy = f"create it ({ADMIN} → Types), switch it on in the projects, or set board.types.{key}"
                found.append(fail("type", f"there is no type “{name}”", remedy))
        if not find([names.story], catalog.types):
            found.append(warn("type", f"there is no type “{names.story}”", "set board.types.story"))
        return found

    def _gates(self, catalog: Catalog) -> list[Finding]:
        names = self._names
        if not names.gates:
            return [ok("gates", "gating is switched off")]
        there = [name for name in names.gates if find([name], catalog.types)]
        if there:
            return [ok("gates", f"{', '.join(there)} hold back what is below them until they are {names.active}")]
        remedy = "create one, set board.types.gates, or switch gating off with board.types.gates = []"
        return [fail("gates", f"there is none of the types {', '.join(names.gates)}: nothing is gated", remedy)]

    def _fields(self, catalog: Catalog) -> list[Finding]:
        names, found = self._names, []
        for name, key in ((names.pod_field, catalog.fields.pod), (names.run_field, catalog.fields.run)):
            if key:
                found.append(ok("field", f"{name} is a text field ({key})"))
            elif catalog.projects:
                remedy = (
                    f"create it (Administration → Custom fields → Work packages: format Text, not Long text; “Used as a "
                    f"filter” and “For all projects” on) and add it to {', '.join(self._fleet_types(catalog))}"
                )
                found.append(fail("field", f"there is no text field “{name}” on the fleet's types", remedy))
        if not (catalog.fields.pod and catalog.fields.run):
            return found
        for project, kind in sorted(catalog.fieldless):
            where = f"type {name_of(kind, catalog.types)} in project {_project(catalog, project)}"
            remedy = "add both fields to the type (Administration → Types → Form configuration) and to the project"
            found.append(fail("field", f"{where} lacks {names.pod_field} or {names.run_field}", remedy))
        return found

    def _fleet_types(self, catalog: Catalog) -> list[str]:
        return [name_of(one, catalog.types) for one in catalogs.fleet_types(self._names, catalog.types)]

    async def _filters(self, catalog: Catalog) -> list[Finding]:
        """What the scan asks the server must be askable."""
        found = []
        for name, key in ((self._names.pod_field, catalog.fields.pod), (self._names.run_field, catalog.fields.run)):
            if not key:
                continue
            try:
                await self._board.groups([contains(key, claim_token.SIGN)], key, f"is {name} a filter")
            except Refused as refusal:
                remedy = "switch on “Used as a filter” and “For all projects” in the custom field"
                found.append(fail("field", f"{name} cannot be filtered by: {refusal}", remedy))
        _, rows = await self._board.sample([], 1, "any work package")
        if rows:
            try:
                await self._board.sample([one_of("ancestor", [rows[0].id])], 1, "is there a filter ancestor")
            except Refused as refusal:
                remedy = "it needs OpenProject 17.6 or newer: agents cannot scan this board"
                found.append(fail("board", f"the filter `ancestor` is refused: {refusal}", remedy))
        return found

    # -- projects --------------------------------------------------------------------------------------------------

    async def _project(self, identifier: str, facts: ProjectFacts | None, catalog: Catalog) -> list[Finding]:
        if facts is None:
            remedy = "mend its identifier in [repositories], or make the account a member of the project"
            return [fail("project", f"there is no project {identifier}, or {self._me} may not see it", remedy)]
        found = []
        member = f"give {self._me} a role in {identifier}"
        if catalog.me.id in facts.assignable:
            found.append(ok("project", f"{identifier}: {self._me} can be an assignee"))
        else:
            remedy = f"{member} that may be assigned work packages"
            found.append(fail("project", f"{identifier}: {self._me} is no possible assignee", remedy))
        executable = find((*self._names.bugs, *self._names.tasks), catalog.types)
        off = [name_of(one, catalog.types) for one in executable if one not in facts.types]
        if off:
            found.append(warn("project", f"{identifier}: not switched on there: {', '.join(off)}"))
        return found + await self._permissions(identifier, facts, catalog, member)

    async def _permissions(self, identifier: str, facts: ProjectFacts, catalog: Catalog, member: str) -> list[Finding]:
        project = facts.project.id
        wanted = find((*self._names.bugs, *self._names.tasks), catalog.types)
        ours: list[Filter | None] = [one_of("project", [project])]
        _, rows = await self._board.sample([*ours, one_of("type", wanted)] if wanted else ours, 1, "any ticket")
        found = []
        if rows:
            able = await self._board.abilities(rows[0].id, "what this account may do")
            lacking = [what for link, what in NEEDED if link not in able]
            found += [fail("permission", f"{identifier}: {self._me} may not {what}", member) for what in lacking]
            if not lacking:
                found.append(ok("permission", f"{identifier}: edit, comment and add children"))
        else:
            found.append(unknown("permission", f"{identifier}: not checked, there is no ticket yet"))
        return found + await self._spikes(identifier, facts, catalog, rows)

    async def _spikes(
        self, identifier: str, facts: ProjectFacts, catalog: Catalog, rows: Sequence[Row]
    ) -> list[Finding]:
        name, spikes = self._names.spike, find([self._names.spike], catalog.types)
        if not spikes:
            return []
        if spikes[0] not in facts.types:
            remedy = f"switch it on (project {identifier} → Settings → Work packages → Types)"
            return [fail("spike", f"{identifier}: the type {name} is not switched on", remedy)]
        parent = rows[0].id if rows else None
        draft = Draft(project=facts.project.id, type=spikes[0], subject=outlet.subject("doctor"), parent=parent)
        try:
            refusals = await self._board.creation_refusals(draft, f"could a {name} be created")
        except (Refused, NotFound) as refusal:
            remedy = f"give {self._me} a role in {identifier} that may add work packages"
            return [fail("spike", f"{identifier}: no {name} can be created: {refusal}", remedy)]
        if refusals:
            why = "; ".join(f"{attribute}: {message}" for attribute, message in refusals.items())
            remedy = f"make those optional for {name}, or give them a default"
            return [fail("spike", f"{identifier}: no {name} can be created: {why}", remedy)]
        return [ok("spike", f"{identifier}: a {name} can be created"), await self._closable(identifier, facts, catalog)]

    async def _closable(self, identifier: str, facts: ProjectFacts, catalog: Catalog) -> Finding:
        name = self._names.spike
        kinds = find([name], catalog.types)
        spike = await self._one([one_of("type", kinds), is_open(), one_of("project", [facts.project.id])])
        if spike is None:
            return unknown("spike", f"{identifier}: whether it can be closed was not checked, no {name} is open")
        closed = {one.id for one in catalog.statuses if one.is_closed}
        allowed = await self._allowed(spike)
        if allowed is None or not closed & set(allowed):
            text = f"{identifier}: {self._me} cannot close {name} #{spike.id}; people must be able to"
            return warn(
                "spike", text, f"{WORKFLOW}, type {name}: {name_of(spike.status, catalog.statuses)} → a closed one"
            )
        return ok("spike", f"{identifier}: a {name} can be closed")

    def _fleet_users(self, catalog: Catalog) -> list[Finding]:
        return [
            fail("account", f"the fleet user “{name}” is no possible assignee anywhere", "mend board.fleet_users")
            for name in self._names.fleet_users
            if not find([name], catalog.people)
        ]

    # -- the workflow ----------------------------------------------------------------------------------------------

    async def _workflows(self, catalog: Catalog) -> list[Finding]:
        ready, active = (find([one], catalog.statuses) for one in (self._names.ready, self._names.active))
        if not (ready and active and catalog.projects):
            return []
        found = []
        for kind in dict.fromkeys(catalogs.fleet_types(self._names, catalog.types)):
            found += await self._workflow(catalog, kind, ready[0], active[0])
        return found

    async def _workflow(self, catalog: Catalog, kind: int, ready: int, active: int) -> list[Finding]:
        name = name_of(kind, catalog.types)
        ours = [one_of("project", [one.project.id for one in catalog.projects]), one_of("type", [kind])]
        before = await self._one([*ours, one_of("status", [ready])])
        during = await self._one([*ours, one_of("status", [active])])
        found = []
        if before is None:
            found.append(self._unchecked(name, f"{self._names.ready} → {self._names.active}", self._names.ready))
        else:
            found.append(self._step(catalog, name, before, await self._allowed(before), active))
        if during is None:
            steps = f"{self._names.active} → done and → {self._names.ready}"
            return [*found, self._unchecked(name, steps, self._names.active)]
        allowed = await self._allowed(during)
        return [*found, self._step(catalog, name, during, allowed, ready), self._done(catalog, name, during, allowed)]

    def _unchecked(self, name: str, steps: str, status: str) -> Finding:
        return unknown("workflow", f"{name}: {steps} not checked, no {name} exists in “{status}”")

    def _step(
        self, catalog: Catalog, name: str, item: WorkPackage, allowed: tuple[int, ...] | None, to: int
    ) -> Finding:
        step = f"{name}: {name_of(item.status, catalog.statuses)} → {name_of(to, catalog.statuses)}"
        if allowed is None:
            return fail("workflow", f"{step}: {self._me} may not edit #{item.id}", "give it a role that may")
        if to in allowed:
            return ok("workflow", step)
        remedy = f"allow it ({WORKFLOW}, type {name}, the role of {self._me})"
        return fail("workflow", f"{step} is not allowed (seen on #{item.id})", remedy)

    def _done(self, catalog: Catalog, name: str, item: WorkPackage, allowed: tuple[int, ...] | None) -> Finding:
        start = f"{name}: {name_of(item.status, catalog.statuses)} →"
        wanted = find(self._names.done, catalog.statuses)
        first = next((one for one in wanted if one in (allowed or ())), None)
        if first is None:
            remedy = f"allow one ({WORKFLOW}, type {name}, the role of {self._me})"
            return fail("workflow", f"{start} none of {', '.join(self._names.done)} is allowed (#{item.id})", remedy)
        if any(one.id == first and one.is_closed for one in catalog.statuses):
            remedy = f"allow an open done status before it ({WORKFLOW}, type {name}), or leave it if that is meant"
            return warn(
                "workflow", f"{start} {name_of(first, catalog.statuses)}: agents close it without review", remedy
            )
        return ok("workflow", f"{start} {name_of(first, catalog.statuses)}")

    async def _one(self, filters: Sequence[Filter | None]) -> WorkPackage | None:
        _, rows = await self._board.sample(filters, 1, "one to look at")
        if not rows:
            return None
        try:
            return await self._board.work_package(rows[0].id, "one to look at")
        except NotFound:
            return None

    async def _allowed(self, item: WorkPackage) -> tuple[int, ...] | None:
        """The statuses that the workflow offers; None where this account may not change it at all."""
        for _ in range(2):
            try:
                return await self._board.allowed_statuses(item, "what the workflow allows")
            except Conflict:
                item = await self._board.work_package(item.id, "one to look at, once more")
            except (Refused, NotFound):
                return None
        return None

    # -- claims ----------------------------------------------------------------------------------------------------

    async def _foreign_claims(self, catalog: Catalog) -> list[Finding]:
        if not catalog.fields.run or self._state is None:
            return []
        filters = [contains(catalog.fields.run, f" by {self._pod} try ")]
        found = await self._board.work_packages(filters, "claims in my name")
        tokens = [(one, claim_token.parse(one.run)) for one in found]
        mine = [one for one, token in tokens if token is not None and token.pod == self._pod]
        return [
            fail(
                "claim",
                f"#{one.id} carries a claim in the name of {self._pod} that this state folder does not know",
                f"give each host its own pod name; it expires by itself, or `agent release {one.id}`",
            )
            for one in mine
            if self._state.recorded(one.id, one.run) is None
        ]


def _project(catalog: Catalog, number: int) -> str:
    return next((one.project.identifier for one in catalog.projects if one.project.id == number), f"#{number}")
