"""Whose words count, as `agent doctor` says it, pure: a project a line, then what the settings add and take away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from agent.board import catalog as catalogs
from agent.board.catalog import Catalog, Names
from agent.operate.findings import Finding, fail, ok, warn

AREA: Final = "words"
MOST: Final = 20
"""Accounts named in one line."""


def words(names: Names, catalog: Catalog) -> list[Finding]:
    """Who speaks to the model in each project, and who never does."""
    known = {one.id: one.name for one in (*catalog.people, *catalog.members)}
    deaf = catalogs.accounts(names.integrations, catalog)
    never = deaf | catalogs.accounts(names.fleet_users, catalog) | {catalog.me.id}
    people = catalogs.accounts(names.people, catalog)
    found = []
    for facts in catalog.projects:
        who, identifier = (facts.assignable | people) - never, facts.project.identifier
        said = f"{_listed(who, known)}: the words of these, and of nobody else, reach a prompt"
        if not facts.listed:
            remedy = f"give {catalog.me.name} a role in {identifier} that may add or edit work packages"
            found.append(fail(AREA, f"{identifier}: who may be assigned cannot be read, so only {said}", remedy))
        elif who:
            found.append(ok(AREA, f"{identifier}: {said}"))
        else:
            remedy = "give people a role that may be assigned there, or name them in board.people"
            found.append(warn(AREA, f"{identifier}: nobody's words count, so no Spike can be answered", remedy))
    if deaf:
        found.append(ok(AREA, f"{_listed(deaf, known)}: never, by board.integrations"))
    found += [
        warn(AREA, f"board.people names “{name}”, as nobody here is called", "write an id")
        for name in names.people
        if not catalogs.accounts([name], catalog)
    ]
    return found + [warn("account", one) for one in catalogs.by_name(names, catalog)]


def _listed(users: Iterable[int], known: Mapping[int, str]) -> str:
    shown = [f"{known[one]} ({one})" if one in known else f"user {one}" for one in sorted(users)]
    rest = f" and {len(shown) - MOST} more" if len(shown) > MOST else ""
    return (", ".join(shown[:MOST]) or "nobody") + rest
