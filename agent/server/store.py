"""The only module that touches sqlite3: one file, one connection, one transaction per request.

The server handles requests one after the other on its event loop, so that no lock is needed inside the process; against other
processes on the same file SQLite's own locks are enough (WAL; a write starts with BEGIN IMMEDIATE and waits for its turn).
"""

import errno
import math
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias

from . import working_days
from .errors import BoardError, DiskFull, bad_request

FILE = "board.sqlite3"
BUSY_SECONDS = 10.0
CACHE_KIB = 64 << 10
_STEPS = 200_000
"""Of SQLite's machine between two looks at the clock: ten milliseconds or less, unless a step is dear."""
VERSION = 3
"""Of the schema: `schema.sql` makes it, `migrations/` leads to it from each one that was ever released."""

Row: TypeAlias = sqlite3.Row
Value: TypeAlias = str | int | None


class _Allowance:
    """How much processor time a transaction has, asked by SQLite's machine and by what may take long in one of its steps."""

    def __init__(self) -> None:
        self.give(math.inf)

    def give(self, seconds: float) -> None:
        """From now on."""
        self._end = time.thread_time() + seconds
        self.was_spent = False

    def is_spent(self) -> bool:
        """Whether there is none left; the answer is kept, since SQLite hands on no exception of a function."""
        self.was_spent = self.was_spent or time.thread_time() > self._end
        return self.was_spent


class Db:
    """A transaction on the board's file: rows out, changes in."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, *values: Value) -> list[Row]:
        """All rows."""
        return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Value) -> Row | None:
        """The first row, if there is one."""
        row: Row | None = self._connection.execute(sql, values).fetchone()
        return row

    def column(self, sql: str, *values: Value) -> list[Any]:
        """The first column of all rows."""
        return [row[0] for row in self._connection.execute(sql, values)]

    def value(self, sql: str, *values: Value) -> Any:
        """The first column of the first row, None if there is no row."""
        row = self._connection.execute(sql, values).fetchone()
        return None if row is None else row[0]

    def run(self, sql: str, *values: Value) -> int:
        """Change something; the id of the row that was inserted last."""
        return self._connection.execute(sql, values).lastrowid or 0

    def run_named(self, sql: str, values: Mapping[str, Value]) -> int:
        """The same with `:name` placeholders."""
        return self._connection.execute(sql, values).lastrowid or 0

    def run_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """The same change for many rows."""
        self._connection.executemany(sql, rows)


class Store:
    """The file of one board."""

    def __init__(self, folder: Path) -> None:
        path = folder / FILE
        if not path.exists():
            raise BoardError(f"{folder} holds no board; make one with `agent board init {folder}`")
        self._allowance = _Allowance()
        self._connection = _connect(path, self._allowance)
        try:
            _upgrade(self._connection, path)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @contextmanager
    def transaction(self, *, write: bool, seconds: float = math.inf) -> Iterator[Db]:
        """One consistent view; what was written is kept only if the block ends without an exception.

        Args:
            write: whether it may change something.
            seconds: of processor time after which SQLite stops, whatever it is at.

        Raises:
            ApiError: it took longer, or the disk is full.
        """
        allowance = self._allowance
        allowance.give(seconds)
        self._connection.set_progress_handler(allowance.is_spent, _STEPS)
        try:
            self._connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            yield Db(self._connection)
            self._connection.execute("COMMIT")
        except BaseException as error:
            # A full disk ends some transactions by itself.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if is_full(error):
                raise DiskFull from error
            if allowance.was_spent and isinstance(error, sqlite3.OperationalError):
                raise bad_request(f"it takes more than {seconds:g} s: ask for less at once") from error
            raise

    def changes(self) -> int:
        """A number that differs from the last one whenever another connection has changed the file meanwhile."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def backup(self, target: Path) -> None:
        """Copy the board's file as it is at one moment, while others read and write it."""
        with closing(sqlite3.connect(target)) as copy:
            self._connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")


@contextmanager
def reading(path: Path) -> Iterator[Db]:
    """Any file with the tables of a board, to look at."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        yield Db(connection)


@contextmanager
def created(folder: Path) -> Iterator[Db]:
    """A new board's file with its tables; it appears only if the block that fills it ends without an exception."""
    path = folder / FILE
    if path.exists():
        raise BoardError(f"{folder} holds a board already; choose another folder or remove {path}")
    folder.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with closing(_connect(draft)) as connection:
        connection.executescript((files(__package__) / "schema.sql").read_text(encoding="utf-8"))
        connection.execute("BEGIN IMMEDIATE")
        yield Db(connection)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = DELETE")
    draft.chmod(0o600)
    draft.rename(path)


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the file of an older version up to date, all of it or nothing."""
    if _version(connection) == VERSION:
        return
    # Tables that others refer to are made anew: their rows must not go with them.
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = _version(connection)
        _check_known(found, path)
        for version in range(found + 1, VERSION + 1):
            script = (files(__package__) / "migrations" / f"{version}.sql").read_text(encoding="utf-8")
            for statement in _statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("PRAGMA foreign_keys = ON")


def _version(connection: sqlite3.Connection) -> int:
    """The first schema did not say its number."""
    return max(1, int(connection.execute("PRAGMA user_version").fetchone()[0]))


def _check_known(found: int, path: Path) -> None:
    if found > VERSION:
        raise BoardError(f"{path} was written by a newer agent (schema {found}, this one knows {VERSION}); upgrade it")


def _statements(script: str) -> Iterator[str]:
    """`executescript` would commit in between."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def is_full(error: BaseException) -> bool:
    """Whether there was no room for something."""
    full = (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_SHMSIZE,
        sqlite3.SQLITE_IOERR_TRUNCATE,
    )
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) in full
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _connect(path: Path, allowance: _Allowance | None = None) -> sqlite3.Connection:
    # Made in one thread and used in another by whoever serves it from a thread, never by two at a time.
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    connection.row_factory = sqlite3.Row
    contains = partial(_contains, allowance or _Allowance())
    connection.create_function("contains", 2, contains, deterministic=True)
    connection.create_function("working_days", 2, _working_days, deterministic=True)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    return connection


def _working_days(start: str | None, due: str | None) -> int | None:
    return None if start is None or due is None else working_days.count(start, due)


def _contains(allowance: _Allowance, value: str | None, words: str) -> bool:
    """Whether each of the words stands in the value, whatever the case: the operator `~` [L].

    To SQLite this is one step, and texts of a megabyte take tens of milliseconds: the clock is looked at before each of them
    and before each word.
    """
    folded = ""
    for word in _folded(words):
        if allowance.is_spent():
            raise TimeoutError
        folded = folded or (value or "").casefold()
        if word not in folded:
            return False
    return True


@lru_cache(maxsize=16)
def _folded(words: str) -> list[str]:
    return words.casefold().split()
