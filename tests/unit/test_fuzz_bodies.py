"""Bodies that come out of the sandbox: each is judged, and nothing but the documented refusal is raised."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.devshell.broker import Broker
from agent.devshell.flake import Flake, Saved
from agent.relay.meter import Meter
from agent.relay.request import Unfit, judge

MODELS = ("claude-sonnet-5",)
WORDS = st.sampled_from(
    ["claude-sonnet-5", "url", "custom", "web_search_20260101", "", "\0", "é🦀", "type", "source", "tools"]
)
KEYS = st.sampled_from(
    ["model", "tools", "type", "source", "mcp_servers", "container", "messages", "content", "stream", "x"]
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | WORDS, inner, max_size=3),
    max_leaves=8,
)
REQUESTS = st.fixed_dictionaries({}, optional={"model": WORDS | ANY, "tools": ANY, "messages": ANY, "container": ANY})


@given(REQUESTS)
@example({"model": "claude-sonnet-5", "tools": {"type": ["custom"]}})
@example({"model": ["claude-sonnet-5"]})
@settings(max_examples=60)
def test_a_request_passes_or_is_refused_in_a_sentence(request_: dict[str, Any]) -> None:
    try:
        judge(json.dumps(request_).encode(), MODELS)
    except Unfit as refusal:
        assert str(refusal).strip()  # noqa: PT017 - either is fine, nothing else is
        str(refusal).encode()
        return
    assert request_["model"] in MODELS
    assert not request_.get("container")


@pytest.mark.parametrize(
    "body", [b"[" * 30_000, b'{"a":' * 30_000, b'"' + b"x" * 1_000_000, b"9" * 10_000, b"\xed\xa0\x80"]
)
def test_what_is_nested_or_long_without_end_is_refused(body: bytes) -> None:
    with pytest.raises(Unfit):
        judge(body, MODELS)
    meter = Meter()
    meter.feed(body)
    meter.close()
    assert meter.seen.tokens == 0


class NoShop:
    async def get(self, flake: Flake, shell: str = "default", *, timeout: float) -> Saved:  # noqa: ARG002, ASYNC109
        assert isinstance(shell, str)
        return Saved(Path("/saved/key.rc"), Path("/nix/store/x-env"))


async def no_flake() -> Flake:
    return Flake(Path("/work/tree"), ())


@given(
    st.binary(max_size=60)
    | st.dictionaries(st.just("shell") | WORDS, ANY, max_size=2).map(lambda one: json.dumps(one).encode())
)
@example(b"[" * 3000)
@example(b'{"shell": "\\ud800"}')
@settings(max_examples=60)
def test_a_question_for_a_shell_is_answered_or_refused(body: bytes) -> None:
    broker = Broker(flake=no_flake, shells=NoShop(), redact=lambda text: text, timeout=5, answers=10)
    status, document = asyncio.run(broker(body))
    assert (status, set(document)) in ((200, {"script", "folder"}), (400, {"refused"}))
