import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.page.markdown import _MARKDOWN, LONGEST, plain, render, weight
from support.page_html import Seen, check, hostile


@given(hostile)
@example("> " * 500 + "x")
@example("- " * 500 + "x")
@example("<!--" * 500 + "\n\n" + "-->" * 500)
def test_no_text_brings_a_tag_an_attribute_or_an_address_that_is_not_allowed(text: str) -> None:
    check(render(text))
    check(plain(text))


@given(st.text(st.sampled_from("abc xyz\n"), max_size=80))
def test_every_plain_word_is_shown(text: str) -> None:
    assert Seen(render(text)).text.split() == text.split()


@given(hostile)
def test_it_is_the_same_each_time(text: str) -> None:
    assert render(text) == render(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a **b** _c_ ~~d~~ `e`", "<p>a <strong>b</strong> <em>c</em> <s>d</s> <code>e</code></p>\n"),
        ("# Title", "<h3>Title</h3>\n"),
        ("###### Deep", "<h6>Deep</h6>\n"),
        ("<b>bold</b>", "<p>&lt;b&gt;bold&lt;/b&gt;</p>\n"),
        ("```js\n<!-- kept -->\n```", "<pre><code>&lt;!-- kept --&gt;\n</code></pre>\n"),
        ("3. c", '<ol start="3">\n<li>c</li>\n</ol>\n'),
        ("see #12, #13.", '<p>see <a href="#wp=12">#12</a>, <a href="#wp=13">#13</a>.</p>\n'),
        (r"\#12 a#12 #0 #1a `#12` /#12", "<p>#12 a#12 #0 #1a <code>#12</code> /#12</p>\n"),
        ("[#12](javascript:x)", '<p>[<a href="#wp=12">#12</a>](javascript:x)</p>\n'),
        ("[a](#wp=7)", '<p><a href="#wp=7">a</a></p>\n'),
        ("[a](#token=opapi-1)", "<p>[a](#token=opapi-1)</p>\n"),
        ("![a](data:x)", "<p>![a](data:x)</p>\n"),
        ("https://... http://", "<p>https://... http://</p>\n"),
        ("- <!-- a\n--> b", "<ul>\n<li> b</li>\n</ul>\n"),
        ("- <!-- a\n\n-->", "<ul>\n<li>&lt;!-- a</li>\n</ul>\n<p>--&gt;</p>\n"),
        ("", ""),
    ],
)
def test_the_common_cases(text: str, found: str) -> None:
    assert render(text) == found


def test_images_are_links_so_that_nothing_is_fetched_by_looking() -> None:
    found = check(render("![shot](https://x/y.png) [![badge](https://x/b.svg)](https://ci)"))
    assert [attrs["href"] for _, attrs in found.tags[1:]] == ["https://x/y.png", "https://ci"]
    assert found.text.split() == ["shot", "badge"]


@pytest.mark.parametrize(
    ("text", "address", "rest"),
    [
        ("see https://x/a_b_(c).", "https://x/a_b_(c)", "."),
        ("(https://x/a)", "https://x/a", ")"),
        ("https://x/?a=1&b=2, y", "https://x/?a=1&b=2", ", y"),
        ("https://x/" + "a" * 3000, "https://x/" + "a" * 1998, "a" * 1002),
        ("'http://x'", "http://x", "'"),
    ],
)
def test_an_address_in_running_text_is_a_link_without_the_punctuation_around_it(
    text: str, address: str, rest: str
) -> None:
    found = check(render(text))
    [link] = [attrs["href"] for tag, attrs in found.tags if tag == "a"]
    assert link == address
    assert found.text.strip().endswith(address + rest)


@pytest.mark.parametrize(
    "text",
    [
        "a\n\n<!-- agent run=7f9c0d52-8a4e-4c11-9b5d-0123456789ab event=claimed -->",
        "<!-- two\n\nparagraphs -->\na",
        "a <!-- within --> ",
        "<!-- - a\n- b -->\na",
        "> <!-- hidden -->\n> a",
        "- a\n  <!-- hidden\n\n  hidden -->",
        "a\n<!-- hidden -->",
    ],
)
def test_comments_are_not_shown(text: str) -> None:
    assert check(render(text)).text.split() == ["a"]


def test_a_comment_that_never_ends_is_text() -> None:
    assert "swallowed" in check(render("<!-- \n\nnot swallowed")).text


def test_what_is_too_deep_is_shown_as_it_was_written_and_not_cut() -> None:
    assert render("> " * 100 + "words <b>") == f"<pre>{'&gt; ' * 100}words &lt;b&gt;</pre>"


def test_what_is_too_long_is_rendered_as_far_as_it_goes_and_the_rest_shown_as_it_was_written() -> None:
    paragraphs = [f"paragraph **{number}**" for number in range(20_000)]
    found = check(render("\n\n".join(paragraphs) + "\n\n<!-- hidden -->"))
    assert found.text.replace("*", "").split() == " ".join(paragraphs).replace("*", "").split()
    assert found.text.split()[1] == "0"
    assert found.text.split()[-1] == "**19999**"
    assert [tag for tag, _ in found.tags].count("pre") == 1


@pytest.mark.parametrize(
    "piece",
    ["word ", "[", "![", "[a](b", "*a ", "*a_ ", "`a``", ">", "> > a\n", "- ", "[a]: b\n", "<", "&amp;", "~~a", "<!--", "<!-- \n", "- <!--\n",
     "http://a ", "#1 ", "https://)", "\n", "|", "|a|b|\n|-|-|\n", "[a](((", "<a", "a\n\n", "\\"],
)  # fmt: skip
def test_a_megabyte_of_anything_costs_a_moment(piece: str) -> None:
    text = (piece * 10**6)[: 10**6]
    began = time.process_time()
    render(text)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "piece",
    ["1. a\n", "- a\n  - b\n", "> a\n\n", "*a* ", "_a_ ", "~~a~~ ", "|x|y|\n", "|a|b|\n|-|-|\n|x|y|\n", "a\n\n", "a\n", "# a\n", "***\n", "#1 ", "`a` "],
)  # fmt: skip
def test_what_is_made_of_a_text_is_bounded_by_its_weight(piece: str) -> None:
    """T8: a Reader's lists of one letter a line weighed as prose does, and held everybody's pages for seconds."""
    text = piece * 40
    tokens = [one for token in _MARKDOWN.parse(text) for one in (token, *(token.children or ()))]
    assert len(tokens) <= 0.7 * weight(text)


def test_brackets_weigh_more_since_each_may_begin_a_link() -> None:
    assert weight("a" * 100) == 100
    assert weight("a\n" * 100) == 1000
    assert weight("[" * 100) == 900
    assert weight("[" * (LONGEST // 9)) <= LONGEST
