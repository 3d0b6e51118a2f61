"""The door through which text of others leaves: what is left of it acts on nobody, and is still Markdown."""

from __future__ import annotations

import ast
import enum
import html
import inspect
import json
import re
import types
import typing
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from msgspec import Struct
from msgspec.structs import replace

import agent
from agent.choose import Rung
from agent.cli.work import Progress
from agent.cycle import Result
from agent.daemon import Pass
from agent.ending import End, Ending
from agent.model import BoardText
from agent.operate import screen
from agent.operate.explain import Explanation, Overview
from agent.operate.findings import Finding
from agent.operate.release import Released
from agent.operate.status import Status
from agent.texts import outlet, report
from agent.texts.outlet import CommitText
from agent.texts.rewrite import APART, LANGUAGES
from support.outlet_texts import texts

RUN = "7f9c0d52-8a4e-4c11-9b5d-0123456789ab"
LEAK = "http://127.0.0.1:9/leak"
READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
"""Any reader of Markdown, with HTML."""
ADDRESS = re.compile(r"://|www\.|\w@\w", re.IGNORECASE)
"""What readers make a link of in running text."""
HOSTILE = texts(LEAK)
PIECES = (
    "![", "](", ")", "[", "]", "<", ">", "<img src=x>", "<!--", "-->", "`", "``", "```", "\n", "\n\n", "    ", "\t", "> ", "- ", "1. ", "|", "|-|-|\n",
    "a|b", "---\n", "===\n", "\\", "&", "&#33;", "&lt;", "&#96;", "http://x.example/", "https://a.b", "www.a.example", "//x", "mailto:a@b.example", "a@b.example",
    "*", "**", "_", "~~", "~", "$", "$$", ":", "user#3", 'user:"x"', "@x", "#7", "##7", 'data-id="1"', "<mention", "[x]: http://y.example\n", "[^1]: ", "word", "é", "\u202e", "\u200b", "\x1b[1m", "\r",
    "<http://x.example>", "ht*tp*://x.example", "`a|", "|`", ":-:\n", "{{", "[[", "}}", "~~~\n", "javascript:x", "data:x",
)  # fmt: skip
mixtures = st.lists(st.sampled_from(PIECES), max_size=24).map("".join) | st.text(max_size=60)
DEPTH = "> - " * 30 + "x"


def tokens(markdown: str) -> Iterator[Token]:
    for token in READER.parse(markdown):
        yield token
        yield from token.children or ()


def acting(markdown: str) -> list[str]:
    """What in a text acts on its reader, or leads where it does not say."""
    return [
        f"{one.type} {one.content} {one.attrs}"
        for one in tokens(markdown)
        if one.type in ("image", "link_open", "html_inline", "html_block")
        or (one.type == "text" and ADDRESS.search(one.content))
    ]


# --- the board and the forge --------------------------------------------------------------------------------------


@given(mixtures)
@example("http://x.example/`a|``|`")  # two codes side by side, of which one is an address
@settings(max_examples=200, deadline=None)
def test_after_the_door_no_picture_no_tag_and_no_link_is_left(text: str) -> None:
    for shown in (outlet.quote(text), outlet.line(text), outlet.forge(text), outlet.code(text), outlet.fence(text)):
        assert acting(shown) == []
    assert all(line.startswith(">") for line in f"{outlet.quote(text)}\n{outlet.forge(text)}".split("\n"))
    assert "\n" not in outlet.line(text)


@pytest.mark.parametrize("name", HOSTILE)
def test_none_of_thirty_texts_acts_and_each_is_still_markdown(name: str) -> None:
    for shown in (outlet.quote(HOSTILE[name]), outlet.forge(HOSTILE[name])):
        assert acting(shown) == []
        kinds = {one.type for one in tokens(shown)}
        assert kinds & {"em_open", "strong_open", "list_item_open", "fence", "code_inline"}
        assert LEAK not in HOSTILE[name] or LEAK in shown, "a link shows its address"


