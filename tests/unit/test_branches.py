"""Names of branches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import TicketFailure
from agent.texts.branches import branch_name, slug, wrong_with, wrong_with_template


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("Checkout shows the wrong total", "checkout-shows-the-wrong-total"),
        ("  Ärger mit Übersetzung: 50 % fehlen! ", "arger-mit-ubersetzung-50-fehlen"),
        ("Two\nlines\r\nand\0a NUL", "two-lines-and-a-nul"),
        ("../../etc/passwd", "etc-passwd"),
        ("日本語", "work"),
        ("", "work"),
        ("x" * 60, "x" * 40),
        ("a very long subject that goes on and on beyond", "a-very-long-subject-that-goes-on-and-on"),
    ],
)
def test_a_subject_becomes_a_readable_part_of_a_name(subject: str, expected: str) -> None:
    assert slug(subject) == expected


@pytest.mark.parametrize(
    ("template", "version", "expected"),
    [
        ("agent/{id}-{slug}", "", "agent/42-fix-it"),
        ("release/{version}", "v2.1", "release/v2.1"),
        ("release/{version}", "Release 2.1 (beta)", "release/Release-2.1-beta"),
        ("release/{version}", "../../main", "release/main"),
        ("release/{version}", "-2..0.-", "release/2.0"),
        ("{version}/{id}", "v1", "v1/42"),
    ],
)
def test_a_template_gives_the_branch(template: str, version: str, expected: str) -> None:
    assert branch_name(template, id=42, subject="Fix it", version=version) == expected


@pytest.mark.parametrize("version", ["", "  ", "///", "日本"])
def test_a_ticket_without_the_version_that_its_branch_needs_fails(version: str) -> None:
    with pytest.raises(TicketFailure, match="no version is set"):
        branch_name("release/{version}", id=42, subject="x", version=version)


@pytest.mark.parametrize(
    ("version", "base"), [("main", "main"), ("HEAD", "main"), ("trunk", "trunk"), ("agent", "main"), ("x.lock", "main")]
)
def test_a_version_never_leads_to_a_branch_that_is_taken(version: str, base: str) -> None:
    with pytest.raises(TicketFailure, match="its branch would be"):
        branch_name("{version}", id=42, subject="x", version=version, base=base)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("work", "tickets would share a branch"),
        ("agent/{slug}", "tickets would share a branch"),
        ("agent/{id", "expected '}'"),
        ("agent/{number}", "it has {number}; there are"),
        ("agent/{}", "it has {}; there are"),
        ("agent/{id.real}", "it has {id.real}; there are"),
        ("agent/{id!r}", "it has {id!r}; there are"),
        ("agent/{id:>9}", "it has {id:>9}; there are"),
        ("agent/kept/{id}", "is taken"),
        ("agent/failed/{id}", "is taken"),
        ("main/{id}", "is taken"),
        ("agent/{id} {slug}", "no valid name"),
        ("refs/heads/{id}", "no valid name"),
        ("-{id}", "no valid name"),
        ("a//{id}", "no valid name"),
        (".{id}", "no valid name"),
        ("{id}.", "no valid name"),
        ("{id}~{slug}", "no valid name"),
    ],
)
def test_a_template_that_fits_no_ticket_is_told_why(template: str, message: str) -> None:
    assert message in wrong_with_template(template, base="main")


@pytest.mark.parametrize("template", ["agent/{id}-{slug}", "release/{version}", "{version}-{slug}/{id}", "a{{b/{id}"])
def test_nothing_is_wrong_with_a_template_that_fits(template: str) -> None:
    assert wrong_with_template(template, base="main") == ""


@given(st.text(), st.text(), st.sampled_from(["agent/{id}-{slug}", "release/{version}", "{version}-{slug}/{id}"]))
def test_whatever_a_ticket_says_its_branch_stays_where_the_template_puts_it(
    subject: str, version: str, template: str
) -> None:
    try:
        name = branch_name(template, id=42, subject=subject, version=version)
    except TicketFailure:
        assert "{version}" in template
        return
    assert wrong_with(name, base="main") == ""
    assert name.count("/") == template.count("/")
    assert name.isascii()
    assert len(name) <= len(template) + 40 + len(version)
