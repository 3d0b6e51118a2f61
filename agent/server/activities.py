"""Comments and activities (reference section 7)."""

from typing import Any

from . import attributes, catalogue, documents, hal, journals, work_package
from .call import Answer, Call
from .errors import ApiError, bad_request, forbidden, not_found, raise_all, violation
from .visibility import visible
from .work_package import WorkPackage

MOST_COMMENTS = 2 << 20
"""Characters of all comments of one account on one work package."""
AROUND = 256
"""What a comment counts besides, however short it is."""


def index(call: Call) -> Answer:
    """GET all of a work package: not paged, oldest first."""
    item = visible(call, call.id("id"))
    href = f"/api/v3/work_packages/{item.id}/activities"
    return Answer(document=hal.collection(_activities(call, item), href))


def show(call: Call) -> Answer:
    """GET one, its work package embedded."""
    item, activity_id, _ = _visible_activity(call)
    return Answer(document=_document(call, item, activity_id))


def create(call: Call) -> Answer:
    """POST a comment as an object: 201. It moves `updatedAt` of the work package, not its lockVersion [L]."""
    comment = call.body.get("comment") if isinstance(call.body, dict) else None
    item = visible(call, call.id("id"))
    call.viewer.need("add_work_package_comments", item.project_id)
    if comment is None:
        raise bad_request("comment is missing")
    if not isinstance(comment, dict):
        raise bad_request("comment is invalid")
    notes = "" if comment.get("raw") is None else str(comment["raw"])
    raise_all([violation("journalNotes", "blank", name="Comment")] if not notes.strip() else [])
    if call.body.get("internal") is True:
        raise_all([violation("journalInternal", key) for key in ("internal_comment_plan", "internal_comment_off")])
    _small_enough(call, item.id, notes)
    activity_id = journals.record(call.db, item, call.viewer.id, call.now, notes)
    call.db.run("UPDATE work_packages SET updated_at = ? WHERE id = ?", call.stamp, item.id)
    return Answer(status=201, document=_activity(call, item, activity_id))


def update(call: Call) -> Answer:
    """PATCH one's own comment, with a plain text: unlike POST [L]."""
    item, activity_id, author_id = _visible_activity(call)
    if not isinstance(call.body, dict) or "comment" not in call.body:
        raise bad_request("comment is missing")
    if not isinstance(call.body["comment"], str):
        raise bad_request("comment is invalid")
    if author_id != call.viewer.id and not call.viewer.admin:
        raise forbidden()
    _small_enough(call, item.id, call.body["comment"], instead_of=activity_id)
    call.db.run(
        "UPDATE journals SET notes = ?, updated_at = ? WHERE id = ?", call.body["comment"], call.stamp, activity_id
    )
    return Answer(document=_document(call, item, activity_id))


def _small_enough(call: Call, item_id: int, notes: str, *, instead_of: int = 0) -> None:
    """All activities are one answer, which everybody waits for: nobody's comments alone make it long."""
    attributes.storable(notes)
    # Each keeps the names of the files that are there.
    names = call.db.value("SELECT sum(length(file_name)) FROM attachments WHERE work_package_id = ?", item_id)
    around = AROUND + (names or 0)
    sql = "SELECT sum(? + length(notes)) FROM journals WHERE work_package_id = ? AND user_id = ? AND notes <> '' AND id <> ?"
    written = call.db.value(sql, around, item_id, call.viewer.id, instead_of) or 0
    if written + around + len(notes) > MOST_COMMENTS:
        raise ApiError(413, "InvalidRequestBody", "comments_too_large", {"most": str(MOST_COMMENTS)})


def _visible_activity(call: Call) -> tuple[WorkPackage, int, int]:
    row = call.db.row("SELECT id, work_package_id, user_id FROM journals WHERE id = ?", call.id("id"))
    item = work_package.load_one(call.db, row["work_package_id"]) if row else None
    if row is None or item is None or item.project_id not in call.viewer.projects:
        raise not_found()
    if not journals.is_shown(call.db, call.viewer, catalogue.load(call.db, call.viewer), item, row["id"]):
        raise not_found()
    return item, row["id"], row["user_id"]


def _activity(call: Call, item: WorkPackage, activity_id: int) -> dict[str, Any]:
    known = catalogue.load(call.db, call.viewer)
    found = journals.activity(call.db, call.viewer, known, item, activity_id)
    if found is None:
        raise not_found()
    return found


def _activities(call: Call, item: WorkPackage) -> list[dict[str, Any]]:
    known = catalogue.load(call.db, call.viewer)
    return journals.activities(call.db, call.viewer, known, item)


def _document(call: Call, item: WorkPackage, activity_id: int) -> dict[str, Any]:
    [embedded] = documents.elements(call.db, call.viewer, catalogue.load(call.db, call.viewer), [item])
    href = f"{hal.API}/activities/{activity_id}"
    return {
        **_activity(call, item, activity_id),
        "_embedded": {
            "attachments": hal.collection([], f"{href}/attachments"),
            "workPackage": embedded,
            "emojiReactions": hal.collection([], f"{href}/emoji_reactions"),
        },
    }
