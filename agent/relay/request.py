"""Pure: what a request to the Messages API may ask for.

The sandbox has no network, and the API must not be its way out: server tools, remote MCP servers and contents by URL
would make the API fetch an address that the model chooses. So they are refused here, like a model that was not allowed, and
like what the API would charge at another price than the run is counted by.

A request is looked through without its long strings, and is counted before it is decoded: 63 MiB of `{},` would become 1.7 GiB.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

KNOWN: Final = frozenset((
    "model", "messages", "system", "max_tokens", "metadata", "stream", "stop_sequences", "temperature", "top_p", "top_k",
    "tools", "tool_choice", "thinking", "output_config", "context_management", "cache_control",
    "mcp_servers", "container", "speed", "service_tier", "inference_geo", "betas", "anthropic_beta",
))  # fmt: skip
"""What a request may hold at its top: what Claude Code was seen to send, what is as plain as that, and what is judged below."""
OWN_TOOLS: Final = ("custom", "bash_", "text_editor_", "memory_", "computer_", "tool_search_tool_")
"""Beginnings of the types of tools that run where the client does, or only choose among its tools."""
BLOCKS: Final = frozenset((
    "text", "image", "document", "search_result", "thinking", "redacted_thinking",
    "tool_use", "tool_result", "tool_reference", "server_tool_use", "tool_search_tool_result",
))  # fmt: skip
"""Types of contents: what Claude Code sends, and what is as plain as that."""
SOURCES: Final = ("base64", "text", "content")
"""Where an image or a document may be: in the request itself."""
EDITS: Final = ("clear_thinking_", "clear_tool_uses_")
"""Beginnings of the types of edits that only leave something out; a compaction is a second answer, at a price of its own."""
_REACHES_OUT: Final = ("mcp_servers", "container")
SPEED, TIER, GEO, LONG_CACHE, LONG_CONTEXT = "speed", "service_tier", "inference_geo", "cache_1h", "long_context"
DEARER: Final = (SPEED, TIER, GEO, LONG_CACHE, LONG_CONTEXT)
"""What changes the price of a request, by the names that its price has in the settings."""
_BY_KEY: Final = (SPEED, TIER, GEO)
_JUDGED: Final = frozenset((*KNOWN, "type", "source", "content", "edits", "url", "file_id", "ttl"))
"""Keys that some reader might take in any case."""
_FREE_IN_TOOLS: Final = frozenset(("input_examples", "input_schema"))
_USES: Final = ("tool_use", "server_tool_use")
"""The blocks whose `input` is what a tool took, and may hold anything, as what tools may take and the form of an answer."""
_NOTHING: Final[Mapping[str, float]] = MappingProxyType({})
_BETAS: Final = ("betas", "anthropic_beta")
"""Where gateways look for the header's betas."""
_SHORT_CACHE: Final = "5m"

MOST_VALUES: Final = 200_000
"""Values of a request; Claude Code's have some thousands."""
MOST_QUOTES: Final = 2_000_000
"""Quotation marks, escaped ones included: a million tokens of code hold a tenth of that."""
LONGEST_WORD: Final = 1_024
"""Bytes of a string that is looked at; what is judged is shorter in every spelling."""
MOST_WORDS: Final = 8 << 20
"""Bytes of a request without its long strings."""
_PIECE: Final = 1 << 20
"""Bytes that one search goes through; between two searches other threads get their turn."""
_INSIDE: Final = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
_BEGINNINGS: Final = b",:[{"


class Unfit(Exception):
    """A request that the relay does not pass on; the text is a sentence without its full stop."""


class Malformed(Unfit):
    """It is no request at all."""


