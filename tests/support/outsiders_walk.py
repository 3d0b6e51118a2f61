"""Every request that somebody can make of a board: from the table of its routes, so that a new one is walked too."""

from __future__ import annotations

import base64
import itertools
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

from msgspec import Struct

from agent.server import catalogue, description, filter_kinds
from agent.server.lists import _GROUPS, _SORTS
from agent.server.routes import ENDPOINTS, Endpoint
from agent.server.store import Store
from support.two_boards import Sides

API: Final = "/api/v3"
MISSING: Final = 9_999_999
WORDS: Final = ("Secret", "Hidden", "vault", "pod-secret", "Postage", "x")


class Step(Struct, frozen=True):
    """One request."""

    method: str
    path: str
    body: Any = None
    files: bool = False


class Known(Struct, frozen=True):
    """Ids by the name of their kind in paths."""

    by_kind: dict[str, list[int]]
    fields: list[int]

    def all(self) -> list[int]:
        return sorted({id_ for ids in self.by_kind.values() for id_ in ids})


def known(sides: Sides) -> Known:
    kinds = ("users", "projects", "versions", "categories", "work_packages", "activities", "relations", "attachments")
    tables = {"activities": "journals"}
    by_kind = {kind: [*sides.ids(tables.get(kind, kind)), MISSING] for kind in kinds}
    by_kind["memberships"] = [*sides.ids("members"), MISSING]
    by_kind["workspaces"] = by_kind["projects"]
    fixed = ("statuses", "types", "priorities", "roles")
    by_kind |= {kind: [*sides.ids(kind)[:2], MISSING] for kind in fixed}
    return Known(by_kind, [601, 602])


def steps(sides: Sides) -> list[Step]:
    """All of them. Deletions come last: the file of an attachment does not come back when they are undone."""
    return sorted(_steps(sides), key=lambda step: step.method == "DELETE")


def _steps(sides: Sides) -> Iterator[Step]:
    found = known(sides)
    for path in description.PATHS:
        yield Step("GET", API + path)
    for endpoint in ENDPOINTS:
        for path in paths(endpoint.path, found):
            if endpoint.method == "GET":
                yield Step("GET", API + path)
                yield from (Step("GET", f"{API}{path}?{query}") for query in queries(endpoint, path, found, sides))
            else:
                yield from writes(endpoint, path, found)
    yield from pages(sides, found)


def paths(pattern: str, found: Known) -> Iterator[str]:
    """With every id of its kind; a parameter of a new name fails here."""
    names = re.findall(r"\{(\w+)\}", pattern)
    others: dict[str, list[Any]] = {
        "project": [*found.by_kind["projects"], "shop", "vault", "nothing"],
        "user": found.by_kind["users"],
        "schema": [f"{project}-201" for project in found.by_kind["projects"]],
        "filter": ["status", "assignee", "customField601", "nothing"],
        "operator": ["=", "nothing"],
        "format": ["markdown", "plain"],
    }
    values = []
    for name in names:
        before = pattern[: pattern.index(f"{{{name}}}")].strip("/").split("/")[-1]
        values.append(found.by_kind.get(before, [1, MISSING]) if name == "id" else others[name])
    for chosen in itertools.product(*values):
        path = pattern
        for name, value in zip(names, chosen, strict=True):
            path = path.replace(f"{{{name}}}", str(value), 1)
        yield path


def queries(endpoint: Endpoint, path: str, found: Known, sides: Sides) -> Iterator[str]:
    """Filters with every operator and every id, sorts, groups, selections, pages."""
    is_hidden_path = str(MISSING) in path or "nothing" in path
    if is_hidden_path or not (endpoint.filtered or endpoint.paged):
        return
    for size, offset in ((1, 1), (1, 2), (-1, 1), (0, 1), (1000, 1)):
        yield urlencode({"pageSize": size, "offset": offset})
    if not endpoint.filtered or re.search(r"/(\d+|vault)/", path + "/"):
        return
    conditions = list(_conditions(endpoint, found, sides))
    for condition in conditions:
        yield _filtered(condition)
    if not endpoint.answer.endswith("WorkPackage"):
        for name, down in itertools.product(("id", "name", "identifier", "created_at"), ("asc", "desc")):
            yield urlencode({"sortBy": json.dumps([[name, down]])})
        return
    everything: dict[str, Any] = {"filters": "[]", "showSums": "true"}
    for name, down in itertools.product((*_SORTS, "cf_601", "cf_602"), ("asc", "desc")):
        yield urlencode({**everything, "sortBy": json.dumps([[name, down]])})
    for name in (*_GROUPS, "cf_601", "cf_602"):
        yield urlencode({**everything, "groupBy": name})
    for select in (
        "total",
        "total,count,elements/self,elements/subject",
        "*,elements/*",
        "elements/assignee,elements/project",
    ):
        yield urlencode({**everything, "select": select})
    packed = base64.b64encode(zlib.compress(json.dumps(everything).encode())).decode()
    yield urlencode({"eprops": packed})


def _filtered(*conditions: dict[str, Any]) -> str:
    return urlencode({"filters": json.dumps(conditions)})


