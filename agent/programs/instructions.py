"""Pure: a repository's own word to the fleet, `.agent.toml` of the base that the work contains.

    notes = "Prices are integers, in cents."

    [verify]
    commands = ["pytest -q", "ruff check"]

Nothing in it is ever guessed: what cannot be read, or is not known here, fails the ticket with a sentence. A mistyped
`[verfy]` that passed in silence would switch the judge off.
"""

from __future__ import annotations

import unicodedata
from typing import Final

import msgspec
from msgspec import Struct

from agent.errors import TicketFailure
from agent.texts.bounded import LINE, Unreadable, Whole, from_toml, nearest
from agent.texts.markup import one_line

NAME: Final = ".agent.toml"
LONGEST: Final = 64 * 1024
"""Characters; a longer file is a mistake."""
LONGEST_FOLDER: Final = 255
"""Bytes of a path in `verify.carry`."""
_UNKNOWN: Final = Whole(
    "instructions: a key that is not known",
    r"Object contains unknown field `([^`]*+)`(?: - at `\$\.?([^`]*+)`)?",
    sees="what is wrong with `.agent.toml`, with the keys of a repository in it",
    longest=LINE,
)


class Verify(Struct, frozen=True, forbid_unknown_fields=True):
    """How the repository judges a change: shell commands, run in this order in its development shell."""

    commands: tuple[str, ...] = ()
    carry: tuple[str, ...] = ()
    """Folders that a clean checkout gets from the last one of the same Epic that passed: warm, and not quite clean."""

    @property
    def folders(self) -> tuple[str, ...]:
        """What is carried over, without slashes behind."""
        return tuple(name.rstrip("/") for name in self.carry)


class Instructions(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. `notes` is what a coding model should know about this repository."""

    verify: Verify = Verify()
    notes: str = ""


def read_instructions(text: str | None) -> Instructions:
    """What `.agent.toml` says; the defaults if the repository has none.

    Raises:
        TicketFailure: the file is wrong; the reason says where.
    """
    if text is None:
        return Instructions()
    if text.startswith("\ufeff"):
        raise TicketFailure(f"`{NAME}` begins with a byte order mark, which TOML does not know: save it without one")
    if len(text) > LONGEST:
        raise TicketFailure(f"`{NAME}` is longer than {LONGEST // 1024} KiB")
    try:
        instructions = msgspec.convert(from_toml(text, longest=LONGEST), Instructions)
    except Unreadable as error:
        raise TicketFailure(f"`{NAME}` is not TOML: {one_line(str(error))}") from error
    except (msgspec.ValidationError, RecursionError) as error:
        raise TicketFailure(f"`{NAME}` cannot be used: {_explained(str(error))}") from error
    if any(not command.strip() for command in instructions.verify.commands):
        raise TicketFailure(f"`{NAME}` cannot be used: `verify.commands` has an empty command")
    for name, texts in (("verify.commands", instructions.verify.commands), ("notes", (instructions.notes,))):
        if any(map(_has_control, texts)):  # no program can be started with a NUL
            raise TicketFailure(f"`{NAME}` cannot be used: `{name}` has a control character")
    if wrong := [name for name in instructions.verify.folders if not _plain(name)]:
        raise TicketFailure(
            f"`{NAME}` cannot be used: `verify.carry` has {wrong[0]!r}, which is no plain relative path"
        )
    return instructions


def _has_control(text: str) -> bool:
    return any(unicodedata.category(sign) == "Cc" and sign not in "\n\t" for sign in text)


def _plain(path: str) -> bool:
    parts = path.split("/")
    return len(path.encode()) <= LONGEST_FOLDER and not any(
        part in ("", ".", "..") or part.lower() == ".git" or "\0" in part for part in parts
    )


def _explained(message: str) -> str:
    found = _UNKNOWN.match(message)
    if found is None:
        return one_line(message)
    place = Verify if found[2] else Instructions
    near = nearest(found[1], place.__struct_fields__)
    known = ", ".join(f"`{name}`" for name in place.__struct_fields__)
    where = f" in `[{found[2]}]`" if found[2] else ""
    return f"`{one_line(found[1])}`{where} is not known" + (
        f"; did you mean `{near}`?" if near else f"; there is {known}"
    )