def judge(
    body: bytes,
    models: Collection[str],
    *,
    betas: Collection[str] = (),
    priced: Mapping[str, float] = _NOTHING,
    more_keys: Collection[str] = (),
) -> float:
    """Look through a request; how many times the plain price it costs.

    Args:
        body: as it came; it is passed on as it is, so nothing in it may be read in two ways.
        models: the names that may be asked for.
        betas: what its header asks for.
        priced: what of `DEARER` has a price, as a factor on the plain one.
        more_keys: what it may hold at its top beside what is known here.

    Raises:
        Malformed: it cannot be read, or not in one way only.
        Unfit: it asks for what is not allowed.
    """
    try:
        request = json.loads(_short(body).decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Malformed("the request is no JSON that can be read") from error
    if not isinstance(request, dict):
        raise Malformed("the request is no JSON object")
    if not models:
        raise Unfit("nothing here may ask a model")
    _judge_model(request.get("model"), models)
    for key in _REACHES_OUT:
        if request.get(key):
            raise Unfit(
                f"`{key}` is not allowed here: nothing in this sandbox reaches the network, nor does the API for it"
            )
    _judge_tools(request.get("tools") or [])
    asked = {one for found in _objects(request) for one in _judge_object(found, models)}
    for block in _blocks(request):
        _judge_block(block)
    _judge_edits(request.get("context_management"))
    for key in request:
        if key not in KNOWN and key not in more_keys:
            raise Unfit(
                f"`{key[:100]}` is not allowed here: the relay does not know what it asks for, and `model.request_keys`"
                " does not let it through"
            )
    if any(map(_is_long_context, [*betas, *(one for key in _BETAS for one in _texts(request.get(key)))])):
        asked.add(LONG_CONTEXT)
    return _factor(asked, priced)


def _judge_model(model: Any, models: Collection[str]) -> None:
    if not isinstance(model, str) or model not in models:
        raise Unfit(f"the model {str(model)[:100]!r} is not allowed here: ask for {' or '.join(sorted(models))}")


def _judge_tools(tools: Any) -> None:
    for tool in tools if isinstance(tools, list) else [tools]:
        kind = tool.get("type") if isinstance(tool, dict) else "none"
        if kind is not None and not str(kind).startswith(OWN_TOOLS):
            raise Unfit(f"the tool {str(kind)[:100]!r} is not allowed here: it runs at the API and reaches the network")


def _objects(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every object of a request that the API may read something in."""
    form = _dict(_dict(request.get("output_config")).get("format"))
    skipped = {id(form.get("schema"))}
    skipped |= {id(tool[key]) for tool in _dicts(request.get("tools")) for key in _FREE_IN_TOOLS & tool.keys()}
    skipped |= {id(block["input"]) for block in _blocks(request) if block.get("type") in _USES and "input" in block}
    skipped.discard(id(None))
    todo: list[Any] = [request]
    while todo:
        found = todo.pop()
        if id(found) in skipped:
            continue
        if isinstance(found, list):
            todo += found
        elif isinstance(found, dict):
            yield found
            todo += found.values()


def _blocks(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every block of content, and those in it."""
    todo = [request.get("system"), *(message.get("content") for message in _dicts(request.get("messages")))]
    while todo:
        for block in _dicts(todo.pop()):
            yield block
            todo += (block.get("content"), _dict(block.get("source")).get("content"))


def _judge_block(block: dict[str, Any]) -> None:
    kind = block.get("type")
    if not isinstance(kind, str) or kind not in BLOCKS:
        raise Unfit(f"the content {str(kind)[:100]!r} is not allowed here: the relay does not know what it brings in")


def _judge_edits(management: Any) -> None:
    if management is None:
        return
    if not isinstance(management, dict) or management.keys() - {"edits"}:
        raise Unfit("`context_management` is not allowed here with anything but `edits`")
    edits = management.get("edits") or []
    for edit in edits if isinstance(edits, list) else [edits]:
        kind = _dict(edit).get("type")
        if not isinstance(kind, str) or not kind.startswith(EDITS):
            raise Unfit(f"the edit {str(kind)[:100]!r} is not allowed here: it changes the price, which nobody can say")


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    yield from (one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _judge_object(found: dict[str, Any], models: Collection[str]) -> Iterator[str]:
    """What of `DEARER` it asks for."""
    names = {key.lower() for key in found}
    if len(names) < len(found):
        raise Malformed("the request names a key twice, in other letters")
    for key, value in found.items():
        low = key.lower()
        if low != key and (low in _JUDGED or low.endswith("_model")):
            raise Unfit(f"`{key[:100]}` is not allowed here: it may be read as `{low[:100]}`")
        if low == "model" or low.endswith("_model"):
            _judge_model(value, models)
        if low in _BY_KEY and value is not None:
            yield low
    source = found.get("source")
    if found.get("file_id") is not None or (isinstance(source, dict) and source.get("type") == "file"):
        raise Unfit("files of the account are not allowed here: nobody knows what they hold")
    if found.get("url") is not None or (isinstance(source, dict) and source.get("type") not in SOURCES):
        raise Unfit("contents by URL are not allowed here: nothing in this sandbox reaches the network")
    if found.get("ttl") not in (None, _SHORT_CACHE):
        yield LONG_CACHE


def _factor(asked: Collection[str], priced: Mapping[str, float]) -> float:
    factor = 1.0
    for key in sorted(asked):
        if not priced.get(key):
            raise Unfit(
                f"`{key}` is not allowed here: it changes the price, and `model.prices.{key}` does not say by how much"
            )
        factor *= priced[key]
    return factor


def _is_long_context(beta: str) -> bool:
    return "context-1m" in beta.lower() or "long-context" in beta.lower()


def _texts(value: Any) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        yield str(one)[:LONGEST_WORD]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Malformed("the request names a key twice")
    return found


def _no_number(name: str) -> Any:
    raise Malformed(f"the request holds {name}, which is no JSON")


def _short(body: bytes) -> bytes:
    """The request with `…` in place of each long string.

    Raises:
        Malformed: it is no text, or holds more than a request does.
    """
    if body.count(b'"') > MOST_QUOTES:
        raise Malformed(f"the request holds more than {MOST_QUOTES:,} quotation marks")
    kept = bytearray()
    values = at = 0
    while True:
        start = body.find(b'"', at)
        plain = body[at:] if start < 0 else body[at:start]
        values += sum(map(plain.count, _BEGINNINGS))
        if values > MOST_VALUES:
            raise Malformed(f"the request holds more than {MOST_VALUES:,} values")
        kept += plain
        if len(kept) > MOST_WORDS:
            raise Malformed(f"the request holds more than {MOST_WORDS >> 20} MiB beside its long texts")
        if start < 0:
            return bytes(kept)
        at = _end(body, start + 1) + 1
        kept += body[start:at] if at - start <= LONGEST_WORD else _placeholder(body[start:at])


def _placeholder(text: bytes) -> bytes:
    text.decode("utf-8")  # or it is none, which is a ValueError
    return b'"..."'


def _end(body: bytes, at: int) -> int:
    """Where the string ends that this place is in."""
    while body[at : at + 1] != b'"':
        further = _INSIDE.match(body, at, at + _PIECE)
        if further is None or further.end() == at:
            raise Malformed("the request is no JSON that can be read")
        at = further.end()
    return at
