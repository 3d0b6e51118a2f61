"""The HTTP side: routes, one transaction per request, one error shape."""

import hashlib
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from . import body, description, intake, sessions
from .access import Viewer, authenticate
from .attachments import largest
from .body import PlainRefusal
from .call import Answer, Call
from .connections import belongs_to
from .errors import ApiError, DiskFull, internal, not_found
from .instance import VERSION
from .intake import Courtesy, Gone, Raw
from .routes import ENDPOINTS, TEXTS, UPLOADS, WITHOUT_TYPE, Handler
from .shelf import Shelf
from .store import Db, Store

HAL_JSON = "application/hal+json; charset=utf-8"
LONGEST_QUERY = 10_240
LONGEST_LOGGED = 200
LONGEST_LOOK = 2.0
"""Seconds of processor time that a question may take; meanwhile nobody else is answered."""
CHUNK = 64 << 10
PRIVATE = "max-age=0, private, must-revalidate"
"""As Rails says it: by cookie too, an answer is for one user, and no cache between may keep it for others."""
CHALLENGES = {
    "unauthenticated": 'Bearer realm="OpenProject API", scope="api_v3"',
    "wrong_credentials": 'Basic realm="OpenProject API"',
}

Clock = Callable[[], datetime]

log = logging.getLogger(__name__)


