"""Questions to the board's lists: what is written into the URL is what the board reads out of it."""

import base64
import json
import zlib
from urllib.parse import parse_qs, parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.board import query
from agent.board.query import LONGEST_QUERY, Filter

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ([], "[]"),
        ([None], "[]"),
        ([query.one_of("status", [7, 7, 3])], '[{"status":{"operator":"=","values":["3","7"]}}]'),
        ([query.none_of("ancestor", {12})], '[{"ancestor":{"operator":"!","values":["12"]}}]'),
        ([query.none_of("ancestor", [])], "[]"),
        ([query.contains("customField96", "@")], '[{"customField96":{"operator":"~","values":["@"]}}]'),
        ([query.is_open()], '[{"status":{"operator":"o","values":[]}}]'),
        (
            [query.one_of("type", [1]), None, query.none_of("id", [2])],
            '[{"type":{"operator":"=","values":["1"]}},{"id":{"operator":"!","values":["2"]}}]',
        ),
    ],
)
def test_filters_are_written_the_way_the_board_reads_them(asked: list[Filter | None], answer: str) -> None:
    assert query.encode(asked) == answer


def test_an_empty_list_cannot_be_asked_for() -> None:
    """`values: []` of an equals filter is a 400 for the whole query."""
    with pytest.raises(ValueError, match="status = nothing matches nothing: do not ask"):
        query.one_of("status", [])


@given(st.lists(st.one_of(st.integers(), TEXTS), min_size=1))
def test_values_are_always_strings_each_once_in_one_order(values: list[int | str]) -> None:
    """The same question makes the same URL, so that a recorded count of requests stays true."""
    name, operator, texts = query.one_of("id", values)
    assert (name, operator) == ("id", "=")
    assert texts == tuple(sorted({str(one) for one in values}))
    assert query.one_of("id", reversed(values))[2] == texts
    assert query.none_of("id", values) == ("id", "!", texts)


@given(st.dictionaries(TEXTS.filter(bool), TEXTS.filter(bool), max_size=5))
def test_a_short_query_string_reads_back_the_same(parameters: dict[str, str]) -> None:
    assert dict(parse_qsl(query.query_string(parameters), strict_parsing=bool(parameters))) == parameters


@given(st.integers(0, 10**9), st.integers(1, 400))
@settings(max_examples=50)
def test_a_query_is_packed_exactly_where_it_would_grow_too_long(first: int, count: int) -> None:
    parameters = {"filters": query.encode([query.none_of("id", range(first, first + count))]), "pageSize": "1000"}
    sent = query.query_string(parameters)
    assert len(sent) <= LONGEST_QUERY
    found = {name: values[0] for name, values in parse_qs(sent).items()}
    if "eprops" in found:
        assert list(found) == ["eprops"]
        found = json.loads(zlib.decompress(base64.b64decode(found["eprops"], validate=True)))
    assert found == parameters


def test_the_border_between_plain_and_packed_is_sharp() -> None:
    assert query.query_string({"a": "x" * (LONGEST_QUERY - 2)}).startswith("a=x")
    assert query.query_string({"a": "x" * (LONGEST_QUERY - 1)}).startswith("eprops=")


def test_two_thousand_ids_fit_into_what_a_web_server_takes() -> None:
    """About 10 kB is where the real one answers 400 with an empty body (reference, 1.6)."""
    scattered = [100_000 + 37 * one % 99_991 for one in range(2_000)]
    assert len(query.query_string({"filters": query.encode([query.none_of("id", scattered)])})) < 10_000
