"""What the relay counts, keeps on disk, and refuses: real sockets, a real API."""

import asyncio
import contextlib
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec
import pytest

from agent.errors import PodTrouble
from agent.relay import Budget, Usage
from agent.relay.record import Record
from support.relay_world import (
    ASK,
    PLENTY,
    PRICES,
    VERDICT,
    Api,
    Turn,
    client_of,
    event,
    hang,
    message,
    relay_for,
    reply,
    stream,
)


def recorded(folder: Path) -> Usage:
    return msgspec.json.decode((folder / "usage.json").read_bytes(), type=Usage)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


async def until(what: Callable[[], object]) -> None:
    for _ in range(500):
        if what():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not happen within 5 s")


async def test_usage_adds_up_and_is_on_disk_before_the_last_byte_is_passed_on(
    api: Api, tmp_path: Path, socket: Path
) -> None:
    relay = relay_for(api, tmp_path)
    api.turns = [stream(message()), reply(200, VERDICT)]
    async with relay.serving(socket), client_of(socket) as client:
        async with client.stream("POST", "/v1/messages", json=ASK) as answer:
            async for chunk in answer.aiter_raw():
                if b"message_delta" in chunk:
                    assert recorded(tmp_path).output_tokens == 20
                elif b"message_start" in chunk:
                    assert recorded(tmp_path).input_tokens == 100, "a kill would lose the answer's input"
        await client.post("/v1/messages", json=ASK)
        assert recorded(tmp_path) == relay.usage
    assert msgspec.structs.replace(relay.usage, usd=0) == Usage(input_tokens=200, output_tokens=40, turns=2)
    assert relay.usage.usd == pytest.approx(2 * (100 * 3 + 20 * 15) / 1e6)
    assert mode(tmp_path / "usage.json") == 0o600
    assert names(tmp_path) == ["usage.json"]


@pytest.mark.parametrize(
    ("turn", "counted"),
    [
        (stream(message(9)[:5], end=False), Usage(input_tokens=100, output_tokens=4, turns=1)),
        (stream([*message()[:2], event("error", error={"type": "overloaded_error"})]), Usage(input_tokens=100, output_tokens=1, turns=1)),
        (stream([], end=False), Usage(turns=1)),
        (hang(0), Usage(turns=1)),
        (stream([b"data: {", b"\xff\xff\n\n", *message()]), Usage(input_tokens=100, output_tokens=20, turns=1)),
        (reply(200, b"<html>"), Usage(turns=1)),
        (stream([event("error", error={"type": "overloaded_error"})]), Usage()),
        (reply(401, {"type": "error"}), Usage()),
        (reply(529, VERDICT), Usage()),
        (reply(307, b"", location="http://127.0.0.1:1/"), Usage()),
    ],
    ids=["cut", "error event", "cut at once", "dropped", "malformed", "no message", "error first", "401", "529", "redirect"],
)  # fmt: skip
async def test_a_broken_answer_counts_what_was_seen_and_its_turn_unless_the_api_did_not_take_it(
    api: Api, tmp_path: Path, socket: Path, turn: Turn, counted: Usage
) -> None:
    api.turns = [turn]
    relay = relay_for(api, tmp_path)
    async with relay.serving(socket), client_of(socket) as client:
        with contextlib.suppress(httpx.RemoteProtocolError):  # it was cut, and the client saw that
            await client.post("/v1/messages", json=ASK)
        await until(lambda: not api.open)
    assert msgspec.structs.replace(relay.usage, usd=0.0) == counted
    assert recorded(tmp_path) == relay.usage


@pytest.mark.parametrize(
    ("budget", "served", "sentence"),
    [
        (Budget(tokens=10**9, turns=3, usd=99), 3, "the run's budget of 3 turns is spent"),
        (Budget(tokens=300, turns=99, usd=99), 3, "the run's budget of 300 tokens is spent"),
        (Budget(tokens=10**9, turns=99, usd=0.001), 2, "the run's budget of $0.00 is spent"),
        (Budget(tokens=0, turns=99, usd=99), 0, "the run's budget of 0 tokens is spent"),
    ],
)
async def test_a_spent_budget_is_refused_in_a_sentence_that_the_client_does_not_retry(
    api: Api, tmp_path: Path, budget: Budget, served: int, sentence: str
) -> None:
    relay = relay_for(api, tmp_path, budget=budget)
    async with relay.serving(tmp_path / "s"), client_of(tmp_path / "s") as client:
        answers = [await client.post("/v1/messages", json=ASK) for _ in range(served + 2)]
    assert [one.status_code for one in answers] == [200] * served + [403, 403]
    assert answers[-1].json() == {"type": "error", "error": {"type": "permission_error", "message": sentence}}
    assert len(api.seen) == served
    assert relay.usage.refused == recorded(tmp_path).refused == sentence
    assert relay.trouble == ""


