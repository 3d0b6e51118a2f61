"""Who may speak to the model: one process of its program, known by the kernel."""

import asyncio
import os
import shutil
import subprocess
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from types import NoneType

import pytest

from agent.errors import TicketFailure
from agent.execution import _known_better
from agent.programs.processes import Processes
from agent.programs.verdict import ModelTrouble, Silence
from agent.relay import peers
from agent.relay.peers import Owner
from agent.room import Room
from support.needs import needs
from support.relay_world import (
    BODY,
    MODEL,
    Api,
    Measured,
    Turn,
    hang,
    message,
    post,
    raw,
    relay_for,
    reply,
    report,
    status,
    stream,
)

CLIENT = """
import json, os, socket, sys
path, body, children, header = sys.argv[1], sys.argv[2].encode(), int(sys.argv[3]), sys.argv[4]
def ask():
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(20)
        one.connect(path)
        one.sendall(b"POST /v1/messages HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n%s\\r\\ncontent-length: %d\\r\\n\\r\\n" % (header.encode(), len(body)) + body)
        answer = b""
        while chunk := one.recv(65536):
            answer += chunk
    return answer.split()[1].decode(), answer.decode()
print(*ask())
sys.stdout.flush()
for _ in range(children):
    if not os.fork():
        print(*ask())
        sys.stdout.flush()
        os._exit(0)
    os.wait()
"""


FLOOD = """
import signal, socket, sys
held = [socket.socket(socket.AF_UNIX) for _ in range(200)]
for one in held:
    one.connect(sys.argv[1])
print(len(held), flush=True)
signal.pause()
"""
"""Opens more connections than there are for all, and holds them until it is killed."""


@pytest.fixture
def flood(tmp_path: Path) -> Path:
    file = tmp_path / "flood.py"
    file.write_text(FLOOD)
    return file


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The model's program: a Python that is another file than the one that runs the tests."""
    return Path(shutil.copy2(Path(sys.executable).resolve(), tmp_path / "model"))


async def run(
    program: Path | str, socket: Path, *, children: int = 0, header: str = "x: y", before: tuple[str, ...] = ()
) -> list[tuple[int, str]]:
    """The statuses and answers that a process of this program gets, and then its children."""
    argv = [*before, str(program), "-S", "-c", CLIENT, str(socket), BODY.decode(), str(children), header]
    env = {"PYTHONHOME": sys.base_prefix, "PATH": os.environ["PATH"]}
    done = await asyncio.to_thread(subprocess.run, argv, env=env, capture_output=True, text=True, check=True)
    parts = done.stdout.split("HTTP/1.1 ")
    return [(int(part.split()[0]), part) for part in parts[1:]]


async def test_only_the_models_own_process_may_ask(
    api: Api, tmp_path: Path, socket: Path, model: Path, measured: Measured
) -> None:
    relay = relay_for(api, tmp_path)
    async with relay.serving(socket):
        [(own, _), (child, sentence), (grandchild, _)] = await run(model, socket, children=2)
        forged = f"x-forwarded-for: {os.getpid()}\r\nforwarded: for={os.getpid()}\r\nx-real-ip: 1"
        nested = [*(await run(model, socket, children=1)), *(await run(model, socket, header=forged))]
        after = [status(await raw(socket, post())), *(one for one, _ in await run(sys.executable, socket))]
    assert own == 200
    assert "this is another one, and there are no child agents" in sentence
    refused = [child, grandchild, *(one for one, _ in nested), *after]
    assert set(refused) == {403}
    assert relay.usage.turns == 1
    async with relay.serving(socket):
        assert [one for one, _ in await run(model, socket)] == [200], "a new session has a new owner"
    report(measured, "other processes (children, a nested model, other programs)", len(refused), len(api.seen) - 2)


