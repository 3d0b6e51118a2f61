"""The relay on a real Unix socket before a real HTTP server: what passes, what is counted, what is left behind."""

import asyncio
import gzip
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from agent.errors import ConfigurationError, PodTrouble
from agent.relay import Usage
from support.relay_world import (
    ASK,
    KEY,
    VERDICT,
    Api,
    Turn,
    client_of,
    hang,
    message,
    messages_api,
    relay_for,
    reply,
    stream,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def replace_by_a_file(socket: Path) -> None:
    socket.rename(socket.with_name("moved.sock"))
    socket.write_text("mine")


def content(path: Path) -> str:
    return path.read_text()


async def until(what: Callable[[], object]) -> None:
    for _ in range(500):
        if what():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not happen within 5 s")


# --- what passes ---


async def test_a_request_passes_with_its_three_headers_its_query_its_body_and_the_real_key(
    api: Api, tmp_path: Path, socket: Path
) -> None:
    relay = relay_for(api, tmp_path, api=api.url + "/pre/v1/")
    body = json.dumps(ASK, indent=3).encode()
    async with relay.serving(socket), client_of(socket) as client:
        headers = [("content-type", "application/json; charset=utf-7"), ("anthropic-beta", "three")]
        answer = await client.post("/v1/messages?beta=true", content=body, headers=httpx.Headers(headers))
    assert answer.status_code == 200
    (seen,) = api.seen
    assert (seen.method, seen.target, seen.body) == ("POST", "/pre/v1/messages?beta=true", body)
    names = {"host", "accept", "connection", "content-length", "accept-encoding", "user-agent"}
    assert {name for name, _ in seen.headers} - names == {
        "x-api-key", "content-type", "anthropic-version", "anthropic-beta",
    }  # fmt: skip
    assert seen.header("x-api-key") == [KEY]
    assert seen.header("user-agent") == ["agent-relay"]
    assert seen.header("content-type") == ["application/json"], "it is read as the relay has judged it"
    assert seen.header("anthropic-beta") == ["three"]
    assert seen.header("anthropic-version") == ["2023-06-01"]


@pytest.mark.parametrize(
    "query", ["betas=context-1m-2025-08-07", "model=other", "beta=true&beta=false", "beta=true%00"]
)
async def test_a_query_that_no_known_program_asks_with_is_refused(
    api: Api, tmp_path: Path, socket: Path, query: str
) -> None:
    async with relay_for(api, tmp_path).serving(socket), client_of(socket) as client:
        answer = await client.post(f"/v1/messages?{query}", json=ASK)
    assert answer.status_code == 400
    assert not api.seen


async def test_the_answer_passes_as_it_is_with_four_headers(api: Api, tmp_path: Path, socket: Path) -> None:
    api.turns = [
        stream(message()),
        reply(200, VERDICT, request_id="req_1", server="x"),
        reply(429, {"type": "error"}, retry_after="7", x_should_retry="false", set_cookie="a=b"),
    ]
    async with relay_for(api, tmp_path).serving(socket), client_of(socket) as client:
        answers = [await client.post("/v1/messages", json=ASK) for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert answers[0].content == b"".join(message())
    assert answers[1].json() == VERDICT
    own = {"transfer-encoding"}
    assert dict(answers[0].headers) == {
        "content-type": "text/event-stream; charset=utf-8", "request-id": "req_7", "transfer-encoding": "chunked",
    }  # fmt: skip
    assert set(answers[1].headers) - own == {"content-type", "request-id"}
    assert set(answers[2].headers) - own == {"content-type", "retry-after", "x-should-retry"}


async def test_a_stream_passes_as_it_comes(
    api: Api, tmp_path: Path, socket: Path, measured: Callable[[str], None]
) -> None:
    api.turns = [stream(message(4), pause=0.6)]
    loop = asyncio.get_running_loop()
    async with relay_for(api, tmp_path).serving(socket), client_of(socket) as client:
        started = loop.time()
        async with client.stream("POST", "/v1/messages", json=ASK) as answer:
            times = [loop.time() - started async for _ in answer.aiter_raw()]
    assert len(times) == 7
    delays = [at - 0.6 * number for number, at in enumerate(times)]
    assert max(delays) < 0.6, "an event waited for the next one"
    measured(
        f"relay: first event after {1000 * delays[0]:.0f} ms, of 7 events none later than {1000 * max(delays):.0f} ms"
    )


async def test_an_answer_that_is_compressed_all_the_same_is_counted_and_passed_on_plain(
    api: Api, tmp_path: Path, socket: Path
) -> None:
    api.turns = [reply(200, gzip.compress(json.dumps(VERDICT).encode()), content_encoding="gzip"), reply(200, b"no gzip", content_encoding="gzip")]  # fmt: skip
    relay = relay_for(api, tmp_path)
    async with relay.serving(socket), client_of(socket) as client:
        assert (await client.post("/v1/messages", json=ASK)).json() == VERDICT
        assert relay.usage.input_tokens == 100
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/v1/messages", json=ASK)
    assert relay.usage.turns == 2


async def test_a_long_request_passes_whole(api: Api, tmp_path: Path, socket: Path) -> None:
    ask = {**ASK, "system": "x" * (10 << 20)}
    async with relay_for(api, tmp_path).serving(socket), client_of(socket) as client:
        assert (await client.post("/v1/messages", json=ask)).status_code == 200
    assert json.loads(api.seen[0].body) == ask


# --- trouble with the API ---


async def test_an_api_that_is_not_there_is_a_502_and_no_turn(api: Api, tmp_path: Path, socket: Path) -> None:
    relay = relay_for(api, tmp_path, api="http://127.0.0.1:1")
    async with relay.serving(socket), client_of(socket) as client:
        answer = await client.post("/v1/messages", json=ASK)
    assert answer.status_code == 502
    assert answer.json()["error"] == {"type": "api_error", "message": "the model's API did not answer (ConnectError)"}
    assert relay.usage == Usage()


async def test_a_silent_api_is_a_504_before_its_answer_and_a_cut_within(api: Api, tmp_path: Path, socket: Path) -> None:
    api.turns = [hang(30), stream(message()[:2], silence=30)]
    relay = relay_for(api, tmp_path, patience=httpx.Timeout(0.3))
    async with relay.serving(socket), client_of(socket) as client:
        answer = await client.post("/v1/messages", json=ASK)
        assert (answer.status_code, answer.json()["error"]["type"]) == (504, "timeout_error")
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/v1/messages", json=ASK)
    assert msgspec.structs.replace(relay.usage, usd=0) == Usage(input_tokens=100, output_tokens=1, turns=2)


async def test_a_redirect_is_not_followed(api: Api, tmp_path: Path, socket: Path) -> None:
    async with messages_api() as other:
        api.turns = [reply(307, b"", location=other.url + "/v1/messages")]
        async with relay_for(api, tmp_path).serving(socket), client_of(socket) as client:
            answer = await client.post("/v1/messages", json=ASK)
        assert (answer.status_code, other.seen) == (502, [])


@pytest.mark.parametrize("turn", [hang(30), stream(message()[:2], silence=30)], ids=["before", "within"])
async def test_a_client_that_goes_away_ends_its_request_at_the_api_and_can_ask_again_at_once(
    api: Api, tmp_path: Path, socket: Path, turn: Turn
) -> None:
    api.turns = [turn, stream(message())]
    relay = relay_for(api, tmp_path)
    async with relay.serving(socket), client_of(socket) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.post("/v1/messages", json=ASK), 0.3)
        assert (await client.post("/v1/messages", json=ASK)).status_code == 200
        await until(lambda: api.left == 1)
    assert relay.usage.turns == 2
    assert relay.usage.input_tokens >= 100


# --- the socket ---


async def test_the_socket_is_for_this_user_alone_and_nothing_is_left_behind(
    api: Api, tmp_path: Path, socket: Path, measured: Callable[[str], None]
) -> None:
    relay = relay_for(api, tmp_path)
    api.turns = [hang(30)]
    loop = asyncio.get_running_loop()
    descriptors, tasks = len(names(Path("/proc/self/fd"))), asyncio.all_tasks()
    async with client_of(socket) as client:
        async with relay.serving(socket):
            assert mode(socket) == 0o600
            asking = asyncio.create_task(client.post("/v1/messages", json=ASK))
            await until(lambda: api.open)
            started = loop.time()
        took = loop.time() - started
        with pytest.raises(httpx.HTTPError):
            (await asking).raise_for_status()
        assert "relay.sock" not in names(tmp_path)
        await until(lambda: not api.open)
    await until(lambda: asyncio.all_tasks() == tasks)
    await until(lambda: len(names(Path("/proc/self/fd"))) <= descriptors)
    assert took < 0.5
    measured(f"relay: stopped in {1000 * took:.0f} ms with a request in flight")


async def test_a_stale_socket_is_replaced_a_successors_is_kept_and_a_file_in_the_way_is_not_touched(
    api: Api, tmp_path: Path, socket: Path
) -> None:
    first, second = relay_for(api, tmp_path), relay_for(api, tmp_path)
    async with first.serving(socket):
        async with second.serving(socket), client_of(socket) as client:
            assert (await client.post("/v1/messages", json=ASK)).status_code == 200
            replace_by_a_file(socket)
        assert content(socket) == "mine"
    assert content(socket) == "mine"
    with pytest.raises(PodTrouble, match=r"there can be no socket at .*: Address already in use"):
        async with first.serving(socket):
            pass
    assert content(socket) == "mine"


async def test_a_path_too_long_for_a_socket_is_named(api: Api, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    with pytest.raises(ConfigurationError, match="and a socket's at most 107: choose a shorter `state` folder"):
        async with relay_for(api, tmp_path).serving(folder / "relay.sock"):
            pass
    exact = tmp_path / ("y" * (107 - len(str(tmp_path)) - 1))
    async with relay_for(api, tmp_path).serving(exact), client_of(exact) as client:
        assert (await client.post("/v1/messages", json=ASK)).status_code == 200


# --- the broker ---


async def test_the_broker_answers_every_process_and_only_where_there_is_one(
    api: Api, tmp_path: Path, socket: Path
) -> None:
    async def develop(body: bytes) -> tuple[int, dict[str, Any]]:
        if b"disk" in body:
            raise PodTrouble("no space is left on /nix")
        return (200 if body == b"[1]" else 403), {"heard": json.loads(body)}

    async with relay_for(api, tmp_path, nix=develop).serving(socket), client_of(socket) as client:
        assert (await client.post("/nix/develop", content=b"[1]")).json() == {"heard": [1]}
        assert (await client.post("/nix/develop", content=b"[2]")).status_code == 403
        trouble = await client.post("/nix/develop", content=b'"disk"')
        assert (trouble.status_code, trouble.json()["error"]["message"]) == (503, "no space is left on /nix")
        assert (await client.post("/nix/develop", content=b"x" * (2 << 20))).status_code == 413
        assert (await client.get("/nix/develop")).status_code == 405
    async with relay_for(api, tmp_path).serving(socket), client_of(socket) as client:
        assert (await client.post("/nix/develop", content=b"[1]")).status_code == 404
    assert api.seen == []


async def test_an_evaluation_ends_when_its_client_goes_away(api: Api, tmp_path: Path, socket: Path) -> None:
    ended = asyncio.Event()

    async def develop(_: bytes) -> tuple[int, dict[str, Any]]:
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()
        return 200, {}

    async with relay_for(api, tmp_path, nix=develop).serving(socket), client_of(socket) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.post("/nix/develop", content=b"[1]"), 0.2)
        await asyncio.wait_for(ended.wait(), 2)