class Board:
    """The routes over one store."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._store = Store(folder)
        self._clock = clock
        self._description = msgspec.json.encode(description.document(VERSION))

    def routes(self) -> list[Route]:
        """One route for each method and path; a trailing slash makes no difference."""
        return [
            *(
                Route(f"/api/v3{endpoint.path}{slash}", self._endpoint(endpoint.handler), methods=[endpoint.method])
                for endpoint in ENDPOINTS
                for slash in ("", "/")
            ),
            *(Route(f"/api/v3{path}", self._describe, methods=["GET"]) for path in description.PATHS),
        ]

    async def _describe(self, request: Request) -> Response:
        """JSON is YAML too; without credentials not even this is told."""
        kind = "text/yaml" if request.url.path.endswith("yml") else "application/json"
        return self.answer(request, lambda _: Answer(content=self._description, headers={"content-type": kind}))

    def _endpoint(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            if request.method == "GET":
                found = self.answer(request, handler)
            else:
                found = await self._read_and_answer(request, handler)
            found.headers.setdefault("cache-control", PRIVATE)
            return found

        return endpoint

    async def _read_and_answer(self, request: Request, handler: Handler) -> Response:
        """Who asks is known before the body is read, and before the lock that writers share is asked for."""
        longest = 0

        def identified(db: Db, _: Viewer, __: Shelf) -> Response:
            nonlocal longest
            longest = largest(db) + intake.OVERHEAD if handler in UPLOADS else intake.LONGEST_JSON
            return Response(status_code=204)

        refused = self._within(request, identified, write=False)
        if not longest:
            return refused
        with intake.spool(self._folder) as file:
            try:
                await intake.take(request, file, longest)
                raw = intake.content(file)
            except ApiError as error:
                return _refusal(error, "en")
            except Gone:
                return Response(status_code=400)
            return self.answer(request, handler, raw)

    async def unknown(self, request: Request, _: Exception) -> Response:
        """No such path or method; without credentials even that is not told."""

        def refuse(*_: object) -> Response:
            raise not_found()

        return self._within(request, refuse, write=False)

    def answer(self, request: Request, handler: Handler, raw: Raw = b"") -> Response:
        """Run one request in its transaction."""

        def answered(db: Db, viewer: Viewer, shelf: Shelf) -> Response:
            parsed = None if request.method == "GET" else _body(request, handler, raw)
            return _response(handler(self._call(request, db, viewer, shelf=shelf, raw=raw, parsed=parsed)), request)

        return self._within(request, answered, write=request.method != "GET")

    def _within(self, request: Request, work: Callable[[Db, Viewer, Shelf], Response], *, write: bool) -> Response:
        """A transaction of whoever asks; whatever goes wrong inside is an answer, not a crash."""
        language, kept = "en", False
        shelf = Shelf(self._folder)
        try:
            with self._store.transaction(write=write, seconds=math.inf if write else LONGEST_LOOK) as db:
                viewer = self._viewer(db, request)
                belongs_to(request.scope, viewer.id)
                language = viewer.language
                found = work(db, viewer, shelf)
            kept = True
        except ApiError as error:
            if isinstance(error, DiskFull):
                log.error("%s %s: the disk is full, nothing was changed", request.method, shown(request.scope))  # noqa: TRY400 - no traceback
            return _refusal(error, language)
        except PlainRefusal as refusal:
            return Response(refusal.message, refusal.status, headers={"content-type": refusal.content_type})
        except Exception:
            log.exception("%s %s", request.method, shown(request.scope))
            return _refusal(internal(""), language)
        finally:
            shelf.settle(kept=kept)
        return found

    def _viewer(self, db: Db, request: Request) -> Viewer:
        """By the header; only where there is none, by the cookie of the page."""
        authorization = request.headers.get("authorization")
        if not authorization and "cookie" in request.headers:
            found = sessions.authenticate(db, request.method, request.headers, self._clock())
            if found is not None:
                return found
        return authenticate(db, authorization)

    def _call(self, request: Request, db: Db, viewer: Viewer, *, shelf: Shelf, raw: Raw, parsed: Any) -> Call:
        return Call(
            db=db,
            viewer=viewer,
            now=self._clock(),
            path=request.path_params,
            query=dict(request.query_params),
            url=request.url.path,
            host=request.headers.get("host", ""),
            shelf=shelf,
            body=parsed,
            raw=raw,
            content_type=request.headers.get("content-type", ""),
        )


def _body(request: Request, handler: Handler, raw: Raw) -> Any:
    """The JSON of a body, after a look at its type; files and texts are read by their handlers."""
    method, content_type = request.method, request.headers.get("content-type", "")
    if handler in UPLOADS:
        body.check_upload_type(content_type)
        return None
    if handler in TEXTS:
        return None
    body.check_content_type(content_type, required=method != "DELETE" and handler not in WITHOUT_TYPE)
    return body.parse(raw[:]) if content_type and method != "DELETE" else None


class Doorkeeper:
    """Refuses what OpenProject's web server refuses before the application sees it (section 1.2, 1.6)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application around the application."""
        if scope["type"] == "http" and len(scope["query_string"]) > LONGEST_QUERY:
            await Response(status_code=400)(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] == "HEAD":
            await Response(status_code=406)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class Site(Protocol):
    """What is served beside the API, at / and below /page."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

    def stop(self) -> None:
        """Nobody is served from here on: end at once what would go on for ever."""


def build(folder: Path, clock: Clock | None = None, site: Site | None = None) -> ASGIApp:
    """The application over the board in a folder; `clock` tells the time in UTC without saying so."""
    board = Board(folder, clock or utc_now)
    api = Doorkeeper(Starlette(routes=board.routes(), exception_handlers={HTTPException: board.unknown}))
    return Courtesy(api if site is None else _beside(api, site))


def _beside(api: ASGIApp, site: Site) -> ASGIApp:
    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        is_sites = scope["type"] == "http" and (scope["path"] in ("/", "/page") or scope["path"].startswith("/page/"))
        await (site if is_sites else api)(scope, receive, send)

    return both


def shown(scope: Scope) -> str:
    """The path for the log: others write it, so that it is short and has no control characters."""
    return ascii(scope["path"][:LONGEST_LOGGED])


def utc_now() -> datetime:
    """The time in UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def _response(answer: Answer, request: Request) -> Response:
    if answer.plain is not None:
        return Response(answer.plain, answer.status, headers=dict(answer.headers))
    if answer.content is not None:
        return Response(answer.content, answer.status, headers=dict(answer.headers))
    if answer.file is not None:
        return StreamingResponse(_chunks(answer.file), answer.status, headers=dict(answer.headers))
    if answer.document is None:
        return Response(status_code=answer.status)
    content = msgspec.json.encode(answer.document)
    # Not cryptography: a tag of the content, as OpenProject sends one [L].
    tag = f'W/"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
    if request.method == "GET" and tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers={"etag": tag})
    return Response(content, answer.status, headers={"content-type": HAL_JSON, "etag": tag, **answer.headers})


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    """As fast as it is read, and no faster."""
    with file:
        while chunk := file.read(CHUNK):
            yield chunk


def _refusal(error: ApiError, language: str) -> Response:
    challenge = {"www-authenticate": CHALLENGES[error.key]} if error.key in CHALLENGES else {}
    return Response(
        msgspec.json.encode(error.document(language)), error.status, headers={"content-type": HAL_JSON, **challenge}
    )
