"""The embedded board: an OpenProject-compatible server on SQLite. It shares no code with the client.

`create` makes a board, `import_backlog` fills it, `app` and `serve` answer OpenProject's API v3 over it. What they cannot do they
say with a `ServerError`.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec
from starlette.types import ASGIApp

from . import backlog, seed, store
from .backlog import Imported
from .backups import backup
from .call import stamp
from .errors import BacklogError, BoardError, ServerError
from .seed import Names
from .serving import serve
from .web import Site, build, utc_now

__all__ = [
    "Accounts",
    "BacklogError",
    "BoardError",
    "Imported",
    "Names",
    "ServerError",
    "Site",
    "app",
    "backup",
    "create",
    "import_backlog",
    "serve",
]


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """The accounts of a new board with their tokens, which are shown here once and stored nowhere."""

    tokens: dict[str, str]


def create(folder: Path, *, names: Names | None = None) -> Accounts:
    """Make a board in a folder that holds none: the seed and the accounts admin, agent and human."""
    now = stamp(utc_now())
    with store.created(folder) as db:
        seed.seed(db, names or Names(), now)
        tokens = {
            "admin": seed.add_user(db, "admin", "Board Admin", now, admin=True),
            "agent": seed.add_user(db, "agent", "Coding Agent", now),
            "human": seed.add_user(db, "human", "Hanna Human", now),
        }
    return Accounts(tokens=tokens)


def import_backlog(folder: Path, text: str) -> Imported:
    """Put a backlog, written in TOML, on the board in a folder; of a wrong one nothing."""
    wanted = backlog.parse(text)
    board = store.Store(folder)
    try:
        with board.transaction(write=True) as db:
            return backlog.store(db, wanted, utc_now())
    finally:
        board.close()


def app(folder: Path, *, clock: Callable[[], datetime] | None = None, site: Site | None = None) -> ASGIApp:
    """The board in a folder as an ASGI application; `clock` tells the time in UTC, without a zone."""
    return build(folder, clock, site)
