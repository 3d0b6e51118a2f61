"""OpenProject's documents and our vocabulary: small ones by hand, recorded ones where they lie next to the repository."""

import datetime as dt
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.board import forms, wire
from agent.board.wire import Fields, Malformed, Page
from agent.model import (
    Activity,
    BoardText,
    Changes,
    Draft,
    Named,
    Principal,
    Project,
    Relation,
    Row,
    Status,
    WorkPackage,
)
from support.values import item

FIELDS = Fields("customField95", "customField96")
RECORDED = Path(__file__).parents[3] / "shared" / "reference" / "openproject-live"


def link(path: str, title: str = "") -> dict[str, Any]:
    return {"href": f"/api/v3/{path}", "title": title}


NOBODY = {"href": None}
SMALLEST = {
    "id": 42,
    "lockVersion": 0,
    "subject": "Buy",
    "_links": {"project": link("projects/1"), "type": link("types/2"), "status": link("statuses/3")},
}
WHOLE: dict[str, Any] = {
    "_type": "WorkPackage",
    "id": 42,
    "displayId": "SHOP-42",
    "lockVersion": 7,
    "subject": "Buy\nmore",
    "description": {"format": "markdown", "raw": "Some *text*", "html": "<p>…</p>"},
    "scheduleManually": False,
    "dueDate": "2026-12-24",
    "updatedAt": "2026-11-24T08:00:00.123Z",
    "customField95": "pod-a",
    "customField96": "7f9c",
    "_embedded": {"status": {"id": 99}},
    "_links": {
        "self": link("work_packages/42", "Buy"),
        "project": link("projects/1", "Web shop"),
        "type": link("types/2", "Task"),
        "status": link("statuses/3", "New"),
        "priority": link("priorities/4", "Normal"),
        "version": link("versions/5", "2.1"),
        "author": link("users/6", "Hanna Human"),
        "assignee": link("groups/7", "Crew"),
        "responsible": link("placeholder_users/8", "Somebody"),
        "parent": link("work_packages/41"),
        "ancestors": [link("work_packages/40"), link("work_packages/41")],
        "children": [link("work_packages/43")],
        "customField2": [],
    },
}


def without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


def linked(**links: Any) -> dict[str, Any]:
    """The smallest work package, with these links changed, or dropped where they are `...`."""
    merged = {**SMALLEST["_links"], **links}  # type: ignore[dict-item]
    return {**SMALLEST, "_links": {name: value for name, value in merged.items() if value is not ...}}


# -- work packages ---------------------------------------------------------------------------------------------------


def test_a_whole_work_package_is_read_and_unknown_keys_are_passed_over() -> None:
    assert wire.work_package(WHOLE, FIELDS) == WorkPackage(
        id=42,
        lock_version=7,
        subject="Buy\nmore",
        description="Some *text*",
        project=1,
        type=2,
        status=3,
        priority=4,
        version="2.1",
        author=Principal("users", 6, "Hanna Human"),
        assignee=Principal("groups", 7, "Crew"),
        responsible=Principal("placeholder_users", 8, "Somebody"),
        parent=41,
        ancestors=(40, 41),
        children=(43,),
        due_date=dt.date(2026, 12, 24),
        schedule_manually=False,
        updated_at="2026-11-24T08:00:00.123Z",
        pod="pod-a",
        run="7f9c",
    )


def test_absent_keys_are_empty() -> None:
    """Several keys are absent rather than null: children, dates of a milestone, fields of another type."""
    assert wire.work_package(SMALLEST, FIELDS) == WorkPackage(
        id=42, lock_version=0, subject="Buy", project=1, type=2, status=3, priority=0, has_fields=False
    )


def test_null_is_as_good_as_absent() -> None:
    nulls = {
        **SMALLEST,
        "description": {"raw": None},
        "scheduleManually": None,
        "dueDate": None,
        "updatedAt": None,
        "customField95": None,
        "customField96": None,
    }
    nulls["_links"] = linked(
        assignee=NOBODY, parent=NOBODY, ancestors=None, children=None, version=None, priority=NOBODY
    )["_links"]
    read = wire.work_package(nulls, FIELDS)
    assert read.has_fields
    assert (read.pod, read.run, read.description, read.parent, read.assignee) == ("", "", "", None, None)
    assert read.schedule_manually
    assert wire.work_package({**nulls, "description": None}, FIELDS) == read


