"""Where a pod's state lies: one folder, one process at a time; each file whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import pathlib
import stat
from collections.abc import Iterator

import msgspec
from loguru import logger

from agent.errors import ConfigurationError, PodTrouble
from agent.state import State


class StateFolder:
    """The folder in which one pod's state lives; the only code that touches it.

    Args:
        path: made, private to its user, when it is first written.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self._state = path / "state.json"
        self._catalog = path / "catalog.json"

    def load(self) -> State:
        """The state that was saved last; an empty one if there is none.

        A file that cannot be understood is moved aside, with an error in the log, and counts as a lost state folder.

        Raises:
            ConfigurationError: the file is there and may not be read.
        """
        raw = self._read(self._state)
        if raw is None:
            return State()
        try:
            return msgspec.json.decode(raw, type=State)
        except (ValueError, RecursionError) as error:
            aside = self._move_aside(self._state)
            logger.bind(action="state_lost", file=str(aside)).error(
                "the state cannot be read ({}); it was moved to {} and the claims in it are left to expire",
                error,
                aside,
            )
            return State()

    def save(self, state: State) -> None:
        """Write the state so that a crash at any moment leaves the old or the new one, whole.

        Raises:
            PodTrouble: the disk does not take it; nothing may be claimed.
        """
        self._write(self._state, msgspec.json.format(msgspec.json.encode(state), indent=1))

    def load_catalog(self) -> bytes | None:
        """The cached discovery, as it was saved."""
        return self._read(self._catalog)

    def save_catalog(self, raw: bytes) -> None:
        """Keep the discovery for the next process."""
        self._write(self._catalog, raw)

    def drop_catalog(self) -> None:
        """Forget the discovery: the board refused something that it promised."""
        with self._trouble("change"):
            self._catalog.unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process; the kernel lets go of it when the process dies.

        Raises:
            ConfigurationError: another process holds it (incidents.md, I-14).
        """
        with self._trouble("lock"):
            self._make()
            handle = _plain(self.path / "lock", os.O_RDWR | os.O_CREAT)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
                raise ConfigurationError(
                    f"another agent (process {holder}) works with the state folder {self.path}; "
                    "one pod is one process: wait for it, or give this pod its own `state`"
                ) from None
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(handle)

    def _make(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _read(self, file: pathlib.Path) -> bytes | None:
        try:
            with open(_plain(file, os.O_RDONLY), "rb") as stream:
                return stream.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(f"the state file {file} cannot be read: {error.strerror}") from error

    def _write(self, file: pathlib.Path, raw: bytes) -> None:
        new = file.with_suffix(".new")
        with self._trouble("write"):
            self._make()
            new.unlink(missing_ok=True)
            with open(_plain(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as stream:
                stream.write(raw)
                stream.flush()
                os.fsync(stream.fileno())
            new.replace(file)
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _move_aside(self, file: pathlib.Path) -> pathlib.Path:
        aside = next(name for n in itertools.count(1) if not (name := file.with_suffix(f".corrupt-{n}")).exists())
        with self._trouble("change"):
            file.replace(aside)
        return aside

    @contextlib.contextmanager
    def _trouble(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PodTrouble(f"cannot {verb} the state folder {self.path}: {error.strerror}") from error


def _plain(file: pathlib.Path, flags: int) -> int:
    """Open a file that is one; a pipe in its place would be waited for without end, before any watchdog.

    Raises:
        ConfigurationError: it is something else.
        OSError: it cannot be opened.
    """
    handle = os.open(file, flags | os.O_NONBLOCK, 0o600)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise ConfigurationError(f"{file} is no file: remove it, and look who put it there")
