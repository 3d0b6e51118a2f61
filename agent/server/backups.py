"""A backup of a board while it runs: one tar file with the database as it was at one moment, and the attachments that it names."""

import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

from .errors import BoardError
from .shelf import FOLDER
from .store import FILE, Store, reading

_TRIES = 3


def backup(folder: Path, target: Path) -> None:
    """Write the file; it appears whole or not at all. `tar -xf FILE -C DIR` makes a board of it again."""
    if target.exists():
        raise BoardError(f"{target} exists already; choose another file")
    if not target.parent.is_dir():
        raise BoardError(f"{target.parent} is no folder; make it first")
    draft = target.with_name(f".{target.name}.part")
    try:
        with closing(Store(folder)) as store, tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            for attempt in range(1, _TRIES + 1):
                try:
                    _write(store, folder, Path(scratch) / f"{attempt}.sqlite3", draft)
                    break
                except FileNotFoundError:
                    # An attachment was deleted in between: the next copy does not name it.
                    if attempt == _TRIES:
                        raise
        draft.rename(target)
    except OSError as error:
        raise BoardError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)


def _write(store: Store, folder: Path, copy: Path, draft: Path) -> None:
    store.backup(copy)
    copy.chmod(0o600)
    with reading(copy) as db:
        names = db.column("SELECT file FROM attachments ORDER BY id")
    with draft.open("wb") as file:
        draft.chmod(0o600)
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.add(copy, FILE)
            for name in names:
                archive.add(folder / FOLDER / name, f"{FOLDER}/{name}")
