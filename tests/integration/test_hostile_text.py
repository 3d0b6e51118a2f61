"""What a stranger writes keeps no pod and no board busy: a second for what once took hours, each in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import TicketFailure
from support.git_bench import Bench, write
from support.heartbeat import Heart
from support.memory import peak_of

PATIENCE = 30
"""Seconds. What is tried takes a hundredth of one; what steps back takes hours."""
WORDS = {
    "a long word in the output of a check": """
from agent.texts.evidence import redactor
redactor(["correct horse"])("token" * 50_000)
""",
    "a word of the log": """
from agent.texts.evidence import last_words, redactor
last_words(b"_token" * 50_000, redact=redactor())
""",
    "a comment that looks like a note of the board": """
from agent.texts.trail import is_automatic_note
is_automatic_note("_#" + "1" * 100_000)
""",
    "comments within a description on the embedded board": """
from agent.server.hal import formattable
assert formattable("<!--" * 50_000)["raw"]
""",
    "links of a repository": """
from agent.git.odd import read_blobs
names = {str(number): "" for number in range(120_000)}
assert len(read_blobs(b"".join(b"%040d blob 3\\n../\\n" % number for number in range(120_000)), names)) == 120_000
""",
    "a dotted key in .agent.toml": """
from agent.errors import TicketFailure
from agent.programs.instructions import read_instructions
try:
    read_instructions("a." * 32_000 + "a=1")
except TicketFailure:
    pass
""",
    "a number in .agent.toml": """
from agent.errors import TicketFailure
from agent.programs.instructions import read_instructions
try:
    read_instructions("x=" + "9" * 5_000)
except TicketFailure:
    pass
""",
}


@pytest.mark.parametrize("name", WORDS)
def test_what_a_stranger_writes_is_done_with_in_a_moment(name: str) -> None:
    code = f"import time\nbegan = time.process_time()\n{WORDS[name]}\nassert time.process_time() - began < 2"
    assert peak_of(code, timeout=PATIENCE) > 0


async def test_white_space_that_gitattributes_calls_wrong_holds_nothing_up(tmp_path: Path, beating: Heart) -> None:
    bench = Bench(tmp_path)
    bench.remote.push("main", {".gitattributes": "* whitespace=trailing-space\n"})
    workspace = await bench.open()
    write(workspace, {"a.txt": "x \n" * 200_000})
    assert (await workspace.snapshot()).changed
    write(workspace, {"b.txt": "x \n" * 200_000 + "<<<<<<< HEAD\na\n=======\nb\n>>>>>>> theirs\n"})
    with pytest.raises(TicketFailure, match=r"conflict markers were left in `b\.txt`$"):
        await workspace.snapshot()
    assert beating.beats
