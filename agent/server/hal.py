"""Rows to HAL documents (reference sections 3, 7, 8, 10). Pure: no clock, no database."""

import html
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any
from urllib.parse import quote, urlencode

from .bounded import uncommented
from .store import Row
from .texts import text

API = "/api/v3"
REVERSE = {
    "relates": "relates",
    "blocks": "blocked",
    "follows": "precedes",
    "requires": "required",
    "duplicates": "duplicated",
    "includes": "partof",
}


def link(kind: str, id_: int, title: str) -> dict[str, Any]:
    """A link to a resource."""
    return {"href": f"{API}/{kind}/{id_}", "title": title}


def optional_link(kind: str, id_: int | None, rows: Mapping[int, Row]) -> dict[str, Any]:
    """The same for a property that may be empty: `{"href": null}` (section 1.9)."""
    return {"href": None} if id_ is None else link(kind, id_, rows[id_]["name"])


def formattable(raw: str) -> dict[str, Any]:
    """Markdown; the board renders paragraphs only. An HTML comment stays in `raw` and is left out of `html` [L]."""
    blocks = groupby(uncommented(raw).strip().split("\n"), key=lambda line: bool(line.strip()))
    paragraphs = [html.escape("\n".join(lines).strip()) for full, lines in blocks if full]
    return {"format": "markdown", "raw": raw, "html": "".join(f'<p class="op-uc-p">{part}</p>' for part in paragraphs)}


def plain(raw: str) -> dict[str, Any]:
    """Text without markup."""
    shown = html.escape(raw).replace("\n", "<br>")
    return {"format": "plain", "raw": raw, "html": f"<p>{shown}</p>" if raw else ""}


def filtered(name: str, value: int) -> str:
    """A query string with one filter."""
    return "filters=" + quote(f'[{{"{name}":{{"operator":"=","values":["{value}"]}}}}]')


def collection(elements: Sequence[Any], href: str) -> dict[str, Any]:
    """A collection that is not paged (section 1.6)."""
    return {
        "_type": "Collection",
        "total": len(elements),
        "count": len(elements),
        "_embedded": {"elements": elements},
        "_links": {"self": {"href": href}},
    }


def page_links(path: str, query: Mapping[str, str], offset: int, size: int, total: int) -> dict[str, Any]:
    """The links of one page; `nextByOffset` and `previousByOffset` only where there is such a page."""

    def href(offset: str, size: str) -> str:
        return f"{path}?{urlencode({**query, 'offset': offset, 'pageSize': size})}"

    links: dict[str, Any] = {
        "self": {"href": href(str(offset), str(size))},
        "jumpTo": {"href": href("{offset}", str(size)), "templated": True},
        "changeSize": {"href": href(str(offset), "{size}"), "templated": True},
    }
    if offset > 1:
        links["previousByOffset"] = {"href": href(str(offset - 1), str(size))}
    if offset * size < total:
        links["nextByOffset"] = {"href": href(str(offset + 1), str(size))}
    return links


def status(row: Row) -> dict[str, Any]:
    """A status (section 10)."""
    return {
        "_type": "Status",
        "id": row["id"],
        "name": row["name"],
        "isClosed": bool(row["is_closed"]),
        "color": row["color"],
        "isDefault": bool(row["is_default"]),
        "isReadonly": False,
        "excludedFromTotals": False,
        "defaultDoneRatio": row["default_done_ratio"],
        "position": row["position"],
        "_links": {"self": link("statuses", row["id"], row["name"])},
    }


def type_(row: Row) -> dict[str, Any]:
    """A type."""
    return {
        "_type": "Type",
        "id": row["id"],
        "name": row["name"],
        "color": row["color"],
        "position": row["position"],
        "isDefault": bool(row["is_default"]),
        "isMilestone": bool(row["is_milestone"]),
        "createdAt": row["created_at"],
        "updatedAt": row["created_at"],
        "_links": {"self": link("types", row["id"], row["name"])},
    }


def priority(row: Row) -> dict[str, Any]:
    """A priority; the higher its position, the more urgent."""
    return {
        "_type": "Priority",
        "id": row["id"],
        "name": row["name"],
        "position": row["position"],
        "color": row["color"],
        "isDefault": bool(row["is_default"]),
        "isActive": True,
        "_links": {"self": link("priorities", row["id"], row["name"])},
    }


