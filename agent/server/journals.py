"""Journals: what changed and what was said, merged as OpenProject merges (reference section 7)."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from . import durations, hal
from .access import Viewer
from .call import stamp
from .catalogue import Catalogue
from .store import Db, Row
from .texts import text
from .work_package import WorkPackage

_DIGEST = "sha256:"
_PORTION = 20
_HTML = {
    "set": "<strong>{name}</strong> set to <i>{new}</i>",
    "changed": "<strong>{name}</strong> changed from <i>{old}</i> to <i>{new}</i>",
}


def record(db: Db, item: WorkPackage, user_id: int, now: datetime, notes: str = "") -> int:
    """Note the state of a work package and, perhaps, a comment; the id of the journal.

    It merges into the last journal if that is by the same user and fresh, unless both have notes: id and version stay, the
    state is replaced, `updatedAt` moves (section 7.3).
    """
    last = db.row("SELECT * FROM journals WHERE work_package_id = ? ORDER BY version DESC LIMIT 1", item.id)
    data = json.dumps({**_state(item), "attachments": _attachments(db, item.id)}, ensure_ascii=False)
    if last and _mergeable(db, last, user_id, now) and not (notes and last["notes"]):
        db.run(
            "UPDATE journals SET notes = ?, data = ?, updated_at = ? WHERE id = ?",
            notes or last["notes"],
            data,
            stamp(now),
            last["id"],
        )
        return int(last["id"])
    return db.run(
        "INSERT INTO journals (work_package_id, user_id, version, notes, data, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        item.id, user_id, 1 + (last["version"] if last else 0), notes, data, stamp(now), stamp(now),
    )  # fmt: skip


def _mergeable(db: Db, last: Row, user_id: int, now: datetime) -> bool:
    minutes = int(db.value("SELECT value FROM settings WHERE name = 'journal_aggregation_minutes'"))
    fresh: bool = last["updated_at"] > stamp(now - timedelta(minutes=minutes))
    return fresh and bool(last["user_id"] == user_id)


def activities(db: Db, viewer: Viewer, catalogue: Catalogue, item: WorkPackage) -> list[dict[str, Any]]:
    """All journals as activities, oldest first, but for those that tell only of what is hidden."""
    found = enumerate(shown(db, viewer, catalogue, item), start=1)
    return [
        _activity(row, item.subject, details, viewer.language, version=version) for version, (row, details) in found
    ]


def activity(db: Db, viewer: Viewer, catalogue: Catalogue, item: WorkPackage, journal_id: int) -> dict[str, Any] | None:
    """One of them; None where it is not shown."""
    for version, (row, details) in enumerate(shown(db, viewer, catalogue, item), start=1):
        if row["id"] == journal_id:
            return _activity(row, item.subject, details, viewer.language, version=version)
    return None


def is_shown(db: Db, viewer: Viewer, catalogue: Catalogue, item: WorkPackage, journal_id: int) -> bool:
    """Whether one of its journals tells something that may be seen."""
    return catalogue.whole or any(row["id"] == journal_id for row, _ in shown(db, viewer, catalogue, item))


def shown(
    db: Db, viewer: Viewer, catalogue: Catalogue, item: WorkPackage
) -> Iterator[tuple[Row, list[dict[str, Any]]]]:
    """Each journal that tells something which may be seen, oldest first, and what it tells."""
    seen = Sight(db, viewer, catalogue, item)
    for row, details, is_shown in seen.told(_rows(db, item.id)):
        if row["notes"] or is_shown:
            yield row, details


def _rows(db: Db, work_package_id: int) -> Iterator[Row]:
    """All of a work package, oldest first, never many at once: each holds the state of its time."""
    last = 0
    while rows := db.rows(
        "SELECT * FROM journals WHERE work_package_id = ? AND version > ? ORDER BY version LIMIT ?",
        work_package_id,
        last,
        _PORTION,
    ):
        yield from rows
        last = rows[-1]["version"]


def _activity(row: Row, subject: str, details: list[dict[str, Any]], language: str, *, version: int) -> dict[str, Any]:
    href = f"{hal.API}/activities/{row['id']}"
    # What was changed and changed back within one journal leaves neither notes nor details [L].
    notes = row["notes"] if row["notes"] or details else f"_{text('retracted', language)}_"
    return {
        "_type": "Activity::Comment" if notes else "Activity",
        "id": row["id"],
        "comment": hal.formattable(notes),
        "details": details,
        "version": version,
        "internal": False,
        "createdAt": row["created_at"],
        "updatedAt": row["updated_at"],
        "_links": {
            "attachments": {"href": f"{href}/attachments"},
            "addAttachment": {"href": f"{href}/attachments", "method": "post"},
            "self": {"href": href},
            "emojiReactions": {"href": f"{href}/emoji_reactions"},
            "workPackage": hal.link("work_packages", row["work_package_id"], subject),
            "user": {"href": f"{hal.API}/users/{row['user_id']}"},
            "update": {"href": href, "method": "patch"},
        },
    }


def _attachments(db: Db, work_package_id: int) -> dict[str, str]:
    sql = "SELECT id, file_name FROM attachments WHERE work_package_id = ? AND journal_id IS NULL ORDER BY id"
    rows = db.rows(sql, work_package_id)
    return {str(row["id"]): row["file_name"] for row in rows}


def _state(item: WorkPackage) -> dict[str, Any]:
    unsaid = {"id", "lock_version", "created_at", "updated_at"}
    state = {name: value for name, value in msgspec.to_builtins(item, str_keys=True).items() if name not in unsaid}
    return {**state, "description": _digest(item.description)}


def _digest(description: str) -> str:
    """What a journal keeps of a description: of it is only told whether it changed, and each comment is a journal."""
    return f"{_DIGEST}{hashlib.sha256(description.encode()).hexdigest()}" if description else ""


def _read_state(data: str) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(data)
    kept = state["description"]
    is_digest = kept.startswith(_DIGEST) and len(kept) == len(_digest("any"))
    return state if is_digest else {**state, "description": _digest(kept)}  # of an earlier version: the text itself


class Sight:
    """What journals tell somebody: as if what is hidden from him had never been.

    Args:
        db: the board's file.
        viewer: who reads.
        catalogue: what he sees.
        item: whose journals they are: he sees who stands on it.
    """

    def __init__(self, db: Db, viewer: Viewer, catalogue: Catalogue, item: WorkPackage) -> None:
        self._db = db
        self._viewer = viewer
        self._catalogue = catalogue
        there = {item.author_id, item.assigned_to_id, item.responsible_id}
        self._users = {id_: row for id_, row in catalogue.people.items() if id_ in catalogue.users or id_ in there}
        self._tables: Mapping[str, Mapping[int, Row]] = {
            "project_id": catalogue.projects,
            "version_id": catalogue.versions,
            "category_id": catalogue.categories,
            "assigned_to_id": self._users,
            "responsible_id": self._users,
        }

    def told(self, rows: Iterable[Row]) -> Iterator[tuple[Row, list[dict[str, Any]], bool]]:
        """Of each journal what differs from the one before, and whether it is anything to somebody who sees no more than this.

        The rows begin with the first one: what was hidden is told as it was before that.
        """
        before: dict[str, Any] = {}
        known: dict[str, Any] = {}
        data = ""
        for row in rows:
            if row["data"] == data:  # a comment alone
                yield row, [], True
                continue
            data = row["data"]
            state = _read_state(data)
            after = state if self._catalogue.whole else self._seen(known, state)
            details = list(self._details(known, after, row["id"]))
            yield row, details, bool(details) or before == state or after != known
            before, known = state, after

    def _seen(self, before: Mapping[str, Any], state: dict[str, Any]) -> dict[str, Any]:
        """The state in which nothing had been hidden: where something is, it is as it was before."""
        hidden = {name for name, table in self._tables.items() if state.get(name) and state[name] not in table}
        if state.get("parent_id") and self._subject(state["parent_id"]) is None:
            hidden.add("parent_id")
        return {**state, **{name: before.get(name) for name in hidden}}

    def _details(self, before: Mapping[str, Any], after: Mapping[str, Any], journal: int) -> Iterator[dict[str, Any]]:
        fields = {
            id_: (before.get("custom_values", {}).get(str(id_)), after["custom_values"].get(str(id_)))
            for id_ in self._catalogue.fields
        }
        pairs = {
            "Type": _names(self._catalogue.types, before, after, "type_id"),
            "Project": _names(self._catalogue.projects, before, after, "project_id"),
            "Subject": (before.get("subject"), after["subject"]),
            "Description": (before.get("description"), after["description"]),
            "Finish date": (before.get("due_date"), after["due_date"]),
            "Start date": (before.get("start_date"), after["start_date"]),
            "Status": _names(self._catalogue.statuses, before, after, "status_id"),
            "Assignee": _names(self._users, before, after, "assigned_to_id"),
            "Priority": _names(self._catalogue.priorities, before, after, "priority_id"),
            "Author": _names(self._users, before, after, "author_id"),
            "Parent": self._parents(before.get("parent_id"), after["parent_id"]),
            "Accountable": _names(self._users, before, after, "responsible_id"),
            "Version": _names(self._catalogue.versions, before, after, "version_id"),
            "Category": _names(self._catalogue.categories, before, after, "category_id"),
            "Work": _hours(before, after, "estimated_minutes"),
            "Remaining work": _hours(before, after, "remaining_minutes"),
            "% Complete": _percent(before, after, "done_ratio"),
            "Total work": _hours(before, after, "derived_estimated_minutes"),
            "Total remaining work": _hours(before, after, "derived_remaining_minutes"),
            "Total % complete": _percent(before, after, "derived_done_ratio"),
            "Scheduling mode": (_mode(before.get("schedule_manually")), _mode(after["schedule_manually"])),
            "Working days": (_days(before.get("ignore_non_working_days")), _days(after["ignore_non_working_days"])),
            **{self._catalogue.fields[id_]: pair for id_, pair in fields.items()},
        }
        is_moved = before.get("parent_id") != after["parent_id"]  # perhaps to one of the same name
        for name, (old, new) in pairs.items():
            if (old or "") != (new or "") or (new and name == "Parent" and is_moved):
                yield _description(old, new, journal) if name == "Description" else _detail(name, old, new)
        files, kept = before.get("attachments", {}), after.get("attachments", {})
        for id_ in sorted(files.keys() ^ kept.keys(), key=int):
            yield _file(id_, kept.get(id_), files.get(id_))

    def _parents(self, before: int | None, after: int | None) -> tuple[str | None, str | None]:
        # Hardly ever different, and a query each.
        return (None, None) if before == after else (self._subject(before), self._subject(after))

    def _subject(self, id_: int | None) -> str | None:
        row = self._db.row("SELECT subject, project_id FROM work_packages WHERE id = ?", id_) if id_ else None
        return row["subject"] if row and row["project_id"] in self._viewer.projects else None


def _description(old: str | None, new: str | None, journal: int) -> dict[str, Any]:
    """A text is not told but linked to; this is how a client knows in any language that it was edited [L].

    Without a journal (0) there is nothing to link to, and the words are for people.
    """
    what = "changed" if old and new else "set" if new else "deleted"
    if not journal:
        return {"raw": f"Description {what}"}
    link = f"/journals/{journal}/diff/description"
    shown = f'<strong>Description</strong> {what} (<a target="_top" class="diff-details" href="{link}">Details</a>)'
    return {"format": "custom", "raw": f"Description {what} ({link})", "html": shown}


def _detail(name: str, old: str | None, new: str | None) -> dict[str, Any]:
    if not new:
        raw, marked = f"{name} deleted ({old})", "<strong>{name}</strong> deleted (<strike><i>{old}</i></strike>)"
    elif old and name not in ("Scheduling mode", "Working days"):
        raw, marked = f"{name} changed from {old} to {new}", _HTML["changed"]
    else:
        raw, marked = f"{name} set to {new}", _HTML["set"]
    return {
        "format": "custom",
        "raw": raw,
        "html": marked.format(name=hal.escape(name), old=hal.escape(old), new=hal.escape(new)),
    }


def _file(id_: str, added: str | None, removed: str | None) -> dict[str, Any]:
    if added is None:
        return {
            "format": "custom",
            "raw": f"File {removed} deleted",
            "html": f"<strong>File</strong> <strike><i>{hal.escape(removed)}</i></strike> deleted",
        }
    link = f'<a href="{hal.API}/attachments/{id_}/content">{hal.escape(added)}</a>'
    return {"format": "custom", "raw": f"File {added} added", "html": f"<strong>File</strong> {link} added"}


def _names(
    rows: Mapping[int, Row], before: Mapping[str, Any], after: Mapping[str, Any], key: str
) -> tuple[str | None, str | None]:
    def name(state: Mapping[str, Any]) -> str | None:
        row = rows.get(state.get(key) or 0)
        return None if row is None else str(row["name"])

    return name(before), name(after)


def _hours(before: Mapping[str, Any], after: Mapping[str, Any], key: str) -> tuple[str | None, str | None]:
    return durations.shown(before.get(key)), durations.shown(after.get(key))


def _percent(before: Mapping[str, Any], after: Mapping[str, Any], key: str) -> tuple[str | None, str | None]:
    def shown(state: Mapping[str, Any]) -> str | None:
        return None if state.get(key) is None else f"{state[key]}%"

    return shown(before), shown(after)


def _mode(manual: bool | None) -> str | None:
    return None if manual is None else "Manual" if manual else "Automatic"


def _days(all_count: bool | None) -> str | None:
    return None if all_count is None else "include non-working days" if all_count else "working days only"
