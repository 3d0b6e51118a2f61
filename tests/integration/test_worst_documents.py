"""Whatever parses others' documents takes 50 ms of processor for a mebibyte of the dearest, and no more than that stands in texts."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from functools import partial

import pytest

from agent.board import wire
from agent.devshell.broker import REQUEST_LIMIT
from agent.devshell.closure import Derivation, objection
from agent.devshell.inputs import LOCK_LIMIT, locked_inputs
from agent.errors import AgentError, BoardError
from agent.programs.events import events
from agent.server import body, multipart, params
from agent.server.errors import ApiError
from agent.server.multipart import _LONGEST_METADATA
from agent.texts.bounded import Unreadable, from_json
from support.worst_documents import MEBIBYTE, documents
from support.worst_words import LIMIT, slowness


def _objection(raw: bytes) -> object:
    return objection(Derivation("/nix/store/" + "a" * 32 + "-x.drv", {}, {}, "x", {"__json": raw.decode()}))


def _upload(raw: bytes) -> object:
    head = b'--B\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n'
    return multipart.parse("multipart/form-data; boundary=B", head + raw + b"\r\n--B--\r\n")


READERS: Mapping[str, tuple[Callable[[bytes], object], int]] = {
    "a document": (partial(from_json, longest=32 * MEBIBYTE), MEBIBYTE),
    "a document of a kind": (lambda raw: from_json(raw, dict[str, float], longest=32 * MEBIBYTE), MEBIBYTE),
    "a board's answer": (wire.parse, MEBIBYTE),
    "a board's refusal": (wire.error, MEBIBYTE),
    "a line of a model's program": (lambda raw: list(events(b'{"type":"a","a":' + raw + b"}")), MEBIBYTE),
    "attributes of a derivation": (_objection, MEBIBYTE),
    "a lock file": (locked_inputs, LOCK_LIMIT),
    "a question to the broker": (partial(from_json, longest=REQUEST_LIMIT), REQUEST_LIMIT),
    "a request to the embedded board": (body.parse, MEBIBYTE),
    "what comes with a file": (_upload, _LONGEST_METADATA),
    "filters": (lambda raw: params.filters({"filters": raw.decode()}), 64 * 1024),
}


SAMPLE = 16
"""The share of a mebibyte in which the dearest documents are found; those alone are tried in full."""
DEAREST = 8


@pytest.mark.parametrize("reader", READERS)
def test_a_mebibyte_of_the_dearest_documents_takes_fifty_milliseconds(reader: str) -> None:
    read, size = READERS[reader]
    costs = {name: _cost(read, raw) for name, raw in documents(size // SAMPLE).items()}
    late = {}
    for name in sorted(costs, key=costs.__getitem__)[-DEAREST:]:
        spent = min(_cost(read, documents(size)[name]) for _ in range(3))
        if spent > LIMIT * slowness():
            late[name] = spent
    assert not late


def _cost(read: Callable[[bytes], object], raw: bytes) -> float:
    began = time.process_time()
    with contextlib.suppress(Unreadable, AgentError, BoardError, ApiError):
        read(raw)
    return time.process_time() - began


@pytest.mark.parametrize("number", [0.25, 1e-3, 1.5e10, 0.30000000000000004, 1e-05, 1733047200123456789, 199_999])
def test_numbers_that_programs_write_are_read(number: float) -> None:
    some = [{"total_cost_usd": number, "input_tokens": 123_456}] * 1_900
    assert from_json(json.dumps(some), longest=MEBIBYTE) == some


def test_what_stands_in_a_text_is_no_number() -> None:
    text = {"log": '1e308, "1e308" \\' * 100_000, "more": ["\\" * 70_000 + '"', '"' * 70_000]}
    assert from_json(json.dumps(text), longest=4 * MEBIBYTE) == text
    with pytest.raises(Unreadable, match="longer numbers"):
        from_json(json.dumps({**text, "numbers": [1e300] * 2_001}), longest=4 * MEBIBYTE)