def test_what_is_no_danger_stays_as_it_was() -> None:
    text = (
        "# Done\n\nI *did* **it** in `slug()` and snake_case.\n\n1. one\n2. two\n   - a < b\n\n"
        "```python\nprint('<b>')  # R&D\n```\n\n| a | b |\n| --- | --- |\n| 1 | `2` |"
    )
    before = [(one.type, one.content) for one in READER.parse(text)]
    shown = "\n".join(line.removeprefix(">").removeprefix(" ") for line in outlet.quote(text).split("\n"))
    assert [(one.type, one.content.replace("&lt;", "<")) for one in READER.parse(shown)] == before
    assert APART not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[docs](https://a.example/b_c)", "&#91;docs](`https://a.example/b_c`)"),
        ("![x](http://a.example)", "!&#91;x](`http://a.example`)"),
        ("the model gave up: <b>`a`</b>", "the model gave up: &lt;b>`a`&lt;/b>"),
        ("`a`b`", "`a`b&#96;"),
        ("- no list", "\\- no list"),
        ("1. no list", "1\\. no list"),
        ("see user#3 and ##42", f"see user{APART}#3 and #{APART}#42"),
        ("List<int> a*b", "List&lt;int> a\\*b"),
        ("snake_case _x_y", "snake_case \\_x_y"),
        ("(HTTPS://A.example/x), www.b.example;", "(`HTTPS://A.example/x`), `www.b.example;`"),
        ("a:b://c http://http://x", "a:`b://c` `http://http://x`"),
        ("\u0130http://a.example", "\u0130`http://a.example`"),
    ],
)
def test_a_reason_is_one_line_in_which_code_stays(text: str, shown: str) -> None:
    assert outlet.line(text) == shown


@given(st.text(), st.integers(5, 300))
def test_a_reason_is_cut_before_it_is_written(text: str, limit: int) -> None:
    assert len(outlet.line("x" * limit + text, limit)) <= limit
    assert outlet.line("x" * (limit + 1), limit).endswith("…")


@pytest.mark.parametrize(
    "mention", ['<mention data-id="1" data-type="user">', "user#1", 'user:"admin"', "group#1", 'data-id="1" data-type="user">']
)  # fmt: skip
def test_nobody_is_mailed_by_what_stands_in_code(mention: str) -> None:
    """OpenProject looks for mentions in the text as it was written (create_from_model_service.rb)."""
    for shown in (outlet.code(mention), outlet.fence(mention), outlet.quote(f"`{mention}`"), outlet.quote(mention)):
        assert mention not in shown
    assert mention not in report.spike_subject(42, mention)
    assert mention[:9] not in outlet.line(mention) or mention.startswith("data")


def test_a_text_that_is_nested_too_deep_is_shown_as_it_was_written() -> None:
    assert outlet.quote(DEPTH).startswith("> ```text\n> > - > -")


def test_a_link_of_ours_leads_to_the_web_or_nowhere() -> None:
    assert outlet.link("x", "") == "`x`"
    assert outlet.link("x", "https://forge/a)b c") == "[`x`](https://forge/a%29b%20c)"
    assert outlet.link("x", "javascript:alert(1)") == "`x`"


# --- commits and terminals ----------------------------------------------------------------------------------------

TRAILERS = {"Work-Package": "#42", "Agent-Run": RUN}


@given(mixtures, mixtures)
def test_a_commit_has_the_trailers_of_ours_and_no_line_of_others_begins_one(subject: str, body: str) -> None:
    first, *rest = outlet.commit(subject, body, TRAILERS).split("\n")
    assert first.strip()
    assert len(first) <= 72
    assert rest[-3:] == ["Work-Package: #42", f"Agent-Run: {RUN}", ""]
    assert all(not line or line.startswith(">") for line in rest[:-3])
    signs = set("".join((first, *rest))) - {"\t"}
    assert not {unicodedata.category(sign) for sign in signs} & {"Cc", "Cf", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Closes #7", "Closes # - 7"),
        ("fixes acme/shop#7, resolves !8 and GH-9", "fixes acme/shop# 7, resolves ! 8 and GH- 9"),
        ("Closes [issue:7]", "Closes (issue: 7)"),
        ("Fixes [work_item:acme/shop#8] [x]", "Fixes (work_item:acme/shop# 8) [x]"),
        ("*Closes SHOP-7", "*Closes SHOP- 7"),
        ("/x,Closes: SHOP-7", "x,Closes: SHOP- 7"),
        ("fix **SHOP-7** (fix (SHOP-8)", "fix **SHOP- 7** (fix (SHOP- 8)"),
        ("Fixes:SHOP-7", "Fixes:SHOP- 7"),
        ("closes https://forge.example/acme/shop/issues/7", "closes https:// forge.example/acme/shop/issues/7"),
        ("Closes issue SHOP-7", "Closes issue SHOP- 7"),
        ("thanks @alice, OP#42 and PP#43", "thanks @ alice, OP# 42 and PP# 43"),
        ("[skip ci] [ci skip] [no ci] a[0]", "(skip ci) (ci skip) (no ci) a[0]"),
        ("/merge", "merge"),
        ("::stop-commands::x ##[add-mask]y", "stop-commands::x ## [add-mask]y"),
        ("# a comment", "a comment"),
        ("fixup! Empty basket", "fixup: Empty basket"),
        ("a\u202eb\x1b[31mc\u200bd", "abcd"),
        ("\n", "Work on a ticket"),
        ("Fix the door", "Fix the door"),
        (
            "Fix the UTF-8 door [draft] [no-CI] (closes: SHOP-7)",
            "Fix the UTF-8 door [draft] (no-CI) (closes: SHOP- 7)",
        ),
        ("fixes issues SHOP-7, SHOP-8", "fixes issues SHOP- 7, SHOP- 8"),
        ("[a](//x) [[[b]]] [c][d] {{e}}", "[a] (//x) [ [ [b]]] [c] [d] { {e}}"),
        ("a < b && c, List<int>, &colon; &x", "a < b && c, List< int>, & colon; &x"),
        ("````mermaid ```python", "````text mermaid ```python"),
        (r"http:\//x.example :gitea\: \\\\/ C:\foo \d+", r"http:\ //x.example :gitea\ : \ \ \ \ / C:\foo \d+"),
        ("&7 %3 ~5 $9 100% $HOME", "& 7 % 3 ~ 5 $ 9 100% $HOME"),
        ("CU-8abc1[closed]", "CU- 8abc1[closed]"),
    ],
)
def test_the_subject_of_a_commit_says_and_does_nothing(text: str, written: str) -> None:
    assert outlet.commit(text, "", {}) == f"{written}\n"


