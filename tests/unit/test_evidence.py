"""What of a program's output may stand on a ticket."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.texts.evidence import CHARACTERS, REDACTED, last_words, redactor
from agent.texts.markup import EVIDENCE_LINES


@pytest.mark.parametrize(
    "secret",
    [
        "https://pod:hunter2hunter2@forge.example/x",
        "Authorization: Bearer hunter2hunter2",
        "x-api-key: hunter2hunter2",
        '"password": "hunter2hunter2"',
        "ANTHROPIC_API_KEY=hunter2hunter2",
        "export BOARD_TOKEN='hunter2hunter2'",
        "sk-ant-hunter2hunter2",
        "ghp_hunter2hunter2",
        "glpat-hunter2hunter2",
        "opapi-hunter2hunter2",
        "eyJhbGciOiJIhunter2.eyJzdWIiOiIxhunter2.hunter2",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2hunter2\n-----END OPENSSH PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nhunter2hunter2",
    ],
)
def test_what_looks_like_a_credential_is_not_shown(secret: str) -> None:
    shown = redactor()(f"before {secret} after")
    assert "hunter2" not in shown
    assert "[redacted]" in shown
    assert shown.startswith("before ")


@pytest.mark.parametrize(
    "text",
    [
        "2400 input tokens / 800 output tokens",
        "AssertionError: 0 != 3",
        "git@forge.example:shop.git",
        "basic test",
        "a secret: no",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert redactor()(text) == text


def test_known_secrets_are_not_shown_whatever_they_look_like() -> None:
    assert redactor(["correct horse", "correct horse battery"])("it is correct horse battery") == "it is [redacted]"
    assert redactor(["b", "", "abc"])("a b c abc") == "a b c abc", (
        "what is too short to be a secret would blacken everything"
    )


def test_a_known_secret_is_found_in_the_forms_in_which_it_travels() -> None:
    secret = "s3cr3t/t+ken"
    for user in ("apikey", "x-access-token", "oauth2", ""):
        basic = base64.b64encode(f"{user}:{secret}".encode()).decode()
        assert redactor([secret])(f"sent {basic}").startswith(f"sent {REDACTED}")
    assert redactor([secret])("?t=s3cr3t%2Ft%2Bken&x") == f"?t={REDACTED}&x"


@given(st.lists(st.text(min_size=4, max_size=12), max_size=3), st.text(max_size=20), st.text(max_size=20))
def test_a_known_secret_is_never_left_in_a_text(secrets: list[str], before: str, after: str) -> None:
    for secret in secrets:
        shown = redactor(secrets)(f"{before}{secret}{after}")
        assert not any(secret in part for part in shown.split(REDACTED))


def test_the_last_lines_are_shown_and_the_secret_before_the_cut_is_known_whole() -> None:
    shown = last_words("\n".join(str(number) for number in range(200)).encode(), b"\nlast\xff\n\n", redact=redactor())
    assert shown.splitlines() == [*(str(number) for number in range(200 - EVIDENCE_LINES + 1, 200)), "last�"]
    long = last_words(b"x" * 3 * CHARACTERS, redact=redactor())
    assert len(long) == CHARACTERS
    assert last_words(b"", b"", redact=redactor()) == ""
    key = b"-----BEGIN PRIVATE KEY-----\n" + b"abc\n" * 100
    assert "abc" not in last_words(key, redact=redactor())


@given(st.lists(st.binary(max_size=300), max_size=3), st.lists(st.text(max_size=20), max_size=3))
def test_any_bytes_become_text_that_the_board_takes(outputs: list[bytes], secrets: list[str]) -> None:
    shown = last_words(*outputs, redact=redactor(secrets))
    shown.encode()
    assert "\0" not in shown
    assert len(shown.splitlines()) <= EVIDENCE_LINES or "\x85" in shown or "\u2028" in shown
