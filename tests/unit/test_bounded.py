"""Others' text is looked at in time that is in proportion to it, and no more of it than was said."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

import agent
from agent.git.refs import names
from agent.server import bounded as server
from agent.texts import bounded
from agent.texts.bounded import Every, Search, Start, Unreadable, Whole, from_json, from_toml, nearest
from support import worst_words
from support.worst_words import MEBIBYTE

SMALL = 4 * 1024
"""Characters. A word of a mebibyte takes 256 times as long, or 65,536 times where the time goes by the square."""
SOON = 0.002
"""Seconds of processor time for such a word: ten times what the dearest takes, and a fraction of what a square does."""
MOMENT = 0.25
"""Seconds of processor time for all that is done with a mebibyte: the loop may stand no longer."""


def slow(expression: Any) -> bool:
    return any(worst_words.cost(expression, word, SOON) > SOON for word in worst_words.words(expression, SMALL))


def test_no_expression_takes_longer_for_a_text_than_in_proportion_to_it() -> None:
    # Words of a mebibyte are tried in `tests/integration/test_worst_words.py`; here all is found but a bad constant.
    assert not [one.name for one in worst_words.expressions() if slow(one)]


@pytest.mark.parametrize(
    ("kind", "expression"),
    [
        (Every, r"(?i)\b[a-z]*token[a-z]*\s*="),
        (Search, r"<!--.*?-->"),
        (Whole, r"_\w*\d*_"),
    ],
)
def test_the_worst_words_show_what_steps_back(kind: Any, expression: str) -> None:
    one = kind("a test", expression, sees="a test")
    bounded._LISTED.remove(one)
    assert slow(one)


def test_whatever_reads_text_around_the_owners_says_whose_text_it_is() -> None:
    root = Path(agent.__file__).parent
    found = [(file, name) for file, name in worst_words.uses(root) if name not in bounded.WRITERS]
    known = {place: [one for one in found if one[0].startswith(place)] for place in bounded.ELSEWHERE}
    assert [one for one in found if not one[0].startswith(tuple(known))] == [], (
        "ask agent.texts.bounded, or the server's"
    )
    assert [place for place, uses in known.items() if not uses] == [], "there is nothing of it any more"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import re\nre.compile('a')\nx: re.Pattern[str]", {"re.compile"}),
        ("import re as words\nwords.sub", {"re.sub"}),
        ("from re import search as look", {"re.search"}),
        ("def f():\n    import json\n    return json.loads", {"json.loads"}),
        ("import urllib.parse\nurllib.parse.unquote(x)", {"urllib.parse.unquote"}),
        ("from urllib import parse\nparse.urlsplit(x)", {"urllib.parse.urlsplit"}),
        ("import msgspec\nmsgspec.json.decode(x); msgspec.convert(x)", {"msgspec.json.decode"}),
        ("from .re import compile", set()),
    ],
)
def test_a_use_is_found_under_whatever_name(source: str, found: set[str]) -> None:
    assert worst_words.used(source) == found


def test_what_is_beyond_the_longest_is_not_looked_at() -> None:
    whole = Whole("a test", "a+", sees="a test", longest=3)
    start = Start("a test", "a+", sees="a test", longest=3)
    search = Search("a test", "a+", sees="a test", longest=3)
    every = Every("a test", "a+", sees="a test", longest=3)
    del bounded._LISTED[-4:]
    assert whole.match("aaa")
    assert whole.match("aaaa") is None
    assert (found := start.match("baaaaa", 1))
    assert found[0] == "aaa"
    assert search.first("bbba") is None
    assert search.first("bba", 2)
    assert every.replaced("babbb", "c") == "bcb"
    assert [found[0] for found in every.all("ababab")] == ["a", "a"]


def test_a_name_in_a_sentence_is_short_and_the_rest_is_counted() -> None:
    said = names(f"{number:06}" + "x" * 400 for number in range(12_000))
    assert len(said) < 1_200
    assert said.endswith(" and 11995 more")


# --- documents ----------------------------------------------------------------------------------------------------

TOML = {
    "digits": "x = " + "9" * 5_000,
    "a dotted key": "a." * 30_000 + "a = 1",
    "dotted keys": ("a." * 200 + "a = 1\n") * 150,
    "a dotted table": "[" + "a." * 30_000 + "a]",
    "keys in a deep table": "[" + "a." * 249 + "a]\n" + "".join(f"{number}=1\n" for number in range(10_000)),
    "keys in a deep list": "[[" + "a." * 249 + "a]]\n" + "".join(f"{number}=1\n" for number in range(10_000)),
    "dotted keys in a deep table": " ["
    + "a." * 200
    + "a]\n"
    + "".join(f"{number}.b.b.b=1\n" for number in range(5_000)),
    "dotted keys in a list": "x = [" + ("{" + "a." * 60 + "a=1}, ") * 450 + "]",
    "depth": "x = " + "[" * 30_000,
    "tables": "x = " + "{a=" * 15_000,
    "no moment": "x = 2024-02-31T25:61:61+99:99",
    "no character": 'x = "\\ud800"',
    "a control character": 'x = "\x00"',
    "a lone surrogate": "x = \ud800",
}
JSON: dict[str, bytes | str] = {
    "objects": b"[" + b"{}," * 2_000_000 + b"{}]",
    "lists": b"[" * 2_000_000,
    "numbers": b"[" + b"1," * 5_000_000 + b"1]",
    "digits": b"1" * 1_000_000,
    "an exponent": b"[1e999999999]",
    "depth": b'{"a":' * 100_000,
    "no text": b'["\xff\xfe"]',
    "half a character": b'"\\ud800"',
    "nothing": b"",
    "a name twice": b'{"a":1,"a":' + b"[" * 600_000,
    "no encoding": "\ud800",
}


@pytest.mark.parametrize("name", TOML)
def test_hostile_toml_is_refused_with_a_word_and_soon(name: str) -> None:
    for parse in (partial(from_toml, longest=64 * 1024), server.from_toml):
        began = time.process_time()
        with pytest.raises((Unreadable, server.Unreadable), match=r"\w"):
            parse(TOML[name])
        assert time.process_time() - began < MOMENT


def test_toml_that_people_write_is_read_however_long_its_lines_are() -> None:
    prose = "See a.b.c, and the file x.toml. " * 100
    commands = ", ".join(f'"pytest tests/test_{number}.py"' for number in range(200))
    text = f'notes = """\n{prose}\n{prose}\n"""\n[verify]\ncommands = [{commands}]\n'
    assert from_toml(text, longest=64 * 1024)["verify"]["commands"][199] == "pytest tests/test_199.py"
    deep = "".join(f"[a.b.c.d{number}]\nkey.word = 1.5\n" for number in range(1_500))
    assert len(from_toml(deep, longest=64 * 1024)["a"]["b"]["c"]) == 1_500


@pytest.mark.parametrize("name", JSON)
def test_hostile_json_is_refused_with_a_word_or_is_a_number_and_soon(name: str) -> None:
    began = time.process_time()
    value = None
    with contextlib.suppress(Unreadable):
        value = from_json(JSON[name], longest=32 * MEBIBYTE)
    assert not isinstance(value, dict | list)
    assert time.process_time() - began < MOMENT


def test_brackets_and_commas_in_a_text_are_no_values() -> None:
    text = '[{,"\\' * 400_000
    raw = msgspec.json.encode({"description": {"raw": text}, "more": [1, 2]})
    assert from_json(raw, longest=32 * MEBIBYTE)["description"]["raw"] == text
    with pytest.raises(Unreadable, match=r"^it holds more values, or longer numbers, than"):
        from_json(raw[:-1] + b',"x":[' + b"[]," * 400_000 + b"0]}", longest=32 * MEBIBYTE)


def test_what_is_longer_than_its_kind_may_be_is_refused_by_its_length() -> None:
    with pytest.raises(Unreadable, match=r"^it is longer than 1 KiB$"):
        from_json(b" " * 1025, longest=1024)
    with pytest.raises(Unreadable, match=r"^it is longer than 2 MiB$"):
        from_toml("\n" * (2 * MEBIBYTE + 1), longest=2 * MEBIBYTE)


def test_a_word_that_was_meant_is_found_however_long_the_other_is() -> None:
    assert nearest("verfy", ("notes", "verify")) == "verify"
    assert nearest("a" * MEBIBYTE, ("notes", "verify")) == ""


@pytest.mark.parametrize("address", ["http://[::1", "http://a\u2100b/"])
def test_an_address_that_is_none_is_said_to_be_none(address: str) -> None:
    with pytest.raises(Unreadable):
        bounded.split_url(address)