@pytest.mark.parametrize(
    ("document", "fields", "has"),
    [
        (WHOLE, FIELDS, True),
        (without(WHOLE, "customField95"), FIELDS, False),
        (without(WHOLE, "customField96"), FIELDS, False),
        (WHOLE, Fields(), False),
        (WHOLE, Fields("customField95", ""), False),
    ],
)
def test_a_type_has_the_fields_only_if_both_keys_are_there(
    document: dict[str, Any], fields: Fields, *, has: bool
) -> None:
    assert wire.work_package(document, fields).has_fields is has


def test_a_field_of_another_format_is_no_text() -> None:
    read = wire.work_package({**WHOLE, "customField95": 5, "customField96": {"raw": "x"}}, FIELDS)
    assert (read.pod, read.run) == ("", "")


def test_of_very_many_children_the_first_are_read() -> None:
    """T1: 200,000 links stood the loop for a third of a second at each look."""
    links = [{"href": f"/api/v3/work_packages/{number}"} for number in range(1, 200_001)]
    began = time.process_time()
    assert wire.work_package(linked(children=links), FIELDS).children == tuple(range(1, wire.MOST_CHILDREN + 1))
    assert time.process_time() - began < 0.05


def test_a_milestone_has_a_date_instead() -> None:
    assert wire.work_package({**SMALLEST, "date": "2026-12-24"}, FIELDS).due_date == dt.date(2026, 12, 24)
    assert wire.row({**SMALLEST, "date": "2026-12-24"}).due_date == dt.date(2026, 12, 24)


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ("12026-05-01", dt.date.max),
        ("+12345-01-01", dt.date.max),
        ("999999999999999999-12-31", dt.date.max),
        ("0000-01-01", dt.date.min),
        ("-0001-01-01", dt.date.min),
        ("-4712-01-01", dt.date.min),
        ("9999-12-31", dt.date.max),
        ("", None),
        (None, None),
    ],
)
def test_a_year_that_no_calendar_of_ours_has_is_before_or_after_all_others(told: str, read: dt.date | None) -> None:
    """OpenProject takes any year: a slip of the keyboard stopped every pod."""
    for name in ("dueDate", "date"):
        assert wire.work_package({**SMALLEST, name: told}, FIELDS).due_date == read
        assert wire.row({**SMALLEST, name: told}).due_date == read


@pytest.mark.parametrize("prefix", ["/api/v3", "/openproject/api/v3", "https://board.example/openproject/api/v3"])
def test_hrefs_are_read_under_any_sub_path(prefix: str) -> None:
    document = linked(project={"href": f"{prefix}/workspaces/12"}, parent={"href": f"{prefix}/work_packages/41/"})
    read = wire.work_package(document, FIELDS)
    assert (read.project, read.parent) == (12, 41)


def test_a_hidden_assignee_is_somebody_and_a_hidden_parent_is_nobody() -> None:
    hidden = {"href": "urn:openproject-org:api:v3:undisclosed", "title": "Undisclosed"}
    read = wire.work_package(linked(assignee=hidden, parent=hidden, ancestors=[hidden]), FIELDS)
    assert read.assignee == Principal("undisclosed", 0, "Undisclosed")
    assert (read.parent, read.ancestors) == (None, ())
    assert wire.row(linked(assignee=hidden)).assignee == Principal("undisclosed", 0, "Undisclosed")


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "a text",
        {},
        without(SMALLEST, "id"),
        without(SMALLEST, "lockVersion"),
        without(SMALLEST, "subject"),
        without(SMALLEST, "_links"),
        {**SMALLEST, "id": "42"},
        {**SMALLEST, "dueDate": "soon"},
        {**SMALLEST, "_links": []},
        linked(project=...),
        linked(type=NOBODY),
        linked(status={"href": "/api/v3/statuses/new"}),
        linked(status="/api/v3/statuses/3"),
        linked(assignee="/api/v3/users/3"),
        linked(ancestors=5),
    ],
)
def test_what_is_no_work_package_is_malformed_and_the_message_says_of_what(document: Any) -> None:
    with pytest.raises(Malformed, match="holds no work package that we understand"):
        wire.work_package(document, FIELDS)


def test_a_row_is_read_from_a_select_list() -> None:
    row = without(WHOLE, "lockVersion", "description")
    assert wire.row(row) == Row(42, "Buy\nmore", 1, 2, 3, Principal("groups", 7, "Crew"), dt.date(2026, 12, 24))
    with pytest.raises(Malformed, match="holds no row"):
        wire.row(linked(status=...))


