"""The body of a request (reference section 1.2, section 0 item 16)."""

import json
from typing import Any

from .bounded import Start, Unreadable, from_json
from .errors import ApiError

DEEPEST = 100
"""Levels of nesting."""
MOST_VALUES = 20_000
"""Of lists and objects together: each takes many times the room and time of its text. Texts may be as long as the body."""
_LONG = 64 << 10
_JSON_TYPES = Start("JSON, by its type", r"application/(hal\+)?json\s*+(;|$)", sees="a header of a request")


class PlainRefusal(Exception):
    """A refusal that OpenProject sends as plain text instead of an error object."""

    def __init__(self, status: int, message: str, content_type: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.content_type = content_type


def check_content_type(content_type: str, *, required: bool) -> None:
    """A wrong type is 415 in plain text that is labelled as JSON; a missing one 406 [L]."""
    if not content_type:
        if required:
            raise PlainRefusal(406, "Missing content-type header", "text/plain")
    elif not _JSON_TYPES.match(content_type):
        raise PlainRefusal(
            415, f"The provided content-type '{content_type}' is not supported.", "application/hal+json; charset=utf-8"
        )


def check_upload_type(content_type: str) -> None:
    """A file comes as multipart/form-data, whatever else is refused like a wrong type."""
    if not content_type:
        raise PlainRefusal(406, "Missing content-type header", "text/plain")
    if not content_type.lower().startswith("multipart/form-data"):
        raise ApiError(415, "TypeNotSupported", "upload_type", {"found": content_type})


def parse(raw: bytes) -> Any:
    """The JSON of a body, None for an empty one.

    A lone surrogate is refused at once wherever it stands; invalid bytes are kept, as surrogates, and refused only where they
    would be stored [L].
    """
    if not raw:
        return None
    if len(raw) > _LONG and _values(raw) > MOST_VALUES:
        raise _no_json(f"more than {MOST_VALUES} values")
    try:
        text, damaged = raw.decode(), False
    except UnicodeDecodeError:
        text, damaged = raw.decode(errors="surrogateescape"), True
    if "\0" in text:
        raise _no_json("NULL byte in string")
    try:
        value = from_json(text, strict=False, parse_constant=_refuse_constant, parse_int=_integer)
    except Unreadable as error:
        raise _no_json(str(error)) from None
    if raw.count(b"{") + raw.count(b"[") > DEEPEST:
        _refuse_depth(value)
    if not damaged and "\\u" in text:
        _refuse_surrogates(value)
    return value


def _values(raw: bytes) -> int:
    """About how many there are, told without making any: what stands outside of texts."""
    outside = b"".join(raw.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    return outside.count(b",") + outside.count(b"[") + outside.count(b"{")


def _refuse_depth(value: Any) -> None:
    """Whatever looks at a body later may do so by recursion."""
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            one
            for value in level
            if isinstance(value, dict | list)
            for one in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise _no_json(f"nesting of {DEEPEST + 1} is too deep")


def _refuse_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _no_json("invalid escaped character") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"not a number or other value: {name}")


def _integer(digits: str) -> float:
    return int(digits) if len(digits) <= len(str(2**63)) else float("inf")


def _no_json(reason: str) -> ApiError:
    return ApiError(400, "InvalidRequestBody", "no_json", details={"parseError": reason})
