"""Attachments of work packages: listed, stored, read, removed (reference section 3; OpenProject's description)."""

import hashlib
from typing import Any
from urllib.parse import quote

from . import attributes, catalogue, hal, journals, multipart
from .access import Viewer
from .bounded import Whole
from .call import Answer, Call
from .catalogue import Catalogue
from .errors import ApiError, DiskFull, forbidden, not_found, raise_all, violation
from .store import Db, Row
from .visibility import visible
from .work_package import WorkPackage

_ADDERS = frozenset({"edit_work_packages", "add_work_package_attachments"})
_LONGEST_NAME = 255
MOST_FILES = 100
"""Of one work package, its comments' among them: all are one answer, and each change of it keeps their names."""
_SHOWN = ("image/png", "image/jpeg", "image/gif", "text/plain", "application/pdf")
"""What a browser may show; the rest it saves."""
_NO_NAME = dict.fromkeys((*range(0x20), ord("/"), ord("\\")), "_")
_KIND = Whole("the type of a file", r"[\w.+-]++/[\w.+-]++(;\s*+charset=[\w-]++)?", sees="an upload")


def collection(db: Db, viewer: Viewer, known: Catalogue, item: WorkPackage) -> dict[str, Any]:
    """All of a work package, oldest first."""
    rows = db.rows("SELECT * FROM attachments WHERE work_package_id = ? AND journal_id IS NULL ORDER BY id", item.id)
    return hal.collection(
        [_document(row, viewer, known, item) for row in rows], f"{hal.API}/work_packages/{item.id}/attachments"
    )


def _of(db: Db, viewer: Viewer, known: Catalogue, item: WorkPackage, journal_id: int) -> dict[str, Any]:
    rows = db.rows("SELECT * FROM attachments WHERE journal_id = ? ORDER BY id", journal_id)
    return hal.collection(
        [_document(row, viewer, known, item) for row in rows], f"{hal.API}/activities/{journal_id}/attachments"
    )


def index(call: Call) -> Answer:
    """GET /work_packages/{id}/attachments."""
    item = visible(call, call.id("id"))
    return Answer(document=collection(call.db, call.viewer, catalogue.load(call.db, call.viewer), item))


def of_activity(call: Call) -> Answer:
    """GET /activities/{id}/attachments: those that came with a comment."""
    item, journal_id = _commented(call)
    return Answer(document=_of(call.db, call.viewer, catalogue.load(call.db, call.viewer), item, journal_id))


def create(call: Call) -> Answer:
    """POST a file: 201. Its size is bounded, and that of all of them together."""
    item = visible(call, call.id("id"))
    if not call.viewer.projects[item.project_id] & _ADDERS:
        raise forbidden()
    return _create(call, item, None)


def create_for_activity(call: Call) -> Answer:
    """POST a file to a comment of one's own: 201."""
    item, journal_id = _commented(call)
    author = call.db.value("SELECT user_id FROM journals WHERE id = ?", journal_id)
    if author != call.viewer.id and not call.viewer.admin:
        raise forbidden()
    return _create(call, item, journal_id)


def _commented(call: Call) -> tuple[WorkPackage, int]:
    row = call.db.row("SELECT id, work_package_id FROM journals WHERE id = ?", call.id("id"))
    item = visible(call, row["work_package_id"] if row else None, "not_found")
    if not journals.is_shown(call.db, call.viewer, catalogue.load(call.db, call.viewer), item, call.id("id")):
        raise not_found()
    return item, call.id("id")


def _create(call: Call, item: WorkPackage, journal_id: int | None) -> Answer:
    upload = multipart.parse(call.content_type, call.raw)
    metadata = upload.metadata if isinstance(upload.metadata, dict) else {}
    name = metadata.get("fileName")
    if upload.content is None:
        raise violation("contentType", "blank", name="Content type")
    most = largest(call.db)
    errors = []
    if not isinstance(name, str) or not name.strip():
        errors.append(violation("filename", "blank", name="File"))
    if len(upload.content) > most:
        errors.append(violation("file", "file_too_large", bytes=str(most)))
    raise_all(errors)
    if call.db.value("SELECT count(*) FROM attachments WHERE work_package_id = ?", item.id) >= MOST_FILES:
        raise ApiError(413, "InvalidRequestBody", "files_too_many", {"most": str(MOST_FILES)})
    # Of a project: were it of the whole board, what fits would tell how much lies where somebody may not look.
    there = call.db.value(
        "SELECT sum(size) FROM attachments JOIN work_packages ON work_packages.id = work_package_id WHERE project_id = ?",
        item.project_id,
    )
    if len(upload.content) + (there or 0) > _setting(call.db, "attachments_total_bytes"):
        raise DiskFull
    description = metadata.get("description")
    raw = attributes.as_text(description.get("raw") if isinstance(description, dict) else description) or ""
    stored = str(name)[:_LONGEST_NAME].translate(_NO_NAME)
    kind = attributes.as_text(metadata.get("contentType")) or upload.content_type or "application/octet-stream"
    kind = kind if _KIND.match(kind) else "application/octet-stream"
    attributes.storable(stored, raw)
    # A checksum that the API shows, no secret.
    digest = hashlib.md5(upload.content, usedforsecurity=False).hexdigest()
    id_ = call.db.run(
        "INSERT INTO attachments (work_package_id, journal_id, author_id, file, file_name, content_type, size, digest, description, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        item.id, journal_id, call.viewer.id, call.shelf.put(upload.content), stored, kind, len(upload.content), digest, raw, call.stamp,
    )  # fmt: skip
    _noted(call, item)
    return Answer(status=201, document=_single(call, id_))


