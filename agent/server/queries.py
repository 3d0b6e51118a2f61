"""What a client asks before it filters: the filters, their operators and values (OpenProject's `queries/…`). Saved queries are none here."""

from typing import Any
from urllib.parse import quote

from . import catalogue, filter_kinds, hal, params
from .call import Answer, Call
from .catalogue import Catalogue
from .errors import forbidden, not_found
from .filter_kinds import WITHOUT_VALUES, FilterKind

_OPERATORS = {
    "=": "is", "!": "is not", "o": "open", "c": "closed", "l": "locked", "*": "is not empty", "!*": "is empty", "~": "contains",
    "!~": "doesn't contain", "**": "contains", ">=": ">=", "<=": "<=", "<>d": "between", "=d": "on", "t": "today", "w": "this week",
    "<t+": "in less than", ">t+": "in more than", "t+": "in", ">t-": "less than days ago", "<t-": "more than days ago", "t-": "days ago",
}  # fmt: skip


def filter_schemas(call: Call) -> Answer:
    """GET the schema of every filter, of one project or of all."""
    if not any("view_work_packages" in held for held in call.viewer.projects.values()):
        raise forbidden()
    prefix = hal.API if "project" not in call.path else f"{hal.API}/workspaces/{call.project_id()}"
    known = catalogue.load(call.db, call.viewer)
    found = [_schema(kind) for kind in filter_kinds.every(known)]
    return Answer(document=hal.collection(found, f"{prefix}/queries/filter_instance_schemas"))


def filter_schema(call: Call) -> Answer:
    """GET the schema of one filter."""
    known = catalogue.load(call.db, call.viewer)
    return Answer(document=_schema(_find(call, known)))


def filter_(call: Call) -> Answer:
    """GET what one filter is called."""
    kind = _find(call, catalogue.load(call.db, call.viewer))
    href = f"{hal.API}/queries/filters/{kind.api}"
    document = {
        "_type": "QueryFilter",
        "id": kind.api,
        "_links": {"self": {"href": href, "title": kind.label}},
    }
    return Answer(document=document)


def operator(call: Call) -> Answer:
    """GET what one operator is called."""
    name = call.path["operator"]
    if name not in _OPERATORS:
        raise not_found()
    document = {
        "_type": "QueryOperator",
        "id": name,
        "name": _OPERATORS[name],
        "_links": {"self": {"href": _href(name), "title": _OPERATORS[name]}},
    }
    return Answer(document=document)


def _find(call: Call, known: Catalogue) -> FilterKind:
    kind = filter_kinds.find(params.internal_name(call.path["filter"]), known)
    if kind is None:
        raise not_found()
    return kind


def _values(kind: FilterKind, operator: str) -> str:
    """The type of the values that an operator takes: a list, one, or two."""
    if kind.values in ("Date", "DateTime") and operator.endswith("d"):
        return f"[{2 if operator == '<>d' else 1}]{kind.values}"
    if kind.values in ("Date", "DateTime", "Integer"):
        return "[1]Integer"
    return f"[{'1' if kind.values in ('String', 'Boolean') else ''}]{kind.values}"


def _href(operator: str) -> str:
    return f"{hal.API}/queries/operators/{quote(operator, safe='~')}"


def _schema(kind: FilterKind) -> dict[str, Any]:
    def entry(type_: str, name: str, *, allowed: str | None = None) -> dict[str, Any]:
        links = {"allowedValues": {"href": f"{hal.API}/{allowed}"}} if allowed else {}
        described = {"type": type_, "name": name, "required": True, "hasDefault": False, "writable": True}
        return {**described, "location": "_links", "_links": links}

    name = {"type": "String", "name": "Name", "required": True, "hasDefault": True, "writable": False, "options": {}}
    dependencies = {
        _href(operator): {}
        if operator in WITHOUT_VALUES
        else {"values": entry(_values(kind, operator), "Values", allowed=kind.allowed)}
        for operator in kind.operators
    }
    return {
        "_type": "QueryFilterInstanceSchema",
        "_dependencies": [{"_type": "SchemaDependency", "on": "operator", "dependencies": dependencies}],
        "name": name,
        "filter": entry("QueryFilter", "Filter"),
        "operator": entry("QueryOperator", "Operator"),
        "_links": {"self": {"href": f"{hal.API}/queries/filter_instance_schemas/{kind.api}"}},
    }
