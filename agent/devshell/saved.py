"""Pure: the script of `nix print-dev-env` made fit for being kept and entered again and again, anywhere.

Nix prints, in this order: variables, functions, and an end that makes a temporary folder and evaluates the `shellHook`.
What is taken out: the lines of the temporary folder (one per entry, and nobody removes it; builds fail when TMPDIR
vanishes), and the variables that name the derivation's outputs, which Nix points into the folder it ran in. Only whole
statements of Nix's own go: a value or a hook that contains such a line keeps it. All else stays byte for byte.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from agent.devshell.flake import ShellRefused
from agent.errors import PodTrouble
from agent.texts.bounded import LINE, Start, Unreadable, Whole, from_json

LARGEST_VARIABLE: Final = 1 << 20
"""Bytes. No program can be given more than 128 KiB in one."""
LARGEST: Final = 4 << 20
"""Bytes of a script: all the environment that a program can be given is 2 MiB."""
MOST: Final = 20_000
"""Statements, two for a variable; nixpkgs' own shell has about 150 variables."""
_QUOTED: Final = rb"'[^']*+(?:'\\''[^']*+)*+'"
"""A word as Nix quotes it."""
_SEES: Final = "what `nix print-dev-env` prints: the variables and functions of a repository's shell"
_STATEMENT: Final = Start(
    "saved: a statement before the functions",
    rb"(?:unset shellHook"
    rb"|(?P<name>[A-Za-z_][A-Za-z0-9_]*+)=(?P<value>" + _QUOTED + rb")"
    rb"|export (?P<exported>[A-Za-z_][A-Za-z0-9_]*+)"
    rb"|declare -[aA] (?P<array>[A-Za-z_][A-Za-z0-9_]*+)=\((?:"
    + _QUOTED
    + rb" |\["
    + _QUOTED
    + rb"\]="
    + _QUOTED
    + rb" )*+\)"
    rb'|[A-Za-z_]++=\$\{[A-Za-z_]++:-\}|nix_saved_[A-Za-z_]++="\$[A-Za-z_]++"'
    rb")\n",
    sees=_SEES,
    longest=LARGEST_VARIABLE,
)
_LARGE: Final = Start(
    "saved: the name of a variable", rb"(?:declare -[aA] )?([A-Za-z_][A-Za-z0-9_]{0,99})=['(]", sees=_SEES
)
_TEMPORARY: Final = Whole(
    "saved: the temporary folder",
    rb'export (?:NIX_BUILD_TOP="\$\(mktemp [^\n]*+(?<=\)")|(?:TMP|TMPDIR|TEMP|TEMPDIR)="\$NIX_BUILD_TOP")',
    sees=_SEES,
    longest=LINE,
)
_EXPORT: Final = Whole("saved: a variable of the end", rb'export [A-Z_]++="\$[^\n]*+(?<=")', sees=_SEES, longest=LINE)
_HOOK: Final = Whole("saved: the hook", rb'eval "\$\{?shellHook[^\n]*+(?<=")', sees=_SEES, longest=LINE)
_FUNCTIONS: Final = Start(
    "saved: the first function, or what follows the functions",
    rb'[^\s=]++ \(\) ?\n|PATH="\$PATH\$\{nix_saved_PATH',
    sees=_SEES,
    longest=LINE,
)
_HEAD: Final = Start(
    "saved: the note",
    rb"# A development shell, saved: (?P<note>\{[^\n]*+(?<=\}))\n",
    sees="a saved shell",
    longest=LINE,
)


class Note(Struct, frozen=True):
    """The first line of a saved script: what tells a whole one from a damaged one."""

    sha256: str  # of the environment and the script
    environment: str


def sanitised(script: bytes) -> bytes:
    """The script without what must not be kept.

    Raises:
        ShellRefused: it cannot be kept: the shell has structured attributes, or is too large.
        PodTrouble: it does not look like one of Nix.
    """
    statements = list(itertools.islice(_statements(script), MOST + 1))
    if len(script) > LARGEST or len(statements) > MOST:
        raise ShellRefused(
            f"the development shell is larger than {LARGEST >> 20} MiB or has more than {MOST // 2:,} variables, and no program "
            "could be started in it: put data into files, and name the file in a variable"
        )
    if any(name.startswith(b"NIX_ATTRS_") for name, _text in statements):
        raise ShellRefused(
            "the development shell has `__structuredAttrs = true`, and its attributes are in a temporary file of Nix that "
            "cannot be kept: take that line out of the shell in `flake.nix` (or out of the package that it is made from), "
            "and hand values on as plain environment variables"
        )
    variables = b"".join(text for _name, text in statements)
    start, lines, hook = _ending(script, len(variables))
    if not hook or not _FUNCTIONS.match(script, len(variables)):
        raise PodTrouble(
            "what `nix print-dev-env` printed is not variables, functions and the `shellHook` in that order, "
            "so it cannot be kept: use another version of Nix (2.26 is known to work)"
        )
    gone = _outputs(statements)
    kept = b"".join(text for name, text in statements if name not in gone)
    lasting = b"".join(line + b"\n" for line in lines if not _TEMPORARY.match(line))
    return kept + script[len(variables) : start] + lasting + hook


def _statements(script: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The name that each statement before the functions is about, and its text."""
    position = 0
    while found := _STATEMENT.match(script, position):
        yield found["name"] or found["exported"] or found["array"] or b"", found[0]
        position = found.end()
    if len(script) - position > LARGEST_VARIABLE and (large := _LARGE.match(script, position)):
        raise ShellRefused(
            f"the variable `{large[1].decode()}` of the development shell is larger than {LARGEST_VARIABLE >> 20} MiB, or has "
            "a form that is not known here: put data into files, and name the file in the variable"
        )


def _ending(script: bytes, functions: int) -> tuple[int, list[bytes], bytes]:
    """What stands behind the functions: where it begins, the lines of the temporary folder, and the hook if that is last."""
    end = len(script.rstrip(b"\n"))
    start = script.rfind(b"\n", functions, end) + 1
    if not 0 < start < end < len(script) or not _HOOK.match(script[start:end]):
        return 0, [], b""
    hook = script[start:]
    lines: list[bytes] = []
    while (above := script.rfind(b"\n", functions, start - 1) + 1) and _EXPORT.match(script[above : start - 1]):
        lines.insert(0, script[above : start - 1])
        start = above
    return start, lines, hook


def _outputs(statements: list[tuple[bytes, bytes]]) -> set[bytes]:
    """The variables that name outputs: `outputs` itself, and those of its words that point where Nix points them."""
    values = {name: found["value"] for name, text in statements if (found := _STATEMENT.match(text)) and found["name"]}
    words = values.get(b"outputs", b"").strip(b"'").split()
    return {b"outputs", *(word for word in words if values.get(word, b"").endswith(b"/outputs/" + word + b"'"))}


def packed(script: bytes, environment: str) -> bytes:
    """The script with its note before it."""
    note = Note(_sum(script, environment), environment)
    return b"# A development shell, saved: " + msgspec.json.encode(note) + b"\n" + script


def environment_of(data: bytes) -> str | None:
    """The environment that a saved script belongs to; None if the file is not what was once written."""
    found = _HEAD.match(data)
    if found is None:
        return None
    try:
        note = from_json(found["note"], Note, longest=LINE)
    except Unreadable:
        return None
    return note.environment if _sum(data[found.end() :], note.environment) == note.sha256 else None


def _sum(script: bytes, environment: str) -> str:
    return hashlib.sha256(environment.encode("utf-8", "surrogateescape") + b"\0" + script).hexdigest()
