"""The files that a browser needs, from the folder `assets` and from nowhere else."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agent.texts.bounded import LINE, Whole

TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "webmanifest": "application/manifest+json",
    "woff2": "font/woff2",
}
_NAME: Final = Whole(
    "page: the name of a file",
    r"[A-Za-z0-9_-]++(?:\.[A-Za-z0-9_-]++)*\.([a-z0-9]++)",
    sees="what a browser asks for",
    longest=LINE,
)


async def index(request: Request) -> Response:
    """The page itself: it signs in or shows the board, as it finds itself signed in."""
    return _file(request, "index.html")


async def asset(request: Request) -> Response:
    """One of the others."""
    return _file(request, request.path_params["name"])


def _file(request: Request, name: str) -> Response:
    match = _NAME.match(name)
    kind = TYPES.get(match[1]) if match else None
    path = files(__package__) / "assets" / name
    if kind is None or not path.is_file():
        raise HTTPException(404)
    content = path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, headers={**headers, "content-type": kind})
