"""Who is signed in to a page beside the API: a cookie that stands for a token, and the proof that a request comes from that page.

The file keeps the digest of a cookie, not the cookie. What a page sends back as its proof is derived from the cookie, so that
nothing else has to be kept: no other site can read either.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from .access import Viewer, viewer
from .bounded import host_of
from .call import stamp
from .errors import ApiError
from .seed import digest
from .store import Db

COOKIE = "agent_session_"
"""What its name begins with. The board's own mark ends it: browsers send a cookie to every port of a host, so that boards which
listen side by side would sign each other's visitors out."""
MARK = "page_cookie"
"""The setting that keeps the mark."""
PROOF = "x-csrf-token"
LIFETIME = timedelta(days=30)
MOST = 100
"""Sessions of one token at once: the oldest goes. Nobody has more browsers, and whoever signs in on and on fills nothing."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's session. `proof` is what comes back in the header `PROOF` with everything that changes something."""

    digest: str
    proof: str
    viewer: Viewer


def is_token(db: Db, token: str) -> bool:
    """Whether somebody owns it."""
    return db.value("SELECT 1 FROM tokens WHERE digest = ?", digest(token)) is not None


def cookie_name(db: Db) -> str:
    """What the board calls its cookie."""
    mark = db.value("SELECT value FROM settings WHERE name = ?", MARK)
    return COOKIE + (mark or "")


def start(db: Db, token: str, now: datetime) -> str:
    """A new session for the owner of a token: its cookie."""
    db.run("INSERT INTO settings VALUES (?, ?) ON CONFLICT DO NOTHING", MARK, secrets.token_hex(4))
    db.run("DELETE FROM sessions WHERE expires_at <= ?", stamp(now))
    db.run(
        "DELETE FROM sessions WHERE digest IN"
        " (SELECT digest FROM sessions WHERE token = ? ORDER BY created_at DESC LIMIT -1 OFFSET ?)",
        digest(token),
        MOST - 1,
    )
    cookie = secrets.token_urlsafe(32)
    db.run("INSERT INTO sessions VALUES (?, ?, ?, ?)", digest(cookie), digest(token), stamp(now), stamp(now + LIFETIME))
    return cookie


def end(db: Db, cookie: str) -> None:
    """Forget a session."""
    db.run("DELETE FROM sessions WHERE digest = ?", digest(cookie))


def find(db: Db, cookie: str | None, now: datetime) -> Session | None:
    """The session that a cookie stands for, if it has not ended."""
    if not cookie:
        return None
    user = db.row(
        "SELECT users.* FROM sessions JOIN tokens ON tokens.digest = sessions.token JOIN users ON users.id = tokens.user_id"
        " WHERE sessions.digest = ? AND expires_at > ?",
        digest(cookie),
        stamp(now),
    )
    if user is None:
        return None
    return Session(digest=digest(cookie), proof=digest(f"proof of {cookie}"), viewer=viewer(db, user))


def alive(db: Db, now: datetime) -> frozenset[str]:
    """The digests of all sessions that have not ended."""
    return frozenset(db.column("SELECT digest FROM sessions WHERE expires_at > ?", stamp(now)))


def cookie_of(db: Db, headers: Mapping[str, str]) -> str | None:
    """The session's cookie among those of a request, whatever the others look like."""
    if COOKIE not in headers.get("cookie", ""):
        return None
    own = cookie_name(db)
    for pair in headers["cookie"].split(";"):
        name, _, value = pair.strip().partition("=")
        if name == own:
            return value
    return None


def is_foreign(headers: Mapping[str, str]) -> bool:
    """Whether the request comes from a page of another site, as far as its browser says."""
    origin = headers.get("origin")
    return origin is not None and host_of(origin) != headers.get("host", "").lower()


def is_proven(session: Session, headers: Mapping[str, str]) -> bool:
    """Whether a request that came with the session's cookie was sent by its page."""
    return not is_foreign(headers) and secrets.compare_digest(
        session.proof.encode(), headers.get(PROOF, "").encode("latin-1", "replace")
    )


def authenticate(db: Db, method: str, headers: Mapping[str, str], now: datetime) -> Viewer | None:
    """Who sends a request to the API by cookie alone; None if nobody is signed in by it.

    Raises:
        ApiError: 403, it would change something and does not prove that the page sent it.
    """
    session = find(db, cookie_of(db, headers), now)
    if session is None:
        return None
    if method != "GET" and not is_proven(session, headers):
        raise ApiError(403, "MissingPermission", "unproven")
    return session.viewer
