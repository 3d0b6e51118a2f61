"""Creating, reading, changing and deleting work packages (reference sections 4, 5)."""

from typing import Any

import msgspec

from . import attachments, attributes, catalogue, documents, journals, progress, rules, singles, watching, work_package
from .attributes import Change
from .call import Answer, Call, is_id
from .catalogue import Catalogue
from .errors import ApiError, conflict, forbidden, not_found, raise_all, read_only, violation
from .scheduling import Scheduler
from .store import Db
from .visibility import above, below, is_visible, visible
from .work_package import WorkPackage


def show(call: Call) -> Answer:
    """GET one."""
    item = visible(call, call.id("id"))
    return Answer(document=singles.document(call.db, call.viewer, catalogue.load(call.db, call.viewer), item))


def create(call: Call) -> Answer:
    """POST: 201 with lockVersion 0 [L]."""
    known = catalogue.load(call.db, call.viewer)
    item, errors = draft(call, known)
    raise_all(errors)
    attributes.storable_in(item)
    created = work_package.insert(call.db, msgspec.structs.replace(item, created_at=call.stamp, updated_at=call.stamp))
    journals.record(call.db, created, call.viewer.id, call.now)
    watching.watch(call.db, created.id, call.viewer.id)
    Scheduler(call.db, call.viewer, call.now).child_came(created)
    return Answer(status=201, document=singles.document(call.db, call.viewer, known, created))


def draft(call: Call, known: Catalogue) -> tuple[WorkPackage, list[ApiError]]:
    """The work package that a creation would make, and what speaks against it. The workflow does not bind a creation [L]."""
    path_project = call.project_id() if "project" in call.path else None
    change = attributes.parse(call.body, known, creation=True)
    project_id = path_project or change.columns.get("project_id")
    if project_id is None:
        raise_all([*change.refused, *rules.without_project()])
    if not call.viewer.may("add_work_packages", project_id or 0):
        raise forbidden()
    columns = dict(change.columns)
    columns["project_id"] = project_id
    for column, rows, default in (
        ("type_id", known.types, known.default_type),
        ("status_id", known.statuses, known.default_status),
        ("priority_id", known.priorities, known.default_priority),
    ):
        # One that does not exist is ignored without a word [L].
        columns[column] = columns.get(column) if columns.get(column) in rows else default
    blank = WorkPackage(
        id=0, project_id=project_id or 0, type_id=0, status_id=0, priority_id=0, author_id=call.viewer.id
    )
    item = _applied(call.db, known, blank, msgspec.structs.replace(change, columns=columns))
    item = rules.with_parents_dates(call.db, call.viewer, item, change)
    errors = [
        *change.refused,
        *rules.author_errors(call.viewer.id, change),
        *rules.derived_errors(None, call.body),
        *rules.progress_errors(item, change),
        *rules.errors(call.db, call.viewer, known, None, item, change=change),
    ]
    return item, errors


def update(call: Call) -> Answer:
    """PATCH, refused in this order: 404, wrong shapes, 403, 409, 422 (sections 1.4, 5.1)."""
    before = visible(call, call.id("id"))
    known = catalogue.load(call.db, call.viewer)
    after, errors = changed(call, known, before)
    raise_all(errors)
    attributes.storable_in(after, before)
    scheduler = Scheduler(call.db, call.viewer, call.now)
    bump = 1
    if before.schedule_manually and not after.schedule_manually and not scheduler.is_driven(before):
        # Nothing could drive it: it is switched back in a second write [L].
        after = msgspec.structs.replace(after, schedule_manually=True)
        bump = 2
    after = scheduler.settled(after)
    if after != before or bump > 1:
        after = msgspec.structs.replace(after, lock_version=before.lock_version + bump, updated_at=call.stamp)
        if after.parent_id != before.parent_id and after.parent_id in work_package.descendants(call.db, after.id):
            _open_circle(call, after.parent_id)
        work_package.update(call.db, before, after)
        journals.record(call.db, after, call.viewer.id, call.now)
        _spread(call, scheduler, before, after)
        after = visible(call, after.id)
    return Answer(document=singles.document(call.db, call.viewer, known, after))


