"""The files that a browser needs, from the folder `assets` and from nowhere else."""

from __future__ import annotations

import functools
import hashlib
from importlib.resources import files
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

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


async def index(request: Request) -> Response:
    """The page itself: it signs in or shows the board, as it finds itself signed in."""
    return _file(request, "index.html")


async def asset(request: Request) -> Response:
    """One of the others."""
    return _file(request, request.path_params["name"])


def _file(request: Request, name: str) -> Response:
    if name not in assets():
        raise HTTPException(404)
    content, tag = assets()[name]
    headers = {"etag": tag, "cache-control": "no-cache"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, headers={**headers, "content-type": TYPES[name.rpartition(".")[2]]})


@functools.cache
def assets() -> dict[str, tuple[bytes, str]]:
    """All files and their tags, by name. Read once: whoever comes by may ask for them as often as he likes."""
    found = ((path.name, path.read_bytes()) for path in (files(__package__) / "assets").iterdir())
    return {name: (content, f'"{hashlib.sha256(content).hexdigest()[:32]}"') for name, content in found}
