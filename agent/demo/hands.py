"""A person at the board: plain API calls under a person's token. Shares no code with the fleet's client."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import httpx
from msgspec import Struct

from agent.demo.trouble import DemoError

API: Final = "/api/v3"
MARKER: Final = re.compile(r"<!-- agent run=(\S+) event=(\w+) -->\s*$")


class Ticket(Struct, frozen=True, kw_only=True):
    """A work package as a person sees it in a list; links by their titles."""

    id: int
    subject: str
    type: str
    status: str
    pod: str
    run: str
    parent: int | None
    ancestors: tuple[int, ...]


class Said(Struct, frozen=True):
    """A comment; `run` and `event` are the fleet's marker in it, empty in what people say."""

    text: str
    run: str = ""
    event: str = ""


class Hands:
    """One person's account on a board, in one project.

    Args:
        url: the board.
        token: the person's.
        project: the identifier of the project.
    """

    def __init__(self, url: str, token: str, project: str) -> None:
        self.url = url
        self.project = project
        self._client = httpx.Client(
            base_url=url, auth=("apikey", token), timeout=60.0, follow_redirects=True, trust_env=False
        )
        self._ids: dict[str, dict[str, int]] = {}
        self._fields: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    # -- reading ---------------------------------------------------------------------------------------------------

    def me(self) -> int:
        """The id of this account."""
        number: int = self._get("/users/me")["id"]
        return number

    def ids(self, kind: str) -> dict[str, int]:
        """The ids of `types`, `statuses` or `priorities` by name."""
        if kind not in self._ids:
            path = f"/projects/{self.project}/types" if kind == "types" else f"/{kind}"
            found = self._get(path)["_embedded"]["elements"]
            self._ids[kind] = {one["name"]: one["id"] for one in found}
        return self._ids[kind]

    def tickets(self) -> dict[int, Ticket]:
        """Everything in the project, by id."""
        filters = [{"project": {"operator": "=", "values": [str(self._project_id())]}}]
        answer = self._get(
            "/work_packages", filters=json.dumps(filters), pageSize="200", sortBy=json.dumps([["id", "asc"]])
        )
        fields = self.fields()
        return {one["id"]: _ticket(one, fields) for one in answer["_embedded"]["elements"]}

    def fields(self) -> Mapping[str, str]:
        """The keys of the fleet's two text fields by their names."""
        if not self._fields:
            kind = self.ids("types")["Task"]
            schema = self._get(f"/work_packages/schemas/{self._project_id()}-{kind}")
            self._fields = {
                one["name"]: key for key, one in schema.items() if key.startswith("customField") and "name" in one
            }
        return self._fields

    def comments(self, number: int) -> list[Said]:
        """What was said on a work package, oldest first."""
        found = self._get(f"/work_packages/{number}/activities")["_embedded"]["elements"]
        texts = [(one.get("comment") or {}).get("raw") or "" for one in found]
        return [_said(text) for text in texts if text]

    # -- writing ---------------------------------------------------------------------------------------------------

    def create(self, entry: Mapping[str, Any], parent: int | None) -> int:
        """Write a ticket of the backlog; its id."""
        links = {
            "project": f"projects/{self._project_id()}",
            "type": f"types/{self.ids('types')[entry['type']]}",
            "priority": f"priorities/{self.ids('priorities')[entry.get('priority', 'Normal')]}",
        }
        if parent is not None:
            links["parent"] = f"work_packages/{parent}"
        body: dict[str, Any] = {
            "subject": entry["subject"],
            "description": {"raw": entry.get("description", "").strip()},
            "_links": {name: {"href": f"{API}/{path}"} for name, path in links.items()},
        }
        if "pod" in entry:
            body[self.fields()["Agent pod"]] = entry["pod"]
        number: int = self._write("POST", "/work_packages", body)["id"]
        return number

    def relate(self, source: int, kind: str, target: int) -> None:
        """Relate two tickets."""
        body = {"type": kind, "_links": {"to": {"href": f"{API}/work_packages/{target}"}}}
        self._write("POST", f"/work_packages/{source}/relations", body)

    def comment(self, number: int, text: str) -> None:
        """Say something on a ticket."""
        self._write("POST", f"/work_packages/{number}/activities", {"comment": {"raw": text}})

    def move(self, number: int, status: str) -> None:
        """Set a ticket's status."""
        now = self._get(f"/work_packages/{number}")
        link = {"status": {"href": f"{API}/statuses/{self.ids('statuses')[status]}"}}
        self._write("PATCH", f"/work_packages/{number}", {"lockVersion": now["lockVersion"], "_links": link})

    # -- the wire --------------------------------------------------------------------------------------------------

    def _project_id(self) -> int:
        if "project" not in self._ids:
            self._ids["project"] = {self.project: self._get(f"/projects/{self.project}")["id"]}
        return self._ids["project"][self.project]

    def _get(self, path: str, **parameters: str) -> Any:
        return self._answer("GET", path, params=parameters)

    def _write(self, method: str, path: str, body: Any) -> Any:
        return self._answer(method, path, json=body)

    def _answer(self, method: str, path: str, **what: Any) -> Any:
        try:
            answer = self._client.request(method, API + path, **what)
        except httpx.HTTPError as error:
            raise DemoError(f"The board {self.url} does not answer {method} {path}: {error}") from error
        if answer.is_success:
            return answer.json()
        raise DemoError(f"The board {self.url} answered {method} {path} with {answer.status_code}: {answer.text[:300]}")


def _ticket(one: Mapping[str, Any], fields: Mapping[str, str]) -> Ticket:
    links = one["_links"]
    parent = (links.get("parent") or {}).get("href")
    return Ticket(
        id=one["id"],
        subject=one["subject"],
        type=links["type"]["title"],
        status=links["status"]["title"],
        pod=one.get(fields["Agent pod"]) or "",
        run=one.get(fields["Agent run"]) or "",
        parent=_id(parent) if parent else None,
        ancestors=tuple(_id(above["href"]) for above in links.get("ancestors", ())),
    )


def _id(href: str) -> int:
    return int(href.rpartition("/")[2])


def _said(text: str) -> Said:
    found = MARKER.search(text)
    return Said(text, found[1], found[2]) if found else Said(text)
