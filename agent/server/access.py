"""Who calls, and what may they see and do (reference sections 1.1, 1.4, 4)."""

import base64
from collections import defaultdict
from collections.abc import Mapping

import msgspec

from .errors import ApiError, forbidden
from .seed import ADMIN, ROLES, digest
from .store import Db, Row


class Viewer(msgspec.Struct, frozen=True, kw_only=True):
    """The caller of a request. A project is visible if it is among `projects`, which says what may be done there."""

    id: int
    name: str
    admin: bool
    language: str
    projects: Mapping[int, frozenset[str]]

    def may(self, permission: str, project_id: int) -> bool:
        """Whether a role of the caller in that project holds the permission."""
        return permission in self.projects.get(project_id, ())

    def need(self, permission: str, project_id: int) -> None:
        """Refuse with 403 unless the caller may."""
        if not self.may(permission, project_id):
            raise forbidden()


def authenticate(db: Db, authorization: str | None) -> Viewer:
    """Basic with the literal user name `apikey` and the token as password, or the token as Bearer; else 401 [L]."""
    if not authorization:
        raise ApiError(401, "Unauthenticated", "unauthenticated")
    token = _token(authorization)
    user = token and db.row(
        "SELECT users.* FROM tokens JOIN users ON users.id = tokens.user_id WHERE digest = ?", digest(token)
    )
    if not user:
        raise ApiError(401, "Unauthenticated", "wrong_credentials")
    return viewer(db, user)


def authenticate_as(db: Db, login: str) -> Viewer:
    """An account of the board itself, for what its operator does."""
    [user] = db.rows("SELECT * FROM users WHERE login = ?", login)
    return viewer(db, user)


def viewer(db: Db, user: Row) -> Viewer:
    """An account as a caller."""
    admin = bool(user["admin"])
    return Viewer(
        id=user["id"],
        name=user["name"],
        admin=admin,
        language=user["language"],
        projects=_projects(db, user["id"], everything=admin),
    )


def _token(authorization: str) -> str | None:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:  # of either kind, or beyond ASCII
        return None
    return password if user == "apikey" else None


def _projects(db: Db, user_id: int, *, everything: bool) -> Mapping[int, frozenset[str]]:
    if everything:
        return dict.fromkeys(db.column("SELECT id FROM projects"), frozenset(ROLES[ADMIN]))
    permissions: defaultdict[int, set[str]] = defaultdict(set)
    for row in db.rows(
        "SELECT project_id, permission FROM members JOIN role_permissions USING (role_id) WHERE user_id = ?", user_id
    ):
        permissions[row["project_id"]].add(row["permission"])
    return {project: frozenset(names) for project, names in permissions.items()}


def visible_users(db: Db, viewer: Viewer) -> set[int]:
    """Oneself and everybody with a shared project; an administrator sees all (section 10)."""
    if viewer.admin:
        return set(db.column("SELECT id FROM users"))
    return {viewer.id, *db.column(
        "SELECT user_id FROM members WHERE project_id IN (SELECT project_id FROM members WHERE user_id = ?)", viewer.id
    )}  # fmt: skip


def seen_by_all_of(db: Db, project_id: int) -> list[int]:
    """The projects that everybody sees who sees this one."""
    return db.column(
        "SELECT id FROM projects WHERE id = ?1 OR NOT EXISTS (SELECT 1 FROM members AS one JOIN users ON users.id = user_id"
        " WHERE one.project_id = ?1 AND NOT admin AND NOT EXISTS"
        " (SELECT 1 FROM members WHERE user_id = one.user_id AND project_id = projects.id))",
        project_id,
    )


def possible_assignees(db: Db, project_id: int) -> set[int]:
    """The members of a project in a role that may be assigned to (section 4)."""
    return set(
        db.column(
            "SELECT user_id FROM members JOIN role_permissions USING (role_id) WHERE project_id = ? AND permission = 'work_package_assigned'",
            project_id,
        )
    )
