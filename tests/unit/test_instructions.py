"""`.agent.toml`: nothing is guessed."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import TicketFailure
from agent.programs.instructions import Instructions, Verify, read_instructions


def test_a_repository_without_the_file_has_no_checks() -> None:
    assert read_instructions(None) == read_instructions("") == Instructions()
    assert read_instructions(None).verify.commands == ()


def test_commands_and_notes_are_read() -> None:
    text = 'notes = """\nPrices are in cents.\n"""\n[verify]\ncommands = ["pytest -q", "ruff check"]\n'
    assert read_instructions(text) == Instructions(Verify(("pytest -q", "ruff check")), "Prices are in cents.\n")


def test_folders_to_carry_over_are_read() -> None:
    assert read_instructions("verify.carry = ['target/', 'a/b']").verify.folders == ("target", "a/b")


@pytest.mark.parametrize(
    "path", ["", "/", "/etc", "..", "a/../b", "./a", "a//b", ".git", "a/.GIT/hooks", "a\0b", "x" * 256]
)
def test_only_plain_relative_paths_are_carried_over(path: str) -> None:
    with pytest.raises(TicketFailure) as caught:
        read_instructions(f"verify.carry = ['ok', {json.dumps(path)}]")
    assert "`verify.carry` has " in caught.value.reason


@pytest.mark.parametrize("sign", ["\\u0000", "\\u0007", "\\u001b", "\\u007f", "\\u0085"])
@pytest.mark.parametrize("text", ['notes = "a{}b"', 'verify.commands = ["true", "echo a{}b"]'])
def test_control_characters_are_refused(text: str, sign: str) -> None:
    with pytest.raises(TicketFailure, match=r"^`.agent.toml` cannot be used: .* a control character$"):
        read_instructions(text.format(sign))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[verfy]\ncommands = []", "`.agent.toml` cannot be used: `verfy` is not known; did you mean `verify`?"),
        (
            "[verify]\ncommand = ['x']",
            "`.agent.toml` cannot be used: `command` in `[verify]` is not known; did you mean `commands`?",
        ),
        (
            "\ufeffnotes = 'x'",
            "`.agent.toml` begins with a byte order mark, which TOML does not know: save it without one",
        ),
        ("zzz = 1", "`.agent.toml` cannot be used: `zzz` is not known; there is `verify`, `notes`"),
        (
            "[verify]\ncommands = 'pytest'",
            "`.agent.toml` cannot be used: Expected `array`, got `str` - at `$.verify.commands`",
        ),
        (
            "[verify]\ncommands = [1]",
            "`.agent.toml` cannot be used: Expected `str`, got `int` - at `$.verify.commands[0]`",
        ),
        ("[verify]\ncommands = ['a', ' ']", "`.agent.toml` cannot be used: `verify.commands` has an empty command"),
        ("verify = 1", "`.agent.toml` cannot be used: Expected `object`, got `int` - at `$.verify`"),
        ("notes = 2024-01-01", "`.agent.toml` cannot be used: Expected `str`, got `date` - at `$.notes`"),
        ("[verify", None),
        ("x = " + "[" * 5000 + "]" * 5000, None),
        ("#" * 70_000, "`.agent.toml` is longer than 64 KiB"),
    ],
)
def test_a_wrong_file_fails_the_ticket_with_a_sentence(text: str, reason: str | None) -> None:
    with pytest.raises(TicketFailure) as caught:
        read_instructions(text)
    assert caught.value.reason == reason or (reason is None and "is not TOML: " in caught.value.reason)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(TicketFailure):
        assert isinstance(read_instructions(text), Instructions)
