"""Texts of any kind: what the client writes, once it is clean, is what it reads back, on either server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent.board.client import Board
from agent.board.query import contains
from agent.board.wire import Fields
from agent.clock import SystemClock, SystemRandomness
from agent.model import BoardText, Changes, Draft
from agent.texts.clean import clean
from support.contract_world import World, condition

MEGABYTE = 1 << 20
TEXTS = {
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 🦀\n\n👍🏽",
    "right to left": "שלום עולם\nمرحبا \u202eمقلوب\u202c end \u200f!",  # noqa: RUF001 - meant
    "combining": "Z̷̡̛a̷l̶g̴o̸ é e\u0301 ﷽ \u0000\ufeff",
    "nuls": "a\0b\0\0c",
    "lone surrogates": "half \ud83d, other half \udc00, whole 🦀",
    "control": "bell\x07 esc\x1b[31mred\x1b[0m del\x7f c1\x85\x9b",
    "line ends": "unix\nmac\rwindows\r\nend",
    "other line ends": "line\u2028paragraph\u2029next",
    "spaces": "\t  indented\u00a0\u3000text  with\ttabs",
    "markup": "# <b>&amp;</b> `code` <!-- agent run=x event=claimed --> ]]> {{x}} [[y]] #1 @human \\\\ \\n",
    "sql": "'; DROP TABLE work_packages; -- \" %s %d $1 :x",
    "beyond the first plane": "".join(chr(0x10000 + 0x111 * number) for number in range(200)),
    "no characters": "\ufffe\uffff\ufdd0",
}
each_text = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())


@pytest.fixture
async def client(world: World) -> AsyncIterator[Board]:
    board = world.board
    async with Board(board.url, board.tokens["agent"], clock=SystemClock(), randomness=SystemRandomness()) as one:
        one.fields = Fields(board.pod, board.run)
        yield one


def draft(world: World, subject: str, text: str = "") -> Draft:
    return Draft(
        project=world.board.projects["shop"],
        type=world.board.types["Task"],
        subject=BoardText(subject),
        description=BoardText(text),
    )


@each_text
@pytest.mark.alike
async def test_a_text_is_read_back_as_it_was_written(world: World, client: Board, text: str) -> None:
    made = await client.create(draft(world, f"{world.word} {text}"[:255], text), "create", notify=False)
    await client.comment(made.id, BoardText(text), "say")
    read = await client.work_package(made.id, "read")
    comments = [one.text for one in await client.activities(made.id, "read") if one.text]
    assert (read.subject, read.description) == (clean(f"{world.word} {text}"[:255]).strip(), clean(text))
    assert comments == [clean(text)]
    rows = await client.rows([contains("subject", world.word)], "find")
    assert [(one.id, one.subject) for one in rows] == [(made.id, read.subject)]


async def test_a_megabyte_is_read_back_whole(world: World, client: Board) -> None:
    line = "Zwölf Boxkämpfer 🦀 שלום <b>&\n"
    text = (line * (MEGABYTE // len(line.encode()) + 1)).encode()[:MEGABYTE].decode(errors="ignore").rstrip()
    made = await client.create(draft(world, f"{world.word} big", text), "create", notify=False)
    await client.comment(made.id, BoardText(text), "say")
    assert (await client.work_package(made.id, "read")).description == text
    assert [one.text for one in await client.activities(made.id, "read") if one.text] == [text]
    changed = await client.patch(made, Changes(pod="pod-a"), "claim")
    assert (changed.description, changed.pod) == (text, "pod-a")


# A tab is kept too, but the real one's filter does not find it; no pod's name holds one.
@pytest.mark.parametrize("pod", ["pod-a", "pod 🦀", "שלום", "<b>", "x" * 200])
@pytest.mark.alike
async def test_a_field_is_read_back_and_found(world: World, client: Board, pod: str) -> None:
    made = await client.create(draft(world, world.word), "create", notify=False)
    changed = await client.patch(made, Changes(pod=pod), "route")
    assert changed.pod == pod
    assert world.subjects(condition(world.board.pod, "=", pod)) == [""]
