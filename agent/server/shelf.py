"""The contents of attachments: files in a folder beside the board's file, kept in step with its transactions.

A file is written before the transaction that names it is committed and removed after the one that forgets it: a crash in between
leaves a file that nobody names, never a name without a file.
"""

import os
import secrets
from pathlib import Path
from typing import BinaryIO

FOLDER = "attachments"


class Shelf:
    """The files of one transaction."""

    def __init__(self, board: Path) -> None:
        self._folder = board / FOLDER
        self._put: list[str] = []
        self._dropped: list[str] = []

    def put(self, content: bytes | memoryview) -> str:
        """Store a file; its name."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        name = secrets.token_hex(16)
        self._put.append(name)
        with (self._folder / name).open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return name

    def open(self, name: str) -> BinaryIO:
        """A file to read from; it stays readable when it is dropped meanwhile."""
        return (self._folder / name).open("rb")

    def drop(self, name: str) -> None:
        """Forget a file."""
        self._dropped.append(name)

    def settle(self, *, kept: bool) -> None:
        """The transaction was kept, or it was not."""
        for name in self._dropped if kept else self._put:
            (self._folder / name).unlink(missing_ok=True)
