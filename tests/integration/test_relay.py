"""The relay on a real Unix socket before a real HTTP server: what passes, what is counted, what is left behind."""

import asyncio
import contextlib
import gzip
import json
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import msgspec
import pytest

from agent.errors import ConfigurationError, PodTrouble
from agent.relay import Budget, Usage, probe
from support.relay_world import (
    ASK,
    KEY,
    VERDICT,
    Api,
    Turn,
    client_of,
    event,
    hang,
    message,
    messages_api,
    relay_for,
    reply,
    stream,
)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with messages_api() as one:
        yield one


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "relay.sock"


def recorded(folder: Path) -> Usage:
    return msgspec.json.decode((folder / "usage.json").read_bytes(), type=Usage)


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
        headers = [("content-type", "application/json"), ("anthropic-beta", "three")]
        answer = await client.post("/v1/messages?beta=true&a=%20b", content=body, headers=httpx.Headers(headers))
    assert answer.status_code == 200
    (seen,) = api.seen
    assert (seen.method, seen.target, seen.body) == ("POST", "/pre/v1/messages?beta=true&a=%20b", body)
    names = {"host", "accept", "connection", "content-length", "accept-encoding", "user-agent"}
    assert {name for name, _ in seen.headers} - names == {
        "x-api-key", "content-type", "anthropic-version", "anthropic-beta",
    }  # fmt: skip
    assert seen.header("x-api-key") == [KEY]
    assert seen.header("user-agent") == ["agent-relay"]
    assert seen.header("anthropic-beta") == ["three"]
    assert seen.header("anthropic-version") == ["2023-06-01"]


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
    api.turns = [stream(message(4), pause=0.2)]
    loop = asyncio.get_running_loop()
    async with relay_for(api, tmp_path).serving(socket), client_of(socket) as client:
        started = loop.time()
        async with client.stream("POST", "/v1/messages", json=ASK) as answer:
            times = [loop.time() - started async for _ in answer.aiter_raw()]
    assert len(times) == 7
    delays = [at - 0.2 * number for number, at in enumerate(times)]
    assert max(delays) < 0.2, "an event waited for the next one"
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


# --- counting, and the budget ---


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
    async def develop(body: bytes) -> bytes:
        if b"disk" in body:
            raise PodTrouble("no space is left on /nix")
        return b'{"heard": ' + body + b"}"

    async with relay_for(api, tmp_path, nix=develop).serving(socket), client_of(socket) as client:
        assert (await client.post("/nix/develop", content=b"[1]")).json() == {"heard": [1]}
        trouble = await client.post("/nix/develop", content=b'"disk"')
        assert (trouble.status_code, trouble.json()["error"]["message"]) == (503, "no space is left on /nix")
        assert (await client.post("/nix/develop", content=b"x" * (2 << 20))).status_code == 413
        assert (await client.get("/nix/develop")).status_code == 405
    async with relay_for(api, tmp_path).serving(socket), client_of(socket) as client:
        assert (await client.post("/nix/develop", content=b"[1]")).status_code == 404
    assert api.seen == []


async def test_an_evaluation_ends_when_its_client_goes_away(api: Api, tmp_path: Path, socket: Path) -> None:
    ended = asyncio.Event()

    async def develop(_: bytes) -> bytes:
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()
        return b""

    async with relay_for(api, tmp_path, nix=develop).serving(socket), client_of(socket) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.post("/nix/develop", content=b"[1]"), 0.2)
        await asyncio.wait_for(ended.wait(), 2)


# --- the preflight ---


async def test_the_probe_asks_for_one_model_which_costs_nothing(api: Api) -> None:
    for status in (200, 404, 405, 400):
        api.turns = [reply(status, {"data": []})]
        await probe(api.url + "/v1/", KEY)
    assert {(one.method, one.target) for one in api.seen} == {("GET", "/v1/models?limit=1")}
    assert api.seen[0].header("x-api-key") == [KEY]


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (401, "it does not take the key; set another one"),
        (403, "the key is not allowed to ask; check its permissions, and from where it may be used"),
        (429, "the account's rate limit is reached; it will be asked again later"),
        (500, "it is in trouble itself; it will be asked again later"),
        (529, "it is in trouble itself; it will be asked again later"),
        (302, "it is somewhere else; set `model.api` to the address of the API itself"),
    ],
)
async def test_the_probe_says_what_to_do(api: Api, status: int, hint: str) -> None:
    api.turns = [reply(status, {"error": KEY}, location="http://127.0.0.1:1/")]
    host = api.url.removeprefix("http://")
    with pytest.raises(PodTrouble) as caught:
        await probe(api.url, KEY)
    assert str(caught.value) == f"the model's API at {host} answers {status}: {hint}"


async def test_the_probe_of_nothing_says_so() -> None:
    with pytest.raises(PodTrouble, match=r"at 127.0.0.1:1 does not answer \(ConnectError\): check the network"):
        await probe("http://127.0.0.1:1", KEY)


@pytest.mark.parametrize("api", ["", "ftp://h", "https://", "https://u:p@h", "https://h?x=1", "http://h:port", "h"])
async def test_an_address_that_is_none_is_a_setting_to_mend(api: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^model\.api is no address of an API"):
        await probe(api, KEY)


@pytest.mark.parametrize("key", ["", KEY + "\n", KEY + "\r\nx: y", "ключ-canary", "a b\x00"])
async def test_a_key_that_is_none_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await probe("http://127.0.0.1:1", key)
    assert "canary" not in str(caught.value)
