"""What a new board holds before its first work package: OpenProject's standard seed (reference section 11) and the fleet's needs.

Added to the seed, as an operator would: the type Spike, "In testing" in the workflow of Task, and the two text fields.
Each table's ids start elsewhere, so that an id of one kind taken for another is found out at once.
"""

import hashlib
import secrets
from itertools import product

import msgspec

from .store import Db

ADMIN, MEMBER, READER, VIEWER = "Project admin", "Member", "Reader", "Viewer"
_READER = ("view_work_packages", "add_work_package_comments", "view_members")
_MEMBER = (
    *_READER, "add_work_packages", "edit_work_packages", "move_work_packages", "manage_work_package_relations", "manage_subtasks",
    "work_package_assigned", "assign_versions", "view_work_package_watchers", "add_work_package_watchers", "delete_work_package_watchers",
    "add_work_package_attachments",
)  # fmt: skip
ROLES = {
    MEMBER: _MEMBER,
    READER: _READER,
    ADMIN: (*_MEMBER, "delete_work_packages", "manage_versions", "manage_categories", "manage_members"),
    VIEWER: ("view_work_packages", "view_members"),
}
STATUSES = (
    ("New", "#1098AD", 0), ("In specification", "#A5D8FF", 10), ("Specified", "#A5D8FF", 20), ("Confirmed", "#D0BFFF", 20),
    ("To be scheduled", "#FFEC99", 20), ("Scheduled", "#D8F5A2", 20), ("In progress", "#CC5DE8", 40), ("Developed", "#8CE99A", 70),
    ("In testing", "#22B8CF", 80), ("Tested", "#12B886", 90), ("Test failed", "#FF6B6B", 70), ("Closed", "#DEE2E6", 100),
    ("On hold", "#FFC078", 0), ("Rejected", "#FFA8A8", 0),
)  # fmt: skip
CLOSED = ("Closed", "Rejected")
PRIORITIES = (("Low", "#C5F6FA"), ("Normal", "#74C0FC"), ("High", "#F59F00"), ("Immediate", "#CC5DE8"))
DEFAULT_PRIORITY = "Normal"

