"""What the contract tests share: raw requests in the words of the API, on work packages of their own."""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from support.boards import API, Board

URN = "urn:openproject-org:api:v3:errors:"
JSON = {"content-type": "application/json"}

Document = dict[str, Any]


CONSONANTS = str.maketrans("0123456789abcdef", "bcdfghjkpqrstvxz")
"""A word with digits may hold some work package's id, and searches look for ids, too; one with vowels may hold "mi"."""


class World:
    """A board and a word that no other test's subjects hold."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.word = f"w{uuid.uuid4().hex[:12].translate(CONSONANTS)}"

    def href(self, kind: str, name: str | int) -> str:
        """A link by name: `href("statuses", "New")`."""
        id_ = getattr(self.board, kind)[name] if isinstance(name, str) else name
        return f"{API}/{kind}/{id_}"

    def link(self, kind: str, name: str | int | None) -> Document:
        return {"href": None if name is None else self.href(kind, name)}

    def under(self, parent: Document) -> Document:
        return {"parent": {"href": self_href(parent)}}

    def new(
        self,
        subject: str = "",
        *,
        kind: str = "Task",
        who: str = "agent",
        project: str = "shop",
        links: Any = None,
        **properties: Any,
    ) -> Document:
        """Create a work package whose subject holds the test's word."""
        body = {
            "subject": f"{self.word} {subject}".strip(),
            **properties,
            "_links": {"type": self.link("types", kind), **(links or {})},
        }
        response = self.create(body, who=who, project=project)
        assert response.status_code == 201, response.text
        document: Document = response.json()
        return document

    def create(self, body: Any, *, who: str = "agent", project: str = "shop") -> httpx.Response:
        return self.board.client(who).post(f"/projects/{project}/work_packages?notify=false", json=body)

    def get(self, path: str, who: str = "agent", **query: Any) -> httpx.Response:
        return self.board.client(who).get(path, params=query or None)

    def post(self, path: str, body: Any, who: str = "agent") -> httpx.Response:
        return self.board.client(who).post(path, json=body)

    def read(self, item: Document, who: str = "agent") -> Document:
        response = self.get(f"/work_packages/{item['id']}", who)
        assert response.status_code == 200, response.text
        document: Document = response.json()
        return document

    def patch(self, item: Document, body: Any, who: str = "agent") -> httpx.Response:
        """Update with the lockVersion of the document, unless the body has its own."""
        if isinstance(body, dict):
            body = {"lockVersion": item["lockVersion"], **body}
        return self.board.client(who).patch(f"/work_packages/{item['id']}?notify=false", json=body)

    def changed(self, item: Document, body: Document, who: str = "agent") -> Document:
        """The same where it has to succeed."""
        response = self.patch(item, body, who)
        assert response.status_code == 200, response.text
        document: Document = response.json()
        return document

    def move(self, item: Document, status: str, who: str = "agent") -> httpx.Response:
        return self.patch(item, {"_links": {"status": self.link("statuses", status)}}, who)

    def comment(self, item: Document, raw: str, who: str = "agent") -> Document:
        response = self.post(f"/work_packages/{item['id']}/activities?notify=false", {"comment": {"raw": raw}}, who)
        assert response.status_code == 201, response.text
        document: Document = response.json()
        return document

    def activities(self, item: Document, who: str = "agent") -> list[Document]:
        return elements(self.get(f"/work_packages/{item['id']}/activities", who))

    def relate(
        self, one: Document, kind: str, other: Document, who: str = "agent", **properties: Any
    ) -> httpx.Response:
        body = {"type": kind, **properties, "_links": {"to": {"href": self_href(other)}}}
        return self.post(f"/work_packages/{one['id']}/relations", body, who)

    def related(self, one: Document, kind: str, other: Document) -> Document:
        response = self.relate(one, kind, other)
        assert response.status_code == 201, response.text
        document: Document = response.json()
        return document

    def query(
        self, *filters: Document, who: str = "agent", path: str = "/work_packages", **query: Any
    ) -> httpx.Response:
        """List the test's own work packages."""
        own = condition("subject", "~", self.word)
        return self.get(path, who, filters=json.dumps([own, *filters]), **{"pageSize": "100", **query})

    def subjects(self, *filters: Document, who: str = "agent", **query: Any) -> list[str]:
        """Their subjects, without the test's word; selected, as that is quick."""
        query = {"select": "elements/subject", **query}
        return [
            element["subject"].removeprefix(self.word).strip()
            for element in elements(self.query(*filters, who=who, **query))
        ]


def condition(name: str, operator: str, *values: Any) -> Document:
    """One filter."""
    return {name: {"operator": operator, "values": [str(value) for value in values]}}


def self_href(item: Document) -> str:
    href: str = item["_links"]["self"]["href"]
    return href


def elements(response: httpx.Response) -> list[Document]:
    assert response.status_code == 200, response.text
    found: list[Document] = response.json()["_embedded"]["elements"]
    return found


def refusal(response: httpx.Response) -> tuple[int, str, str | None]:
    """Status, kind of error and the property at fault."""
    document = response.json()
    assert document["_type"] == "Error"
    attribute = document.get("_embedded", {}).get("details", {}).get("attribute")
    return response.status_code, document["errorIdentifier"].removeprefix(URN), attribute


def refusals(response: httpx.Response) -> set[tuple[str, str | None]]:
    """The kinds and properties of several errors in one answer."""
    assert refusal(response) == (422, "MultipleErrors", None)
    errors: Sequence[Mapping[str, Any]] = response.json()["_embedded"]["errors"]
    return {
        (error["errorIdentifier"].removeprefix(URN), error.get("_embedded", {}).get("details", {}).get("attribute"))
        for error in errors
    }


CONFLICT = (409, "UpdateConflict", None)
NOT_FOUND = (404, "NotFound", None)
FORBIDDEN = (403, "MissingPermission", None)
INVALID_QUERY = (400, "InvalidQuery", None)
BAD_REQUEST = (400, "BadRequest", None)


def violation(attribute: str) -> tuple[int, str, str | None]:
    return 422, "PropertyConstraintViolation", attribute
