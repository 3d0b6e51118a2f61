"""The page's own requests: signing in, the board, what changes on it, and the files that a browser needs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import msgspec
from loguru import logger
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from agent.page import detail, figures, live, static
from agent.page.catalog import catalog
from agent.page.desk import Desk
from agent.page.live import Live
from agent.page.stream import EventStream, Hub
from agent.server import sessions
from agent.server.call import is_id, stamp
from agent.server.connections import belongs_to
from agent.server.errors import ApiError
from agent.server.intake import Gone, take
from agent.server.sessions import Session
from agent.server.store import Db
from agent.server.web import shown, utc_now
from agent.texts.bounded import Unreadable, from_json

HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
_DIGITS: Final = 9
LONGEST_BODY: Final = 4096
MOST_STREAMS: Final = 64
"""Of one user at once."""


class Page:
    """The page over the board in a folder: what `agent.server` serves as its site.

    Args:
        folder: where the board is kept.
        clock: tells the time in UTC without saying so.
    """

    def __init__(self, folder: Path, clock: Callable[[], datetime] = utc_now) -> None:
        self._desk = Desk(folder, "page")
        # Figures of a long time take long; nobody else should wait for them.
        self._figures = Desk(folder, "figures")
        self._clock = clock
        self.live = Live(folder, clock)
        self.hub = Hub(self.live)
        self._app = Starlette(
            routes=[
                Route("/", static.index),
                Route("/page", static.index),
                Route("/page/assets/{name}", static.asset),
                Route("/page/sign-in", self._sign_in, methods=["POST"]),
                Route("/page/sign-out", self._sign_out, methods=["POST"]),
                Route("/page/session", self._session),
                Route("/page/board", self._board),
                Route("/page/events", self._events),
                Route("/page/work-packages/{id}", self._detail),
                Route("/page/fleet", self._fleet),
            ],
            exception_handlers={HTTPException: _refused, ApiError: _denied, Exception: _failed},
        )
        self._app.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, with what keeps a browser from being talked into anything else."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        except Gone:
            return
        except Exception as error:  # noqa: BLE001 - it is answered already, by `_failed`
            logger.opt(exception=error).error("{} {}", scope["method"], shown(scope))

    def stop(self) -> None:
        """End the streams."""
        self.hub.stop()

    def close(self) -> None:
        """Let go of the file, when nobody is served any more."""
        self._desk.close()
        self._figures.close()
        self.live.close()

    def _find(self, db: Db, request: Request) -> Session:
        found = sessions.find(db, sessions.cookie_of(db, request.headers), self._clock())
        if found is None:
            raise HTTPException(401, "You are not signed in, or no longer.")
        belongs_to(request.scope, found.viewer.id)
        return found

    async def _sign_in(self, request: Request) -> Response:
        if sessions.is_foreign(request.headers):
            raise HTTPException(403, "Sign in on the board's own page.")
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise HTTPException(415, "Send the token as JSON.")
        token = await _token(request)

        def start(db: Db) -> tuple[str, str]:
            old = sessions.cookie_of(db, request.headers)
            if old:
                sessions.end(db, old)
            cookie = sessions.start(db, token, self._clock())
            return sessions.cookie_name(db), cookie

        # Who knows no token gets nowhere near the lock that writers share.
        if not await self._desk.read(lambda db: sessions.is_token(db, token)):
            raise HTTPException(401, "This board knows no such token.")
        name, cookie = await self._desk.write(start)
        answer = Response(status_code=204)
        _set_cookie(answer, request, name, cookie, int(sessions.LIFETIME.total_seconds()))
        await self.hub.check()
        return answer

    async def _sign_out(self, request: Request) -> Response:
        def end(db: Db) -> str:
            cookie = sessions.cookie_of(db, request.headers)
            session = sessions.find(db, cookie, self._clock())
            if session is not None and not sessions.is_proven(session, request.headers):
                raise HTTPException(403, "This request does not come from the board's own page. Reload it.")
            sessions.end(db, cookie or "")
            return sessions.cookie_name(db)

        name = await self._desk.write(end)
        await self.hub.check()
        answer = Response(status_code=204)
        _set_cookie(answer, request, name, "", 0)
        return answer

    async def _session(self, request: Request) -> Response:
        def read(db: Db) -> dict[str, Any]:
            found = self._find(db, request)
            return {
                "user": {"id": found.viewer.id, "name": found.viewer.name},
                "csrf": found.proof,
                "instance": db.value("SELECT value FROM settings WHERE name = 'instance_name'"),
                "writable": any("edit_work_packages" in held for held in found.viewer.projects.values()),
            }

        return _json(await self._desk.read(read))

    async def _board(self, request: Request) -> Response:
        await self._desk.read(lambda db: self._find(db, request))
        now = await self.live.latest()

        def whole(db: Db) -> bytes:
            # Once more: what is visible is looked up after the cards were read.
            view = live.view(db, self._find(db, request).viewer, now)
            content = msgspec.json.encode(
                {
                    "catalog": catalog(db, view),
                    "cards": live.cards(now, view),
                    "closed": live.closed(now, view),
                    "pods": live.pods_of(now, view),
                }
            )
            version = self.live.versions.name(view.viewer.id, content)
            self.live.versions.keep(version, self.live.told(view, now))
            head = msgspec.json.encode({"version": version, "now": stamp(self._clock())})
            return head[:-1] + b"," + content[1:]

        return Response(await self._desk.read(whole), media_type="application/json")

    async def _events(self, request: Request) -> Any:
        session, cookie = await self._desk.read(
            lambda db: (self._find(db, request), sessions.cookie_of(db, request.headers) or "")
        )
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        if self.hub.of(session.viewer.id) >= MOST_STREAMS:
            raise HTTPException(429, "The page is open too often.")
        version = request.headers.get("last-event-id") or request.query_params.get("version", "")
        return EventStream(self.hub, cookie, session, version)

    async def _detail(self, request: Request) -> Response:
        name, before = request.path_params["id"], request.query_params.get("before", "")
        id_, journal = (int(text) if is_id(text) else 0 for text in (name, before))

        def read(db: Db) -> bytes:
            viewer = self._find(db, request).viewer
            return msgspec.json.encode(detail.detail(db, viewer, id_, before=journal or None))

        return Response(await self._desk.read(read), media_type="application/json")

    async def _fleet(self, request: Request) -> Response:
        wanted = request.query_params.get("days", "14")
        if not (
            wanted.isascii() and wanted.isdecimal() and len(wanted) <= _DIGITS and 1 <= int(wanted) <= figures.LONGEST
        ):
            raise HTTPException(400, f"Ask for 1 to {figures.LONGEST} days.")

        def read(db: Db) -> bytes:
            return msgspec.json.encode(figures.fleet(db, self._find(db, request).viewer, int(wanted), self._clock()))

        return Response(await self._figures.read(read), media_type="application/json")


async def _token(request: Request) -> str:
    raw = BytesIO()
    await take(request, raw, LONGEST_BODY)
    try:
        return from_json(raw.getvalue(), dict[str, str], longest=LONGEST_BODY).get("token", "").strip()
    except Unreadable:
        raise HTTPException(400, 'Send the token as {"token": "…"}.') from None


def _set_cookie(answer: Response, request: Request, name: str, value: str, seconds: int) -> None:
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def _json(document: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(document), status, media_type="application/json")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    words = {404: "There is no such thing here.", 405: "That cannot be done here."}
    detail = words.get(error.status_code, error.detail)
    return _json({"message": detail}, error.status_code)


async def _denied(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - what it is registered for
    return _json({"message": error.document("en")["message"]}, error.status)


async def _failed(_: Request, __: Exception) -> Response:
    return _json({"message": "Something went wrong on the board's side; its log says what."}, 500)
