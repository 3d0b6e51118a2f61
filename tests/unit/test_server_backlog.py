"""A backlog is read whole or refused with the entry, the key and what is allowed."""

import pytest

from agent.server import BacklogError, backlog


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("= 1", "the backlog is no TOML"),
        ("tickets = []", "unknown table 'tickets'; allowed are users, projects, work_packages, relations"),
        ("users = 1", "users must be a list: write [[users]] above each entry"),
        ("users = [1]", "users[0] must be a table"),
        (
            'users = [{ login = "a", name = "A", rolle = "Member" }]',
            "users[0]: unknown key 'rolle'; allowed are login, name, role, admin, language, projects",
        ),
        ('users = [{ login = "a" }]', "users[0]: Object missing required field `name`"),
        (
            'work_packages = [{ key = "a", subject = 1 }]',
            "work_packages[0]: Expected `str`, got `int` - at `$.subject`",
        ),
        (
            'work_packages = [{ key = "a", subject = "a\\u0000b" }]',
            "work_packages[0]: subject holds a NUL, which no board",
        ),
        ("x = " + "[" * 20_000, "the backlog is no TOML: it is too deeply nested"),
        ('relations = [{ type = "blocks", from = "a" }]', "relations[0]: Object missing required field `to`"),
    ],
)
def test_a_wrong_backlog_is_refused(text: str, message: str) -> None:
    with pytest.raises(BacklogError) as refused:
        backlog.parse(text)
    assert str(refused.value).startswith(message)


def test_a_backlog_may_be_empty() -> None:
    assert backlog.parse("") == backlog.Backlog()


def test_a_due_date_is_a_date_of_toml() -> None:
    parsed = backlog.parse('[[work_packages]]\nkey = "a"\nsubject = "A"\ndue_date = 2026-12-01')
    assert str(parsed.work_packages[0].due_date) == "2026-12-01"
