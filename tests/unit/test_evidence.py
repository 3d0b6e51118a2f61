"""What of a program's output may stand on a ticket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.texts.evidence import CHARACTERS, LINES, last_lines, redact


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
    shown = redact(f"before {secret} after")
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
    assert redact(text) == text


def test_known_secrets_are_not_shown_whatever_they_look_like() -> None:
    assert redact("it is correct horse battery", ["correct horse", "correct horse battery"]) == "it is [redacted]"
    assert redact("a b c", ["b", ""]) == "a b c", "what is too short to be a secret would blacken everything"


def test_the_last_lines_are_shown_and_the_secret_before_the_cut_is_known_whole() -> None:
    shown = last_lines("\n".join(str(number) for number in range(200)).encode(), b"\nlast\xff\n\n")
    assert shown.splitlines() == [*(str(number) for number in range(200 - LINES + 1, 200)), "last�"]
    long = last_lines(b"x" * 3 * CHARACTERS)
    assert len(long) == CHARACTERS
    assert last_lines(b"", b"") == ""
    key = b"-----BEGIN PRIVATE KEY-----\n" + b"abc\n" * 100
    assert "abc" not in last_lines(key)


@given(st.lists(st.binary(max_size=300), max_size=3), st.lists(st.text(max_size=20), max_size=3))
def test_any_bytes_become_text_that_the_board_takes(outputs: list[bytes], secrets: list[str]) -> None:
    shown = last_lines(*outputs, secrets=secrets)
    shown.encode()
    assert "\0" not in shown
    assert len(shown.splitlines()) <= LINES or "\x85" in shown or "\u2028" in shown