def changed(call: Call, known: Catalogue, before: WorkPackage) -> tuple[WorkPackage, list[ApiError]]:
    """The work package that an update would make, and what speaks against it; forbidden or stale is refused at once."""
    change = attributes.parse(call.body, known, creation=False)
    refused = [*change.refused, *_id_errors(call, before)]
    call.viewer.need("edit_work_packages", before.project_id)
    # A body that is empty or `null` asks for nothing, so nothing can conflict [L].
    if call.body is not None and attributes.lock_version(call.body) != before.lock_version:
        raise conflict()
    if change.columns.get("parent_id", before.parent_id) is None and not is_visible(call, before.parent_id):
        # To this caller it had none.
        others = {name: value for name, value in change.columns.items() if name != "parent_id"}
        change = msgspec.structs.replace(change, columns=others)
    after = _applied(call.db, known, before, change)
    errors = [
        *refused,
        *rules.author_errors(before.author_id, change),
        *rules.derived_errors(documents.seen(call.db, call.viewer, known, before), call.body),
        *rules.progress_errors(after, change),
        *rules.errors(call.db, call.viewer, known, before, after, change=change),
    ]
    return after, errors


def _id_errors(call: Call, before: WorkPackage) -> list[ApiError]:
    """Its own id may be repeated; another visible one is read-only, any other names nothing [L]."""
    id_ = call.body.get("id", before.id) if isinstance(call.body, dict) else before.id
    if str(id_) == str(before.id):
        return []
    other = work_package.load_one(call.db, int(id_)) if is_id(str(id_)) else None
    if other is None or other.project_id not in call.viewer.projects:
        raise not_found()
    return [read_only("id", "ID")]


def delete(call: Call) -> Answer:
    """DELETE takes everything below along: 204 (section 5.1). What the caller does not see there stays, without a parent."""
    item = visible(call, call.id("id"))
    call.viewer.need("delete_work_packages", item.project_id)
    doomed = [item.id, *below(call.db, call.viewer, item.id)]
    for orphan in work_package.load(call.db, work_package.below_only(call.db, doomed)).values():
        _let_go(call, orphan)
    attachments.drop_all(call, doomed)
    work_package.delete(call.db, doomed)
    Scheduler(call.db, call.viewer, call.now).child_went(item.parent_id)
    return Answer(status=204)


def _let_go(call: Call, orphan: WorkPackage) -> None:
    """Its parent is deleted by somebody who does not see it."""
    after = msgspec.structs.replace(orphan, parent_id=None, lock_version=orphan.lock_version + 1, updated_at=call.stamp)
    work_package.update(call.db, orphan, after)
    journals.record(call.db, after, call.viewer.id, call.now)


def _open_circle(call: Call, parent_id: int) -> None:
    """The new parent hangs below the work package over some that the caller does not see: it comes off there, and shows nothing of it."""
    top = (*above(call.db, call.viewer, parent_id), parent_id)[0]
    before = work_package.load(call.db, [top])[top]
    work_package.update(call.db, before, msgspec.structs.replace(before, parent_id=None))


def _applied(db: Db, known: Catalogue, before: WorkPackage, change: Change) -> WorkPackage:
    columns: dict[str, Any] = {
        name: value for name, value in change.columns.items() if name not in ("author_id", "date", "duration")
    }
    type_id = columns.get("type_id", before.type_id)
    if type_id not in known.types:
        raise violation("type", "blank", name="Type")
    if known.types[type_id]["is_milestone"]:
        columns.pop("start_date", None)
        columns.pop("due_date", None)
        if "date" in change.columns:
            columns["start_date"] = columns["due_date"] = change.columns["date"]
    if type_id != before.type_id:
        columns["status_id"] = rules.status_of_type(db, known, type_id, columns.get("status_id", before.status_id))
    after = msgspec.structs.replace(before, **columns)
    # A field that the type lacks is ignored without a word [L].
    fields = known.fields_of_type.get(type_id, ())
    values = {**before.custom_values, **{id_: value for id_, value in change.custom_values.items() if id_ in fields}}
    after = msgspec.structs.replace(
        after, custom_values={id_: value for id_, value in values.items() if value is not None}
    )
    after = progress.derived(before, after, change.columns.keys())
    return rules.with_duration(rules.on_working_days(before, after), change)


def _spread(call: Call, scheduler: Scheduler, before: WorkPackage, after: WorkPackage) -> None:
    if after.project_id != before.project_id:
        for child in work_package.load(call.db, below(call.db, call.viewer, after.id)).values():
            moved = msgspec.structs.replace(
                child,
                project_id=after.project_id,
                version_id=None,
                lock_version=child.lock_version + 1,
                updated_at=call.stamp,
            )
            work_package.update(call.db, child, moved)
            journals.record(call.db, moved, call.viewer.id, call.now)
    if after.parent_id != before.parent_id:
        scheduler.child_went(before.parent_id)
        scheduler.child_came(after)
    elif progress.of(after) != progress.of(before):
        scheduler.progress_changed(after)
    if (after.start_date, after.due_date) != (before.start_date, before.due_date):
        scheduler.dates_changed(after)