# -- collections -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "page"),
    [
        ({"total": 5, "pageSize": 2, "_embedded": {"elements": [1, 2]}}, Page(5, 2, (1, 2))),
        ({"_embedded": {"elements": [1, 2]}}, Page(2, 2, (1, 2))),
        ({"total": 0, "_embedded": {"elements": []}}, Page(0, 0, ())),
    ],
)
def test_a_page_tells_its_total_and_its_real_size(document: Any, page: Page) -> None:
    assert wire.page(document) == page


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"_embedded": None},
        {"_embedded": {}},
        {"_embedded": {"elements": None}},
        {"_embedded": {"elements": {}}},
        {"_embedded": {"elements": ""}},
        {"total": "many", "_embedded": {"elements": []}},
        {"total": None, "_embedded": {"elements": []}},
        [],
    ],
)
def test_failed_read_is_never_treated_as_empty(document: Any) -> None:
    """I-59: a failed query that read as "no work" closed items unfinished."""
    with pytest.raises(Malformed):
        wire.page(document)


def test_a_count_needs_its_number() -> None:
    assert wire.total({"total": 7}) == 7
    none: list[Any] = [{}, {"total": None}, {"total": "x"}, []]
    for document in none:
        with pytest.raises(Malformed, match="holds no total"):
            wire.total(document)


@pytest.mark.parametrize(
    ("element", "identity"),
    [
        ({"id": 5}, 5),
        ({"id": "SHOP-5"}, "SHOP-5"),
        ({"_links": {"self": {"href": "/api/v3/work_packages/schemas/1-2"}}}, "/api/v3/work_packages/schemas/1-2"),
    ],
)
def test_an_element_is_told_from_others_by_id_else_by_its_own_link(element: Any, identity: object) -> None:
    assert wire.identity(element) == identity


@pytest.mark.parametrize("element", [{}, {"id": [1]}, {"_links": {"self": {"href": None}}}, "x", None])
def test_an_element_without_identity_is_malformed(element: Any) -> None:
    with pytest.raises(Malformed):
        wire.identity(element)


def group(value: Any, count: int, *hrefs: str | None) -> dict[str, Any]:
    return {"value": value, "count": count, "_links": {"valueLink": [{"href": one} for one in hrefs]}}


def test_groups_are_counted_by_id_where_there_is_one_and_by_text_elsewhere() -> None:
    document = {
        "total": 12,
        "groups": [
            group("New", 5, "/api/v3/statuses/331"),
            group("pod-a", 3),
            group(None, 2),
            {"value": "", "count": 1},
            {"value": "pod-a", "count": 1, "_links": None},
        ],
    }
    assert wire.groups(document) == {"331": 5, "pod-a": 4, "": 3}


def test_no_groups_is_an_answer_only_where_there_is_nothing_to_group() -> None:
    assert wire.groups({"total": 0}) == wire.groups({"total": 0, "groups": None}) == wire.groups({"groups": []}) == {}
    for document in ({"total": 3}, {}, {"total": 3, "groups": None}):
        with pytest.raises(Malformed, match="holds no groups"):
            wire.groups(document)


# -- reference resources ---------------------------------------------------------------------------------------------


def test_statuses_types_and_projects_are_read() -> None:
    assert wire.status({"id": 12, "name": "Closed", "isClosed": True, "position": 3}) == Status(12, "Closed", True)
    assert wire.status({"id": 1, "name": "New"}) == Status(1, "New", False)
    assert wire.named({"id": 7, "name": "Bug", "color": None}) == Named(7, "Bug")
    assert wire.project({"id": 1, "identifier": "shop", "name": "Web shop"}) == Project(1, "shop", "Web shop")


def test_priorities_come_most_urgent_first_which_is_the_highest_position() -> None:
    documents = [
        {"id": 1, "name": "Low", "position": 1},
        {"id": 4, "name": "Now", "position": 4},
        {"id": 9, "name": "?"},
    ]
    assert [one.id for one in wire.priorities(documents)] == [4, 1, 9]
    assert wire.priorities([{"id": 1, "name": "Low", "position": None}]) == (Named(1, "Low"),)


