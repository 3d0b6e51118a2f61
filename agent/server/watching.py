"""Who watches a work package: the author from the start, others as they like. No rules here."""

from .store import Db


def watch(db: Db, work_package_id: int, user_id: int) -> bool:
    """Add a watcher; whether it is a new one."""
    if db.value("SELECT 1 FROM watchers WHERE work_package_id = ? AND user_id = ?", work_package_id, user_id):
        return False
    db.run("INSERT INTO watchers VALUES (?, ?)", work_package_id, user_id)
    return True


def unwatch(db: Db, work_package_id: int, user_id: int) -> bool:
    """Remove a watcher; whether there was one."""
    watched = db.value("SELECT 1 FROM watchers WHERE work_package_id = ? AND user_id = ?", work_package_id, user_id)
    db.run("DELETE FROM watchers WHERE work_package_id = ? AND user_id = ?", work_package_id, user_id)
    return bool(watched)


def watchers(db: Db, work_package_id: int) -> list[int]:
    """Their ids, newest account first."""
    return db.column("SELECT user_id FROM watchers WHERE work_package_id = ? ORDER BY user_id DESC", work_package_id)


def possible(db: Db, project_id: int) -> list[int]:
    """Who may see the work packages of a project."""
    return db.column(
        "SELECT user_id FROM members JOIN role_permissions USING (role_id) WHERE project_id = ? AND permission = 'view_work_packages'"
        " ORDER BY user_id DESC",
        project_id,
    )
