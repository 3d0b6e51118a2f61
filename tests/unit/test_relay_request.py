"""What a request may ask for, and how a secret is taken out of a stream."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.relay.redact import PUT_INSTEAD, Redacted
from agent.relay.request import DEARER, Malformed, Unfit, judge

MODELS = ("claude-sonnet-5", "claude-haiku-5")
PLAIN: dict[str, Any] = {
    "model": "claude-sonnet-5",
    "messages": [
        {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": "eA=="}}]},
        {"role": "assistant", "content": [{"type": "tool_use", "name": "Bash", "input": {"command": "curl http://x"}}]},
    ],
    "tools": [{"name": "Bash", "input_schema": {"properties": {"url": {"type": "string"}, "model": {}}}}, {"type": "custom", "name": "x"}],
    "mcp_servers": [],
}  # fmt: skip


def refusal(body: Any) -> str:
    with pytest.raises(Unfit) as caught:
        judge(body if isinstance(body, bytes) else json.dumps(body).encode(), MODELS)
    return ("malformed: " if isinstance(caught.value, Malformed) else "") + str(caught.value)


def test_what_claude_code_asks_for_passes() -> None:
    judge(json.dumps(PLAIN).encode(), MODELS)
    judge(json.dumps({**PLAIN, "tools": None, "model": MODELS[1]}, ensure_ascii=False).encode(), MODELS)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": "claude-opus-5"}, "the model 'claude-opus-5' is not allowed here: ask for claude-haiku-5 or claude-sonnet-5"),
        ({"model": ["claude-sonnet-5"]}, "the model \"['claude-sonnet-5']\" is not allowed here: ask for claude-haiku-5 or claude-sonnet-5"),
        ({"mcp_servers": [{"url": "https://x"}]}, "`mcp_servers` is not allowed here: nothing in this sandbox reaches the network, nor does the API for it"),
        ({"container": "c"}, "`container` is not allowed here: nothing in this sandbox reaches the network, nor does the API for it"),
        ({"tools": [{"type": "web_search_20250305"}]}, "the tool 'web_search_20250305' is not allowed here: it runs at the API and reaches the network"),
        ({"tools": [PLAIN["tools"][0], {"type": "web_fetch_20250910"}]}, "the tool 'web_fetch_20250910' is not allowed here: it runs at the API and reaches the network"),
        ({"tools": [{"type": "code_execution_20250825"}]}, "the tool 'code_execution_20250825' is not allowed here: it runs at the API and reaches the network"),
        ({"tools": {"type": "web_fetch"}}, "the tool 'web_fetch' is not allowed here: it runs at the API and reaches the network"),
        ({"tools": ["web_fetch"]}, "the tool 'none' is not allowed here: it runs at the API and reaches the network"),
        ({"fallbacks": [{"model": "claude-opus-5"}]}, "the model 'claude-opus-5' is not allowed here: ask for claude-haiku-5 or claude-sonnet-5"),
        ({"fallback_model": "claude-opus-5"}, "the model 'claude-opus-5' is not allowed here: ask for claude-haiku-5 or claude-sonnet-5"),
        ({"context_management": {"edits": [{"model": "claude-opus-5"}]}}, "the model 'claude-opus-5' is not allowed here: ask for claude-haiku-5 or claude-sonnet-5"),
        ({"messages": [{"role": "user", "model": "claude-opus-5", "content": "x"}]}, "the model 'claude-opus-5' is not allowed here: ask for claude-haiku-5 or claude-sonnet-5"),
        ({"tools": [{"type": "custom", "name": "x", "model": None}]}, "the model 'None' is not allowed here: ask for claude-haiku-5 or claude-sonnet-5"),
        ({"requests": [{"params": {"model": "claude-sonnet-5"}}]}, "`requests` is not allowed here: the relay does not know what it asks for, and `model.request_keys` does not let it through"),
        ({"extra_body": {}}, "`extra_body` is not allowed here: the relay does not know what it asks for, and `model.request_keys` does not let it through"),
        ({"Speed": "fast"}, "`Speed` is not allowed here: it may be read as `speed`"),
        ({"SERVICE_TIER": None}, "`SERVICE_TIER` is not allowed here: it may be read as `service_tier`"),
        ({"system": [{"Type": "document", "source": {"Type": "url"}}]}, "`Type` is not allowed here: it may be read as `type`"),
        ({"tools": [{"TYPE": "web_search_20250305", "name": "x"}]}, "`TYPE` is not allowed here: it may be read as `type`"),
        ({"output_config": {"speed": "fast"}}, "`speed` is not allowed here: it changes the price, and `model.prices.speed` does not say by how much"),
        ({"system": [{"type": "document", "source": {"type": "url", "url": "https://x/?bit=1"}}]}, "contents by URL are not allowed here: nothing in this sandbox reaches the network"),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "the edit 'compact_20260112' is not allowed here: it changes the price, which nobody can say"),
        ({"context_management": {"edits": {"type": ["clear_thinking_20251015"]}}}, "the edit \"['clear_thinking_20251015']\" is not allowed here: it changes the price, which nobody can say"),
        ({"context_management": {"compaction": {"enabled": True}}}, "`context_management` is not allowed here with anything but `edits`"),
        ({"context_management": [{"edits": []}]}, "`context_management` is not allowed here with anything but `edits`"),
        ({"context_management": {"Edits": []}}, "`Edits` is not allowed here: it may be read as `edits`"),
    ],
)  # fmt: skip
def test_what_reaches_out_or_costs_otherwise_is_refused(change: dict[str, Any], reason: str) -> None:
    assert refusal({**PLAIN, **change}) == reason


BY_URL = "contents by URL are not allowed here: nothing in this sandbox reaches the network"
FILES = "files of the account are not allowed here: nobody knows what they hold"


def unknown(kind: str) -> str:
    return f"the content {kind} is not allowed here: the relay does not know what it brings in"


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ({"type": "image", "source": {"type": "URL", "url": "http://x"}}, BY_URL),
        ({"type": "image", "source": {"type": ["url"], "url": "http://x"}}, BY_URL),
        ({"type": "image", "source": {"type": "url"}}, BY_URL),
        ({"type": "image", "source": {"url": "http://x"}}, BY_URL),
        ({"type": "image", "source": {"type": "s3", "bucket": "x"}}, BY_URL),
        ({"type": "image", "source": {"type": "base64", "data": "", "url": "http://x"}}, BY_URL),
        ({"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": {"type": "url"}}]}}, BY_URL),
        ({"type": "image_url", "image_url": {"url": "http://x"}}, BY_URL),
        ({"type": "image_url", "image_url": "http://x"}, unknown("'image_url'")),
        ({"type": "document", "source": {"type": "content", "content": [{"type": "input_image"}]}}, unknown("'input_image'")),
        ({"type": "document", "source": {"type": "file", "file_id": "file_1"}}, FILES),
        ({"type": "document", "source": {"type": "file"}}, FILES),
        ({"type": "text", "text": "x", "file_id": "file_1"}, FILES),
        ({"type": "container_upload", "file_id": "file_1"}, FILES),
        ({"type": "container_upload"}, unknown("'container_upload'")),
        ({"type": "compaction", "content": "x"}, unknown("'compaction'")),
        ({"type": ["text"]}, unknown("\"['text']\"")),
        ({"text": "x"}, unknown("'None'")),
        ({"type": "text", "text": "x", "input": {"url": "http://x"}}, BY_URL),
        ({"type": "text", "text": "x", "Url": "http://x"}, "`Url` is not allowed here: it may be read as `url`"),
        ({"type": "text", "text": "x", "cache_control": [{"ttl": "1h"}]}, "`cache_1h` is not allowed here: it changes the price, and `model.prices.cache_1h` does not say by how much"),
    ],
)  # fmt: skip
def test_contents_are_of_a_known_kind_and_in_the_request(block: dict[str, Any], reason: str) -> None:
    """T9: only what was exactly a `url` was refused; a file of the account, and the shapes of other APIs, went on to it."""
    inside = [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "x"}, block]}]
    for change in (
        {"messages": [{"role": "user", "content": [block]}]},
        {"messages": [{"role": "user", "content": block}]},
        {"messages": [{"role": "user", "content": inside}]},
        {"system": [block]},
    ):
        assert refusal({**PLAIN, **change}) == reason


def test_contents_of_all_known_kinds_pass() -> None:
    blocks = [
        {"type": "text", "text": "x", "citations": None, "cache_control": {"type": "ephemeral"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}, "file_id": None},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}},
        {"type": "document", "source": {"type": "content", "content": "x"}},
        {"type": "search_result", "source": "https://x", "title": "x", "content": [{"type": "text", "text": "x"}]},
        {"type": "tool_result", "content": [{"type": "tool_reference", "tool_name": "x"}, {"type": "image", "source": {"type": "base64"}}]},
        {"type": "thinking", "thinking": "x", "signature": "x"},
        {"type": "redacted_thinking", "data": "x"},
    ]  # fmt: skip
    edits = [{"type": "clear_thinking_20251015", "keep": "all"}, {"type": "clear_tool_uses_20250919"}]
    body = {
        **PLAIN, "messages": [{"role": "user", "content": blocks}, {"role": "user", "content": "x"}],
        "system": [{"type": "text", "text": "x"}], "context_management": {"edits": edits},
    }  # fmt: skip
    assert judge(json.dumps(body).encode(), MODELS) == 1.0


def test_a_key_that_the_settings_name_passes_and_is_looked_through() -> None:
    judge(json.dumps({**PLAIN, "diagnostics": {"id": 1}}).encode(), MODELS, more_keys=["diagnostics"])
    with pytest.raises(Unfit, match="the model 'other' is not allowed"):
        judge(json.dumps({**PLAIN, "diagnostics": {"model": "other"}}).encode(), MODELS, more_keys=["diagnostics"])


def test_what_tools_take_and_took_holds_anything() -> None:
    anything = {"model": "x", "Model": 1, "source": {"type": "url"}, "speed": "fast", "cache_control": {"ttl": "1h"}}
    call: dict[str, Any] = {"type": "tool_use", "id": "1", "name": "x", "input": anything}
    body = {
        **PLAIN,
        "messages": [{"role": "assistant", "content": [call]}, {"role": "user", "content": "hi"}],
        "tools": [{"name": "x", "input_schema": anything, "input_examples": [anything]}],
        "output_config": {"format": {"type": "json_schema", "schema": anything}},
    }
    assert judge(json.dumps(body).encode(), MODELS) == 1.0
    call["type"], call["content"] = "tool_result", [anything]
    assert refusal(body) == "malformed: the request names a key twice, in other letters"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"3", b"\xff", json.dumps(PLAIN).encode("utf-16"), b"\xef\xbb\xbf{}", b"[" * 100_000,
        b'{"model": "claude-sonnet-5", "a": NaN}', b'{"model": "claude-sonnet-5", "a": ' + b"9" * 5000 + b"}",
        b'{"model": "claude-opus-5", "model": "claude-sonnet-5"}', b'{"model": "claude-sonnet-5", "mod\\u0065l": "claude-opus-5"}',
        b'{"model": "claude-sonnet-5", "a": [{"source": {"type": "url"}, "source": 1}]}',
        b'{"model": "claude-sonnet-5", "Model": "claude-sonnet-5"}', b'{"model": "claude-sonnet-5", "system": "' + b"x" * 2000 + b'\n"}',
        b'{"model": "claude-sonnet-5", "system": "' + b"x" * 2000 + b'\\q"}', b'{"model": "claude-sonnet-5", "system": "' + b"x" * 2000 + b'\\u12"}',
        b"{'model': 'claude-sonnet-5'}", b'{"model": "claude-sonnet-5"} {"model": "claude-opus-5"}',
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_or_none_is_refused(body: bytes) -> None:
    assert refusal(body).startswith("malformed: the request")


DEAR: list[tuple[str, dict[str, Any], list[str]]] = [
    ("speed", {"speed": "fast"}, []),
    ("service_tier", {"service_tier": "auto"}, []),
    ("inference_geo", {"inference_geo": "us"}, []),
    ("cache_1h", {"cache_control": {"type": "ephemeral", "ttl": "1h"}}, []),
    ("cache_1h", {"system": [{"type": "text", "text": "x", "cache_control": {"ttl": "1h"}}]}, []),
    ("cache_1h", {"tools": [{"name": "x", "cache_control": {"ttl": 3600}}]}, []),
    ("long_context", {}, ["claude-code-20250219", "context-1m-2025-08-07"]),
    ("long_context", {}, ["Context-1M-2099-01-01"]),
    ("long_context", {"betas": ["context-1m-2025-08-07"]}, []),
    ("long_context", {"anthropic_beta": "context-1m-2025-08-07"}, []),
]


@pytest.mark.parametrize(("key", "change", "betas"), DEAR)
def test_what_changes_the_price_needs_one_and_costs_so_many_times_as_much(
    key: str, change: dict[str, Any], betas: list[str]
) -> None:
    body = json.dumps({**PLAIN, **change}).encode()
    words = f"`{key}` is not allowed here: it changes the price, and `model.prices.{key}` does not say by how much"
    for priced in ({}, {key: 0.0}, {other: 2.0 for other in DEARER if other != key}):
        with pytest.raises(Unfit) as caught:
            judge(body, MODELS, betas=betas, priced=priced)
        assert str(caught.value) == words
    assert judge(body, MODELS, betas=betas, priced={key: 6.0}) == 6.0


def test_a_plain_request_costs_the_plain_price() -> None:
    plain = {**PLAIN, "speed": None, "cache_control": {"type": "ephemeral", "ttl": "5m"}}
    assert judge(json.dumps(plain).encode(), MODELS, betas=["prompt-caching-2024-07-31"], priced={"speed": 6.0}) == 1.0
    both = {**PLAIN, "speed": "fast", "inference_geo": "us"}
    assert judge(json.dumps(both).encode(), MODELS, priced={"speed": 6.0, "inference_geo": 1.1}) == 6.0 * 1.1


@pytest.mark.parametrize("mark", ["", '"', "\\", "\\\\", '\\"', "é", "😀", "]}"])
@pytest.mark.parametrize("times", [1_023, 1_024, 600_000])
def test_a_long_text_hides_nothing_that_follows_it(mark: str, times: int) -> None:
    """It is left out where a request is looked through."""
    text = ("x" * times) + mark
    judge(json.dumps({"system": text, **PLAIN}, ensure_ascii=False).encode(), MODELS)
    assert "context by URL" not in refusal({"a": [text, text], **PLAIN, "model": "x"})
    assert "changes the price" in refusal({**PLAIN, "system": text, "speed": "fast"})
    assert refusal(b'{"a":"' + b"x" * times + b"\xff" + b'","model":"claude-sonnet-5"}').startswith("malformed")
    assert refusal(b'{"model":"claude-sonnet-5","a":"' + b"x" * times + b"\\").startswith("malformed")


@pytest.mark.parametrize(
    ("unit", "reason"),
    [
        (b"{},", "the request holds more than 200,000 values"),
        (b"1,", "the request holds more than 200,000 values"),
        (b"[", "the request holds more than 200,000 values"),
        (b'"",', "the request holds more than 200,000 values"),
        (b"\\", "the request is no JSON that can be read"),
        (b'"' + b"w" * 1000 + b'",', "the request holds more than 8 MiB beside its long texts"),
        (b" " * 1000, "the request holds more than 8 MiB beside its long texts"),
    ],
)
def test_more_than_a_request_holds_is_refused_before_it_is_decoded(unit: bytes, reason: str) -> None:
    body = (
        b'{"model":"claude-sonnet-5","a":[' + unit * (9_000_000 // len(unit) // (10 if len(unit) < 5 else 1)) + b"1]}"
    )
    assert refusal(body) == f"malformed: {reason}"
    assert (
        refusal(b'{"a":"' + b'\\"' * 2_100_000 + b'"}')
        == "malformed: the request holds more than 2,000,000 quotation marks"
    )


def test_a_request_without_a_model_is_refused() -> None:
    assert refusal(b"{}").startswith("the model 'None' is not allowed here")


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise_anything_else(body: bytes) -> None:
    with pytest.raises(Unfit):
        judge(body, MODELS)


SECRET = b"abcabd"


def redacted(raw: bytes, sizes: list[int]) -> bytes:
    hidden, out = Redacted(SECRET), b""
    for size in sizes:
        out += hidden.feed(raw[:size])
        raw = raw[size:]
    return out + hidden.feed(raw) + hidden.rest()


texts = st.lists(st.sampled_from([b"a", b"ab", b"abc", b"abcabc", SECRET, b"x", b"\n"])).map(b"".join)


@given(texts, st.lists(st.integers(0, 9)))
def test_however_it_is_cut_the_secret_does_not_pass_and_the_rest_does(raw: bytes, sizes: list[int]) -> None:
    assert redacted(raw, sizes) == raw.replace(SECRET, PUT_INSTEAD)


def test_nothing_is_held_back_that_cannot_be_its_beginning() -> None:
    hidden = Redacted(SECRET)
    assert [hidden.feed(one) for one in (b"event\n\n", b"xab", b"cab", b"c\n")] == [
        b"event\n\n",
        b"x",
        b"",
        b"abcabc\n",
    ]


def test_where_no_model_may_be_asked_it_is_said() -> None:
    with pytest.raises(Unfit, match=r"^nothing here may ask a model$"):
        judge(json.dumps(PLAIN).encode(), ())