def test_a_summary_cannot_be_a_command_a_trailer_or_a_patch() -> None:
    body = "Did it.\n/merge\n\nAgent-Run: forged\nSigned-off-by: a <a@b.example>\n---\ndiff --git a/x b/x"
    assert outlet.commit("Do it", body, TRAILERS) == (
        "Do it\n\n> Did it.\n> /merge\n>\n> Agent-Run: forged\n> Signed-off-by: a < a@ b.example>\n> ---\n> diff --git a/x b/x\n\n"
        f"Work-Package: #42\nAgent-Run: {RUN}\n"
    )


HTML: Final = (
    "![a](//evil.example/1.png) ![b](https&colon;//evil.example/2.png) <img src=//evil.example/3.png> &commat;all &num;1\n"
    "[a](//evil.example/5) [a\n](//evil.example/6) <//evil.example/6> ![c][r] ![r] [[//evil.example/8.png]]\n\n"
    "[r]: //evil.example/7.png\n\n[r\n]:\n//evil.example/7.png\n\n<details open>\n<!-- hidden\n\n~~~~ {.mermaid}\nx\n"
)


@pytest.mark.parametrize(
    "text", [*texts("//evil.example/leak").values(), *texts("https://evil.example/leak").values(), HTML]
)
def test_what_a_commit_says_is_nothing_but_text_where_a_forge_makes_markdown_of_it(text: str) -> None:
    """T5: a forge fills in a pull request with the message of its commit, and readers loaded the model's pictures."""
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    message = outlet.commit(text, text, {})
    tokens = [one for block in reader.parse(message) for one in (block, *(block.children or ()))]
    assert not {one.type for one in tokens} & {"image", "html_inline", "html_block", "link_open"}
    named = {one.info.split()[0] for one in tokens if one.type == "fence" and one.info}
    assert named <= LANGUAGES
    assert not re.search(r"&[a-z]+;", message), "no sign is written as an entity"


def test_a_message_calls_nobody_and_makes_nothing_fetch_a_preview() -> None:
    assert (
        outlet.message("see https://a.example/x <!channel> @here\u202e")
        == "see https:// a.example/x < ! channel> @ here"
    )


def test_a_trailer_is_one_line() -> None:
    message = outlet.commit("x", "", {"Agent-Pod": "a\nWork-Package: #1"})
    assert message == "x\n\nAgent-Pod: a Work-Package: #1\n"
    assert outlet.with_trailer(message, "More", "1") == "x\n\nAgent-Pod: a Work-Package: #1\nMore: 1\n"


def test_json_on_a_terminal_is_the_same_value_and_shows_all_that_it_holds() -> None:
    document = json.dumps({"a": "\u202ex\U000e0041\x9by é"}, ensure_ascii=False)
    assert outlet.json_line(document) == '{"a": "\\u202ex\\udb40\\udc41\\u009by é"}'
    assert json.loads(outlet.json_line(document)) == json.loads(document)


UNSEEN = "a\u202eb\x1b[31m\u2066c\x9b\u200bd\x07\r\ne"


OURS = {"pod": "pod-a", "area": "git"}
"""A pod's own name, which the settings' reader has judged, and words of ours."""


