"""Attacks on the relay from inside the sandbox: nothing but a model's request may pass, within the budget, and never the key."""

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from loguru import logger

from agent.relay import Budget, Relay
from agent.relay import app as relay_app
from agent.relay import serve as relay_serve
from support.relay_world import (
    ASK,
    BODY,
    KEY,
    MODEL,
    Api,
    Measured,
    client_of,
    event,
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


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_app, "GRACE", 0.3)


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """All that was logged or printed, by whichever way."""
    lines: list[str] = []
    sink = logger.add(lambda text: lines.append(str(text)), level=0, format="{message} {extra} {exception}", diagnose=True)  # fmt: skip
    handler = logging.Handler(0)
    handler.emit = lambda record: lines.append(handler.format(record))  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    yield lambda: "".join([*lines, *capfd.readouterr()])
    logger.remove(sink)
    logging.getLogger().removeHandler(handler)


# --- other endpoints ---

TARGETS = [
    "/v1/messages/../files", "/v1/messages/..", "/v1/./messages", "//v1/messages", "/v1//messages", "/v1/messages/",
    "/v1/messages/batches", "/v1/messages/count_tokens", "/v1/messages%2f..%2ffiles", "/v1/%6dessages", "/v1/messages%3f",
    "/v1/messages%00", "/v1/messages;a=b", "/V1/MESSAGES", "/v1/messages#/../files", "/v1/messages\\..\\files", "/v1/models",
    "/v1/files", "/v1/organizations/api_keys", "/v1/complete", "/api/hello", "/", "*", "v1/messages", "?/v1/messages", "/nix/develop",
    "http://127.0.0.1/v1/messages", "http://api.anthropic.com/v1/messages", "https://evil.example/v1/messages",
    "http://evil.example:80/v1/files", "evil.example:443", "//evil.example/v1/messages", "/v1/messages?#x", "/v1/messages?a=\xff",
    "/v1/messages?" + "a" * 1001, "/v1/messages?a=b\\..", '/v1/messages?"', "/pre/v1/messages", "/../v1/messages",
]  # fmt: skip
METHODS = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "post", "POSTS"]


async def test_no_other_endpoint_host_or_method_is_reached(
    api: Api, tmp_path: Path, socket: Path, measured: Measured
) -> None:
    attacks = [post(target) for target in TARGETS]
    attacks += [post(method=method, body=b"") for method in METHODS] + [post("evil.example:443", method="CONNECT")]
    attacks += [post("/v1/messages", "upgrade: websocket", "connection: upgrade", method="GET", body=b"")]
    attacks += [post("/v1/messages", "upgrade: h2c", "connection: upgrade, http2-settings", method="GET", body=b"")]
    attacks += [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"\0" * 9000]
    async with relay_for(api, tmp_path).serving(socket):
        answers = [await raw(socket, attack, wait=1) for attack in attacks]
        reached = len(api.seen)
        assert {status(one) for one in answers} <= {400, 404, 405}
        assert status(await raw(socket, post())) == 200, "the model's own request still passes"
    report(measured, "other endpoints, hosts and methods", len(attacks), reached)


