"""Import of a backlog written in TOML: users, projects, work packages and their relations, all or nothing."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from . import catalogue, hal, journals, seed, work_package
from .access import Viewer, authenticate_as
from .bounded import Unreadable, from_toml
from .call import stamp
from .catalogue import Catalogue
from .errors import BacklogError
from .rules import MOST_SUBJECT
from .scheduling import Scheduler
from .store import Db
from .work_package import WorkPackage

_TURNED = {reverse: kind for kind, reverse in hal.REVERSE.items() if kind != reverse}


class UserEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new account. `projects` are those it becomes a member of: those of the backlog if left out."""

    login: str
    name: str
    role: str = seed.MEMBER
    admin: bool = False
    language: str = "en"
    projects: list[str] | None = None


class ProjectEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new project. `members` are the logins that join it as Members besides the users of the backlog: agent and human if left out."""

    identifier: str
    name: str
    members: list[str] = msgspec.field(default_factory=lambda: ["agent", "human"])


class WorkPackageEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A work package; `key` is its name inside the backlog."""

    key: str
    subject: str
    type: str = "Task"
    project: str | None = None
    parent: str | None = None
    status: str = "New"
    priority: str = seed.DEFAULT_PRIORITY
    pod: str | None = None
    description: str = ""
    assignee: str | None = None
    due_date: date | None = None
    version: str | None = None


class RelationEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"source": "from", "target": "to"}):
    """A relation between two keys."""

    type: str
    source: str
    target: str


