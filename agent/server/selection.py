"""`select`: only some properties of the list and its elements (reference section 1.7)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from . import hal
from .catalogue import Catalogue
from .errors import ApiError
from .params import Page
from .store import Row

_LINKS = {
    "project": ("project_id", "projects"),
    "status": ("status_id", "statuses"),
    "type": ("type_id", "types"),
    "author": ("author_id", "users"),
    "assignee": ("assigned_to_id", "users"),
    "responsible": ("responsible_id", "users"),
}
_ELEMENT = ("self", *_LINKS, "_type", "id", "displayId", "subject", "startDate", "dueDate", "date")
_COLLECTION_LINKS = ("self", "jumpTo", "changeSize", "previousByOffset", "nextByOffset")
_COLLECTION = (*_COLLECTION_LINKS, "_type", "count", "total", "pageSize", "offset")


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, of the collection and of its elements; no elements at all if none of theirs was."""

    collection: frozenset[str]
    element: frozenset[str] | None

    @classmethod
    def parse(cls, text: str) -> "Selection":
        """Read the comma list; a deeper path selects an element with nothing in it, an unknown name is 400 InvalidSignal [L]."""
        paths = [path.strip().split("/") for path in text.split(",") if path.strip()]
        of_elements = [path[1:] for path in paths if path[0] == "elements" and len(path) > 1]
        return cls(
            collection=_expanded([path[0] for path in paths if len(path) == 1], _COLLECTION),
            element=_expanded([path[0] for path in of_elements if len(path) == 1], _ELEMENT) if of_elements else None,
        )

    def document(
        self, rows: list[Row], known: Catalogue, total: int, page: Page, links: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The collection, cut down."""
        values = {
            "_type": "WorkPackageCollection",
            "count": len(rows),
            "total": total,
            "pageSize": page.size,
            "offset": page.offset,
        }
        document: dict[str, Any] = {name: value for name, value in values.items() if name in self.collection}
        if self.element is not None:
            document["_embedded"] = {"elements": [self._element(row, known) for row in rows]}
        if chosen := {name: links[name] for name in _COLLECTION_LINKS if name in self.collection and name in links}:
            document["_links"] = chosen
        return document

    def _element(self, row: Row, known: Catalogue) -> dict[str, Any]:
        wanted = self.element or frozenset()
        milestone = bool(known.types[row["type_id"]]["is_milestone"])
        values: dict[str, Any] = {
            "_type": "WorkPackage",
            "id": row["id"],
            "displayId": str(row["id"]),
            "subject": row["subject"],
        }
        values |= (
            {"date": row["due_date"]} if milestone else {"startDate": row["start_date"], "dueDate": row["due_date"]}
        )
        element = {name: value for name, value in values.items() if name in wanted}
        links = {
            name: hal.optional_link(kind, row[column], known.people if kind == "users" else getattr(known, kind))
            for name, (column, kind) in _LINKS.items()
            if name in wanted
        }
        if "self" in wanted:
            links["self"] = hal.link("work_packages", row["id"], row["subject"])
        if links:
            element["_links"] = links
        return element


def row_columns(selection: Selection) -> str:
    """The columns that the elements need; a count alone needs the id only."""
    if selection.element is None:
        return "id"
    return "id, subject, start_date, due_date, " + ", ".join(column for column, _ in _LINKS.values())


def _expanded(names: list[str], supported: tuple[str, ...]) -> frozenset[str]:
    unknown = [name for name in names if name not in supported and name != "*"]
    if unknown:
        listed = {"name": ", ".join(unknown), "supported": ", ".join((*supported, "*"))}
        raise ApiError(400, "InvalidSignal", "select_unknown", listed)
    return frozenset(supported) if "*" in names else frozenset(names)
