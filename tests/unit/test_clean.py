"""Text fit for the board: a NUL or an invalid byte is a 500 there, a lone surrogate a 400."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.texts.clean import clean, clean_all

ANY_TEXT = st.text(st.characters() | st.sampled_from("\x00\x1b[]\\\r\n\t\x07\ud800\udfff\x85"), max_size=50)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("", ""),
        ("Ünïcödé 🎉\twith a tab\nand a line", "Ünïcödé 🎉\twith a tab\nand a line"),
        ("a\0b", "ab"),
        ("half \ud83d of it", "half \ufffd of it"),
        ("a\udfff\ud800", "a\ufffd\ufffd"),
        ("one\r\ntwo\rthree\n\r", "one\ntwo\nthree\n\n"),
        ("bell\x07 del\x7f next\x85 line", "bell del next line"),
        ("\x1b[1;31mred\x1b[0m \x1b]8;;https://x\x07link\x1b]8;;\x1b\\", "red link"),
        ("\x1b(Bplain\x1b7\x1b>", "plain"),
        ("\x1b]0;a title that never ends", "0;a title that never ends"),
        ("\x1b", ""),
        ("\x1b[31", "31"),
    ],
)
def test_what_people_read_stays_and_everything_else_goes(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(ANY_TEXT)
@settings(max_examples=200)
def test_a_cleaned_text_can_be_sent_and_stored_and_is_not_cleaned_further(text: str) -> None:
    cleaned = clean(text)
    assert cleaned.encode().decode() == cleaned
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", cleaned)
    assert clean(cleaned) == cleaned


@given(JSON)
def test_every_text_of_a_body_is_clean_and_its_shape_is_kept(body: Any) -> None:
    cleaned = clean_all(body)
    assert type(cleaned) is type(body)
    assert cleaned == clean_all(cleaned)
    if not isinstance(body, str | list | dict):
        assert cleaned == body


def test_a_body_is_cleaned_at_any_depth_and_tuples_become_lists() -> None:
    body = {"subject": "a\0", "_links": {"x": ("b\ud800", 1, None)}, "n": 1.5}
    assert clean_all(body) == {"subject": "a", "_links": {"x": ["b�", 1, None]}, "n": 1.5}
    assert msgspec.json.encode(clean_all(body))
