import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.texts.claim_token import ClaimToken, duration_text, is_pod_name, new, parse, parse_duration

RUN = "7f9c0d52-8a4e-4c11-9b5d-0123456789ab"
TEXT = f"{RUN}.5f0c9a1e by pod-a try 1 for 4h @ 2026-11-24T08:00Z"
NOW = dt.datetime(2026, 11, 24, 8, 0, 59, 999, tzinfo=dt.UTC)

pods = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", fullmatch=True)
tokens = st.builds(
    ClaimToken,
    run=st.uuids().map(str),
    nonce=st.from_regex(r"[0-9a-z]{1,64}", fullmatch=True),
    pod=pods,
    attempt=st.integers(1, 999_999),
    lifetime_s=st.integers(1, 30 * 24 * 3600),
    at=st.datetimes().map(lambda moment: moment.replace(second=0, microsecond=0, tzinfo=dt.UTC)),
    routed=st.booleans(),
)


def a_token(**changes: object) -> ClaimToken:
    return replace(new(run=RUN, nonce="5f0c9a1e", pod="pod-a", lifetime_s=14400, now=NOW), **changes)


def test_token_is_written_as_the_design_says() -> None:
    assert str(a_token()) == TEXT
    assert str(a_token(routed=True, attempt=2)) == TEXT.replace("try 1", "try 2") + " routed"


@given(tokens)
def test_every_token_reads_back_as_itself(token: ClaimToken) -> None:
    assert parse(str(token)) == token
    assert "@" in str(token), "the board's filter for claims looks for it"


@given(st.text() | st.from_regex(r"[0-9a-f-]{36}\.\w+ by \S+ try \w+ for \w+ @ [0-9T:Z-]+( routed)?"))
def test_no_text_makes_parsing_fail(text: str) -> None:
    token = parse(text)
    assert token is None or parse(str(token)) == token


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mine, hands off @ home",
        TEXT + "\n",
        " " + TEXT,
        TEXT.upper(),
        TEXT + " routed routed",
        TEXT.replace("try 1", "try 0"),
        TEXT.replace("try 1", "try 01"),
        TEXT.replace("try 1", "try \u0661"),
        TEXT.replace("4h", "0s"),
        TEXT.replace("4h", "4d"),
        TEXT.replace("4h", "for"),
        TEXT.replace("11-24", "02-30"),
        TEXT.replace("08:00", "24:00"),
        TEXT.replace("2026", "0000"),
        TEXT.replace("pod-a", "-pod"),
        TEXT.replace("pod-a", "p" * 64),
        TEXT.replace(".5f0c9a1e", ""),
    ],
)
def test_what_a_person_typed_is_no_token(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"run": "7f9c"},
        {"nonce": "A B"},
        {"pod": "pod a"},
        {"attempt": 0},
        {"lifetime_s": 0},
        {"at": NOW},
        {"at": dt.datetime(2026, 11, 24, 8)},  # noqa: DTZ001 - the point of it
        {"at": dt.datetime(2026, 11, 24, 8, tzinfo=dt.timezone(dt.timedelta(hours=1)))},
    ],
)
def test_token_that_would_not_read_back_is_never_made(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="read back"):
        a_token(**wrong)


def test_locking_compares_run_and_nonce_and_nothing_else() -> None:
    """I-03: two processes under one identity are two claims."""
    token = a_token()
    assert token.same_claim(a_token(pod="pod-b", attempt=3))
    assert not token.same_claim(a_token(nonce="other"))
    assert not token.same_claim(None)


def test_renewed_token_keeps_the_run_and_counts_its_lifetime_anew() -> None:
    later = NOW + dt.timedelta(hours=2)
    token = a_token(routed=True)
    again = token.renewed(nonce="n2", now=later, attempt=2, lifetime_s=60)
    assert str(again) == f"{RUN}.n2 by pod-a try 2 for 1m @ 2026-11-24T10:00Z routed"
    same_try = token.renewed(nonce="n2", now=later)
    assert (same_try.attempt, same_try.lifetime_s) == (1, 14400)


def test_moment_in_another_zone_is_written_in_utc() -> None:
    berlin = dt.timezone(dt.timedelta(hours=1))
    assert a_token() == new(run=RUN, nonce="5f0c9a1e", pod="pod-a", lifetime_s=14400, now=NOW.astimezone(berlin))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("4h", 14400), ("90m", 5400), ("4h30m", 16200), ("45s", 45), ("1h0m1s", 3601)],
)
def test_durations_are_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0h", "0", "4", "30m4h", "4 h", "-4h", "4.5h", "\u0664h", "9999999999s"])
def test_what_is_no_duration_is_none(text: str) -> None:
    """I-46: zero is not unlimited, it is no duration at all."""
    assert parse_duration(text) is None


@given(st.integers(1, 99_999_999))
def test_every_duration_reads_back(seconds: int) -> None:
    assert parse_duration(duration_text(seconds)) == seconds


def test_no_time_at_all_still_has_a_text() -> None:
    assert duration_text(0) == "0s"


@pytest.mark.parametrize(
    ("name", "good"), [("pod-a", True), ("9.x_y", True), ("", False), (".a", False), ("a\n", False)]
)
def test_pod_names_need_no_quoting(name: str, good: bool) -> None:
    assert is_pod_name(name) is good
