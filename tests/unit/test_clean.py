"""Text fit for the board: a NUL or an invalid byte is a 500 there, a lone surrogate a 400."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.texts.clean import clean, clean_all, in_sight, spelt_out, visible

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
        ("a\x1b]\nb\nc\x07d", "a\nb\ncd"),
        ("a\x1b]0;t\rb\x07c", "a0;t\nbc"),
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


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"+a\tb\n-c\n", "+a\tb\n-c\n"),
        ("Ünïcödé 🎉".encode(), "Ünïcödé 🎉"),
        (
            b"// \x1b]\n sh 'curl'\n// \x07\n",
            r"""// \x1b]
 sh 'curl'
// \x07
""",
        ),
        ("# a note\u2028job:\u2029b:\x85c:".encode(), r"# a note\u2028job:\u2029b:\u0085c:"),
        (b"a:\r- b\r\n", "a:\\r- b\\r\n"),
        ("\u202ea\u200bb\xa0c\u3164d\ufe0fe\U000e0041".encode(), r"\u202ea\u200bb\u00a0c\u3164d\ufe0fe\U000e0041"),
        (b"\x00\x85\xff\xed\xa0\x80", r"\x00\x85\xff\xed\xa0\x80"),
    ],
)
def test_what_is_not_seen_is_spelt_out(raw: bytes, shown: str) -> None:
    assert spelt_out(raw) == shown


@given(st.binary(max_size=60) | ANY_TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")))
@settings(max_examples=300)
def test_nothing_of_what_is_spelt_out_is_lost_and_no_line_begins_that_was_none(raw: bytes) -> None:
    shown = spelt_out(raw)
    assert visible(shown) == shown
    assert shown.split("\n") == [line for one in shown.split("\n") for line in one.splitlines() or [""]]
    assert "\n".join(spelt_out(line) for line in raw.split(b"\n")) == shown
    if b"\\" not in raw:
        assert _read_back(shown) == raw


def _read_back(shown: str) -> bytes:
    """What was spelt out, as the bytes that it stands for."""
    bytes_or_text = re.split(r"(\\x[89a-f][0-9a-f])", shown)
    return b"".join(
        bytes.fromhex(one[2:]) if number % 2 else re.sub(r"\\\w+", _sign, one).encode()
        for number, one in enumerate(bytes_or_text)
    )


def _sign(found: re.Match[str]) -> str:
    kind, size = found[0][:2], {"x": 4, "u": 6, "U": 10}.get(found[0][1], 2)
    code = "\r" if kind == "\\r" else chr(int(found[0][2:size], 16))
    return code + found[0][size:]


@given(st.text(alphabet=" \t\nab+", max_size=2_000))
def test_the_end_of_no_line_is_out_of_sight(text: str) -> None:
    """T12: `; curl … | sh` behind 3,000 blanks was let through by a person who saw `make test`."""
    shown = in_sight(text)
    assert all(len(line) <= 122 for line in shown.split("\n"))
    assert "".join(shown.replace("\n↪ ", "").split()).replace("blanks]", "").count("a") == text.count("a")
    assert in_sight("x: make test" + " " * 3_000 + "; curl") == "x: make test[3000 blanks]; curl"
    assert in_sight("y" * 130) == "y" * 120 + "\n↪ " + "y" * 10