@pytest.mark.parametrize(
    ("kind", "segment"),
    [
        ({"_type": "User"}, "users"),
        ({"_type": "Group"}, "groups"),
        ({"_type": "PlaceholderUser"}, "placeholder_users"),
        ({"_type": "Robot"}, "unknown"),
        ({}, "users"),
    ],
)
def test_a_principals_kind_is_the_segment_of_its_link(kind: dict[str, Any], segment: str) -> None:
    assert wire.principal({"id": 5, "name": "N", **kind}) == Principal(segment, 5, "N")


@pytest.mark.parametrize(
    ("document", "anonymous"),
    [
        ({"id": 69, "name": "Coding Agent", "login": "agent"}, False),
        ({"id": 69, "name": "Coding Agent"}, False),
        ({"id": 2, "name": "Anonymous"}, True),
        ({"id": 2, "name": "Anonym", "login": ""}, True),
        ({"id": 2, "name": "Anonyme", "login": None}, True),
    ],
)
def test_anonymous_is_known_in_every_language(document: Any, *, anonymous: bool) -> None:
    assert wire.is_anonymous(document) is anonymous


def test_an_activity_has_a_text_only_if_it_is_a_comment() -> None:
    document = {"id": 3, "comment": {"raw": "Hi"}, "createdAt": "2026", "_links": {"user": link("users/6")}}
    assert wire.activity(document) == Activity(3, "Hi", 6, "2026")
    assert wire.activity({"id": 3, "comment": {"raw": ""}, "_links": {}}) == Activity(3, "", 0)
    assert wire.activity({"id": 3, "comment": None, "createdAt": None, "_links": {"user": NOBODY}}) == Activity(
        3, "", 0
    )


def test_a_relation_is_read_in_its_canonical_direction() -> None:
    document = {"id": 9, "type": "blocks", "_links": {"from": link("work_packages/41"), "to": link("work_packages/42")}}
    assert wire.relation(document) == Relation(9, "blocks", 41, 42)


def test_missing_relation_data_fails_closed() -> None:
    """I-58: a relation without one of its ends is an error, never "no blocker"."""
    with pytest.raises(Malformed, match="no link to its from"):
        wire.relation({"id": 9, "type": "blocks", "_links": {"from": NOBODY, "to": link("work_packages/42")}})


def test_a_schema_tells_under_which_keys_the_two_fields_are() -> None:
    schema = {
        "customField95": {"name": "Agent pod", "type": "String"},
        "customField96": {"name": "Agent run", "type": "Formattable"},
        "customField97": ["no entry"],
        "subject": {"name": "Agent run", "type": "String"},
        "_links": {"self": {"href": "/openproject/api/v3/work_packages/schemas/93-218"}},
    }
    names = Fields("Agent pod", "Agent run")
    assert wire.schema_fields(schema, names) == (93, 218, Fields("customField95", ""))
    schema["customField96"] = {"name": "Agent run", "type": "String"}
    assert wire.schema_fields(schema, names) == (93, 218, FIELDS)
    with pytest.raises(Malformed, match="a schema without its project and type"):
        wire.schema_fields({"_links": {"self": {"href": "/api/v3/work_packages/schemas/x"}}}, names)


# -- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "body"),
    [
        (Changes(), {"lockVersion": 3}),
        (Changes(status=7), {"lockVersion": 3, "_links": {"status": {"href": "/api/v3/statuses/7"}}}),
        (Changes(assignee=5), {"lockVersion": 3, "_links": {"assignee": {"href": "/api/v3/users/5"}}}),
        (Changes(assignee=None), {"lockVersion": 3, "_links": {"assignee": {"href": None}}}),
        (Changes(pod="pod-a"), {"lockVersion": 3, "customField95": "pod-a"}),
        (Changes(pod="", run=""), {"lockVersion": 3, "customField95": None, "customField96": None}),
        (Changes(schedule_manually=True), {"lockVersion": 3, "scheduleManually": True}),
        (
            Changes(status=7, assignee=5, run="t"),
            {
                "lockVersion": 3,
                "customField96": "t",
                "_links": {"status": {"href": "/api/v3/statuses/7"}, "assignee": {"href": "/api/v3/users/5"}},
            },
        ),
    ],
)
def test_only_what_is_to_change_is_written_and_always_with_the_lock_version(wanted: Changes, body: Any) -> None:
    """Without lockVersion a PATCH is a 409, with a read-only property a 422 (reference, section 0)."""
    assert wire.changes(wanted, 3, FIELDS) == body


