"""One request, taken apart: what the handlers get and what they answer."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, BinaryIO

import msgspec

from .access import Viewer
from .errors import not_found
from .intake import Raw
from .shelf import Shelf
from .store import Db


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request inside its transaction. `body` is the parsed JSON, None if there was none; `raw` is what was sent."""

    db: Db
    viewer: Viewer
    now: datetime
    path: Mapping[str, str]
    query: Mapping[str, str]
    url: str
    host: str
    shelf: Shelf
    body: Any = None
    raw: Raw = b""
    content_type: str = ""

    def id(self, name: str) -> int:
        """A number in the path; what is no number names nothing."""
        return int(self.path[name]) if is_id(self.path[name]) else 0

    def project_id(self) -> int:
        """The visible project that the path names by id or by identifier, else 404."""
        name = self.path["project"]
        ids = self.db.column(
            "SELECT id FROM projects WHERE identifier = ?1 OR id = ?2 ORDER BY identifier = ?1",
            name,
            int(name) if is_id(name) else 0,
        )
        for found in ids:
            if found in self.viewer.projects:
                return int(found)
        raise not_found()

    @property
    def stamp(self) -> str:
        """The present time as it is stored and sent."""
        return stamp(self.now)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent back."""

    document: Any = None
    status: int = 200
    headers: Mapping[str, str] = {}
    plain: str | None = None
    content: bytes | None = None
    file: BinaryIO | None = None


def is_id(text: str) -> bool:
    """Whether a text is a number that may be an id (SQLite's integers end at 2**63)."""
    return text.isascii() and text.isdecimal() and len(text) <= len("1000000000000000000") and int(text) < 1 << 63


def stamp(time: datetime) -> str:
    """ISO 8601 in UTC with milliseconds (reference section 1.8)."""
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z"
