"""Questions to the board's lists, pure: filters and their encoding (reference, sections 1.6 and 2)."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlencode

import msgspec

Filter = tuple[str, str, tuple[str, ...]]
"""API name, operator, values: always strings."""

LONGEST_QUERY: Final = 6_000
"""Characters. The web server refuses a query string above about 10 kB with an empty 400."""


MOST: Final = 1_500
"""Ids in one question: even packed, the query string of some 2,300 scattered ids is too long."""


ROOM: Final = 9_000
"""Characters of a query string that the filters of one question may take together; the web server takes 10,240."""


def one_of(name: str, values: Iterable[object]) -> Filter:
    """The property has one of these values. An empty list cannot be asked: nothing would match."""
    texts = _texts(values)
    if not texts:
        raise ValueError(f"{name} = nothing matches nothing: do not ask")
    return name, "=", texts


def none_of(name: str, values: Iterable[object]) -> Filter | None:
    """The property has none of these values, or is empty; None where there is nothing to leave out."""
    texts = _texts(values)
    return (name, "!", texts) if texts else None


def contains(name: str, text: str) -> Filter:
    """The text property contains this, whatever the case."""
    return name, "~", (text,)


def is_open() -> Filter:
    """The status is none of the closed ones."""
    return "status", "o", ()


def encode(filters: Iterable[Filter | None]) -> str:
    """The `filters` parameter. Always sent: without it the board lists open work packages only."""
    listed = [{name: {"operator": operator, "values": values}} for name, operator, values in filter(None, filters)]
    return msgspec.json.encode(listed).decode()


def query_string(parameters: dict[str, str]) -> str:
    """The query part of a URL; packed into `eprops` where it would grow too long."""
    plain = urlencode(parameters)
    if len(plain) <= LONGEST_QUERY:
        return plain
    packed = base64.b64encode(zlib.compress(msgspec.json.encode(parameters))).decode()
    return urlencode({"eprops": packed})


def portions(numbers: Iterable[int]) -> list[list[int]]:
    """The ids in portions that a question has room for."""
    ordered = sorted(set(numbers))
    return [ordered[start : start + MOST] for start in range(0, len(ordered), MOST)]


def fitting(filters: Iterable[Filter | None]) -> list[Filter | None]:
    """The filters with less left out where they are no query together: the longest of what is left out is halved.

    For a question whose matches are judged besides: what is left out only saves work.
    """
    kept = [one for one in filters if one is not None]
    while len(query_string({"filters": encode(kept)})) > ROOM:
        left_out = [(len(values), at) for at, (_, operator, values) in enumerate(kept) if operator == "!"]
        most, at = max(left_out, default=(0, 0))
        if most == 0:
            break
        name, operator, values = kept[at]
        kept[at : at + 1] = [(name, operator, values[: most // 2])] if most > 1 else []
    return [*kept]


def _texts(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(sorted({str(value) for value in values}))