def test_a_creation_links_what_it_needs_and_nothing_that_is_none() -> None:
    assert wire.creation(Draft(project=1, type=2, subject=BoardText("S"), description=BoardText("D"), parent=42)) == {
        "subject": "S",
        "description": {"raw": "D"},
        "_links": {
            "project": {"href": "/api/v3/projects/1"},
            "type": {"href": "/api/v3/types/2"},
            "parent": {"href": "/api/v3/work_packages/42"},
        },
    }
    links = wire.creation(Draft(project=1, type=2, subject=BoardText("S"), responsible=6))["_links"]
    assert links["responsible"] == {"href": "/api/v3/users/6"}


def test_a_body_holds_only_what_the_board_can_store() -> None:
    assert json.loads(wire.dump({"subject": "a\0b\ud800"})) == {"subject": "ab�"}
    assert wire.text([["id", "asc"]]) == '[["id","asc"]]'


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Changes(), []),
        (Changes(status=1, assignee=5, pod="pod-a", run="t", schedule_manually=True), []),
        (Changes(status=2), ["status"]),
        (Changes(assignee=6), ["assignee"]),
        (Changes(assignee=None), ["assignee"]),
        (Changes(pod="pod-b"), ["pod field"]),
        (Changes(run=""), ["run field"]),
        (Changes(schedule_manually=False), ["scheduleManually"]),
        (Changes(status=2, run="u"), ["status", "run field"]),
    ],
)
def test_what_the_board_dropped_in_silence_is_named(wanted: Changes, names: list[str]) -> None:
    answer = item(42, status=1, assignee=Principal("users", 5), pod="pod-a", run="t")
    assert wire.dropped(wanted, answer) == names


def test_an_assignee_that_was_cleared_was_not_dropped() -> None:
    assert wire.dropped(Changes(assignee=None), item(42)) == []


# -- errors ----------------------------------------------------------------------------------------------------------

URN = "urn:openproject-org:api:v3:errors:"


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (
            {
                "errorIdentifier": f"{URN}PropertyConstraintViolation",
                "message": "Subject can't be blank.",
                "_embedded": {"details": {"attribute": "subject"}},
            },
            ("Subject can't be blank.", "PropertyConstraintViolation", "subject"),
        ),
        ({"errorIdentifier": f"{URN}UpdateConflict", "message": "…"}, ("…", "UpdateConflict", "")),
        (
            {
                "errorIdentifier": f"{URN}MultipleErrors",
                "message": "Multiple field constraints have been violated.",
                "_embedded": {
                    "errors": [
                        {"message": "Type is bad.", "_embedded": {"details": {"attribute": "type"}}},
                        {"message": "Status is bad.", "_embedded": {"details": {"attribute": "status"}}},
                    ]
                },
            },
            (
                "Multiple field constraints have been violated. Type is bad. Status is bad.",
                "MultipleErrors",
                "type",
            ),
        ),
        ({"message": ["one", "two"], "errorIdentifier": None}, ("one; two", "", "")),
        ({"message": None, "errorIdentifier": f"{URN}NotFound"}, ("", "NotFound", "")),
        ({"errorIdentifier": f"{URN}NotFound"}, ("", "NotFound", "")),
        ({"message": "m", "_embedded": {"errors": [{}]}}, ("m", "", "")),
        ({"message": "x" * 1000}, ("x" * 500, "", "")),
    ],
)
def test_an_error_is_read_with_identifier_and_attribute(body: Any, read: tuple[str, str, str]) -> None:
    assert wire.error(json.dumps(body).encode()) == read


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", ""),
        (
            b"The provided content-type 'text/plain' is not supported.\n",
            "The provided content-type 'text/plain' is not supported.",
        ),
        (b"<html>502 Bad Gateway</html>", "<html>502 Bad Gateway</html>"),
        (b"[]", "[]"),
        (b'"no"', '"no"'),
        (b"null", "null"),
        (b"\xff\xfe", "��"),
        (b'{"message": {}', '{"message": {}'),
        (b'{"_embedded": []}', ""),
        (b'{"_embedded": [1]}', '{"_embedded": [1]}'),
        (b'{"_embedded": {"errors": {"a": 1}}}', '{"_embedded": {"errors": {"a": 1}}}'),
        (b'{"_embedded": {"errors": 5}}', '{"_embedded": {"errors": 5}}'),
        (b"[" * 100_000, "[" * 500),
        (b"y" * 1000, "y" * 500),
    ],
)
def test_an_error_that_does_not_parse_is_shown_as_it_is(body: bytes, message: str) -> None:
    assert wire.error(body) == (message, "", "")


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"id": 4', b"\xff", b'{"a": "\xff"}', b"[" * 100_000, b'"\\ud800"', b"1e", b"NaN"]
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed, match="The board's answer is not JSON"):
        wire.parse(body)


