"""What of Markdown a board does not show: the lines are read as CommonMark reads them, and in doubt nothing hidden is told."""

import pytest

from agent.texts.clean import readable
from agent.texts.shown import shown

CODE = ["`a `", "```\n", " ```\n", "- ```\n", "> ```\n", "~~~\n"]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a <!-- WORDS --> b",
            "<!-- WORDS",
            "<!--\nWORDS\n\nWORDS\n-->\nx",
            "- <!-- WORDS\n\nWORDS",
            "> <!-- WORDS",
            "a <!-- x\nWORDS --> b",
        ),
        *(
            "<?php WORDS ?>",
            "<!DOCTYPE WORDS>",
            "<![CDATA[ WORDS ]]>",
            "<!-- a --> <!-- b\n\nWORDS",
            "<div> <!-- a\n\nWORDS\n\n<p>-->",
        ),
        *(
            "\\` <!-- WORDS --> `",
            "- a `\n- <!-- WORDS --> `",
            "a `\n`<!-- WORDS -->`",
            "``a\n b `` <!-- WORDS --> ``",
            "| a ` | <!-- WORDS --> ` |",
        ),
        *("[a]: /`\nx <!-- WORDS --> `", '<a title="`"> <!-- WORDS --> <a title="`">', "<!-- a --> <b\n<!-- WORDS -->"),
        *(
            "- a\n  ```\n<!-- WORDS -->\n```",
            " ```\n```\n<!-- WORDS -->\n```",
            "> ```\n<!-- WORDS -->\n> ```",
            "``` `\n<!-- WORDS -->\n```",
        ),
        *(
            "```\nx\n   ```\n<!-- WORDS -->",
            "~~~\n```\n~~~\n<!-- WORDS -->\n```",
            "<pre>\n\n```\n<!-- WORDS -->\n```\n\n</pre>",
        ),
        *("a <!-- x\n```\n-->\n```\n<!-- WORDS -->\n```\n", "- <!-- x\n```\n-->\n```\n<!-- WORDS -->\n```"),
    ],
)
def test_what_a_board_does_not_show_is_left_out_and_counted(text: str) -> None:
    assert "WORDS" not in shown(text, 1000)
    assert "characters that the board does not show" in shown(text, 1000)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Use `<!-- WORDS -->` here",
            "a `b`\nand ``c ` <!-- WORDS -->``",
            "a <!-- WORDS\n\nb",
            "x < y WORDS",
            "<https://a.b>\n\n`<!-- WORDS -->`",
        ),
        *(
            "```html\n<!-- WORDS -->\n```",
            "~~~~\n```\n<!-- WORDS -->\n~~~~\n",
            "<!-- x -->\n\n```\n<!-- WORDS -->\n```",
            "<!-- <!-- x --> WORDS",
        ),
    ],
)
def test_what_it_shows_stays(text: str) -> None:
    assert "WORDS" in shown(text, 1000)


def test_a_text_with_something_hidden_is_read_so_far_and_one_without_is_as_it_was() -> None:
    assert shown(f"<!-- a -->{'x' * 2000}", 1000).endswith("x\n[… 1010 characters left out here …]")
    assert shown("x" * 2000, 1000) == "x" * 2000


@pytest.mark.parametrize(
    "text",
    [
        "می\u200cخواهم",  # noqa: RUF001 - Persian
        "क्\u200dष न्\u200d",
        "👩\u200d👧 ❤\ufe0f\u200d🔥 1\ufe0f\u20e3 👍🏽",
        "葛\U000e0100",
        "ᠠ\u180bᠡ",
        "“quotes” ü\n\ttab 한국어",
    ],
)
def test_scripts_and_emoji_stay_as_they_are_read(text: str) -> None:
    assert readable(text) == text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\u200cb\u200b", "ab"),
        ("م" + "\u200c\u200d" * 9, "م\u200c"),
        ("😀" + "\U000e0168\U000e0169" * 9, "😀\U000e0168"),
        ("\U0001f3f4\U000e0067\U000e007f", "\U0001f3f4"),
        ("x\u3164\u2800\u115f", "x"),
        ("\u202ea\u2028b", "a\nb"),
    ],
)
def test_no_words_are_written_in_signs_that_nobody_sees(text: str, seen: str) -> None:
    assert readable(text) == seen
