"""Text that the board can store: a NUL or an invalid byte is a 500 there, a lone surrogate a 400."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.text import clean, clean_all

ANY_TEXT = st.text(st.characters(), max_size=50)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("", ""),
        ("Ünïcödé 😀\twith a tab\nand a line", "Ünïcödé 😀\twith a tab\nand a line"),
        ("a\0b", "a�b"),
        ("a\ud800b", "a�b"),
        ("a\udfff", "a�"),
        ("\x1b[31mred", "�[31mred"),
        ("bell\x07 del\x7f", "bell� del�"),
        ("one\r\ntwo", "one\r\ntwo"),
    ],
)
def test_what_the_board_refuses_becomes_a_replacement_character_and_the_rest_stays(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(ANY_TEXT)
@settings(max_examples=200)
def test_a_cleaned_text_can_be_sent_and_stored_and_is_not_cleaned_further(text: str) -> None:
    cleaned = clean(text)
    assert "\0" not in cleaned
    assert cleaned.encode().decode() == cleaned
    assert clean(cleaned) == cleaned
    assert len(cleaned) == len(text)


@given(JSON)
def test_every_text_of_a_body_is_clean_and_its_shape_is_kept(body: Any) -> None:
    cleaned = clean_all(body)
    assert type(cleaned) is type(body)
    assert cleaned == clean_all(cleaned)
    if not isinstance(body, str | list | dict):
        assert cleaned == body


def test_a_body_is_cleaned_at_any_depth_and_tuples_become_lists() -> None:
    body = {"subject": "a\0", "_links": {"x": ("b\ud800", 1, None)}, "n": 1.5}
    assert clean_all(body) == {"subject": "a�", "_links": {"x": ["b�", 1, None]}, "n": 1.5}
    assert msgspec.json.encode(clean_all(body))
