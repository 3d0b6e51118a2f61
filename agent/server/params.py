"""Query parameters: paging, `eprops`, filters and sort criteria as they are written (reference sections 1.6, 1.8, 2.2)."""

import base64
import json
import string
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

from .bounded import LINE, Start, Unreadable, Whole, from_json
from .call import Call
from .errors import bad_request, internal, invalid_query

DEFAULT_PAGE_SIZE = 20
_DIGITS = Start("a number of a page", r"\s*+(-?\d{1,20})", sees="a parameter of a request")
_CUSTOM = Whole("the name of a custom field", r"(custom_field_?|cf_)(\d{1,18})", sees="a parameter of a request")
_CAPITALS = {ord(sign): f"_{sign}" for sign in string.ascii_uppercase}
_MAX_OFFSET = 10**12
_LONGEST_EPROPS = 256 << 10
"""Bytes: a few thousand ids. 10 KiB can hold 10 MiB."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of a list are wanted."""

    offset: int
    size: int

    @property
    def first(self) -> int:
        """How many rows come before it."""
        return (self.offset - 1) * self.size


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """One condition as it was written; `name` in internal spelling."""

    name: str
    operator: str
    values: tuple[str, ...]


def query(call: Call) -> Mapping[str, str]:
    """The parameters, those packed into `eprops` included: base64 of zlib of JSON; they win over the others [L]."""
    if "eprops" not in call.query:
        return call.query
    try:
        packed = _unpacked(call.query["eprops"]) if call.query["eprops"] else b""
    except (ValueError, zlib.error) as error:
        raise bad_request(f"eprops is invalid gzip: {error}") from None
    try:
        properties = from_json(packed)
    except Unreadable as error:
        raise bad_request(f"eprops is invalid json: {error}") from None
    if not isinstance(properties, dict):
        raise bad_request("eprops is invalid json: it holds no object")
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in properties.items()}
    return {**{name: value for name, value in call.query.items() if name != "eprops"}, **texts}


def _unpacked(text: str) -> bytes:
    opened = zlib.decompressobj()
    found = opened.decompress(base64.b64decode(text + "==="), _LONGEST_EPROPS)
    if not opened.eof:
        raise ValueError("it is cut off" if not opened.unconsumed_tail else "it is too long")
    return found


def page(call: Call, parameters: Mapping[str, str]) -> Page:
    """1-based page numbers; -1 is the largest size, larger ones are cut, what is no number is 0 (section 1.6)."""
    largest = int(call.db.value("SELECT value FROM settings WHERE name = 'apiv3_max_page_size'"))
    size = _number(parameters.get("pageSize", str(DEFAULT_PAGE_SIZE)))
    offset = _number(parameters.get("offset", "1"))
    if size < -1 or offset > _MAX_OFFSET:
        raise bad_request(f"no such page: offset {offset}, pageSize {size}")
    return Page(offset=max(1, offset), size=largest if size == -1 else min(size, largest))


def _number(text: str) -> int:
    digits = _DIGITS.match(text)
    return int(digits[1]) if digits else 0


def filters(parameters: Mapping[str, str]) -> list[Filter] | None:
    """The conditions, None if the parameter is absent. Of two with one name the last counts [L]."""
    if "filters" not in parameters:
        return None
    parsed = _json(parameters["filters"])
    if parsed == {}:
        return []
    if not isinstance(parsed, list):
        raise invalid_query("query_syntax", reason="filters must be a list")
    found: dict[str, Filter] = {}
    for condition in parsed:
        if not isinstance(condition, dict) or not condition:
            raise invalid_query("query_syntax", reason="a filter must be an object")
        name, body = next(iter(condition.items()))
        if not isinstance(body, dict):
            raise invalid_query("query_syntax", reason="a filter must have an operator and values")
        name = internal_name(name)
        found[name] = Filter(name=name, operator=str(body.get("operator")), values=_values(body.get("values")))
    return list(found.values())


def _values(values: Any) -> tuple[str, ...]:
    """A list of texts; a bare one, none at all and numbers are taken too [L]."""
    if values is None or isinstance(values, dict):
        return ()
    texts = tuple(str(value) for value in (values if isinstance(values, list) else [values]) if value is not None)
    if any("\0" in value for value in texts):
        raise internal("string contains null byte")
    return texts


def sort_criteria(parameters: Mapping[str, str]) -> list[tuple[str, bool]]:
    """Pairs of internal name and "is descending"."""
    parsed = _json(parameters.get("sortBy", "[]"))
    pairs = [[item] if isinstance(item, str) else item for item in (parsed if isinstance(parsed, list) else [])]
    return [(internal_name(str(pair[0])), pair[1:] == ["desc"]) for pair in pairs if isinstance(pair, list) and pair]


def internal_name(name: str) -> str:
    """API names and internal ones are both accepted: customField1 is custom_field_1 is cf_1 [C15]."""
    snake = (name[:1] + name[1:LINE].translate(_CAPITALS)).lower()
    if found := _CUSTOM.match(snake):
        snake = f"cf_{found[2]}"
    return _INTERNAL.get(snake, snake.removesuffix("_id"))


_INTERNAL = {
    "subject_or_id": "subject_or_id",
    "percentage_done": "done_ratio",
    "estimated_time": "estimated_hours",
    "remaining_time": "remaining_hours",
    "assigned_to_id": "assignee",
    "assigned_to": "assignee",
    "created_on": "created_at",
    "updated_on": "updated_at",
}


def _json(text: str) -> Any:
    try:
        parsed = from_json(text)
        json.dumps(parsed, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise invalid_query("query_syntax", reason="incomplete surrogate pair") from None
    except (ValueError, RecursionError) as error:
        raise invalid_query("query_syntax", reason=f"unexpected token: {error}") from None
    return parsed
