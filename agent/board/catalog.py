"""What the names in the settings mean on this board: discovered once, kept in the state folder (reference, section 10).

Ids differ from board to board, so everything is found by name, or by an id written as digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from agent.board.wire import Fields
from agent.errors import ConfigurationError
from agent.model import Fleet, Named, Principal, Project, Status


class Names(Struct, frozen=True, kw_only=True):
    """How the settings call what the fleet works with: display names, or ids as digits."""

    bugs: tuple[str, ...]
    tasks: tuple[str, ...]
    epic: str
    story: str
    spike: str
    gates: tuple[str, ...]
    ready: str
    active: str
    done: tuple[str, ...]
    pod_field: str
    run_field: str
    fleet_users: tuple[str, ...]
    people: tuple[str, ...]
    integrations: tuple[str, ...]

    @property
    def accounts(self) -> dict[str, tuple[str, ...]]:
        """The settings that name accounts."""
        return {"fleet_users": self.fleet_users, "people": self.people, "integrations": self.integrations}


class ProjectFacts(Struct, frozen=True, kw_only=True):
    """What one project of the fleet allows."""

    project: Project
    types: frozenset[int]
    """The types switched on in it."""
    assignable: frozenset[int]
    """The users whom its work can be assigned to: whose words count."""
    listed: bool = True
    """Whether this account may ask for them; if not, they are not known."""


class Catalog(Struct, frozen=True, kw_only=True):
    """A board's ids by name, as discovered."""

    me: Principal
    statuses: tuple[Status, ...]
    types: tuple[Named, ...]
    priorities: tuple[Named, ...]
    """Most urgent first."""
    projects: tuple[ProjectFacts, ...]
    people: tuple[Principal, ...] = ()
    """The possible assignees of the fleet's projects."""
    members: tuple[Principal, ...] = ()
    """Other members, asked for only where the settings name an account that is no possible assignee."""
    fields: Fields = Fields()
    fieldless: frozenset[tuple[int, int]] = frozenset()
    """Pairs of project and type, of those the fleet works with, that lack one of the two fields."""


def find(names: Iterable[str], among: Sequence[Named | Status | Principal]) -> list[int]:
    """The ids of those that exist, in the order of the names."""
    ids = {one.id for one in among}
    by_name = {one.name: one.id for one in among}
    found = [int(name) if _is_id(name) and int(name) in ids else by_name.get(name) for name in names]
    return [one for one in found if one is not None]


def name_of(number: int, among: Iterable[Named | Status]) -> str:
    """What people call an id; the number itself where the board did not show it."""
    return next((one.name for one in among if one.id == number), f"#{number}")


def missing(names: Names, catalog: Catalog) -> list[str]:
    """What a fleet cannot do without and this board does not have, each in a sentence with the way to mend it."""
    gone = []
    for kind, name, among in (
        ("status", names.ready, catalog.statuses),
        ("status", names.active, catalog.statuses),
        ("type", names.epic, catalog.types),
        ("type", names.spike, catalog.types),
    ):
        if not find([name], among):
            gone.append(
                f"The board has no {kind} “{name}”: create it (Administration → Work packages), or set another name."
            )
    if not find(names.done, catalog.statuses):
        gone.append(f"The board has none of the statuses {', '.join(names.done)}: set board.statuses.done.")
    if not find((*names.bugs, *names.tasks), catalog.types):
        gone.append("The board has none of the executable types: set board.types.bugs and board.types.tasks.")
    if not (catalog.fields.pod and catalog.fields.run):
        lacking = [
            name
            for name, key in ((names.pod_field, catalog.fields.pod), (names.run_field, catalog.fields.run))
            if not key
        ]
        gone.append(
            f"The board has no text field {' and no text field '.join(f'“{one}”' for one in lacking)} on the fleet's types: "
            "create it (Administration → Custom fields → Work packages, format Text, “Used as a filter” and "
            "“For all projects” on) and add it to every type of the fleet."
        )
    unknown = [name for name in names.fleet_users if not _of_the_fleet([name], catalog)]
    gone += [f"The fleet user “{name}” is no possible assignee in any project of the fleet." for name in unknown]
    for key, named in names.accounts.items():
        for name in named:
            ids = sorted(accounts([name], catalog))
            if len(ids) > 1:
                several = ", ".join(map(str, ids))
                gone.append(
                    f"board.{key} names “{name}”, as {len(ids)} accounts are called: write an id, one of {several}."
                )
            elif not ids and key == "integrations":
                gone.append(
                    f"board.integrations names “{name}”, as nobody in the fleet's projects is called: write its id."
                )
    return gone


