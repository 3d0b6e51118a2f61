"""Pure: what would have to be built, and whether building it could reach out of the builder's sandbox.

A derivation is read from its own file in the store: that form is hashed into its name and never changes, whatever version
of Nix wrote it. Nothing is trusted about it but its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final, TypeAlias

from msgspec import Struct

from agent.texts.bounded import LINE, Start, Unreadable, Whole, from_json
from agent.texts.markup import one_line

DERIVATION_LIMIT: Final = 4 << 20
"""Bytes of one derivation; its environment is in it. A list in it takes thirty times its bytes."""
MOST_OF_ALL: Final = 64 << 20
"""Bytes of all derivations that are read for one shell: of a system that is built from its sources, 3,000, half of it."""
_SEES: Final = "a derivation, which a repository's flake makes"
_TOKEN: Final = Start(
    "derivation: a sign or a text",
    r'"((?:[^"\\]++|\\.)*+)"|([\[\](),])',
    sees=_SEES,
    longest=DERIVATION_LIMIT,
    flags=re.DOTALL,
)
_NAME: Final = Whole("derivation: the name of an output", r"[A-Za-z0-9+._?=-]++", sees=_SEES, longest=LINE)
_PATH: Final = Whole(
    "derivation: a name in the store", r"[0-9a-z]{32}-[A-Za-z0-9+._?=-]{1,211}", sees="what Nix prints", longest=LINE
)
_BUILT: Final = Start(
    "dry run: what is built",
    r"(this derivation|these [0-9]++ derivations) will be built:",
    sees="what Nix prints",
    longest=LINE,
)
_TAKEN: Final = Start(
    "dry run: what is fetched", r"(this path|these [0-9]++ paths) will be fetched", sees="what Nix prints", longest=LINE
)
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t"}
_BUILTINS: Final = ("builtin:buildenv", "builtin:unpack-channel")
_OPENINGS: Final = {
    "__noChroot": "asks to be built outside the sandbox (`__noChroot`)",
    "__impure": "is impure (`__impure`): it may use the network",
    "__contentAddressed": "is content-addressed (`__contentAddressed`), which is not supported here",
    "__sandboxProfile": "brings a sandbox profile of its own",
    "__impureHostDeps": "asks for files of the host",
    "__darwinAllowLocalNetworking": "asks for the local network",
}
_LOOKED_AT: Final = frozenset({*_OPENINGS, "__json", "requiredSystemFeatures", "url", "urls"})
_PACKAGES: Final = (
    "packages of the pinned nixpkgs can be added to the shell, and files of the repository can be used; "
    "if the work needs this, end with the verdict `stuck` and ask for it"
)
_Term: TypeAlias = "str | list[_Term]"


class Output(Struct, frozen=True):
    """One output; an ordinary one has a path and nothing else."""

    path: str
    algorithm: str
    digest: str


class Derivation(Struct, frozen=True):
    """A build, as its file in the store describes it; of its environment what is looked at, since it may be all of the file."""

    path: str
    outputs: dict[str, Output]
    inputs: dict[str, tuple[str, ...]]
    builder: str
    environment: dict[str, str]

    @property
    def name(self) -> str:
        """Its name without hash and suffix."""
        return self.path.rsplit("/", 1)[-1][33:].removesuffix(".drv")


class Plan(Struct, frozen=True):
    """What `--dry-run` says must happen first: builds, paths from a trusted cache, and what nobody has."""

    built: tuple[str, ...] = ()
    fetched: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def store_path(text: str, store: str, suffix: str = "") -> bool:
    """Whether a text is the path of one thing in the store, and nothing else."""
    start = f"{store}/"
    if not text.startswith(start) or not text.endswith(suffix):
        return False
    return _PATH.match(text[len(start) : len(text) - len(suffix)]) is not None


def derivation(path: str, content: bytes) -> Derivation:
    """Read a derivation.

    Raises:
        ValueError: it is none that is known here.
    """
    text = content.decode("utf-8", "surrogateescape")
    if not text.startswith("Derive("):
        raise ValueError(f"{path} is no derivation of a known form")
    try:
        outputs, inputs, _sources, _system, builder, _arguments, environment = _terms(text.removeprefix("Derive"))
        return Derivation(
            path,
            outputs={_text(name): Output(_text(at), _text(how), _text(what)) for name, at, how, what in outputs},
            inputs={_text(drv): tuple(map(_output, names)) for drv, names in inputs},
            builder=_text(builder),
            environment={name: _text(value) for key, value in environment if (name := _text(key)) in _LOOKED_AT},
        )
    except (ValueError, IndexError, TypeError) as error:
        raise ValueError(f"{path} is no derivation of a known form") from error


def _terms(text: str) -> list[Any]:
    """Nested lists of texts; without recursion, since depth is the stranger's choice."""
    stack: list[list[Any]] = [[]]
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise ValueError(f"unexpected sign at {position}")
        position = found.end()
        word, sign = found.groups()
        if sign is None:
            stack[-1].append(_unescaped(word) if "\\" in word else word)
        elif sign in "[(":
            stack.append([])
        elif sign in "])":
            done = stack.pop()
            stack[-1].append(done)
    (whole,) = stack.pop()
    if stack or not isinstance(whole, list):
        raise ValueError("unbalanced")
    return whole


