"""The board's pure parts."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.server import access, body, call, hal, params, working_days
from agent.server.errors import ApiError


@pytest.mark.parametrize(
    ("name", "internal"),
    [
        ("assignee", "assignee"),
        ("assigned_to_id", "assignee"),
        ("assignedTo", "assignee"),
        ("status_id", "status"),
        ("updatedAt", "updated_at"),
        ("dueDate", "due_date"),
        ("id", "id"),
        ("customField12", "cf_12"),
        ("custom_field_12", "cf_12"),
        ("cf_12", "cf_12"),
    ],
)
def test_names_of_filters_are_brought_to_one_spelling(name: str, internal: str) -> None:
    assert params.internal_name(name) == internal


@pytest.mark.parametrize(
    ("start", "due", "duration"),
    [
        ("2026-12-01", "2026-12-04", "P4D"),
        ("2026-12-04", "2026-12-07", "P2D"),
        ("2026-12-05", "2026-12-06", "P1D"),
        (None, "2026-12-04", None),
        ("2026-12-01", None, None),
    ],
)
def test_a_duration_counts_working_days(start: str | None, due: str | None, duration: str | None) -> None:
    assert working_days.duration(start, due) == duration


def test_working_days_leave_out_the_weekend() -> None:
    assert working_days.on_or_after("2026-12-05") == "2026-12-07"
    assert working_days.on_or_after("2026-12-07") == "2026-12-07"
    assert working_days.after("2026-12-04") == "2026-12-07"
    assert working_days.after("2026-12-04", 6) == "2026-12-14"


@given(st.binary())
def test_a_body_is_parsed_or_refused(raw: bytes) -> None:
    with contextlib.suppress(ApiError):
        body.parse(raw)


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), st.lists, max_leaves=5))
def test_json_is_read_as_json(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    if "\0" not in text:
        assert body.parse(text.encode()) == value


def test_json_is_read_as_deep_as_people_write_it_and_refused_beyond() -> None:
    assert str(body.parse(b"[" * 10 + b"]" * 10)) == "[" * 10 + "]" * 10
    with pytest.raises(ApiError):
        body.parse(b"[" * 100_000 + b"]" * 100_000)


@given(st.text())
def test_whatever_a_text_holds_its_html_has_no_tags_of_it(raw: str) -> None:
    document = hal.formattable(raw)
    assert document["raw"] == raw
    assert "<" not in document["html"].replace('<p class="op-uc-p">', "").replace("</p>", "")


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("1", True), ("0", True), ("-1", False), ("1.5", False), ("²", False), ("9" * 30, False), ("", False)],
)
def test_what_may_be_an_id(text: str, is_one: bool) -> None:
    assert call.is_id(text) == is_one


@pytest.mark.parametrize("credentials", ["é", "\xc3\xa9", "a", "====", "/w==", ""])
def test_credentials_that_are_none_are_nobodys(credentials: str) -> None:
    """T8: beyond ASCII they were an error of the server, before sign-in, with a traceback in the log for each."""
    assert access._token(f"Basic {credentials}") is None
