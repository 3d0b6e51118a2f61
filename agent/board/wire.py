"""OpenProject's HAL documents to our vocabulary and back, pure; nothing else knows `_links`.

Unknown keys are ignored, absent ones are empty; what cannot be understood is a `Malformed` that names the place.
"""

from __future__ import annotations

import datetime as dt
import functools
import html
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Struct

from agent.errors import BoardError, TooLarge
from agent.model import Activity, Change, Changes, Draft, Named, Principal, Project, Relation, Row, Status, WorkPackage
from agent.texts.bounded import LINE, TooMuch, Unreadable, Whole, from_json
from agent.texts.clean import clean_all

T = TypeVar("T")

_HREF: Final = Whole(
    "wire: the end of a link", r"([A-Za-z0-9_]++)/([0-9]{1,18})/?", sees="the board's answer", longest=LINE
)
_SCHEMA: Final = Whole(
    "wire: the end of a schema's link", r"([0-9]{1,18})-([0-9]{1,18})", sees="the board's answer", longest=LINE
)
_DAY: Final = Whole("wire: a day", r"([+-]?+)([0-9]{4,18})-[0-9]{2}-[0-9]{2}", sees="the board's answer", longest=LINE)
_LONGEST_MESSAGE: Final = 500
LARGEST: Final = 32 << 20
"""Bytes of one answer, unpacked: a page of descriptions. What is read of it takes several times as much."""
MOST_CHILDREN: Final = 1_000
"""Of one work package that are read from it: that there are many is enough, and who needs all of them asks for them."""
MOST_CHANGES: Final = 2_000
"""Of one journal entry that are read: properties come first, then each file that was added meanwhile."""
_SEGMENTS: Final = {"User": "users", "Group": "groups", "PlaceholderUser": "placeholder_users"}


class Malformed(BoardError):
    """The board's answer is no document that we understand; the message says where."""


class Fields(Struct, frozen=True):
    """The keys under which this board keeps the fleet's two text fields, for instance `customField95`."""

    pod: str = ""
    run: str = ""


class Page(Struct, frozen=True):
    """One page of a collection, its elements not yet decoded."""

    total: int
    page_size: int
    elements: tuple[Any, ...]


class _Formattable(Struct):
    raw: str | None = None


class _WorkPackage(Struct, rename="camel"):
    id: int
    lock_version: int
    subject: str
    description: _Formattable | None = None
    schedule_manually: bool | None = True
    due_date: str | None = None
    date: str | None = None
    updated_at: str | None = ""


class _Row(Struct, rename="camel"):
    id: int
    subject: str
    due_date: str | None = None
    date: str | None = None


class _Named(Struct, rename="camel"):
    id: int
    name: str
    is_closed: bool = False
    identifier: str = ""
    position: int | None = 0


class _Detail(Struct):
    raw: str | None = None
    html: str | None = None


class _Activity(Struct, rename="camel"):
    id: int
    comment: _Formattable | None = None
    created_at: str | None = ""
    details: list[_Detail] | None = None


class _Relation(Struct):
    id: int
    type: str


def parse(body: bytes | bytearray) -> Any:
    """A JSON document.

    Raises:
        Malformed: it is none.
        TooLarge: it is longer than is read, or holds more.
    """
    try:
        return from_json(body, longest=LARGEST)
    except TooMuch as error:
        raise TooLarge(f"The board's answer is not read: {error}") from error
    except Unreadable as error:
        raise Malformed(f"The board's answer is not JSON that we read: {error}") from error


def dump(body: Any) -> bytes:
    """A JSON body, every text of which the board can store."""
    return msgspec.json.encode(clean_all(body))


def text(value: Any) -> str:
    """JSON for a query parameter."""
    return msgspec.json.encode(value).decode()