class Backlog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    users: list[UserEntry] = []
    projects: list[ProjectEntry] = []
    work_packages: list[WorkPackageEntry] = []
    relations: list[RelationEntry] = []


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What an import made: the tokens of new users by login (shown once), the ids of projects and of work packages."""

    tokens: Mapping[str, str]
    projects: Mapping[str, int]
    work_packages: Mapping[str, int]


def parse(text: str) -> Backlog:
    """Read a backlog; a wrong or unknown key is named with the entry that it is in."""
    try:
        content = from_toml(text)
    except Unreadable as error:
        raise BacklogError(f"the backlog is no TOML: {error}") from None
    entries: dict[str, list[Any]] = {}
    kinds: dict[str, type[msgspec.Struct]] = {
        "users": UserEntry,
        "projects": ProjectEntry,
        "work_packages": WorkPackageEntry,
        "relations": RelationEntry,
    }
    for table, rows in content.items():
        if table not in kinds:
            raise BacklogError(f"unknown table {table!r}; allowed are {_listed(kinds)}")
        if not isinstance(rows, list):
            raise BacklogError(f"{table} must be a list: write [[{table}]] above each entry")
        entries[table] = [_entry(f"{table}[{number}]", kinds[table], row) for number, row in enumerate(rows)]
    return Backlog(**entries)


def _entry(place: str, kind: type[msgspec.Struct], row: Any) -> Any:
    allowed = kind.__struct_encode_fields__
    if not isinstance(row, dict):
        raise BacklogError(f"{place} must be a table")
    unknown = sorted(set(row) - set(allowed))
    if unknown:
        raise BacklogError(f"{place}: unknown key {unknown[0]!r}; allowed are {_listed(allowed)}")
    if nul := next((key for key, value in row.items() if isinstance(value, str) and "\0" in value), None):
        raise BacklogError(f"{place}: {nul} holds a NUL, which no board stores")
    try:
        return msgspec.convert(row, kind)
    except msgspec.ValidationError as error:
        raise BacklogError(f"{place}: {error}") from None


def store(db: Db, backlog: Backlog, now: datetime) -> Imported:
    """Put a backlog on the board, as its administrator."""
    importer = _Importer(db, now)
    tokens = importer.users(backlog.users)
    projects = importer.projects(backlog.projects, backlog.users)
    ids = importer.work_packages(backlog.work_packages)
    importer.relations(backlog.relations, ids)
    return Imported(tokens=tokens, projects=projects, work_packages=ids)


class _Importer:
    def __init__(self, db: Db, now: datetime) -> None:
        self._db = db
        self._now = now
        self._viewer: Viewer = authenticate_as(db, "admin")

    def users(self, entries: Sequence[UserEntry]) -> dict[str, str]:
        taken = set(self._db.column("SELECT login FROM users"))
        tokens = {}
        for number, user in enumerate(entries):
            if user.login in taken:
                raise BacklogError(f"users[{number}] ({user.login}): the login is taken; each user appears once")
            _known(f"users[{number}] ({user.login})", "role", user.role, seed.ROLES)
            taken.add(user.login)
            tokens[user.login] = seed.add_user(
                self._db, user.login, user.name, stamp(self._now), admin=user.admin, language=user.language
            )
        return tokens

    def projects(self, entries: Sequence[ProjectEntry], users: Sequence[UserEntry]) -> dict[str, int]:
        existing = {row["identifier"]: row["id"] for row in self._db.rows("SELECT id, identifier FROM projects")}
        made: dict[str, int] = {}
        logins = self._db.column("SELECT login FROM users")
        for number, project in enumerate(entries):
            place = f"projects[{number}] ({project.identifier})"
            if project.identifier in existing or project.identifier in made:
                raise BacklogError(f"{place}: the identifier is taken; each project appears once")
            made[project.identifier] = seed.add_project(self._db, project.identifier, project.name, stamp(self._now))
            for login in project.members:
                _known(place, "members", login, logins)
                seed.add_member(self._db, made[project.identifier], login, seed.MEMBER)
        for number, user in enumerate(users):
            for identifier in made if user.projects is None else user.projects:
                _known(f"users[{number}] ({user.login})", "projects", identifier, {**existing, **made})
                seed.add_member(self._db, {**existing, **made}[identifier], user.login, user.role)
        return made

    def work_packages(self, entries: Sequence[WorkPackageEntry]) -> dict[str, int]:
        known = catalogue.load(self._db)
        order = _parents_first(entries)
        ids: dict[str, int] = {}
        for number in order:
            entry = entries[number]
            place = f"work_packages[{number}] ({entry.key})"
            item = self._work_package(place, entry, known, ids)
            ids[entry.key] = item.id
            journals.record(self._db, item, self._viewer.id, self._now)
            Scheduler(self._db, self._viewer, self._now).child_came(item)
        return {entry.key: ids[entry.key] for entry in entries}

    def _work_package(
        self, place: str, entry: WorkPackageEntry, known: Catalogue, ids: Mapping[str, int]
    ) -> WorkPackage:
        if not entry.subject.strip() or len(entry.subject) > MOST_SUBJECT:
            raise BacklogError(f"{place}: subject must have 1 to {MOST_SUBJECT} characters")
        projects = {row["identifier"]: id_ for id_, row in known.projects.items()}
        project = entry.project or (next(iter(projects)) if len(projects) == 1 else None)
        if project is None:
            raise BacklogError(f"{place}: project is missing; allowed are {_listed(projects)}")
        project_id = _known(place, "project", project, projects)
        logins = {row["login"]: id_ for id_, row in known.users.items()}
        due = entry.due_date.isoformat() if entry.due_date else None
        type_id = _known(place, "type", entry.type, _named(known.types))
        pod_field = min(known.fields)
        item = WorkPackage(
            id=0,
            project_id=project_id,
            type_id=type_id,
            status_id=_known(place, "status", entry.status, _named(known.statuses)),
            priority_id=_known(place, "priority", entry.priority, _named(known.priorities)),
            author_id=self._viewer.id,
            assigned_to_id=_known(place, "assignee", entry.assignee, logins) if entry.assignee else None,
            version_id=self._version(project_id, entry.version) if entry.version else None,
            parent_id=ids[entry.parent] if entry.parent else None,
            subject=entry.subject,
            description=entry.description,
            start_date=due if known.types[type_id]["is_milestone"] else None,
            due_date=due,
            created_at=stamp(self._now),
            updated_at=stamp(self._now),
            custom_values={pod_field: entry.pod} if entry.pod else {},
        )
        return work_package.insert(self._db, item)

    def _version(self, project_id: int, name: str) -> int:
        found = self._db.value("SELECT id FROM versions WHERE project_id = ? AND name = ?", project_id, name)
        return found or self._db.run(
            "INSERT INTO versions (project_id, name, created_at) VALUES (?, ?, ?)", project_id, name, stamp(self._now)
        )

    def relations(self, entries: Sequence[RelationEntry], ids: Mapping[str, int]) -> None:
        related: set[frozenset[str]] = set()
        for number, entry in enumerate(entries):
            place = f"relations[{number}]"
            _known(place, "type", entry.type, [*hal.REVERSE, *_TURNED])
            ends = [_known(place, end, key, ids) for end, key in (("from", entry.source), ("to", entry.target))]
            if frozenset((entry.source, entry.target)) in related or entry.source == entry.target:
                raise BacklogError(
                    f"{place}: {entry.source} and {entry.target} are related already; one relation per pair"
                )
            related.add(frozenset((entry.source, entry.target)))
            source, target = reversed(ends) if entry.type in _TURNED else ends
            kind = _TURNED.get(entry.type, entry.type)
            self._db.run("INSERT INTO relations (from_id, to_id, relation_type) VALUES (?, ?, ?)", source, target, kind)
            if kind == "follows":
                Scheduler(self._db, self._viewer, self._now).predecessor_came(source)


def _parents_first(entries: Sequence[WorkPackageEntry]) -> list[int]:
    """The order in which they can be made; keys are unique and every parent is there."""
    numbers: dict[str, int] = {}
    for number, entry in enumerate(entries):
        if entry.key in numbers:
            raise BacklogError(
                f"work_packages[{number}] ({entry.key}): the key is taken by work_packages[{numbers[entry.key]}]"
            )
        numbers[entry.key] = number
    order: list[int] = []
    placed: set[str] = set()
    for number, entry in enumerate(entries):
        line = [number]
        while (parent := entries[line[-1]].parent) is not None and parent not in placed:
            _known(f"work_packages[{line[-1]}] ({entries[line[-1]].key})", "parent", parent, numbers)
            if numbers[parent] in line:
                raise BacklogError(f"work_packages[{number}] ({entry.key}): it is its own ancestor")
            line.append(numbers[parent])
        order += [one for one in reversed(line) if entries[one].key not in placed]
        placed |= {entries[one].key for one in line}
    return order


def _named(rows: Mapping[int, Any]) -> dict[str, int]:
    return {row["name"]: id_ for id_, row in rows.items()}


def _known(place: str, key: str, value: str, allowed: Mapping[str, int] | Iterable[str]) -> Any:
    if value not in allowed:
        raise BacklogError(f"{place}: unknown {key} {value!r}; allowed are {_listed(allowed)}")
    return allowed[value] if isinstance(allowed, Mapping) else value


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