async def test_no_request_is_smuggled_within_another(
    api: Api, tmp_path: Path, socket: Path, measured: Measured
) -> None:
    inner = b"GET /v1/files HTTP/1.1\r\nhost: x\r\n\r\n"
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    head = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n"
    attacks = [
        head + b"content-length: %d\r\ntransfer-encoding: chunked\r\n\r\n" % len(BODY) + chunked + inner,
        head + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n" + chunked + inner,
        head + b"content-length: %d\r\ncontent-length: 4\r\n\r\n" % len(BODY) + BODY + inner,
        head + b"content-length: %d, 4\r\n\r\n" % len(BODY) + BODY + inner,
        head + b"content-length: +%d\r\n\r\n" % len(BODY) + BODY,
        head + b"transfer-encoding: xchunked\r\n\r\n" + chunked + inner,
        head + b"transfer-encoding: chunked, identity\r\n\r\n" + chunked,
        head + b"transfer-encoding : chunked\r\n\r\n" + chunked,
        head + b"transfer-encoding:\x0bchunked\r\n\r\n" + chunked,
        head + b"transfer-encoding: chunked\r\n\r\n" + chunked + inner,
        head + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n" + BODY,
        head + b"content-length: %d\r\n\r\n" % len(BODY) + BODY + inner + post("/v1/messages/batches"),
        head + b"content-length: %d\r\n\r\n" % (len(BODY) + len(inner)) + BODY + inner,
        head + b"content-length: %d\r\nanthropic-beta: a\r\n x-api-key: mine\r\n\r\n" % len(BODY) + BODY,
        head + b"content-length: %d\r\nanthropic-beta: a\nx-api-key: mine\r\n\r\n" % len(BODY) + BODY,
        head + b"content-length: %d\r\nanthropic-beta: a\rx-api-key: mine\r\n\r\n" % len(BODY) + BODY,
        head + b"content-length: %d\r\nanthropic-beta: a\0b\r\n\r\n" % len(BODY) + BODY,
        head + b"content-length: %d\r\nanthropic-beta: \xff\xfe\r\n\r\n" % len(BODY) + BODY,
        head + b"content-length: %d\r\nanthropic-beta: %s\r\n\r\n" % (len(BODY), b"a" * 70_000) + BODY,
        head + b"".join(b"x-%d: y\r\n" % n for n in range(20_000)) + b"\r\n" + BODY,
        head.replace(b"HTTP/1.1", b"HTTP/1.0") + b"content-length: %d\r\nconnection: keep-alive\r\n\r\n" % len(BODY) + BODY + inner,
    ]  # fmt: skip
    async with relay_for(api, tmp_path).serving(socket):
        for attack in attacks:
            await raw(socket, attack, wait=1)
        assert status(await raw(socket, post())) == 200
    wrong = [
        one
        for one in api.seen
        if (one.method, one.target, one.body) != ("POST", "/v1/messages", BODY)
        or one.header("x-api-key") != [KEY]
        or one.header("content-length") != [str(len(BODY))]
        or one.header("transfer-encoding")
    ]
    report(measured, "smuggling and malformed heads", len(attacks), len(wrong))


# --- bodies ---


async def test_no_other_model_no_server_tool_and_no_address_is_passed_on(
    api: Api, tmp_path: Path, socket: Path, measured: Measured
) -> None:
    changes: list[dict[str, Any]] = [
        {"model": "claude-opus-5"}, {"model": None}, {"model": MODEL + " "}, {"model": [MODEL]},
        {"mcp_servers": [{"type": "url", "url": "https://evil.example"}]}, {"container": {"skills": []}},
        {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}, {"tools": [{"type": "web_search_20250305"}]},
        {"tools": [{"type": "code_execution_20250825"}]}, {"tools": [{"type": "mcp_toolset"}]},
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://evil.example"}}]}]},
    ]  # fmt: skip
    bodies = [json.dumps({**ASK, **change}).encode() for change in changes]
    bodies += [
        BODY[:-1] + b', "model": "claude-opus-5"}',
        b'{"model": "claude-opus-5", ' + BODY[1:],
        BODY.decode().encode("utf-16"),
    ]
    bodies += [b"", BODY + BODY, b"[" * 100_000]
    relay = relay_for(api, tmp_path)
    async with relay.serving(socket), client_of(socket) as client:
        answers = [await client.post("/v1/messages", content=body) for body in bodies]
        zipped = await client.post("/v1/messages", content=b"\x1f\x8b\x08", headers={"content-encoding": "gzip"})
    assert {one.status_code for one in [*answers, zipped]} == {400, 403}
    assert all(one.json()["type"] == "error" and one.json()["error"]["message"] for one in answers)
    assert relay.usage.turns == 0
    report(measured, "other models, server tools, addresses", len(bodies) + 1, len(api.seen))