_BASIC = ("New", "In progress", "On hold", "Rejected", "Closed")
_SCHEDULED = ("New", "To be scheduled", "Scheduled", "In progress", "On hold", "Rejected", "Closed")
_SPECIFIED = (
    "New", "In specification", "Specified", "In progress", "Developed", "In testing", "Tested", "Test failed", "On hold", "Rejected", "Closed",
)  # fmt: skip
_CONFIRMED = (
    "New",
    "Confirmed",
    "In progress",
    "Developed",
    "In testing",
    "Tested",
    "Test failed",
    "On hold",
    "Rejected",
    "Closed",
)
_TASK_TESTING = ("New", "In progress", "On hold", "Closed")


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator may want to be called otherwise."""

    instance: str = "Agent board"
    gate: str = "Summary task"
    spike: str = "Spike"
    pod_field: str = "Agent pod"
    run_field: str = "Agent run"


def seed(db: Db, names: Names, now: str) -> None:
    """Fill a new board."""
    db.run_many(
        "INSERT INTO settings VALUES (?, ?)",
        [
            ("instance_name", names.instance),
            ("journal_aggregation_minutes", "5"),
            ("apiv3_max_page_size", "1000"),
            ("attachment_max_bytes", str(5 * 2**20)),
            ("attachments_total_bytes", str(2**30)),
        ],
    )
    db.run_many(
        "INSERT INTO statuses (id, name, position, color, default_done_ratio, is_default, is_closed) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (300 + position, name, position, color, ratio, name == "New", name in CLOSED)
            for position, (name, color, ratio) in enumerate(STATUSES, start=1)
        ],
    )
    db.run_many(
        "INSERT INTO priorities (id, name, position, color, is_default) VALUES (?, ?, ?, ?, ?)",
        [
            (400 + position, name, position, color, name == DEFAULT_PRIORITY)
            for position, (name, color) in enumerate(PRIORITIES, start=1)
        ],
    )
    for number, (role, permissions) in enumerate(ROLES.items(), start=1):
        db.run("INSERT INTO roles VALUES (?, ?)", 500 + number, role)
        db.run_many(
            "INSERT INTO role_permissions VALUES (?, ?)", [(500 + number, permission) for permission in permissions]
        )
    _seed_types(db, names, now)
    db.run_many("INSERT INTO custom_fields VALUES (?, ?)", [(601, names.pod_field), (602, names.run_field)])
    db.run("INSERT INTO custom_field_types SELECT custom_fields.id, types.id FROM custom_fields, types")


def _seed_types(db: Db, names: Names, now: str) -> None:
    types = (
        ("Task", "#1A67A3", True, _BASIC),
        ("Milestone", "#35C53F", True, _SCHEDULED),
        (names.gate, "#FF922B", True, _SCHEDULED),
        ("Feature", "#5C7CFA", False, _SPECIFIED),
        ("Epic", "#845EF7", False, _SPECIFIED),
        ("User story", "#00B0F0", False, _SPECIFIED),
        ("Bug", "#F03E3E", False, _CONFIRMED),
        (names.spike, None, False, _BASIC),
    )
    db.run_many(
        "INSERT INTO types (id, name, position, color, is_default, is_milestone, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (200 + position, name, position, color, is_default, name == "Milestone", now)
            for position, (name, color, is_default, _) in enumerate(types, start=1)
        ],
    )
    moves = {name: set(product(statuses, statuses)) for name, _, _, statuses in types}
    moves["Task"] |= {
        ("In testing", "In testing"),
        *product(_TASK_TESTING, ["In testing"]),
        *product(["In testing"], _TASK_TESTING),
    }
    for name, pairs in moves.items():
        db.run_many(
            "INSERT INTO workflows SELECT types.id, roles.id, old.id, new.id FROM types, roles, statuses AS old, statuses AS new"
            " WHERE types.name = ? AND old.name = ? AND new.name = ? AND roles.name IN ('Member', 'Project admin')",
            [(name, old, new) for old, new in sorted(pairs)],
        )


def add_user(db: Db, login: str, name: str, now: str, *, admin: bool = False, language: str = "en") -> str:
    """A new account and its token. Only the token's digest is kept: the token itself is known from here on to its owner alone."""
    user_id = 1 + (db.value("SELECT max(id) FROM users") or 10)
    db.run("INSERT INTO users VALUES (?, ?, ?, ?, ?, ?)", user_id, login, name, admin, language, now)
    token = f"opapi-{secrets.token_hex(32)}"
    db.run("INSERT INTO tokens VALUES (?, ?)", digest(token), user_id)
    return token


def add_project(db: Db, identifier: str, name: str, now: str) -> int:
    """A new project; every type is enabled in it and both fields are active."""
    project_id: int = 1 + (db.value("SELECT max(id) FROM projects") or 100)
    db.run("INSERT INTO projects VALUES (?, ?, ?, ?)", project_id, identifier, name, now)
    return project_id


def add_member(db: Db, project_id: int, login: str, role: str) -> None:
    """Make a user a member of a project in one role, whatever it was before."""
    db.run(
        "INSERT INTO members (project_id, user_id, role_id, created_at) SELECT projects.id, users.id, roles.id, projects.created_at"
        " FROM projects, users, roles WHERE projects.id = ? AND users.login = ? AND roles.name = ?"
        " ON CONFLICT (project_id, user_id) DO UPDATE SET role_id = excluded.role_id",
        project_id,
        login,
        role,
    )


def digest(token: str) -> str:
    """What is stored of a token. Tokens are random: no salt is needed."""
    return hashlib.sha256(token.encode()).hexdigest()
