"""How long a search takes a board, whatever the texts and words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agent import server
from agent.server import filter_texts, store
from agent.server.attributes import LONGEST_TEXT
from agent.server.errors import ApiError
from agent.server.params import Filter

ALLOWED = 0.1
LATE = 0.25
BACKLOG = '[[projects]]\nidentifier = "shop"\nname = "Shop"\n' + "".join(
    f'[[work_packages]]\nkey = "{number}"\nsubject = "Number {number}"\n' for number in range(10)
)
WORDS = " ".join(f"é{number:03d}" for number in range(100))
WORST = {
    "many words": (f"{'x' * 900_000} {WORDS}", WORDS),
    "one word that begins everywhere": ("a" * LONGEST_TEXT, f"{'a' * 5_000}b"),
}


@pytest.fixture(scope="module", params=list(WORST.values()), ids=list(WORST))
def board(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[store.Store, str]]:
    """A board whose ten descriptions and comments are as long as they may be, and what is looked for in them."""
    folder = tmp_path_factory.mktemp("searched")
    text, words = request.param
    server.create(folder)
    server.import_backlog(folder, BACKLOG)
    opened = store.Store(folder)
    with opened.transaction(write=True) as db:
        db.run("UPDATE work_packages SET description = ?", text)
        db.run("UPDATE journals SET notes = ?", text)
    yield opened, words
    opened.close()


@pytest.mark.parametrize("asked", ["description ~", "description !~", "comment ~", "search **", "typeahead **"])
def test_no_search_takes_longer_than_it_may_however_long_the_texts_are(
    board: tuple[store.Store, str], asked: str
) -> None:
    """T1, T8: to SQLite a look into a text is one step, so that a hundred words in ten texts of a megabyte took 45 s."""
    opened, words = board
    name, operator = asked.split()
    condition, values = filter_texts.condition(Filter(name=name, operator=operator, values=(words,)))
    began = time.thread_time()
    with suppress(ApiError), opened.transaction(write=False, seconds=ALLOWED) as db:
        db.rows(f"SELECT id FROM work_packages WHERE {condition}", *values)
    assert time.thread_time() - began < ALLOWED + LATE


def test_a_search_that_was_stopped_says_so_and_the_next_one_is_answered(board: tuple[store.Store, str]) -> None:
    opened, words = board
    look = "SELECT count(*) FROM work_packages WHERE contains(description, ?)"
    with pytest.raises(ApiError) as caught, opened.transaction(write=False, seconds=0) as db:
        db.value(look, words)
    assert "it takes more than 0 s: ask for less at once" in caught.value.document("en")["message"]
    with opened.transaction(write=False, seconds=2) as db:
        assert db.value(look, words[:4])


@pytest.mark.parametrize("found", ["GrÖsse", "100%", "a_b", "größe", "a\\b", "100% größe a_b"])
def test_words_are_found_whatever_their_case_and_mean_themselves(tmp_path: Path, found: str) -> None:
    server.create(tmp_path)
    server.import_backlog(tmp_path, BACKLOG)
    opened = store.Store(tmp_path)
    with opened.transaction(write=True) as db:
        db.run("UPDATE work_packages SET description = '100% A_B a\\b GRÖSSE' WHERE subject = 'Number 3'")
        db.run("UPDATE work_packages SET description = '1000 axb GROSSE' WHERE subject = 'Number 4'")
        condition, values = filter_texts.condition(Filter(name="description", operator="~", values=(found,)))
        assert db.column(f"SELECT subject FROM work_packages WHERE {condition}", *values) == ["Number 3"]
    opened.close()
