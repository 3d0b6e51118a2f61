"""Whatever sees others' text takes 50 ms of processor for a mebibyte of its own worst words, and the loop does not notice."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import pytest

from agent.errors import TicketFailure
from agent.git.checks import read_markers
from agent.git.odd import leading_out, led_to, read_blobs
from agent.git.refs import names, trouble
from agent.texts import markup, outlet, prompt, told, trail
from agent.texts.clean import clean
from agent.texts.evidence import last_words, redactor
from agent.texts.rewrite import LONGEST
from agent.texts.shown import shown
from support import worst_words
from support.worst_words import LIMIT, LISTED_WORDS, MEBIBYTE

MOMENT = 0.25
"""Seconds of processor time for all that is done with a mebibyte: the loop may stand no longer."""
MARKER = "<!-- agent run=7f9c0d52-8a4e-4c11-9b5d-0123456789ab event=pushed -->"
SAMPLE = 32
"""The share of a mebibyte in which the dearest words are found; those alone are tried in full."""
DEAREST = 3


@pytest.mark.parametrize("expression", worst_words.expressions(), ids=lambda one: one.name)
def test_an_expression_takes_fifty_milliseconds_for_a_mebibyte_of_its_worst_words(expression: Any) -> None:
    costs = [worst_words.cost(expression, word, 1.0) for word in worst_words.words(expression, MEBIBYTE // SAMPLE)]
    dearest = sorted(range(len(costs)), key=costs.__getitem__)[-DEAREST:]
    for word in (word for number, word in enumerate(worst_words.words(expression)) if number in dearest):
        limit = LIMIT * worst_words.slowness()
        assert worst_words.cost(expression, word, limit) <= limit, word[:60]


LOOKS: dict[str, Callable[[str], object]] = {
    "redaction": redactor(["correct horse battery"]),
    "last words": lambda word: last_words(word.encode("utf-8", "replace"), redact=redactor()),
    "cleaning": clean,
    "a fence": markup.fence,
    "a quotation": outlet.quote,
    "a line": outlet.line,
    "a commit": lambda word: outlet.commit(word, word, {}),
    "a forge": outlet.forge,
    "a name": markup.code,
    "a link": lambda word: outlet.link("x", word),
    "what is shown of a text": lambda word: shown(f"<!-- x -->{word}", 48_000),
    "one line": markup.one_line,
    "the last lines": markup.last_lines,
    "a prompt": prompt.escape,
    "a note of the board": lambda word: trail.is_automatic_note(f"_{word}"),
    "a word that lets through": trail.push_of,
    "a comment of the fleet": lambda word: told.read(f"{word}\n\n{word}\n\n{MARKER}"),
    "names": lambda word: names([word]),
    "a remote's words": lambda word: trouble("x", word),
    "git's markers": lambda word: list(read_markers(word.encode("utf-8", "replace"))),
    "a link's target": lambda word: leading_out({"a": word, "b": word}),
    "what a link leads to": lambda word: followed({"a": word, "b": word}),
}


def followed(targets: dict[str, str]) -> set[str]:
    """Where they lead; nowhere, where that cannot be found out."""
    with contextlib.suppress(TicketFailure):
        return led_to(targets, targets)
    return set()


@pytest.mark.parametrize("look", LOOKS)
def test_a_mebibyte_of_anything_is_done_with_in_a_moment(look: str) -> None:
    late = []
    for piece in LISTED_WORDS:
        word = (piece * MEBIBYTE)[:MEBIBYTE]
        began = time.process_time()
        LOOKS[look](word)
        if time.process_time() - began > MOMENT:
            late.append(piece)
    assert not late


def test_many_links_are_looked_at_in_a_moment() -> None:
    count = 20_000
    raw = b"".join(b"%040d blob 3\n../\n" % number for number in range(count))
    began = time.process_time()
    targets = read_blobs(raw, {f"a/{number}": "" for number in range(count)})
    assert not leading_out(targets)
    assert time.process_time() - began < MOMENT


def test_links_that_lead_through_each_other_end_and_are_refused() -> None:
    chain = {f"l{number}": "/".join([f"l{number + 1}"] * 400) for number in range(200)}
    began = time.process_time()
    assert leading_out(chain), "they cannot be followed, so they are no part of a tree that a run works in"
    assert time.process_time() - began < 8 * MOMENT
    began = time.process_time()
    with pytest.raises(TicketFailure, match="cannot be found out"):
        led_to(chain, chain)
    assert time.process_time() - began < 8 * MOMENT


def test_links_below_links_are_each_followed_once() -> None:
    deep = {f"{'x/' * folders}l{number}": f"t{number}" for folders in range(1, 99) for number in range(50)}
    ways = {f".github/{folders}": f"../{'x/' * folders}" for folders in range(1, 99)}
    began = time.process_time()
    assert len(led_to(deep | ways, ways)) == 2 * len(ways) + 2 * len(deep)
    assert time.process_time() - began < 8 * MOMENT


WORST = ("a|" * 400 + "\n" + "-|" * 400 + "\n" + "x\n" * 3200, "[" * LONGEST, "`a``" * 2000, "*a" * 4000, "> - " * 2000, "<!--" * 2000, "&" * LONGEST, "![](" * 2000, "://" * 2600, "a." * 4000, "@user#" * 1300)  # fmt: skip


@pytest.mark.parametrize("number", range(len(WORST)))
def test_the_worst_text_costs_little(number: int) -> None:
    whole = WORST[number] * 100
    for write in (outlet.quote, outlet.line, outlet.forge, lambda text: outlet.commit(text, text, {})):
        assert any(seconds(write, whole) < 0.25 for _ in range(3))


def seconds(write: Callable[[str], object], text: str) -> float:
    began = time.process_time()
    write(text)
    return time.process_time() - began
