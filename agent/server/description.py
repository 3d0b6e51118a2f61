"""The description of the API in OpenAPI 3.1, made from the routes: at /api/v3/openapi.json, /spec.json and /spec.yml, as OpenProject has it."""

import re
from collections.abc import Mapping
from typing import Any

from .description_types import BODIES, TYPES
from .routes import ENDPOINTS, Endpoint

PATHS = ("/openapi.json", "/spec.json", "/spec.yml")
_HAL = "application/hal+json"
_CREATED = ("create", "create_for_activity")
_PLAIN = {"content": {"text/plain": {"schema": {"type": "string"}}, "text/html": {"schema": {"type": "string"}}}}
_EXAMPLE = '[{"name":{"operator":"=","values":["1"]}}]'


def document(version: str) -> dict[str, Any]:
    """The whole description."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(f"/api/v3{endpoint.path}", {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Embedded board, compatible with OpenProject's API v3",
            "version": version,
            "description": "What is not listed here answers 404. Descriptions of OpenProject's own API hold for what is.",
        },
        "security": [{"basic": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic", "description": "User name apikey, the token as password."},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
            "schemas": {**TYPES, **{name: schema for name, (_, schema) in BODIES.items()}},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    summary = (endpoint.handler.__doc__ or "").partition("\n")[0]
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1} if name in ("id", "user") else {"type": "string"}}
        for name in re.findall(r"{(\w+)}", endpoint.path)
    ]  # fmt: skip
    if endpoint.paged:
        parameters += [
            {"name": "offset", "in": "query", "schema": {"type": "integer", "minimum": 1, "default": 1}},
            {"name": "pageSize", "in": "query", "schema": {"type": "integer", "minimum": -1, "default": 20}},
        ]
    if endpoint.filtered:
        parameters += [{"name": "filters", "in": "query", "schema": {"type": "string"}, "example": _EXAMPLE}]
    if endpoint.answer == "[]WorkPackage":
        names = ("sortBy", "groupBy", "select", "eprops")
        parameters += [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{endpoint.method.lower()}{endpoint.path}").strip("_"),
        "summary": summary,
        "parameters": parameters,
        "responses": _responses(endpoint),
    }
    if endpoint.body:
        content_type, _ = BODIES[endpoint.body]
        operation["requestBody"] = {
            "required": True,
            "content": {content_type: {"schema": {"$ref": f"#/components/schemas/{endpoint.body}"}}},
        }
    return operation


def _responses(endpoint: Endpoint) -> Mapping[str, Any]:
    refused = {
        "description": "Refused: an error object; plain text where the body's type is refused.",
        "content": {_HAL: {"schema": {"anyOf": [{"$ref": "#/components/schemas/Error"}, {"type": "string"}]}}, **_PLAIN["content"]},
    }  # fmt: skip
    return {**_success(endpoint), "default": refused}


def _success(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.method == "DELETE":
        return {"204": {"description": "Deleted."}}
    if not endpoint.answer:
        moved = {"description": "Moved.", **_PLAIN}
        return {"200": {"description": "The content."}, "301": moved, "308": moved}
    name = endpoint.answer.removeprefix("[]")
    schema: dict[str, Any] = {"$ref": f"#/components/schemas/{name}"}
    if name != endpoint.answer:
        # With `select` only what was asked for is there.
        elements = schema if endpoint.answer != "[]WorkPackage" else {"type": "object"}
        schema = {
            "type": "object",
            "properties": {
                "_type": {"enum": ["Collection", "WorkPackageCollection"]},
                "total": {"type": "integer", "minimum": 0},
                "count": {"type": "integer", "minimum": 0},
                "_embedded": {"type": "object", "properties": {"elements": {"type": "array", "items": elements}}},
                "_links": {"type": "object"},
            },
        }
    answer = {"description": "Done.", "content": {_HAL: {"schema": schema}}}
    created = endpoint.method == "POST" and endpoint.handler.__name__ in _CREATED
    # Whoever watches already is told so with 200.
    return {"201": answer, "200": answer} if created else {"200": answer}