# -- any JSON at all -------------------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    [
        *("_links", "_embedded", "elements", "errors", "details", "attribute", "self", "href", "title", "id", "name"),
        *(
            "total",
            "pageSize",
            "groups",
            "count",
            "value",
            "valueLink",
            "message",
            "errorIdentifier",
            "subject",
            "type",
        ),
        *(
            "lockVersion",
            "description",
            "raw",
            "dueDate",
            "comment",
            "user",
            "from",
            "to",
            "project",
            "status",
            "parent",
        ),
        *("assignee", "ancestors", "children", "version", "priority", "author", "schema", "allowedValues", "position"),
        *("customField95", "customField96", "isClosed", "identifier", "_type", "login", "scheduleManually"),
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False)
    | st.text(max_size=10)
    | st.sampled_from(
        ["/api/v3/statuses/7", "/api/v3/work_packages/schemas/1-2", "2026-12-24", "User", f"{URN}NotFound"]
    )
)
ANY_JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=8),
    max_leaves=25,
)

READERS: dict[str, Callable[[Any], Any]] = {
    "page": wire.page,
    "total": wire.total,
    "identity": wire.identity,
    "work_package": lambda document: wire.work_package(document, FIELDS),
    "row": wire.row,
    "groups": wire.groups,
    "status": wire.status,
    "named": wire.named,
    "priorities": wire.priorities,
    "project": wire.project,
    "principal": wire.principal,
    "is_anonymous": wire.is_anonymous,
    "activity": wire.activity,
    "relation": wire.relation,
    "schema_fields": lambda document: wire.schema_fields(document, Fields("Agent pod", "Agent run")),
    "allowed_statuses": forms.allowed_statuses,
    "refusals": forms.refusals,
    "abilities": forms.abilities,
}


@st.composite
def spoilt(draw: st.DrawFn) -> Any:
    """A good document in which one place, at any depth, holds something else."""
    document: Any = json.loads(json.dumps(draw(st.sampled_from([WHOLE, SMALLEST]))))
    place = document
    while True:
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        inner = place[key]
        if isinstance(inner, dict | list) and inner and draw(st.booleans()):
            place = inner
            continue
        place[key] = draw(ANY_JSON)
        return document


@given(ANY_JSON)
@example({"groups": [{"count": 1, "_links": {"valueLink": {"a": 1}}}], "total": 1})
@example({"id": {"a": 1}, "_links": {"self": {"href": [1]}}})
@example({"customField95": {"name": [], "type": "String"}, "_links": {"self": {"href": "/schemas/1-2"}}})
@example({"total": 1e300, "_links": {"self": {"href": "/users/" + "9" * 5000}}})
@settings(max_examples=100)
def test_any_json_is_understood_or_malformed(document: Any) -> None:
    for name, read in READERS.items():
        try:
            read(document)
        except Malformed as error:
            assert name.replace("_", " ") in str(error)  # noqa: PT017 - either is fine, nothing else is


@given(spoilt())
@settings(max_examples=60)
def test_a_work_package_with_one_spoilt_place_is_understood_or_malformed(document: Any) -> None:
    for read in (READERS["work_package"], READERS["row"]):
        try:
            read(document)
        except Malformed as error:
            assert "holds no" in str(error)  # noqa: PT017 - either is fine, nothing else is


@given(st.binary(max_size=50) | ANY_JSON.map(lambda one: json.dumps(one).encode()))
@settings(max_examples=60)
def test_any_bytes_are_json_or_malformed_and_always_an_error_in_words(body: bytes) -> None:
    try:
        wire.parse(body)
    except Malformed as error:
        assert "not JSON" in str(error)  # noqa: PT017 - either is fine, nothing else is
    message, identifier, attribute = wire.error(body)
    assert len(message) <= 500
    assert isinstance(identifier, str)
    assert isinstance(attribute, str)


