"""Asks the board what it is made of: some ten requests, once, and again only when an answer shows that it changed."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from agent.board.catalog import Catalog, Names, ProjectFacts, fleet_types, merge_fields
from agent.board.client import Board
from agent.board.wire import Fields
from agent.errors import NotFound, Refused
from agent.model import Principal


async def discover(board: Board, names: Names, identifiers: Iterable[str]) -> Catalog:
    """The catalog of a board as far as a fleet with these projects needs it.

    A project that is gone or hidden is left out: its tickets cannot be seen either, and `doctor` names it.

    Raises:
        BoardError: the board did not answer, or does not know this account.
    """
    me = await board.me()
    statuses = await board.statuses()
    types = await board.types()
    priorities = await board.priorities()
    facts, people = [], {me.id: me}
    for identifier in sorted(identifiers):
        try:
            project = await board.project(identifier)
        except NotFound:
            continue
        enabled = frozenset(one.id for one in await board.project_types(project.id))
        assignable = await _assignable(board, project.id)
        people |= {one.id: one for one in assignable}
        facts.append(ProjectFacts(project=project, types=enabled, assignable=frozenset(one.id for one in assignable)))
    wanted = fleet_types(names, types)
    pairs = [(one.project.id, kind) for one in facts for kind in wanted if kind in one.types]
    found = await board.schema_fields(pairs, Fields(names.pod_field, names.run_field)) if pairs else {}
    fields, fieldless = merge_fields(pairs, found)
    return Catalog(
        me=me,
        statuses=tuple(statuses),
        types=tuple(types),
        priorities=priorities,
        projects=tuple(facts),
        people=tuple(people.values()),
        fields=fields,
        fieldless=fieldless,
    )


async def _assignable(board: Board, project: int) -> list[Principal]:
    """The possible assignees; nobody where this account may not even ask for them."""
    try:
        return await board.assignable(project)
    except Refused as refusal:
        if refusal.status != HTTPStatus.FORBIDDEN:
            raise
        return []
