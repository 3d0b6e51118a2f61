"""A file that is uploaded: `multipart/form-data` with the parts `metadata` (JSON) and `file` (OpenProject's description)."""

import json
import re
from email.message import Message
from typing import Any

import msgspec

from .errors import ApiError

_MOST_PARTS = 20


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent; `content` is None without the part `file`."""

    metadata: Any
    file_name: str | None
    content_type: str | None
    content: bytes | None


def parse(content_type: str, raw: bytes) -> Upload:
    """Read the parts; those with other names are left out."""
    parts = dict(_parts(content_type, raw))
    header, content = parts.get("file", (Message(), None))
    metadata = None
    if "metadata" in parts:
        try:
            metadata = json.loads(parts["metadata"][1])
        except (ValueError, RecursionError):
            raise ApiError(400, "InvalidRequestBody", "no_json") from None
    named = header.get_param("filename", None, "content-disposition")
    return Upload(
        metadata=metadata,
        file_name=named if isinstance(named, str) else None,
        content_type=header.get("content-type"),
        content=content,
    )


def _parts(content_type: str, raw: bytes) -> list[tuple[str, tuple[Message, bytes]]]:
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    if not isinstance(boundary, str) or not boundary:
        raise ApiError(400, "InvalidRequestBody", "multipart")
    pieces = (b"\r\n" + raw).split(b"\r\n--" + boundary.encode("latin-1", "replace"))
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):  # noqa: PLR2004 - what comes before the first, and the first
        raise ApiError(400, "InvalidRequestBody", "multipart")
    found = []
    for piece in pieces[1:-1][:_MOST_PARTS]:
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = Message()
        for line in head.decode("utf-8", "replace").split("\r\n"):
            name, _, value = line.partition(":")
            if re.fullmatch(r"[\w-]+", name, re.ASCII):
                fields[name] = value.strip()
        part = fields.get_param("name", None, "content-disposition")
        if isinstance(part, str):
            found.append((part, (fields, content)))
    return found