def _unescaped(word: str) -> str:
    r"""The text that is written with `\n`, `\"` and their like."""
    first, *parts = word.replace("\\\\", "\\\0").split("\\")
    return first + "".join(("\\" if part[0] == "\0" else _ESCAPED.get(part[0], part[0])) + part[1:] for part in parts)


def _text(term: Any) -> str:
    if not isinstance(term, str):
        raise TypeError("a text is missing")
    return term


def _output(term: Any) -> str:
    if not _NAME.match(_text(term)):
        raise ValueError("no name of an output")
    return _text(term)


def objection(one: Derivation) -> str:
    """Why this must not be built here, as a sentence for the model; empty if nothing speaks against it."""
    name = one_line(one.name, 80)
    fetched = [output for output in one.outputs.values() if output.algorithm or output.digest]
    if fetched and fetched[0].digest and fetched[0].digest != "impure":
        return f"the shell would fetch {_address(one)} for `{name}`: a new download cannot be made here; {_PACKAGES}"
    attributes = {**one.environment, **_structured(one.environment)}
    why = next((text for key, text in _OPENINGS.items() if attributes.get(key) not in (None, "", False)), "")
    if not why and (fetched or not all(output.path for output in one.outputs.values())):
        why = "has no fixed place for its result (content-addressed, impure or dynamic), which is not supported here"
    if not why and one.builder.startswith("builtin:") and one.builder not in _BUILTINS:
        why = f"is built by `{one_line(one.builder, 40)}`, which uses the network"
    if not why and "recursive-nix" in str(attributes.get("requiredSystemFeatures", "")):
        why = "asks for Nix inside its build (`recursive-nix`)"
    return f"the build `{name}` {why}: it is not made here; {_PACKAGES}" if why else ""


def shell_objection(one: Derivation) -> str:
    """Why this must not be the shell itself."""
    if "__json" in one.environment:
        return (
            "the development shell has `__structuredAttrs = true`, whose attributes travel in a temporary file that cannot "
            "be kept: take that line out of the shell in `flake.nix`, and hand values on as plain environment variables"
        )
    return objection(one)


def _structured(environment: Mapping[str, str]) -> dict[str, Any]:
    try:
        attributes = from_json(environment.get("__json", "{}"), longest=DERIVATION_LIMIT)
    except Unreadable:
        return {"__impure": True}  # nothing that Nix wrote
    return attributes if isinstance(attributes, dict) else {}


def _address(one: Derivation) -> str:
    """The address of a download, where it names one."""
    attributes = {**one.environment, **_structured(one.environment)}
    given = attributes.get("urls") or attributes.get("url") or ""
    first = (given.split() if isinstance(given, str) else given) or ["something"]
    return one_line(str(first[0]), 200)


def plan(text: str, store: str) -> Plan:
    """Read what `nix build --dry-run` prints to standard error.

    Raises:
        ValueError: it prints something that is not known here.
    """
    lists: dict[str, list[str]] = {"built": [], "fetched": [], "unknown": []}
    current = ""
    for line in text.splitlines():
        if line.startswith("  "):
            if not current or not store_path(line.strip(), store):
                raise ValueError(f"unexpected line of a dry run: {line!r}")
            lists[current].append(line.strip())
            continue
        current = _heading(line)
    return Plan(**{name: tuple(paths) for name, paths in lists.items()})


def _heading(line: str) -> str:
    if _BUILT.match(line):
        return "built"
    if _TAKEN.match(line):
        return "fetched"
    return "unknown" if line.startswith("don't know how to build") else ""


def registered(text: str, store: str) -> tuple[str, ...]:
    """The names of the paths that `nix-store --dump-db` tells of: path, hash, size, deriver, number of references, these.

    Raises:
        ValueError: it prints something that is not known here.
    """
    names, lines = [], iter(text.splitlines())
    for path in lines:
        *_, count = ("", *islice(lines, 4))
        whole = count.isdecimal() and len(list(islice(lines, int(count)))) == int(count)
        if not whole or not store_path(path, store):
            raise ValueError(f"unexpected words of what is registered: {path!r}")
        names.append(path.removeprefix(f"{store}/"))
    return tuple(names)


def wanted(inputs: Iterable[tuple[str, tuple[str, ...]]]) -> str:
    """Derivations and their outputs, as `nix build --stdin` reads them."""
    return "".join(f"{path}^{','.join(names)}\n" for path, names in inputs)