def _conditions(endpoint: Endpoint, found: Known, sides: Sides) -> Iterator[dict[str, Any]]:
    if endpoint.answer.endswith("WorkPackage"):
        board = Store(sides.full)
        with board.transaction(write=False) as db:
            kinds = list(filter_kinds.every(catalogue.load(db)))
        board.close()
        for kind in kinds:
            by_values: dict[str, list[Any]] = {
                "User": found.by_kind["users"], "Project": found.by_kind["projects"], "Version": found.by_kind["versions"],
                "WorkPackage": found.by_kind["work_packages"], "Role": found.by_kind["roles"], "String": list(WORDS),
            }  # fmt: skip
            ids = by_values.get(kind.values) or (
                found.by_kind["categories"] if kind.api == "category" else [1, 301, 50, "2026-12-24"]
            )
            for operator, value in itertools.product(kind.operators, [*ids, "me"]):
                yield {kind.api: {"operator": operator, "values": [str(value)]}}
            for operator in kind.operators:
                yield {kind.api: {"operator": operator, "values": []}}
        for id_ in found.by_kind["work_packages"]:
            yield {"id": {"operator": "=", "values": [str(id_)]}}
        return
    kinds_of = {
        "member": "projects", "project": "projects", "principal": "users", "id": "users", "role": "roles", "from": "work_packages",
        "to": "work_packages", "involved": "work_packages",
    }  # fmt: skip
    for name, of in kinds_of.items():
        for operator, value in itertools.product(("=", "!"), found.by_kind[of]):
            yield {name: {"operator": operator, "values": [str(value)]}}
    for name, operator, word in itertools.product(
        ("name", "any_name_attribute", "identifier", "name_and_identifier", "type", "sharing", "status"),
        ("~", "!~", "=", "!"),
        WORDS,
    ):
        yield {name: {"operator": operator, "values": [word]}}
    for operator in ("*", "!*"):
        yield {"member": {"operator": operator, "values": []}}


LINKS: Final = {
    "project": "projects", "version": "versions", "category": "categories", "assignee": "users", "responsible": "users",
    "parent": "work_packages", "author": "users", "user": "users", "to": "work_packages", "definingProject": "projects",
}  # fmt: skip
LOCKS: Final = (0, 1, 2, 3)
VISIBLE: Final = re.compile(r"/(shop|work_packages|versions|form|[1-5]|1000)(/|$)")
KINDS: Final = ("relates", "blocks", "follows", "precedes", "requires", "partof")


def writes(endpoint: Endpoint, path: str, found: Known) -> Iterator[Step]:
    """Bodies that name everything that there is, to hear what is said of it."""
    if path.startswith("/workspaces"):
        return  # another name of /projects
    if endpoint.method == "DELETE":
        yield Step("DELETE", API + path)
    elif endpoint.body == "Upload":
        yield Step(endpoint.method, API + path, files=True)
    elif endpoint.body == "Text":
        yield Step(endpoint.method, API + path, "Some text with #7 in it")
    else:
        plain: dict[str, Any] = {"subject": "S", "name": "N", "comment": {"raw": "c"}, "lockVersion": 0}
        yield Step(endpoint.method, API + path, {})
        yield Step(endpoint.method, API + path, plain)
        if VISIBLE.search(path) and str(MISSING) not in path:
            yield from (Step(endpoint.method, API + path, body) for body in _bodies(endpoint, path, found, plain))


def _bodies(endpoint: Endpoint, path: str, found: Known, plain: dict[str, Any]) -> Iterator[Any]:
    is_work_package = endpoint.path.startswith("/work_packages/{id}") and endpoint.body == "WorkPackageWrite"
    somewhere = path in ("/work_packages", "/work_packages/form", "/versions")
    named = [(name, f"{kind}/{id_}") for name, kind in LINKS.items() for id_ in found.by_kind[kind]]
    named += [("project", f"projects/{name}") for name in ("vault", "101", "nothing")]
    for name, target in named:
        link = {"href": f"{API}/{target}"}
        links = {"project": {"href": f"{API}/projects/101"}, name: link} if somewhere else {name: link}
        if endpoint.body == "RelationWrite":
            yield from ({"type": kind, "_links": links} for kind in KINDS if name == "to")
        elif endpoint.body == "WatcherWrite":
            yield {"user": link}
        else:
            yield from (
                {**plain, "lockVersion": lock, "_links": links} for lock in (LOCKS if is_work_package else LOCKS[:1])
            )
    if "{id}" in endpoint.path:
        totals = {"derivedEstimatedTime": None, "derivedRemainingTime": None, "derivedPercentageDone": None}
        for lock in LOCKS if is_work_package else ():
            yield from ({"id": id_, "lockVersion": lock} for id_ in found.by_kind["work_packages"])
            yield {**totals, "lockVersion": lock, "scheduleManually": False}


def pages(sides: Sides, found: Known) -> Iterator[Step]:
    """The page's own; one that is new fails here until it is known."""
    for route in sides.page._app.routes:
        match route.path:  # type: ignore[attr-defined]
            case "/" | "/page" | "/page/session" | "/page/board":
                yield Step("GET", route.path)  # type: ignore[attr-defined]
            case "/page/assets/{name}":
                yield Step("GET", "/page/assets/main.js")
            case "/page/work-packages/{id}":
                for id_ in found.by_kind["work_packages"]:
                    yield Step("GET", f"/page/work-packages/{id_}")
                    yield from (
                        Step("GET", f"/page/work-packages/{id_}?before={one}") for one in found.by_kind["activities"]
                    )
            case "/page/fleet":
                yield from (Step("GET", f"/page/fleet?days={days}") for days in (1, 14, 366))
            case "/page/sign-in" | "/page/sign-out" | "/page/events":
                pass  # they tell of nobody's work packages, and the stream has a test of its own
            case other:
                raise AssertionError(f"the walk does not know {other}")
