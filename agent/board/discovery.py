"""Asks the board what it is made of: some ten requests, once, and again only when an answer shows that it changed."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from msgspec.structs import replace

from agent.board.catalog import Catalog, Names, ProjectFacts, fleet_types, merge_fields, unlisted
from agent.board.client import Board
from agent.board.wire import Fields
from agent.errors import ConfigurationError, NotFound, Refused
from agent.model import Principal


async def discover(board: Board, names: Names, identifiers: Iterable[str]) -> Catalog:
    """The catalog of a board as far as a fleet with these projects needs it.

    A project that is gone or hidden is left out: its tickets cannot be seen either, and `doctor` names it.

    Raises:
        BoardError: the board did not answer, or does not know this account.
        ConfigurationError: the settings call a project otherwise than the board does.
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
        if project.identifier != identifier:
            raise ConfigurationError(
                f"the board calls the project {identifier} `{project.identifier}`: write `[repositories.{project.identifier}]`"
            )
        enabled = frozenset(one.id for one in await board.project_types(project.id))
        assignable = await assignable_in(board, project.id)
        people |= {one.id: one for one in assignable or ()}
        facts.append(
            ProjectFacts(
                project=project,
                types=enabled,
                assignable=users_of(assignable or ()),
                listed=assignable is not None,
            )
        )
    wanted = fleet_types(names, types)
    pairs = [(one.project.id, kind) for one in facts for kind in wanted if kind in one.types]
    found = await board.schema_fields(pairs, Fields(names.pod_field, names.run_field)) if pairs else {}
    fields, fieldless = merge_fields(pairs, found)
    catalog = Catalog(
        me=me,
        statuses=tuple(statuses),
        types=tuple(types),
        priorities=priorities,
        projects=tuple(facts),
        people=tuple(people.values()),
        fields=fields,
        fieldless=fieldless,
    )
    if unlisted(names, catalog):  # by names only: ids are taken as they are, and cost nothing
        members = [one for project in facts for one in await board.members(project.project.id)]
        catalog = replace(catalog, members=tuple({one.id: one for one in members}.values()))
    return catalog


async def assignable_in(board: Board, project: int) -> list[Principal] | None:
    """The possible assignees; None where this account may not even ask for them."""
    try:
        return await board.assignable(project)
    except Refused as refusal:
        if refusal.status != HTTPStatus.FORBIDDEN:
            raise
        return None


def users_of(principals: Iterable[Principal]) -> frozenset[int]:
    """The accounts of people among them: groups and placeholders speak for nobody."""
    return frozenset(one.id for one in principals if one.kind == "users")
