"""Pure: what a request to the Messages API may ask for.

The sandbox has no network, and the API must not be its way out: server tools, remote MCP servers and contents by URL
would make the API fetch an address that the model chooses. So they are refused here, like a model that was not allowed.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Final

OWN_TOOLS: Final = ("custom", "bash_", "text_editor_", "memory_", "computer_", "tool_search_tool_")
"""Beginnings of the types of tools that run where the client does, or only choose among its tools."""
_REACHES_OUT: Final = ("mcp_servers", "container")


class Unfit(Exception):
    """A request that the relay does not pass on; the text is a sentence without its full stop."""


class Malformed(Unfit):
    """It is no request at all."""


def judge(body: bytes, models: Collection[str]) -> None:
    """Look through a request.

    Args:
        body: as it came; it is passed on as it is, so nothing in it may be read in two ways.
        models: the names that may be asked for.

    Raises:
        Malformed: it cannot be read, or not in one way only.
        Unfit: it asks for what is not allowed.
    """
    try:
        request = json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Malformed("the request is no JSON that can be read") from error
    if not isinstance(request, dict):
        raise Malformed("the request is no JSON object")
    if not models:
        raise Unfit("nothing here may ask a model")
    model = request.get("model")
    if not isinstance(model, str) or model not in models:
        raise Unfit(f"the model {str(model)[:100]!r} is not allowed here: ask for {' or '.join(sorted(models))}")
    for key in _REACHES_OUT:
        if request.get(key):
            raise Unfit(
                f"`{key}` is not allowed here: nothing in this sandbox reaches the network, nor does the API for it"
            )
    tools = request.get("tools") or []
    for tool in tools if isinstance(tools, list) else [tools]:
        kind = tool.get("type") if isinstance(tool, dict) else "none"
        if kind is not None and not str(kind).startswith(OWN_TOOLS):
            raise Unfit(f"the tool {str(kind)[:100]!r} is not allowed here: it runs at the API and reaches the network")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Malformed("the request names a key twice")
    source = found.get("source")
    if isinstance(source, dict) and source.get("type") == "url":
        raise Unfit("contents by URL are not allowed here: nothing in this sandbox reaches the network")
    return found


def _no_number(name: str) -> Any:
    raise Malformed(f"the request holds {name}, which is no JSON")