def understood(read: Callable[..., T]) -> Callable[..., T]:
    """Every surprise in the shape of a document becomes one error."""

    @functools.wraps(read)
    def reading(*arguments: Any) -> T:
        try:
            return read(*arguments)
        except (
            msgspec.ValidationError,
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            what = read.__name__.replace("_", " ")
            raise Malformed(
                f"The board's answer holds no {what} that we understand: {repr(error)[:_LONGEST_MESSAGE]}"
            ) from error

    return reading


@understood
def page(document: Any) -> Page:
    """A collection; `page_size` is what the board really used, which may be less than what was asked for."""
    elements = document["_embedded"]["elements"]
    if not isinstance(elements, list):
        raise TypeError("elements that are no list")  # anything else that is empty would read as "there are none"
    total = document.get("total", len(elements))
    size = document.get("pageSize", len(elements))
    return msgspec.convert({"total": total, "page_size": size, "elements": elements}, Page)


@understood
def total(document: Any) -> int:
    """How many elements a collection has in all."""
    return int(document["total"])


@understood
def identity(document: Any) -> Any:
    """What tells an element from the others of its collection."""
    found = document.get("id") or document["_links"]["self"]["href"]
    if not isinstance(found, int | str):
        raise TypeError("an element whose id is neither a number nor a text")
    return found


@understood
def work_package(document: Any, fields: Fields) -> WorkPackage:
    """A work package in full, from a list, a GET or the answer to a write."""
    plain = msgspec.convert(document, _WorkPackage)
    links = document["_links"]
    parent = _id(links, "parent")
    return WorkPackage(
        id=plain.id,
        lock_version=plain.lock_version,
        subject=plain.subject,
        description=(plain.description.raw if plain.description else "") or "",
        project=_required(links, "project"),
        type=_required(links, "type"),
        status=_required(links, "status"),
        priority=_id(links, "priority") or 0,
        version=str((links.get("version") or {}).get("title") or ""),
        author=_principal(links, "author"),
        assignee=_principal(links, "assignee"),
        responsible=_principal(links, "responsible"),
        parent=parent,
        ancestors=ids(links, "ancestors"),
        children=ids(links, "children", MOST_CHILDREN),
        due_date=_day(plain.due_date or plain.date),
        schedule_manually=plain.schedule_manually is not False,
        updated_at=plain.updated_at or "",
        pod=_text(document, fields.pod),
        run=_text(document, fields.run),
        has_fields=bool(fields.pod and fields.run) and fields.pod in document and fields.run in document,
    )


@understood
def row(document: Any) -> Row:
    """An element of a `select` list."""
    plain = msgspec.convert(document, _Row)
    links = document["_links"]
    return Row(
        id=plain.id,
        subject=plain.subject,
        project=_required(links, "project"),
        type=_required(links, "type"),
        status=_required(links, "status"),
        assignee=_principal(links, "assignee"),
        due_date=_day(plain.due_date or plain.date),
    )


@understood
def groups(document: Any) -> dict[str, int]:
    """The counts of a grouped list, by the id behind the value's link, else by the value; the empty group is "".

    A list that holds something and is not grouped is not understood: "none" would be a wrong answer to the question.
    """
    if document.get("groups") is None and document["total"]:
        raise ValueError("a list that is not grouped")
    found: dict[str, int] = {}
    for group in document.get("groups") or []:
        found[_group_key(group)] = found.get(_group_key(group), 0) + int(group["count"])
    return found


@understood
def status(document: Any) -> Status:
    """A status."""
    plain = msgspec.convert(document, _Named)
    return Status(plain.id, plain.name, plain.is_closed)


@understood
def named(document: Any) -> Named:
    """A type."""
    plain = msgspec.convert(document, _Named)
    return Named(plain.id, plain.name)


@understood
def priorities(documents: Sequence[Any]) -> tuple[Named, ...]:
    """The priorities, most urgent first: the higher position is the more urgent (reference, section 10)."""
    plain = [msgspec.convert(one, _Named) for one in documents]
    return tuple(Named(one.id, one.name) for one in sorted(plain, key=lambda one: -(one.position or 0)))


@understood
def project(document: Any) -> Project:
    """A project."""
    plain = msgspec.convert(document, _Named)
    return Project(plain.id, plain.identifier, plain.name)


@understood
def principal(document: Any) -> Principal:
    """A user, group or placeholder user."""
    plain = msgspec.convert(document, _Named)
    return Principal(_SEGMENTS.get(document.get("_type", "User"), "unknown"), plain.id, plain.name)


@understood
def is_anonymous(document: Any) -> bool:
    """Whether the answer to "who am I" is "nobody": the name may be translated, the login is empty then."""
    return document["name"] == "Anonymous" or not document.get("login", "?")


@understood
def activity(document: Any) -> Activity:
    """A journal entry, with or without a comment."""
    if len(document.get("details") or ()) > MOST_CHANGES:
        document = {**document, "details": document["details"][:MOST_CHANGES]}
    plain = msgspec.convert(document, _Activity)
    text = (plain.comment.raw if plain.comment else "") or ""
    user = _id(document["_links"], "user") or 0
    return Activity(plain.id, text, user, plain.created_at or "", tuple(map(_change, plain.details or ())))


def _change(detail: _Detail) -> Change:
    """Values stand in `<i>`, whatever the language: `<strong>Status</strong> changed from <i>New</i> to <i>Closed</i>`.

    One that is gone is struck out: `<strong>File</strong> <strike><i>a.txt</i></strike> removed`.
    """
    before, *marked = (detail.html or "").split("<i>")
    values = tuple(html.unescape(one.partition("</i>")[0]) for one in marked)
    return Change(detail.raw or "", values, is_gone=len(values) == 1 and before.endswith("<strike>"))


@understood
def relation(document: Any) -> Relation:
    """A relation in its canonical direction."""
    plain = msgspec.convert(document, _Relation)
    links = document["_links"]
    return Relation(plain.id, plain.type, _required(links, "from"), _required(links, "to"))


@understood
def schema_fields(document: Any, names: Fields) -> tuple[int, int, Fields]:
    """Project, type, and the keys of the two text fields in a schema; empty where the type lacks one.

    Only format Text (API `String`) counts: a long text cannot be compared.
    """
    _, known, last = str(document["_links"]["self"]["href"]).rpartition("/schemas/")
    match = _SCHEMA.match(last) if known else None
    if match is None:
        raise ValueError("a schema without its project and type")
    keys = {
        entry.get("name"): key
        for key, entry in document.items()
        if key.startswith("customField") and isinstance(entry, dict) and entry.get("type") == "String"
    }
    return int(match[1]), int(match[2]), Fields(keys.get(names.pod, ""), keys.get(names.run, ""))


def creation(draft: Draft) -> dict[str, Any]:
    """The body of a POST."""
    links = {"project": f"projects/{draft.project}", "type": f"types/{draft.type}"}
    if draft.parent is not None:
        links["parent"] = f"work_packages/{draft.parent}"
    if draft.responsible is not None:
        links["responsible"] = f"users/{draft.responsible}"
    return {
        "subject": draft.subject,
        "description": {"raw": draft.description},
        "_links": {name: {"href": f"/api/v3/{path}"} for name, path in links.items()},
    }


@understood
def changes(wanted: Changes, lock_version: int, fields: Fields) -> dict[str, Any]:
    """The body of a PATCH."""
    body: dict[str, Any] = {"lockVersion": lock_version}
    links: dict[str, Any] = {}
    if wanted.status is not UNSET:
        links["status"] = {"href": f"/api/v3/statuses/{wanted.status}"}
    if wanted.assignee is not UNSET:
        links["assignee"] = {"href": None if wanted.assignee is None else f"/api/v3/users/{wanted.assignee}"}
    if wanted.pod is not UNSET:
        body[fields.pod] = wanted.pod or None
    if wanted.run is not UNSET:
        body[fields.run] = wanted.run or None
    if wanted.schedule_manually is not UNSET:
        body["scheduleManually"] = wanted.schedule_manually
    if links:
        body["_links"] = links
    return body


def dropped(wanted: Changes, answer: WorkPackage) -> list[str]:
    """The properties that were asked for and that the answer does not show."""
    assignee = answer.assignee.id if answer.assignee else None
    pairs = {
        "status": (wanted.status, answer.status),
        "assignee": (wanted.assignee, assignee),
        "pod field": (wanted.pod, answer.pod),
        "run field": (wanted.run, answer.run),
        "scheduleManually": (wanted.schedule_manually, answer.schedule_manually),
    }
    return [name for name, (asked, got) in pairs.items() if asked is not UNSET and asked != got]


def error(body: bytes | bytearray) -> tuple[str, str, str]:
    """Message, identifier and attribute of an error document; of anything else the first characters as they are.

    The message may be an array, several errors may be embedded, and a body labelled JSON may be plain text
    (reference, sections 1.2 and 1.3).
    """
    try:
        document = from_json(body, longest=LARGEST)
        message = document.get("message") or ""
        identifier = str(document.get("errorIdentifier") or "").rsplit(":", 1)[-1]
        embedded = document.get("_embedded") or {}
        details = embedded.get("details") or {}
        first = (embedded.get("errors") or [{}])[0].get("_embedded") or {}
        attribute = details.get("attribute") or (first.get("details") or {}).get("attribute") or ""
        words = "; ".join(map(str, message)) if isinstance(message, list) else str(message)
        inner = [str(one.get("message") or "") for one in embedded.get("errors") or []]
        return " ".join([words, *inner])[:_LONGEST_MESSAGE].strip(), identifier, str(attribute)
    except (Unreadable, RecursionError, KeyError, TypeError, AttributeError, ValueError):
        return body[:_LONGEST_MESSAGE].decode(errors="replace").strip(), "", ""


def _of(link: Any) -> tuple[str, int]:
    href = link.get("href") if isinstance(link, dict) else None
    match = _HREF.match("/".join(href.rstrip("/").rsplit("/", 2)[-2:])) if isinstance(href, str) else None
    return (match[1], int(match[2])) if match else ("", 0)


def _id(links: Any, name: str) -> int | None:
    return _of(links.get(name))[1] or None


def _required(links: Any, name: str) -> int:
    found = _id(links, name)
    if found is None:
        raise ValueError(f"no link to its {name}")
    return found


def ids(links: Any, name: str, most: int | None = None) -> tuple[int, ...]:
    """The ids behind a list of links, or behind the first of them; what leads nowhere is passed over."""
    return tuple(one for one in (_of(link)[1] for link in (links.get(name) or [])[:most]) if one)


def _principal(links: Any, name: str) -> Principal | None:
    """None only where the board says so: a link that does not tell who it is (reference, 1.9) is somebody too."""
    link = links.get(name) or {}
    if not link.get("href"):
        return None
    kind, number = _of(link)
    return Principal(kind or "undisclosed", number, str(link.get("title") or ""))


def _day(told: str | None) -> dt.date | None:
    """OpenProject takes any year of whoever may edit, and tells it. Python has those of four digits: others lie before or after all."""
    match = _DAY.match(told) if told else None
    if match and (match[1] == "-" or int(match[2]) < dt.MINYEAR):
        return dt.date.min
    if match and int(match[2]) > dt.MAXYEAR:
        return dt.date.max
    return msgspec.convert(told or None, dt.date | None)


def _text(document: Any, key: str) -> str:
    value = document.get(key) if key else None
    return value if isinstance(value, str) else ""


def _group_key(group: Any) -> str:
    links = (group.get("_links") or {}).get("valueLink") or []
    number = _of(links[0])[1] if links else 0
    value = group.get("value")
    return str(number) if number else "" if value is None else str(value)
