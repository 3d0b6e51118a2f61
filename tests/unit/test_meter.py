"""What answers count, whatever they look like, and when a budget is spent."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.relay import meter
from agent.relay.meter import Budget, Meter, Prices, Usage, after, cost, exceeded

PRICES = Prices(input=3.0, output=15.0, cache_read=0.3, cache_write=3.75)
BUDGET = Budget(tokens=2_000_000, turns=200, usd=20.0)
COUNTS = {
    "input_tokens": 100,
    "output_tokens": 20,
    "cache_read_input_tokens": 3000,
    "cache_creation_input_tokens": 400,
}
COUNTED = Usage(input_tokens=100, output_tokens=20, cache_read_tokens=3000, cache_write_tokens=400)


def event(kind: str, end: str = "\n", **fields: Any) -> bytes:
    return f"event: {kind}{end}data: {json.dumps({'type': kind, **fields})}{end}{end}".encode()


def start(**usage: Any) -> bytes:
    return event("message_start", message={"type": "message", "content": [], "usage": usage})


def piece(text: str = "x") -> bytes:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


def finish(**usage: Any) -> bytes:
    return event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage)


STREAM = b"".join(
    [
        start(**{**COUNTS, "output_tokens": 1}),
        b": ping\n\n",
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        piece("one"),
        event("ping"),
        piece("two\n\ndata: {}\n\n"),
        event("content_block_stop", index=0),
        finish(output_tokens=20),
        event("message_stop"),
    ]
)


def read(raw: bytes, *sizes: int) -> Meter:
    found = Meter()
    for size in sizes:
        found.feed(raw[:size])
        raw = raw[size:]
    found.feed(raw)
    found.close()
    return found


# --- what is counted ---


def test_a_stream_counts_what_its_start_and_its_end_say_and_nothing_twice() -> None:
    assert read(STREAM).seen == COUNTED


def test_an_end_that_repeats_all_counts_does_not_add_to_them() -> None:
    assert read(start(**COUNTS) + finish(**COUNTS) + finish(**COUNTS)).seen == COUNTED


def test_the_last_count_of_the_output_is_the_one_that_holds() -> None:
    assert read(start(output_tokens=1) + finish(output_tokens=7) + finish(output_tokens=20)).seen.output_tokens == 20


def test_a_document_counts_its_usage() -> None:
    document = {"type": "message", "content": [{"type": "text", "text": "data: {}"}], "usage": COUNTS}
    for raw in (json.dumps(document), json.dumps(document, indent=2), "\r\n " + json.dumps(document)):
        assert read(raw.encode()).seen == COUNTED


def test_a_stream_that_breaks_off_counts_what_was_seen_and_a_token_for_each_piece() -> None:
    raw = start(**{**COUNTS, "output_tokens": 1}) + 5 * piece()
    assert read(raw).seen == read(raw + b'data: {"type":"message_delta","usage":{"outp').seen
    assert read(raw).seen.output_tokens == 5
    assert read(raw).seen.input_tokens == 100


def test_an_end_without_its_blank_line_counts() -> None:
    assert read(start(**COUNTS) + finish(output_tokens=500).rstrip()).seen.output_tokens == 500


def test_many_pieces_of_few_tokens_are_worth_less_than_the_apis_own_count() -> None:
    assert read(start(output_tokens=1) + 50 * piece() + finish(output_tokens=12)).seen.output_tokens == 12


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_in_any_of_the_three_ways_and_data_may_have_several(end: str) -> None:
    raw = f'data: {{"type": "message_start",{end}data: "message": {{"usage": {{"input_tokens": 9}}}}}}{end}{end}'
    assert read(raw.encode()).seen.input_tokens == 9


def test_an_error_event_is_told_and_what_came_before_it_counts() -> None:
    found = read(start(**COUNTS) + event("error", error={"type": "overloaded_error", "message": "busy"}))
    assert (found.error, found.begun, found.seen) == ("overloaded_error", True, COUNTED)


def test_an_error_instead_of_a_message_is_no_beginning() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    for raw in (event("error", error=error["error"]), json.dumps(error).encode()):
        found = read(raw)
        assert (found.error, found.begun, found.seen) == ("overloaded_error", False, Usage())


@pytest.mark.parametrize(
    "value", [None, True, -5, "7", [], {}, 0, -1e300], ids=["null", "true", "-5", "text", "list", "table", "0", "-1e300"]
)  # fmt: skip
def test_a_count_that_is_none_counts_nothing_and_spoils_nothing(value: Any) -> None:
    assert read(start(input_tokens=value, output_tokens=4)).seen == Usage(output_tokens=4)


def test_a_count_beyond_all_measure_is_bounded_and_can_be_priced() -> None:
    found = read(f'{{"usage": {{"input_tokens": {"9" * 400}, "output_tokens": 1e300}}}}'.encode()).seen
    assert found.input_tokens in (0, meter.MOST_IN_ONE)  # the reader of JSON may refuse the number
    assert math.isfinite(cost(found, PRICES))


def test_an_event_past_reading_is_passed_over_and_the_next_one_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "LONGEST_EVENT", 1000)
    long = b"data: " + 5000 * b"x" + b"\n\n"
    for sizes in ((), (10,), (1500,), (1500, 1500, 2000), tuple([7] * 700)):
        assert read(long + start(input_tokens=3), *sizes).seen.input_tokens == 3


# --- in whatever pieces ---


@given(st.lists(st.integers(0, 60)))
def test_any_chunking_of_a_stream_gives_the_same_usage(sizes: list[int]) -> None:
    assert read(STREAM, *sizes).seen == COUNTED


usages = st.dictionaries(st.sampled_from([*COUNTS, "other"]), st.integers(-5, 10**6) | st.none() | st.text(max_size=3))
parts = st.one_of(
    usages.map(lambda usage: start(**usage)),
    usages.map(lambda usage: finish(**usage)),
    st.text(max_size=20).map(piece),
    st.sampled_from([b"\n", b"\r", b"\r\n", b"data:", b"data: {", b": c\n", b"data: 1\r\n\r", b"\xff\xfe"]),
    st.binary(max_size=30),
    st.sampled_from([event("error", error={"type": "x"}), event("error", error=3), event("ping", "\r\n")]),
)


@given(st.lists(parts, max_size=12).map(b"".join), st.lists(st.integers(0, 40), max_size=30))
def test_any_chunking_of_anything_gives_the_same_usage_and_never_raises(raw: bytes, sizes: list[int]) -> None:
    whole, cut = read(raw), read(raw, *sizes)
    assert (whole.seen, whole.begun, whole.error) == (cut.seen, cut.begun, cut.error)


@given(st.lists(parts, max_size=12).map(b"".join), st.lists(parts, max_size=5).map(b"".join))
def test_what_was_counted_is_never_taken_back_but_for_the_estimate(raw: bytes, more: bytes) -> None:
    found = Meter()
    found.feed(raw)
    before = found._counted
    found.feed(more)
    found.close()
    assert found.seen.tokens >= before.tokens


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["type", "usage", "message", "error", "output_tokens"]), inner)))  # fmt: skip
def test_no_json_of_any_shape_makes_it_raise(value: Any) -> None:
    raw = json.dumps(value).encode()
    for kind in ("message_start", "message_delta", "error"):
        read(raw)
        read(b"data: " + raw + b"\n\n")
        read(event(kind, message=value, usage=value, error=value))


def test_json_nested_without_end_does_not_make_it_raise() -> None:
    for raw in (b"[" * 100_000, b'{"a":' * 100_000, b'data: {"usage":' + b"[" * 100_000 + b"\n\n"):
        assert read(raw).seen == Usage()


# --- money and budget ---


def test_usage_adds_up_over_requests_and_each_is_a_turn() -> None:
    usage = after(after(Usage(), COUNTED, PRICES), COUNTED, PRICES)
    assert usage.turns == 2
    assert usage.tokens == 2 * 3520
    assert usage.usd == pytest.approx(2 * (100 * 3 + 20 * 15 + 3000 * 0.3 + 400 * 3.75) / 1e6)


def test_what_was_paid_keeps_its_price() -> None:
    usage = after(after(Usage(), COUNTED, PRICES), Usage(input_tokens=1_000_000), Prices(input=1, output=1, cache_read=1, cache_write=1))  # fmt: skip
    assert usage.usd == pytest.approx(cost(COUNTED, PRICES) + 1)


@pytest.mark.parametrize(
    ("usage", "budget", "sentence"),
    [
        (Usage(), BUDGET, ""),
        (Usage(usd=19.99, input_tokens=1_999_999, turns=199), BUDGET, ""),
        (Usage(usd=20.0), BUDGET, "the run's budget of $20.00 is spent"),
        (Usage(usd=1234.0), Budget(tokens=9, turns=9, usd=1000), "the run's budget of $1,000.00 is spent"),
        (Usage(output_tokens=1_500_000, cache_read_tokens=500_000), BUDGET, "the run's budget of 2,000,000 tokens is spent"),
        (Usage(turns=200), BUDGET, "the run's budget of 200 turns is spent"),
        (Usage(turns=1), Budget(tokens=1, turns=1, usd=1), "the run's budget of 1 turn is spent"),
        (Usage(usd=math.nan), BUDGET, "the run's budget of $20.00 is spent"),
    ],
)  # fmt: skip
def test_a_budget_is_spent_when_one_of_its_parts_is_and_the_sentence_names_it(usage: Usage, budget: Budget, sentence: str) -> None:  # fmt: skip
    assert exceeded(usage, budget) == sentence


@pytest.mark.parametrize(
    "budget", [Budget(tokens=0, turns=9, usd=9), Budget(tokens=9, turns=0, usd=9), Budget(tokens=9, turns=9, usd=0), Budget(tokens=9, turns=9, usd=math.nan)]
)  # fmt: skip
def test_zero_is_not_unlimited(budget: Budget) -> None:
    assert exceeded(Usage(), budget)


@given(st.builds(Usage, input_tokens=st.integers(0, 10**9), turns=st.integers(0, 500), usd=st.floats(0, 100)), usages)
def test_another_turn_never_unspends_a_budget(usage: Usage, counts: dict[str, Any]) -> None:
    if exceeded(usage, BUDGET):
        assert exceeded(after(usage, read(start(**counts)).seen, PRICES), BUDGET)


@pytest.mark.parametrize("streamed", [False, True])
def test_what_is_counted_in_parts_alone_counts(streamed: bool) -> None:
    """T9: of a compaction the API tells in `iterations`, and in no sum: the whole conversation cost nothing."""
    parts = [
        {"type": "compaction", **COUNTS, "input_tokens": 180_000},
        {"type": "message", **COUNTS},
        "x",
        {"output_tokens": "x"},
    ]
    usage = {**COUNTS, "iterations": parts}
    raw = start(**COUNTS) + finish(**usage) if streamed else json.dumps({"type": "message", "usage": usage}).encode()
    seen = read(raw).seen
    assert (seen.input_tokens, seen.output_tokens) == (180_100, 40)
    assert (seen.cache_read_tokens, seen.cache_write_tokens) == (6_000, 800)
    odd = read(json.dumps({"type": "message", "usage": {**COUNTS, "iterations": {"a": 1}}}).encode())
    assert odd.seen == COUNTED
