"""The orchestrator takes less than 300 MiB, whatever a repository, a model, a board or Nix gives it, and says what was wrong."""

from __future__ import annotations

import pytest

from support.memory import MOST, peak_of

HOSTILE = {
    "a dotted key in .agent.toml": """
from agent.errors import TicketFailure
from agent.programs.instructions import read_instructions
for text in ("a." * 30_000 + "a=1", ("a." * 200 + "a=1\\n") * 150, "x=" + "9" * 60_000, "x=" + "[" * 60_000):
    try:
        read_instructions(text)
    except TicketFailure as failure:
        assert len(failure.reason) < 400
    else:
        raise AssertionError(text[:20])
""",
    "a variable of a shell": """
from agent.devshell.flake import ShellRefused
from agent.devshell.saved import sanitised
for word in (b"'\\\\''", b"x", b"\\n"):
    try:
        sanitised(b"unset shellHook\\nbig='" + word * ((28 << 20) // len(word)) + b"'\\nexport big\\nf () \\n{ \\n}\\neval \\"$shellHook\\"\\n")
    except ShellRefused as refused:
        assert "`big`" in str(refused)
    else:
        raise AssertionError(word)
""",
    "a derivation": """
import tempfile
from pathlib import Path
from agent.devshell.client_options import Store
from agent.devshell.client_read import derivation_in
from agent.devshell.flake import ShellRefused
for content in (b'Derive("' + b"\\\\n" * (14 << 20), b"Derive(" + b"[]," * (1 << 20), b'Derive("' + b"\\\\n" * (2 << 20) + b'"'):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "x.drv").write_bytes(content)
        try:
            place = Path(folder)
            derivation_in(Store(uri="local", folder=place, real=place, state=place), f"{folder}/x.drv")
        except ShellRefused:
            continue
        raise AssertionError(content[:20])
""",
    "the derivations of a shell": """
import tempfile
from pathlib import Path
from agent.devshell.client_options import Store
from agent.devshell.client_read import derivations_in
from agent.devshell.closure import objection
from agent.devshell.flake import ShellRefused
name = "0" * 32 + "-x"
content = ('Derive([("out","/' + name + '","","")],[],[],"s","b",[],[("data","\U0001f600' + "a" * (4 << 20))[:4 << 20][:-20].encode() + b'")])'
with tempfile.TemporaryDirectory() as folder:
    place = Path(folder)
    (place / f"{name}.drv").write_bytes(content)
    store = Store(uri="local", folder=place, real=place, state=place)
    kept = []
    try:
        for one in derivations_in(store, [f"{folder}/{name}.drv"] * 40):
            assert not objection(one)
            kept.append(one)
    except ShellRefused as refused:
        assert len(kept) == 16, refused
    else:
        raise AssertionError
""",
    "an answer of the board": """
from agent.board import wire
from agent.errors import TooLarge
for body in (b"[" + b"{}," * (10 << 20), b"[" * (30 << 20), b"[" + b"1," * (15 << 20), b'["' + b"[{," * (9 << 20) + b'"'):
    try:
        wire.parse(body)
    except (wire.Malformed, TooLarge):
        continue
    raise AssertionError(body[:20])
""",
    "a board that never ends": """
import asyncio, gzip, httpx
from agent.board.exchange import Exchange
from agent.board.wire import Malformed
from agent.clock import SystemClock, SystemRandomness
from agent.errors import TooLarge

class Endless(httpx.AsyncByteStream):
    def __init__(self, piece): self.piece = piece
    async def __aiter__(self):
        for _ in range(5 << 10):
            yield self.piece

twice = gzip.compress(gzip.compress(b" " * (64 << 20)))
many = gzip.compress(b" " * (60 << 20))

async def ask(piece, **headers):
    transport = httpx.MockTransport(lambda request: httpx.Response(200, headers=headers, stream=Endless(piece)))
    exchange = Exchange("http://board", "token", transport=transport, clock=SystemClock(), randomness=SystemRandomness())
    try:
        await exchange.read("x", "a test")
    except (Malformed, TooLarge):
        return
    finally:
        await exchange.close()
    raise AssertionError(headers)

asyncio.run(ask(b" " * (1 << 20)))
asyncio.run(ask(many, **{"content-encoding": "gzip"}))
asyncio.run(ask(twice, **{"content-encoding": "gzip, gzip"}))
""",
    "a board that redirects": """
import asyncio, gzip, httpx
from agent.board.exchange import Exchange
from agent.clock import SystemClock, SystemRandomness
from agent.errors import Unreachable

twice = gzip.compress(gzip.compress(b" " * (64 << 20)))
headers = {"location": "/api/v3/x", "content-encoding": "gzip, gzip"}

class Body(httpx.AsyncByteStream):
    async def __aiter__(self):
        yield twice

async def ask():
    transport = httpx.MockTransport(lambda request: httpx.Response(302, headers=headers, stream=Body()))
    exchange = Exchange("http://board", "token", transport=transport, clock=SystemClock(), randomness=SystemRandomness())
    try:
        await exchange.read("x", "a test")
    except Unreachable as error:
        assert "redirects in a circle" in str(error), error
    else:
        raise AssertionError
    finally:
        await exchange.close()

asyncio.run(ask())
""",
    "the output of a model": """
from agent.errors import AgentError
from agent.programs.runner import Finished
from agent.programs.verdict import judge
from agent.texts.evidence import redactor
for size, line in (
    (4, b'{"type":"a"}\\n'),
    (16, b'{"type":"a","b":[' + b"[]," * 300_000 + b"0]}\\n"),
    (4, b'{"type":"assistant","message":{"content":[{"type":"text","text":"a"}]}}\\n'),
    (16, b"\\n" * 100),
    (16, b"{" * 100),
):
    done = Finished(0, stdout=line * ((size << 20) // len(line)))
    try:
        judge(done, redact=redactor(["correct horse"]), streams=True)
    except AgentError:
        continue
    raise AssertionError(line[:20])
""",
    "a listing of a repository": """
from agent.git import odd
one = b"H 100644 %s 0\\t" % (b"a" * 40)
raw = b"".join(one + b"%07d/%07d\\0" % (number, number) for number in range((64 << 20) // 80))
assert len(odd.read_listing(raw).folders) > 500_000
del raw
odd.flake_files(b"".join(b"? %07d.nix/x\\0" % number for number in range(1 << 20)))
""",
    "a listing of deep folders": """
from agent.git import odd
one = b"H 100644 %s 0\\t" % (b"a" * 40)
for count, deep in ((300, 2_030), (100_000, 99)):
    raw = b"".join(one + b"%06d/" % number + b"a/" * deep + b"f\\0" for number in range(count))
    listing = odd.read_listing(raw)
    assert len(listing.far) == count * (deep > 100)
    assert sum(1 for _ in odd.with_parents(listing.folders)) == 1 + count * (deep + 1) * (deep <= 100)
""",
    "a worktree of millions of names": """
import asyncio, tempfile
from pathlib import Path
from agent.git import sizes
from agent.git.blame import GitFailed
from agent.programs.runner import Finished

class Worktree:
    def __init__(self, folder, *answers):
        self.path, self.answers = Path(folder), list(answers)
        self.mirror = type("Mirror", (), {"disk": 10 << 30})
    async def git(self, *words):
        make = self.answers.pop(0)
        return Finished(0, stdout=make())

def listing(count, line=b"%07d"):
    def make():
        made = bytearray()
        for number in range(count):
            made += line % number + b"\\0"
        return bytes(made)
    return make

def long(kind=b""):
    return listing(sizes.MOST_NAMES, kind + b"%07d" + b"x" * (120 - len(kind)))

async def reason(*answers):
    with tempfile.TemporaryDirectory() as folder:
        found = await sizes.excess(Worktree(folder, *answers), "onto")
        return found and found.reason

assert "2,990,000 names are new" in asyncio.run(reason(listing(3_000_000), listing(10_000)))
sizes._size_of = lambda folder, name: 1 << 20 if name < b"0020000" else 1 << 10  # the files need not be there
assert "GiB together" in asyncio.run(reason(long(), listing(0)))
assert asyncio.run(reason(long(), long(b"100644 blob 1 9999999\\t"))) is None
""",
    "folders of many names": """
import os, tempfile
from pathlib import Path
from agent.git.folder import open_up, unblock
from agent.programs.removal import remove_folder
from support.memory import peak
with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
    top = Path(folder) / "top"
    top.mkdir()
    for number in range(60_000):
        os.mknod(top / f"{number}")
    for number in range(20_000):
        os.mkdir(top / f"folder{number}")
    before = peak()
    for look in (open_up, unblock, remove_folder):
        look(top)
    assert not top.exists()
    assert peak() - before < 5, f"{peak() - before} MiB: a million names would take more than may be taken"
""",
    "a board whose lists go on": """
import asyncio, json, httpx
from agent.board.client import Board
from agent.clock import SystemClock, SystemRandomness
from agent.errors import TooLarge

MIB = b"x" * (1 << 20)
FACE = "\N{GRINNING FACE}"  # with one of these each character of a text takes four bytes

class Answer(httpx.AsyncByteStream):
    def __init__(self, document, mebibytes): self.document, self.mebibytes = document, mebibytes
    async def __aiter__(self):
        before, _, after = json.dumps(self.document, ensure_ascii=False).partition("BIG")
        yield (before + FACE).encode()
        for _ in range(self.mebibytes):
            yield MIB
        yield after.encode()

async def ask(element, question):
    "Pages of one element each, few enough to be kept at first, and then a long one; singly they are asked for by id."
    links = dict.fromkeys(("project", "type", "status", "from", "to", "user"), {"href": "/api/v3/x/1"})
    def answer(request):
        last = request.url.path.rpartition("/")[2]
        number = int(last if last.isdecimal() else request.url.params.get("offset", "1"))
        assert number < 20, "and so on"
        document = {**element, "id": number, "lockVersion": 1, "_links": links}
        if not last.isdecimal():
            document = {"total": 12, "_embedded": {"elements": [document]}}
        return httpx.Response(200, stream=Answer(document, 30 if number % 5 == 0 else 3))
    transport = httpx.MockTransport(answer)
    async with Board("http://board", "token", transport=transport, clock=SystemClock(), randomness=SystemRandomness()) as board:
        return await question(board)

async def refused(element, question):
    try:
        await ask(element, question)
    except TooLarge as error:
        assert "larger than 48 MiB" in str(error), error
    else:
        raise AssertionError(element)

text = {"raw": "BIG"}
found = asyncio.run(ask({"subject": "a", "description": text}, lambda board: board.work_packages([], "a test")))
assert [one.id for one in found] == [1, 2, 3], "those for which there is room"
del found
asyncio.run(refused({"subject": "BIG"}, lambda board: board.rows([], "a test")))
asyncio.run(refused({"comment": text}, lambda board: board.activities(1, "a test")))
asyncio.run(refused({"name": "BIG"}, lambda board: board.types()))
asyncio.run(refused({"type": "BIG"}, lambda board: board.relations([1], "a test")))
asyncio.run(refused({"name": "BIG"}, lambda board: board.members(1)))
""",
    "what git says": """
from agent.texts.evidence import last_words, redactor
assert len(last_words(b"error: name\\n" * (5 << 20), redact=redactor(["correct horse"]))) <= 8_000
""",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_is_refused_in_little_memory(name: str) -> None:
    peak = peak_of(HOSTILE[name])
    assert peak < MOST, f"{peak:.0f} MiB"