async def test_a_stream_that_crosses_the_budget_is_let_finish(api: Api, tmp_path: Path, socket: Path) -> None:
    relay = relay_for(api, tmp_path, budget=Budget(tokens=50, turns=9, usd=9))
    async with relay.serving(socket), client_of(socket) as client:
        assert (await client.post("/v1/messages", json=ASK)).content == b"".join(message())
        assert relay.usage.refused == "", "nothing was refused yet"
        assert (await client.post("/v1/messages", json=ASK)).status_code == 403


async def test_a_budget_holds_over_a_restart_and_a_greater_one_goes_on(api: Api, tmp_path: Path, socket: Path) -> None:
    statuses = []
    for turns in (2, 2, 3):
        relay = relay_for(api, tmp_path, budget=Budget(tokens=10**9, turns=turns, usd=9))
        assert relay.usage.refused == ""
        async with relay.serving(socket), client_of(socket) as client:
            statuses += [(await client.post("/v1/messages", json=ASK)).status_code for _ in range(2)]
    assert statuses == [200, 200, 403, 403, 200, 403]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"turns": "3"}', b'{"turns": -3}', b'{"usd": -0.1}', b"\xff"])
async def test_a_damaged_record_is_an_error_and_not_zero(api: Api, tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "usage.json").write_bytes(damage)
    with pytest.raises(PodTrouble, match=r"the usage record .* is damaged \(.*remove it to begin again"):
        relay_for(api, tmp_path)
    (tmp_path / "usage.json").unlink()
    (tmp_path / "usage.json").mkdir()
    with pytest.raises(PodTrouble, match="cannot be read: Is a directory"):
        relay_for(api, tmp_path)


async def test_nothing_is_sent_while_the_record_cannot_be_written(api: Api, tmp_path: Path, socket: Path) -> None:
    folder = tmp_path / "record"
    relay = relay_for(api, folder)
    async with relay.serving(socket), client_of(socket) as client:
        folder.write_text("in the way")
        answer = await client.post("/v1/messages", json=ASK)
        assert (answer.status_code, api.seen) == (403, [])
        assert "cannot be written: File exists" in answer.json()["error"]["message"]
        assert (relay.trouble, relay.usage) == (answer.json()["error"]["message"], Usage())
        folder.unlink()
        assert (await client.post("/v1/messages", json=ASK)).status_code == 200
    assert (relay.trouble, relay.usage.turns) == ("", 1)


async def test_a_slow_disk_keeps_the_loop_from_nothing_and_loses_no_spend(
    api: Api, tmp_path: Path, socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(_fd: int) -> None:
        assert threading.current_thread() is not threading.main_thread(), "the loop waits for the disk"
        time.sleep(0.1)

    monkeypatch.setattr("os.fsync", slow)
    relay = relay_for(api, tmp_path)
    api.turns = [stream(message()), stream(message(), silence=5), stream(message())]
    async with relay.serving(socket), client_of(socket) as client:
        assert (await client.post("/v1/messages", json=ASK)).status_code == 200
        assert recorded(tmp_path).tokens == 120
        async with client.stream("POST", "/v1/messages", json=ASK) as answer:
            await anext(answer.aiter_raw())  # and it goes away
        async with client.stream("POST", "/v1/messages", json=ASK) as answer:
            await anext(answer.aiter_raw())
    assert (recorded(tmp_path), relay.usage.turns) == (relay.usage, 3)


async def test_a_turn_whose_beginning_is_cancelled_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _fd: time.sleep(0.1))
    record = Record(tmp_path / "usage.json", PRICES, PLENTY)
    beginning = asyncio.create_task(record.begin())
    await asyncio.sleep(0)
    beginning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await beginning
    await record.settled()
    assert (recorded(tmp_path).turns, record.usage.turns) == (0, 0)
    assert names(tmp_path) == ["usage.json"]