def filled(kind: Any) -> Any:
    """A value of that type, hostile in each of its texts."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is str:
        return UNSEEN
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return next(iter(kind))
    if isinstance(kind, type) and issubclass(kind, Struct):
        hints = typing.get_type_hints(kind)
        return kind(**{key: OURS.get(key) or filled(hints[key]) for key in kind.__struct_fields__})
    if origin in (tuple, list):
        return origin([filled(arguments[0])])
    if origin in (types.UnionType, typing.Union):
        return filled(arguments[0])
    return kind(1) if kind in (int, bool, float) else kind()


@pytest.mark.parametrize(
    ("show", "value"),
    [
        (screen.overview, filled(Overview)),
        (screen.explanation, filled(Explanation)),
        (screen.explanation, replace(filled(Explanation), reasons=())),
        (screen.status, filled(Status)),
        (screen.findings, [filled(Finding)]),
        (screen.released, [filled(Released)]),
    ],
)
def test_no_table_of_an_operator_shows_what_is_not_seen(show: Callable[..., list[str]], value: Any) -> None:
    lines = show(value, 80)
    assert any("abcd" in line for line in lines)
    assert not {unicodedata.category(sign) for line in lines for sign in line} & {"Cc", "Cf", "Zl", "Zp"}


def test_what_a_pass_says_shows_nothing_that_is_not_seen(capsys: pytest.CaptureFixture[str]) -> None:
    end = End(Ending.FAILED, branch=UNSEEN, reason=UNSEEN)
    progress = Progress("pod-a", silent=False, as_json=False)
    progress.show(Result(outcome=Pass.WORKED, ticket=1, rung=Rung.BUG, end=end))
    progress.say(UNSEEN)
    shown = capsys.readouterr().out
    assert "abcd" in shown
    assert not {unicodedata.category(sign) for sign in shown} & {"Cf", "Zl", "Zp"}
    assert "\x1b" not in shown


# --- there is no other door ---------------------------------------------------------------------------------------


def reports() -> list[str]:
    """Every function that writes a text for the board."""
    found = inspect.getmembers(report, inspect.isfunction)
    return [
        name
        for name, one in found
        if not name.startswith("_") and typing.get_type_hints(one).get("return") is BoardText
    ]


@pytest.mark.parametrize("name", reports())
def test_every_text_of_the_board_takes_any_words_of_others(name: str) -> None:
    write = getattr(report, name)
    hints = typing.get_type_hints(write)
    del hints["return"]
    for text in (*HOSTILE.values(), "`x`![](http://a.example)`", "a\n\n![](http://a.example)", "a\u202eb\x1b[1m"):
        words: dict[Any, object] = {str: text, Sequence[str]: [text], int: 1, float: 1.0, bool: True}
        arguments = {key: words[kind] for key, kind in hints.items() if kind in words and not key.endswith("_url")}
        written = write(**(arguments | ({"run": RUN} if "run" in hints else {})))
        assert not any(unicodedata.category(sign) in ("Cf", "Cc") and sign not in f"{APART}\n" for sign in written)
        if name != "spike_subject":  # a subject is no Markdown
            body, _, last = written.rpartition("\n")
            assert last.startswith(f"<!-- agent run={RUN}")
            assert acting(body) == []
            assert "<!--" not in body
            assert not any(one in body for one in ("user#1", 'user:"admin"', "<mention", 'data-id="'))


def test_the_reports_are_all_found() -> None:
    assert len(reports()) >= 19


MAKERS = {
    BoardText.__name__: {"texts/outlet.py", "model.py", "state.py"},
    CommitText.__name__: {"texts/outlet.py", "git/worktree.py"},
    outlet.ForgeText.__name__: {"texts/outlet.py"},
}
"""Who calls a type of an outlet by its name: the door; empty defaults; a message that is read back from a commit of ours."""


def test_nobody_else_says_that_a_text_has_passed_the_door() -> None:
    """The types are what the board's client and git's commits take; mypy holds that."""
    folder = Path(agent.__file__).parent
    found: dict[str, set[str]] = {name: set() for name in MAKERS}
    for path in folder.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        if not any(name in source for name in found):
            continue
        for node in ast.walk(ast.parse(source)):
            called = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
            if called in found:
                found[called].add(str(path.relative_to(folder)))
    assert found == MAKERS


@pytest.mark.parametrize("sign", ["[", "{", "#"])
@pytest.mark.parametrize("times", range(2, 9))
def test_no_macro_is_left_of_any_number_of_its_signs(sign: str, times: int) -> None:
    """T5: `[[[page|other words]]` came through the door with its last two brackets together: a link on the board."""
    assert 2 * sign not in html.unescape(outlet.quote(f"x {times * sign}page"))
