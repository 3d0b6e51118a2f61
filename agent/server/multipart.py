"""A file that is uploaded: `multipart/form-data` with the parts `metadata` (JSON) and `file` (OpenProject's description)."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from .bounded import Every, Unreadable, Whole, from_json
from .errors import ApiError
from .intake import Raw

_FIELD = Whole("the name of a field", r"[\w-]++", sees="an upload")
_PARAMETER = Every(
    "a parameter of a field",
    r""";[ \t]*+([\w*.-]++)[ \t]*+=[ \t]*+(?:"((?:[^"\\]++|\\.)*+)"|([^\s;"]*+))""",
    sees="an upload",
)
_MOST_PARTS = 20
_LONGEST_HEAD = 8 << 10
_LONGEST_METADATA = 64 << 10
"""What becomes objects in memory is short, however large the file is."""


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent; `content` is None without the part `file`."""

    metadata: Any
    content_type: str | None
    content: memoryview | None


def parse(content_type: str, raw: Raw) -> Upload:
    """Read the parts; those with other names are left out."""
    parts = dict(_parts(content_type, raw))
    fields, content = parts.get("file", ({}, None))
    metadata = None
    if "metadata" in parts:
        written = parts["metadata"][1]
        try:
            metadata = from_json(bytes(written)) if len(written) <= _LONGEST_METADATA else None
        except Unreadable:
            raise ApiError(400, "InvalidRequestBody", "no_json") from None
    return Upload(metadata=metadata, content_type=fields.get("content-type"), content=content)


def _parts(content_type: str, raw: Raw) -> Iterator[tuple[str, tuple[Mapping[str, str], memoryview]]]:
    boundary = _parameter(content_type, "boundary")
    if not boundary:
        raise ApiError(400, "InvalidRequestBody", "multipart")
    for start, end in _between(raw, b"\r\n--" + boundary.encode("latin-1", "replace")):
        begin = start + 2 if raw[start : start + 2] == b"\r\n" else start
        head = raw.find(b"\r\n\r\n", begin, min(end, begin + _LONGEST_HEAD))
        if head < 0:
            continue
        fields: dict[str, str] = {}
        for line in raw[begin:head].decode("utf-8", "replace").split("\r\n"):
            name, _, value = line.partition(":")
            if _FIELD.match(name):
                fields.setdefault(name.lower(), value.strip())
        part = _parameter(fields.get("content-disposition", ""), "name")
        if part is not None:
            yield part, (fields, memoryview(raw)[head + len(b"\r\n\r\n") : end])


def _parameter(field: str, name: str) -> str | None:
    """The parameter of a field's value, `x` of `form-data; name="x"`; None if it has none of that name.

    No name that is known here has a quote in it, so backslashes stay.
    """
    found = (found for found in _PARAMETER.all(field) if found[1].lower() == name)
    return next((one[3] if one[2] is None else one[2] for one in found), None)


def _between(raw: Raw, delimiter: bytes) -> Iterator[tuple[int, int]]:
    """Where each part begins and ends, the first ones."""
    first = delimiter.removeprefix(b"\r\n")
    at = 0 if raw[: len(first)] == first else raw.find(delimiter)
    last = raw.rfind(delimiter)
    if at < 0 or last < 0 or raw[last + len(delimiter) : last + len(delimiter) + 2] != b"--":
        raise ApiError(400, "InvalidRequestBody", "multipart")
    at += len(first) if at == 0 else len(delimiter)
    for _ in range(_MOST_PARTS):
        end = raw.find(delimiter, at)
        if end < 0:
            return
        yield at, end
        at = end + len(delimiter)