def accounts(named: Iterable[str], catalog: Catalog) -> frozenset[int]:
    """The accounts of a setting: an id is taken as it is, a name is everybody's who is called so."""
    known = [*_users(catalog), *catalog.members]
    found = {int(one) for one in named if _is_id(one)}
    return frozenset(found | {one.id for one in known if one.name in named and not _is_id(one.name)})


def _of_the_fleet(named: Iterable[str], catalog: Catalog) -> frozenset[int]:
    """Those of the accounts that can be assigned."""
    return accounts(named, catalog) & {one.id for one in _users(catalog)}


def by_name(names: Names, catalog: Catalog) -> list[str]:
    """A sentence for each account that the settings call by a name: whoever takes that name is taken for it."""
    return [
        f"board.{key} names “{name}”: people can change their names, write the id {number}"
        for key, named in names.accounts.items()
        for name in named
        if not _is_id(name)
        for number in sorted(accounts([name], catalog))
    ]


def unlisted(names: Names, catalog: Catalog) -> list[str]:
    """The names of accounts in the settings that no possible assignee has."""
    return [
        name
        for named in names.accounts.values()
        for name in named
        if not _is_id(name) and not accounts([name], catalog)
    ]


def _is_id(name: str) -> bool:
    return name.isascii() and name.isdecimal()


def fleet(names: Names, catalog: Catalog, *, pod: str, unreachable: Iterable[int] = ()) -> Fleet:
    """The roles of the settings in this board's ids.

    Raises:
        ConfigurationError: something that a fleet cannot do without is not there.
    """
    gone = missing(names, catalog)
    if gone:
        raise ConfigurationError("\n".join(gone))
    spikes = frozenset(find([names.spike], catalog.types))
    users = _of_the_fleet(names.fleet_users, catalog) | {catalog.me.id}
    return Fleet(
        pod=pod,
        me=catalog.me.id,
        users=users,
        ready=find([names.ready], catalog.statuses)[0],
        active=find([names.active], catalog.statuses)[0],
        done=tuple(find(names.done, catalog.statuses)),
        closed=frozenset(one.id for one in catalog.statuses if one.is_closed),
        bugs=frozenset(find(names.bugs, catalog.types)),
        tasks=frozenset(find(names.tasks, catalog.types)),
        epics=frozenset(find([names.epic], catalog.types)),
        stories=frozenset(find([names.story], catalog.types)),
        spikes=spikes,
        gates=frozenset(find(names.gates, catalog.types)),
        priorities=tuple(one.id for one in catalog.priorities),
        projects=frozenset(one.project.id for one in catalog.projects),
        unassignable=frozenset(one.project.id for one in catalog.projects if catalog.me.id not in one.assignable),
        spikeless=frozenset(one.project.id for one in catalog.projects if not spikes & one.types),
        fieldless=catalog.fieldless,
        unreachable=frozenset(unreachable),
        statuses={one.id: one.name for one in catalog.statuses},
        spike_names=frozenset(one.name for one in catalog.types if one.id in spikes),
        assignable={one.project.id: one.assignable for one in catalog.projects},
        people=accounts(names.people, catalog),
        integrations=accounts(names.integrations, catalog),
    )


def _users(catalog: Catalog) -> list[Principal]:
    """Groups and placeholder users can be assigned too, but pods cannot act as one."""
    return [one for one in catalog.people if one.kind == "users"]


def fleet_types(names: Names, types: Sequence[Named]) -> list[int]:
    """The types that must carry the fleet's fields: the executable ones and the Epic."""
    return find((*names.bugs, *names.tasks, names.epic), types)


def merge_fields(
    pairs: Iterable[tuple[int, int]], found: Mapping[tuple[int, int], Fields]
) -> tuple[Fields, frozenset[tuple[int, int]]]:
    """The fields of the board, and the pairs of project and type that lack one of them."""
    keys = [fields for fields in found.values() if fields.pod and fields.run]
    known = max(keys, key=keys.count) if keys else next(iter(found.values()), Fields())
    return known, frozenset(pair for pair in pairs if found.get(pair, Fields()) != known)