async def test_a_request_beyond_the_limit_is_refused_before_it_is_whole(
    api: Api, tmp_path: Path, socket: Path, monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    monkeypatch.setattr(relay_app, "LARGEST_REQUEST", 1 << 20)
    large = b"x" * (2 << 20)
    endless = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + 40 * (b"10000\r\n" + b"x" * 65536 + b"\r\n")  # fmt: skip
    async with relay_for(api, tmp_path).serving(socket), client_of(socket) as client:
        answer = await client.post("/v1/messages", content=large)
        assert (answer.status_code, answer.json()["error"]["type"]) == (413, "request_too_large")
        assert status(await raw(socket, endless)) == 413
    report(measured, "requests beyond 64 MiB (here 1 MiB)", 2, len(api.seen))


# --- side by side ---


async def test_parallel_calls_do_not_exceed_the_budget(
    api: Api, tmp_path: Path, socket: Path, measured: Measured
) -> None:
    budget = Budget(tokens=10**9, turns=5, usd=99)
    api.turns = [stream(message(), pause=0.005)]
    relay = relay_for(api, tmp_path, budget=budget)

    async def ask() -> int:
        async with client_of(socket) as client:
            return (await client.post("/v1/messages", json=ASK)).status_code

    async with relay.serving(socket):
        statuses = await asyncio.gather(*(ask() for _ in range(50)))
    assert set(statuses) == {200, 403}
    assert relay.usage.turns == len(api.seen) == statuses.count(200) <= budget.turns
    assert api.at_once == 1
    report(measured, f"50 parallel calls on a budget of 5 turns, {len(api.seen)} served", 50, max(len(api.seen) - 5, 0))


async def test_a_second_request_beside_the_first_is_refused(
    api: Api, tmp_path: Path, socket: Path, measured: Measured
) -> None:
    api.turns = [stream(message(), silence=1.0)]
    async with relay_for(api, tmp_path).serving(socket), client_of(socket) as client, client_of(socket) as other:
        first = asyncio.create_task(client.post("/v1/messages", json=ASK))
        await asyncio.sleep(0.1)
        refused = await other.post("/v1/messages", json=ASK)
        assert refused.status_code == 403
        assert refused.json()["error"]["message"].startswith("the model is asked one thing at a time")
        assert (await first).status_code == 200
    report(measured, "a request beside another", 1, len(api.seen) - 1)


async def test_a_request_whose_body_never_ends_holds_up_nobody_but_its_own_process(
    api: Api, tmp_path: Path, socket: Path
) -> None:
    async with relay_for(api, tmp_path).serving(socket), client_of(socket) as client:
        reader, writer = await asyncio.open_unix_connection(str(socket))
        writer.write(post()[:-1])
        await asyncio.sleep(0.05)
        assert (await client.post("/v1/messages", json=ASK)).status_code == 403
        writer.close()
        await reader.read()
        assert (await client.post("/v1/messages", json=ASK)).status_code == 200
    assert len(api.seen) == 1


async def test_a_flood_of_connections_does_not_use_up_the_pods_descriptors(
    api: Api, tmp_path: Path, socket: Path, measured: Measured
) -> None:
    async with relay_for(api, tmp_path).serving(socket):
        opened = [await asyncio.open_unix_connection(str(socket)) for _ in range(300)]
        await asyncio.sleep(0.1)
        ends = [asyncio.create_task(reader.read()) for reader, _ in opened]
        await asyncio.sleep(0.1)
        kept = sum(not one.done() for one in ends)
        for one in ends:
            one.cancel()
        for _, writer in opened:
            writer.close()
        await asyncio.gather(*ends, return_exceptions=True)
        assert status(await raw(socket, post())) == 200
    report(measured, f"300 idle connections, {kept} kept", 300, max(kept - relay_serve.MOST_CONNECTIONS, 0))


FLOOD = r"""
import os, socket, sys, threading
path, kind = sys.argv[1:]
crumbs = b"POST /nix/develop HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 20_000
lines = b"GET /x HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 9_000 + b"\r\n"
def ask():
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as one:
                one.connect(path)
                one.sendall(crumbs if kind == "crumbs" else lines)
                if one.recv(100):
                    os.write(1, b".")
        except OSError:
            pass
threads = [threading.Thread(target=ask, daemon=True) for _ in range(70)]
for one in threads:
    one.start()
threads[0].join()
"""


@pytest.mark.parametrize("kind", ["crumbs", "lines"])
async def test_what_is_dear_to_read_holds_the_pod_up_from_nobody_in_the_sandbox(
    api: Api, tmp_path: Path, socket: Path, kind: str
) -> None:
    async with relay_for(api, tmp_path).serving(socket), client_of(socket) as client:
        assert (await client.post("/v1/messages", json=ASK)).status_code == 200  # whose connection that is, is known
        command = [sys.executable, "-c", FLOOD, str(socket), kind]
        flood = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert flood.stdout is not None
        await flood.stdout.readexactly(300)  # refusals, while the loop is watched as in each of these tests
        flood.kill()
        await flood.wait()
        assert (await client.post("/v1/messages", json=ASK)).status_code == 200


# --- the key ---


async def test_the_key_is_in_no_answer_no_header_no_log_and_no_file(
    api: Api, tmp_path: Path, socket: Path, said: Callable[[], str], measured: Measured
) -> None:
    halves = [event("x", a="y")[:-2] + KEY[:9].encode(), KEY[9:].encode() + b"\n\n"]
    echo = json.dumps({"error": {"message": f"the key {KEY} is not known"}}).encode()
    api.turns = [
        reply(401, echo),
        reply(500, echo * 1000, request_id=KEY, retry_after=KEY),
        reply(200, echo, request_id=f"a{KEY}b"),
        stream([*message(), *halves]),
        stream([one for byte in KEY for one in [byte.encode()]]),
        stream([KEY.encode()], end=False),
        reply(307, b"", location=f"http://127.0.0.1:1/?{KEY}"),
        reply(200, b"no gzip", content_encoding="gzip"),
        hang(0),
        hang(30),
    ]
    turns = len(api.turns)
    relay = relay_for(api, tmp_path, patience=httpx.Timeout(0.5))
    seen = [repr(relay), str(vars(relay).keys())]
    async with relay.serving(socket):
        seen += [(await raw(socket, post(), wait=2)).decode("latin-1") for _ in range(turns)]
        seen.append((await raw(socket, post("/v1/messages", f"x-api-key: {KEY[:-1]}", method="GET"))).decode("latin-1"))
    dead = relay_for(api, tmp_path, transport=_Broken())
    async with dead.serving(socket):
        seen += [(await raw(socket, post())).decode("latin-1") for _ in range(2)]
    seen += [path.read_text("latin-1") for path in tmp_path.rglob("*") if path.is_file()]  # noqa: ASYNC240
    logs = said()
    assert "relay messages: 401 in" in logs, "the log was read at all"
    assert len(api.seen) == turns
    assert all(one.header("x-api-key") == [KEY] for one in api.seen), "the canary was where it belongs"
    assert any("[redacted]" in one for one in seen)
    report(
        measured, "the key in answers, headers, logs, files", len(seen) + 1, sum(KEY in one for one in [*seen, logs])
    )


class _Broken(httpx.AsyncBaseTransport):
    """A network with a bug: what it raises is not foreseen, and quotes the request."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise RuntimeError(f"broken: {dict(request.headers)}")


def test_a_relay_shows_its_key_nowhere(tmp_path: Path) -> None:
    relay: Relay = relay_for(Api(), tmp_path)
    assert KEY not in repr(relay) + str(relay)