def show(call: Call) -> Answer:
    """GET one."""
    return Answer(document=_single(call, call.id("id")))


def content(call: Call) -> Answer:
    """GET what it holds."""
    row, _ = _find(call, call.id("id"))
    shown = "inline" if row["content_type"] in _SHOWN else "attachment"
    headers = {
        "content-type": row["content_type"],
        "content-length": str(row["size"]),
        "content-disposition": f"{shown}; filename*=UTF-8''{quote(row['file_name'])}",
        "x-content-type-options": "nosniff",
        "content-security-policy": "sandbox; default-src 'none'",
    }
    return Answer(file=call.shelf.open(row["file"]), headers=headers)


def delete(call: Call) -> Answer:
    """DELETE: 204; for its author and for whoever may edit the work package."""
    row, item = _find(call, call.id("id"))
    if row["author_id"] != call.viewer.id:
        call.viewer.need("edit_work_packages", item.project_id)
    call.db.run("DELETE FROM attachments WHERE id = ?", row["id"])
    call.shelf.drop(row["file"])
    _noted(call, item)
    return Answer(status=204)


def drop_all(call: Call, ids: list[int]) -> None:
    """The files of work packages that are about to be deleted."""
    for id_ in ids:
        for name in call.db.column("SELECT file FROM attachments WHERE work_package_id = ?", id_):
            call.shelf.drop(name)


def _noted(call: Call, item: WorkPackage) -> None:
    """An attachment is told in the activities and moves `updatedAt`, not lockVersion [I #8934]."""
    journals.record(call.db, item, call.viewer.id, call.now)
    call.db.run("UPDATE work_packages SET updated_at = ? WHERE id = ?", call.stamp, item.id)


def largest(db: Db) -> int:
    """Bytes that a file may have."""
    return _setting(db, "attachment_max_bytes")


def _setting(db: Db, name: str) -> int:
    return int(db.value("SELECT value FROM settings WHERE name = ?", name))


def _find(call: Call, id_: int) -> tuple[Row, WorkPackage]:
    row = call.db.row("SELECT * FROM attachments WHERE id = ?", id_)
    item = visible(call, row["work_package_id"] if row else None, "not_found")
    if row is None:
        raise not_found()
    return row, item


def _single(call: Call, id_: int) -> dict[str, Any]:
    row, item = _find(call, id_)
    return _document(row, call.viewer, catalogue.load(call.db, call.viewer), item)


def _document(row: Row, viewer: Viewer, known: Catalogue, item: WorkPackage) -> dict[str, Any]:
    href = f"{hal.API}/attachments/{row['id']}"
    links: dict[str, Any] = {
        "self": {"href": href, "title": row["file_name"]},
        "author": hal.optional_link("users", row["author_id"], known.people),
        "container": hal.link("work_packages", item.id, item.subject)
        if row["journal_id"] is None
        else {"href": f"{hal.API}/activities/{row['journal_id']}"},
        "staticDownloadLocation": {"href": f"{href}/content"},
        "downloadLocation": {"href": f"{href}/content"},
    }
    if row["author_id"] == viewer.id or viewer.may("edit_work_packages", item.project_id):
        links["delete"] = {"href": href, "method": "delete"}
    return {
        "_type": "Attachment",
        "id": row["id"],
        "fileName": row["file_name"],
        "fileSize": row["size"],
        "description": hal.plain(row["description"]),
        "status": "uploaded",
        "contentType": row["content_type"],
        "digest": {"algorithm": "md5", "hash": row["digest"]},
        "createdAt": row["created_at"],
        "_links": links,
    }
