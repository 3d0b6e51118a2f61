import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.texts.markup import code, fence, last_lines, one_line, shortened, spoken

anything = st.text(st.characters() | st.sampled_from("\x00\x1b\r\n\t`~<>![]()\ud800\udfff\x85\u2028"))


@given(anything)
def test_no_output_can_end_its_fence(text: str) -> None:
    first, *body, last = fence(text).split("\n")
    ticks = first.removesuffix("text")
    assert ticks == last
    assert not any(re.fullmatch(rf" {{0,3}}{ticks}`*\s*", line) for line in body)


@given(anything, st.integers(5, 300))
def test_one_line_is_one_line_within_its_bound(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1


@pytest.mark.parametrize(
    ("name", "shown"),
    [("main", "`main`"), ("a`b", "``a`b``"), ("`a", "`` `a ``"), ("", "`  `"), ("a\nb", "`a b`")],
)
def test_any_name_can_be_inline_code(name: str, shown: str) -> None:
    assert code(name) == shown


def test_shortened_text_keeps_head_and_tail_and_says_so() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("a" * 60 + "b" * 60 + "c" * 30, 90) == (
        "a" * 60 + "\n[… 60 characters left out here …]\n" + "c" * 30
    )


def test_only_the_last_lines_are_evidence_and_none_is_endless() -> None:
    assert last_lines("\n".join(map(str, range(100)))).split("\n") == [str(n) for n in range(50, 100)]
    assert len(last_lines("x" * 10_000)) == 500


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3600, "1 h"), (16_200, "4 h 30 min"), (100_000, "27 h 46 min")],
)
def test_durations_are_spoken(seconds: float, words: str) -> None:
    assert spoken(seconds) == words