@needs("bwrap")
async def test_the_models_process_is_known_out_of_its_own_namespaces(
    api: Api, tmp_path: Path, socket: Path, model: Path
) -> None:
    jail = ("bwrap", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--unshare-all", "--die-with-parent", "--new-session")  # fmt: skip
    async with relay_for(api, tmp_path).serving(socket):
        assert [one for one, _ in await run(model, socket, before=jail, children=1)] == [200, 403]
        assert [one for one, _ in await run(sys.executable, socket, before=jail)] == [403]
    assert len(api.seen) == 1


@pytest.mark.parametrize("pid", [0, 2**22 + 1])
def test_a_process_that_cannot_be_seen_is_refused_and_owns_nothing(pid: int) -> None:
    owner = Owner()
    assert owner.refuses(pid) == "the relay cannot see which process is asking, so it may not"
    assert owner.refuses(os.getpid()) == ""


def test_a_process_id_that_comes_again_is_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = Owner()
    assert owner.refuses(os.getpid()) == ""
    started = peers._started
    monkeypatch.setattr(peers, "_started", lambda pid: started(pid) + 1)
    assert owner.refuses(os.getpid())


async def test_a_stranger_that_came_first_is_known_until_the_models_own_process_asks(
    api: Api, tmp_path: Path, socket: Path, model: Path
) -> None:
    relay = relay_for(api, tmp_path)
    assert (relay.stranger, relay.unfit) == ("", "")
    async with relay.serving(socket):
        await run(model, socket)
        await run(model, socket)
        assert "only the model's own process may ask" in relay.stranger
    async with relay.serving(socket):
        await run(model, socket)
        assert relay.stranger == ""


async def test_others_that_hold_all_connections_leave_room_for_the_owner(
    api: Api, tmp_path: Path, socket: Path, flood: Path
) -> None:
    relay = relay_for(api, tmp_path)
    room = Room(runner=Processes(), env={}, home=tmp_path, socket=socket, relay=relay, broker=None, preload=None)
    trouble = ModelTrouble("the model's API could not be used")
    async with relay.serving(socket):
        assert status(await raw(socket, post())) == 200
        other = await asyncio.create_subprocess_exec(sys.executable, flood, socket, stdout=PIPE)
        assert other.stdout
        held = int(await other.stdout.readline())
        assert relay.crowded
        assert isinstance(_known_better(trouble, room), TicketFailure)
        assert [status(await raw(socket, post())) for _ in range(3)] == [200] * 3
        assert _known_better(trouble, room) is None, "the owner was answered since"
        other.kill()
        await other.wait()
    assert held == 200
    assert len(api.seen) == 4


@needs("bwrap")
async def test_others_that_hold_them_before_it_has_asked_leave_room_for_the_owner(
    api: Api, tmp_path: Path, socket: Path, model: Path, flood: Path
) -> None:
    """A process of the sandbox that was started second: the first, which may ask, has not done so."""
    first = f'mkfifo {tmp_path}/held; {sys.executable} {flood} {socket} > {tmp_path}/held & read held < {tmp_path}/held && exec "$@"'
    jail = ("bwrap", "--bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--unshare-all", "--die-with-parent", "sh", "-c", first, "sh")  # fmt: skip
    async with relay_for(api, tmp_path).serving(socket):
        assert [one for one, _ in await run(model, socket, before=jail)] == [200]


@pytest.mark.parametrize(
    ("turn", "whose"),
    [
        (stream(message()), TicketFailure),
        (stream(message(), end=False, silence=30), NoneType),
        (hang(30), NoneType),
        (reply(529, {"error": {"type": "overloaded_error"}}), NoneType),
    ],
    ids=["answered", "stalled", "silent", "overloaded"],
)
async def test_silence_after_an_answer_is_not_the_apis(
    api: Api, tmp_path: Path, socket: Path, turn: Turn, whose: type
) -> None:
    """A process of the sandbox may have stopped the coder."""
    relay = relay_for(api, tmp_path)
    room = Room(runner=Processes(), env={}, home=tmp_path, socket=socket, relay=relay, broker=None, preload=None)
    api.turns = [turn]
    async with relay.serving(socket):
        await raw(socket, post(), wait=1)
    assert len(api.seen) == 1
    assert isinstance(_known_better(Silence("the model's API fell silent"), room), whose)
    assert _known_better(ModelTrouble("the model's API answered 529"), room) is None


async def test_what_was_not_passed_on_is_known_until_something_is(api: Api, tmp_path: Path, socket: Path) -> None:
    relay = relay_for(api, tmp_path)
    async with relay.serving(socket):
        await raw(socket, post(body=BODY.replace(MODEL.encode(), b"sonnet")))
        assert relay.unfit == f"the model 'sonnet' is not allowed here: ask for {MODEL}"
        await raw(socket, post())
        assert relay.unfit == ""