def project(row: Row) -> dict[str, Any]:
    """A project. Its links lead to `workspaces`, the newer name of the same paths."""
    workspace = f"{API}/workspaces/{row['id']}"
    return {
        "favorited": False,
        "_type": "Project",
        "id": row["id"],
        "identifier": row["identifier"],
        "name": row["name"],
        "active": True,
        "public": False,
        "description": formattable(""),
        "createdAt": row["created_at"],
        "updatedAt": row["created_at"],
        "statusExplanation": formattable(""),
        "_links": {
            "self": link("projects", row["id"], row["name"]),
            "createWorkPackage": {"href": f"{workspace}/work_packages/form", "method": "post"},
            "createWorkPackageImmediately": {"href": f"{workspace}/work_packages", "method": "post"},
            "workPackages": {"href": f"{workspace}/work_packages"},
            "categories": {"href": f"{workspace}/categories"},
            "versions": {"href": f"{workspace}/versions"},
            "types": {"href": f"{workspace}/types"},
            "memberships": {"href": f"{API}/memberships?{filtered('project', row['id'])}"},
            "schema": {"href": f"{API}/workspaces/schema"},
            "status": {"href": None},
            "ancestors": [],
            "parent": {"href": None},
        },
    }


def user(row: Row, *, full: bool, to_admin: bool) -> dict[str, Any]:
    """An account; others than oneself are seen by name only, except by an administrator (section 10)."""
    first, _, last = row["name"].partition(" ")
    private = {
        "createdAt": row["created_at"],
        "updatedAt": row["created_at"],
        "login": row["login"],
        **({"admin": bool(row["admin"])} if to_admin else {}),
        "firstName": first,
        "lastName": last,
        "email": f"{row['login']}@example.org",
        "status": "active",
        "identityUrl": None,
        "language": row["language"],
    }
    return {
        "_type": "User",
        "id": row["id"],
        "name": row["name"],
        **(private if full else {}),
        "avatar": "",
        "_links": {
            "self": link("users", row["id"], row["name"]),
            "memberships": {"href": f"{API}/memberships?{filtered('principal', row['id'])}", "title": "Memberships"},
        },
    }


def version(row: Row, project_row: Row) -> dict[str, Any]:
    """A version of a project."""
    return {
        "_type": "Version",
        "id": row["id"],
        "name": row["name"],
        "description": plain(row["description"]),
        "startDate": row["start_date"],
        "endDate": row["end_date"],
        "status": row["status"],
        "sharing": "none",
        "createdAt": row["created_at"],
        "updatedAt": row["created_at"],
        "_links": {
            "self": link("versions", row["id"], row["name"]),
            "schema": {"href": f"{API}/versions/schema"},
            "definingProject": link("projects", project_row["id"], project_row["name"]),
            "availableInProjects": {"href": f"{API}/versions/{row['id']}/workspaces"},
        },
    }


def work_package_link(id_: int, subject: str) -> dict[str, Any]:
    """A link to a parent, ancestor or child."""
    return {**link("work_packages", id_, subject), "displayId": str(id_)}


def relation(row: Row, language: str) -> dict[str, Any]:
    """A relation in canonical direction; `lag` only where it means something (section 8)."""
    href = f"{API}/relations/{row['id']}"
    kind = row["relation_type"]
    return {
        "_type": "Relation",
        "id": row["id"],
        "name": text(kind, language),
        "type": kind,
        "reverseType": REVERSE[kind],
        **({"lag": row["lag"]} if kind == "follows" else {}),
        "description": row["description"],
        "_links": {
            "self": {"href": href},
            "updateImmediately": {"href": href, "method": "patch"},
            "delete": {"href": href, "method": "delete", "title": "Remove relation"},
            "from": link("work_packages", row["from_id"], row["from_subject"]),
            "to": link("work_packages", row["to_id"], row["to_subject"]),
        },
    }


def escape(value: str | None) -> str:
    """Text inside HTML."""
    return html.escape(value or "")


def encoded(parameters: Mapping[str, str]) -> str:
    """A query string."""
    return urlencode(parameters)