# -- what a real OpenProject said ------------------------------------------------------------------------------------


def exchanges() -> Iterator[tuple[str, Any]]:
    for path in sorted(RECORDED.glob("*.json")):
        for number, exchange in enumerate(json.loads(path.read_text(encoding="utf-8")).get("exchanges", [])):
            if "response" in exchange:
                yield f"{path.stem} {number}", exchange


def recorded(kind: str) -> list[tuple[str, Any]]:
    """The bodies of one `_type`, those inside collections too."""
    found = []
    for name, exchange in exchanges():
        body = exchange["response"].get("body")
        if isinstance(body, dict):
            embedded = body.get("_embedded")
            inner = embedded.get("elements", []) if isinstance(embedded, dict) else []
            found += [(name, one) for one in (body, *inner) if isinstance(one, dict) and one.get("_type") == kind]
    return found


needs_recordings = pytest.mark.skipif(not RECORDED.is_dir(), reason="no recorded exchanges next to the repository")


@needs_recordings
@pytest.mark.parametrize(
    ("kind", "read", "at_least"),
    [
        ("WorkPackage", READERS["work_package"], 50),
        ("Status", wire.status, 14),
        ("Type", wire.named, 8),
        ("Priority", wire.named, 4),
        ("Project", wire.project, 2),
        ("User", wire.principal, 5),
        ("Activity::Comment", wire.activity, 5),
        ("Relation", wire.relation, 5),
        ("Schema", READERS["schema_fields"], 1),
    ],
)
def test_what_a_real_openproject_sent_is_understood(kind: str, read: Callable[[Any], Any], at_least: int) -> None:
    documents = recorded(kind)
    assert len(documents) >= at_least
    for name, document in documents:
        assert read(document), name


@needs_recordings
def test_recorded_work_packages_say_what_their_documents_say() -> None:
    for name, document in recorded("WorkPackage"):
        read, links = wire.work_package(document, FIELDS), document["_links"]
        assert (read.id, read.lock_version, read.subject) == (
            document["id"],
            document["lockVersion"],
            document["subject"],
        ), name
        assert links["status"]["href"] == f"/api/v3/statuses/{read.status}", name
        assert links["type"]["href"] == f"/api/v3/types/{read.type}", name
        assert [one["href"].rpartition("/")[2] for one in links.get("ancestors", [])] == [
            str(one) for one in read.ancestors
        ], name
        assert (read.assignee is None) == (links["assignee"]["href"] is None), name
        assert read.has_fields == ("customField95" in document and "customField96" in document), name


@needs_recordings
def test_recorded_errors_have_words_and_an_identifier() -> None:
    seen = set()
    for name, exchange in exchanges():
        answer = exchange["response"]
        if answer["status"] < 400 or not answer.get("body"):
            continue
        body = answer["body"]
        message, identifier, attribute = wire.error((body if isinstance(body, str) else json.dumps(body)).encode())
        assert message, name
        assert identifier or isinstance(body, str), name
        seen.add((answer["status"], identifier, attribute))
    assert {(409, "UpdateConflict", ""), (404, "NotFound", ""), (422, "PropertyConstraintViolation", "status")} <= seen
    assert (415, "", "") in seen


@needs_recordings
def test_recorded_lists_pages_groups_and_forms_are_understood() -> None:
    grouped, selected, offered, pages = 0, 0, 0, 0
    for name, exchange in exchanges():
        body, query = exchange["response"].get("body"), exchange["request"].get("query") or {}
        if exchange["response"]["status"] != 200 or not isinstance(body, dict):
            continue
        if "groupBy" in query:
            grouped += sum(wire.groups(body).values())
        if exchange["request"]["path"].endswith("/form"):
            offered += len(forms.allowed_statuses(body))
        if isinstance(body.get("_embedded"), dict) and "elements" in body["_embedded"]:
            page = wire.page(body)
            pages += 1
            assert page.total >= len({wire.identity(one) for one in page.elements}), name
            if "elements/type" in query.get("select", ""):
                selected += len([wire.row(one) for one in page.elements])
    assert grouped >= 12
    assert selected >= 1
    assert offered >= 5
    assert pages >= 10


@needs_recordings
def test_the_recorded_account_is_not_anonymous() -> None:
    [(_, me), *_] = recorded("User")
    assert not wire.is_anonymous(me)
    assert wire.principal(me) == Principal("users", me["id"], "Coding Agent")
