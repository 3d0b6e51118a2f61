"""HTML as a browser would read it, and texts that try to become some."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from hypothesis import strategies as st

from agent.page.markdown import ALLOWED

PIECES = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</pre>", "</p></div>", '"><svg onload=alert(1)>', "<!--", "-->", "<!-- a -->",
    "![i](http://x/y.png)", "![i](data:image/png;base64,AAAA)", "[a](javascript:alert(1))", "[a](JaVaScRiPt&colon;alert(1))", "[a](//evil/x)",
    "[a](data:text/html,x)", "[a]( https://ok 'ti\"tle')", "[a](</api/v3/users>)", "<https://auto>", "<javascript:alert(1)>", "[r]: javascript:x", "[r]",
    "http://plain/a_b*c", "https://a\"onmouseover='x", "#12", "##12", "`", "```", '~~~ "class', "    code", "> ", "- ", "1. ", "99999. ", "* * *",
    "# ", "|a|b|\n|:-|-:|\n|c|d|", "|", "**", "__", "~~", "\\", "&lt;script&gt;", "&#x6a;avascript:", "\n", "\n\n", "\t", " ", "\0", "\u202e", "\u2028",
    "[a](#wp=12)", "[a](#token=x)", "[a](vbscript:x)", "[a](https:x)", "[a](\x01javascript:x)", "[a](java\nscript:x)", "mailto:a@b.c", "<a@b.c>",
]  # fmt: skip
hostile = st.lists(st.sampled_from(PIECES) | st.text(max_size=12), max_size=25).map("".join)
VOID = {"br", "hr"}


class Seen(HTMLParser):
    """What a browser would see of it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.other: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.other.append(data)

    def handle_decl(self, decl: str) -> None:
        self.other.append(decl)

    def handle_pi(self, data: str) -> None:
        self.other.append(data)

    def unknown_decl(self, data: str) -> None:
        self.other.append(data)


def check(found: str) -> Seen:
    """The HTML, once it has proved harmless: well nested, and of allowed tags, attributes and addresses."""
    seen = Seen(found)
    assert seen.other == []
    assert seen.open == []
    for tag, attrs in seen.tags:
        assert attrs.keys() <= ALLOWED[tag]
        if tag == "a":
            href = attrs["href"] or ""
            assert re.match(r"(https?://[^/]|mailto:[^/]|#wp=\d+$)", href, re.IGNORECASE)
            assert href.startswith("#") or attrs["rel"] == "noopener noreferrer nofollow"
        assert (attrs.get("start") or "1").isdecimal()
        assert attrs.get("align") in (None, "left", "center", "right")
    return seen
