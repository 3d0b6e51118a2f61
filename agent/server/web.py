"""The HTTP side: routes, one transaction per request, one error shape."""

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from . import activities, body, lists, lookups, relations, schemas, work_packages
from .access import Viewer, authenticate
from .body import PlainRefusal
from .call import Answer, Call
from .errors import ApiError, internal, not_found
from .store import Db, Store

HAL_JSON = "application/hal+json; charset=utf-8"
LONGEST_QUERY = 10_240
CHALLENGES = {
    "unauthenticated": 'Bearer realm="OpenProject API", scope="api_v3"',
    "wrong_credentials": 'Basic realm="OpenProject API"',
}

Handler = Callable[[Call], Answer]
Clock = Callable[[], datetime]

log = logging.getLogger(__name__)

_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "", lookups.root),
    ("GET", "/configuration", lookups.configuration),
    ("GET", "/users/me", lookups.me),
    ("GET", "/users/{id}", lookups.user),
    ("GET", "/users", lookups.users),
    ("GET", "/principals", lookups.principals),
    ("GET", "/statuses", lookups.statuses),
    ("GET", "/statuses/{id}", lookups.status),
    ("GET", "/types", lookups.types),
    ("GET", "/types/{id}", lookups.type_),
    ("GET", "/priorities", lookups.priorities),
    ("GET", "/priorities/{id}", lookups.priority),
    ("GET", "/versions/{id}", lookups.version),
    ("GET", "/projects", lookups.projects),
    *(
        (method, f"/{kind}/{{project}}{path}", handler)
        for kind in ("projects", "workspaces")
        for method, path, handler in (
            ("GET", "", lookups.project),
            ("GET", "/types", lookups.project_types),
            ("GET", "/versions", lookups.project_versions),
            ("GET", "/available_assignees", lookups.project_assignees),
            ("GET", "/work_packages", lists.index),
            ("POST", "/work_packages", work_packages.create),
            ("POST", "/work_packages/form", schemas.creation_form),
        )
    ),
    ("GET", "/work_packages", lists.index),
    ("POST", "/work_packages", work_packages.create),
    ("GET", "/work_packages/schemas", schemas.index),
    ("GET", "/work_packages/schemas/{schema}", schemas.show),
    ("GET", "/work_packages/{id}", work_packages.show),
    ("PATCH", "/work_packages/{id}", work_packages.update),
    ("DELETE", "/work_packages/{id}", work_packages.delete),
    ("POST", "/work_packages/{id}/form", schemas.form),
    ("GET", "/work_packages/{id}/available_assignees", lookups.work_package_assignees),
    ("GET", "/work_packages/{id}/activities", activities.index),
    ("POST", "/work_packages/{id}/activities", activities.create),
    ("GET", "/work_packages/{id}/relations", relations.moved),
    ("POST", "/work_packages/{id}/relations", relations.create),
    ("GET", "/activities/{id}", activities.show),
    ("PATCH", "/activities/{id}", activities.update),
    ("GET", "/relations", relations.index),
    ("GET", "/relations/{id}", relations.show),
    ("DELETE", "/relations/{id}", relations.delete),
)
# These look at the body first and at its type not at all: without a type they find their parameter missing [L].
_WITHOUT_TYPE = (activities.create, activities.update)


class Board:
    """The routes over one store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def routes(self) -> list[Route]:
        """One route for each method and path; a trailing slash makes no difference."""
        return [
            Route(f"/api/v3{path}{slash}", self._endpoint(handler), methods=[method])
            for method, path, handler in _ROUTES
            for slash in ("", "/")
        ]

    def _endpoint(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return self.answer(request, handler, await request.body())

        return endpoint

    async def unknown(self, request: Request, _: Exception) -> Response:
        """No such path or method; without credentials even that is not told."""
        return self.answer(request, _refuse_unknown, b"")

    def answer(self, request: Request, handler: Handler, raw: bytes) -> Response:
        """Run one request in its transaction; whatever goes wrong inside is an answer, not a crash."""
        language = "en"
        try:
            with self._store.transaction(write=request.method != "GET") as db:
                viewer = authenticate(db, request.headers.get("authorization"))
                language = viewer.language
                return _response(handler(self._call(request, db, viewer, handler, raw)))
        except ApiError as error:
            return _refusal(error, language)
        except PlainRefusal as refusal:
            return Response(refusal.message, refusal.status, headers={"content-type": refusal.content_type})
        except Exception:
            log.exception("%s %s", request.method, request.url.path)
            return _refusal(internal(""), language)

    def _call(self, request: Request, db: Db, viewer: Viewer, handler: Handler, raw: bytes) -> Call:
        parsed = None
        if request.method != "GET" and handler is not _refuse_unknown:
            content_type = request.headers.get("content-type", "")
            body.check_content_type(content_type, required=request.method != "DELETE" and handler not in _WITHOUT_TYPE)
            parsed = body.parse(raw) if content_type and request.method != "DELETE" else None
        return Call(
            db=db,
            viewer=viewer,
            now=self._clock(),
            path=request.path_params,
            query=dict(request.query_params),
            url=request.url.path,
            body=parsed,
        )


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


def build(folder: Path, clock: Clock | None = None) -> ASGIApp:
    """The application over the board in a folder; `clock` tells the time in UTC without saying so."""
    board = Board(Store(folder), clock or utc_now)
    return Doorkeeper(Starlette(routes=board.routes(), exception_handlers={HTTPException: board.unknown}))


def utc_now() -> datetime:
    """The time in UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def _refuse_unknown(_: Call) -> Answer:
    raise not_found()


def _response(answer: Answer) -> Response:
    if answer.plain is not None:
        return Response(answer.plain, answer.status, headers=dict(answer.headers))
    if answer.document is None:
        return Response(status_code=answer.status)
    return Response(
        msgspec.json.encode(answer.document), answer.status, headers={"content-type": HAL_JSON, **answer.headers}
    )


def _refusal(error: ApiError, language: str) -> Response:
    challenge = {"www-authenticate": CHALLENGES[error.key]} if error.key in CHALLENGES else {}
    return Response(
        msgspec.json.encode(error.document(language)), error.status, headers={"content-type": HAL_JSON, **challenge}
    )
