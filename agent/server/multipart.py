"""A file that is uploaded: `multipart/form-data` with the parts `metadata` (JSON) and `file` (OpenProject's description)."""

from collections.abc import Iterator
from email.message import Message
from typing import Any

import msgspec

from .bounded import Unreadable, Whole, from_json
from .errors import ApiError
from .intake import Raw

_FIELD = Whole("the name of a field", r"[\w-]++", sees="an upload")
_MOST_PARTS = 20
_LONGEST_TYPE = 1 << 10
_LONGEST_HEAD = 8 << 10
_LONGEST_METADATA = 64 << 10
"""What becomes objects in memory is short, however large the file is."""


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent; `content` is None without the part `file`."""

    metadata: Any
    file_name: str | None
    content_type: str | None
    content: memoryview | None


def parse(content_type: str, raw: Raw) -> Upload:
    """Read the parts; those with other names are left out."""
    parts = dict(_parts(content_type, raw))
    header, content = parts.get("file", (Message(), None))
    metadata = None
    if "metadata" in parts:
        written = parts["metadata"][1]
        try:
            metadata = from_json(bytes(written)) if len(written) <= _LONGEST_METADATA else None
        except Unreadable:
            raise ApiError(400, "InvalidRequestBody", "no_json") from None
    named = header.get_param("filename", None, "content-disposition")
    return Upload(
        metadata=metadata,
        file_name=named if isinstance(named, str) else None,
        content_type=header.get("content-type"),
        content=content,
    )


def _parts(content_type: str, raw: Raw) -> Iterator[tuple[str, tuple[Message, memoryview]]]:
    header = Message()
    header["content-type"] = content_type[:_LONGEST_TYPE]
    boundary = header.get_param("boundary")
    if not isinstance(boundary, str) or not boundary:
        raise ApiError(400, "InvalidRequestBody", "multipart")
    for start, end in _between(raw, b"\r\n--" + boundary.encode("latin-1", "replace")):
        begin = start + 2 if raw[start : start + 2] == b"\r\n" else start
        head = raw.find(b"\r\n\r\n", begin, min(end, begin + _LONGEST_HEAD))
        if head < 0:
            continue
        fields = Message()
        for line in raw[begin:head].decode("utf-8", "replace").split("\r\n"):
            name, _, value = line.partition(":")
            if _FIELD.match(name):
                fields[name] = value.strip()
        part = fields.get_param("name", None, "content-disposition")
        if isinstance(part, str):
            yield part, (fields, memoryview(raw)[head + len(b"\r\n\r\n") : end])


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
