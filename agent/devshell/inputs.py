"""Pure: what a `flake.lock` pins, judged against the list of inputs that the fleet takes.

The lock file is a stranger's: read without Nix, of bounded size, and every attribute that goes on to a fetch is one that is
known here. An input is accepted if its content is pinned (narHash, and a revision where there is one) and its place is on
the list, so that fetching it tells nobody but that place anything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from agent.devshell.flake import ShellRefused
from agent.errors import TicketFailure
from agent.texts.bounded import LINE, Unreadable, Whole, from_json, split_url, unquoted
from agent.texts.markup import one_line

DEFAULT_ALLOWED: Final = ("github:NixOS/nixpkgs",)
"""The inputs that are taken unless the settings say otherwise."""
LOCK_LIMIT: Final = 1 << 20
"""Bytes of a lock file."""
_NODES: Final = 500
_VERSIONS: Final = (5, 6, 7)
_FORGES: Final = ("github", "gitlab", "sourcehut")
_FORGE: Final = {"type": str, "owner": str, "repo": str, "host": str, "ref": str, "rev": str, "narHash": str}
_ARCHIVE: Final = {"type": str, "url": str, "rev": str, "narHash": str}
_FETCHED: Final[Mapping[str, Mapping[str, type]]] = {
    **dict.fromkeys(_FORGES, _FORGE),
    "git": {"type": str, "url": str, "ref": str, "rev": str, "narHash": str, "shallow": bool, "allRefs": bool},
    "tarball": _ARCHIVE,
    "file": _ARCHIVE,
}
"""What goes on to a fetch, by type, and what it is there; Nix refuses anything else as if the host were in trouble."""
_LEFT_OUT: Final = frozenset(("dir", "lastModified", "revCount", "path", "exportIgnore", "__final"))
_LEADING_ON: Final = ("submodules", "lfs")
"""What makes git ask whatever address the content of the input names."""
_SEES: Final = "`flake.lock` of a repository"
_NAME: Final = Whole("inputs: a name on a forge", r"(?!\.\.?\Z)[A-Za-z0-9_.~-]++", sees=_SEES, longest=LINE)
"""A part of an address: no way up, and nothing that is written in escapes and read as something else."""
_GROUP: Final = "%2F"
"""What stands between the groups of an owner on GitLab."""
_REF: Final = Whole("inputs: a ref", r"[A-Za-z0-9_][A-Za-z0-9_./+-]*", sees=_SEES, longest=LINE)
_REV: Final = Whole("inputs: a revision", r"(?:[0-9a-f]{40}|[0-9a-f]{64})", sees=_SEES, longest=LINE)
_BASE32: Final = "0123456789abcdfghijklmnpqrsvwxyz"
_SHA256: Final = 32
INSTEAD: Final = (
    "use an input that `flake.lock` pins already (its packages can be added to the shell freely), "
    "or end with the verdict `stuck` and ask for this one"
)
"""What the model can do when an input is not given to it."""


class Input(Struct, frozen=True):
    """One accepted input.

    Attributes:
        name: its node in the lock file.
        attributes: what `builtins.fetchTree` is given.
        digest: SHA-256 of its content as an archive.
    """

    name: str
    attributes: dict[str, Any]
    digest: bytes

    @property
    def place(self) -> str:
        """Where it comes from, as a person writes it."""
        return _place(self.attributes)

    @property
    def pin(self) -> str:
        """All that pins it, as `nix flake metadata` writes a locked URL; empty where its address is a URL itself."""
        if "url" in self.attributes:
            return ""
        address, _, host = self.place.partition("?")
        return f"{address}/{self.attributes['rev']}?{host and host + '&'}narHash={self.attributes['narHash']}"

    @property
    def scheme(self) -> str:
        """The beginning of the addresses under which Nix reads this input, for `allowed-uris`."""
        if "url" not in self.attributes:
            return self.place
        kind = "git+" if self.attributes["type"] == "git" else ""
        return kind + str(self.attributes["url"]).rsplit("/", 1)[0] + "/"

    def path(self, store: str) -> str:
        """The store path that has its content."""
        inner = hashlib.sha256(f"source:sha256:{self.digest.hex()}:{store}:source".encode()).digest()
        folded = bytearray(20)
        for index, byte in enumerate(inner):
            folded[index % 20] ^= byte
        number = int.from_bytes(folded, "little")
        return f"{store}/{''.join(_BASE32[number >> (5 * place) & 31] for place in range(31, -1, -1))}-source"


def locked_inputs(lock: bytes, allowed: Sequence[str] = DEFAULT_ALLOWED) -> tuple[Input, ...]:
    """Every input that a lock file pins; relative folders of the repository itself need none.

    Args:
        lock: the file's content; empty for none.
        allowed: `github:OWNER/REPO` (or `OWNER/*`, and `?host=…` for a forge of one's own), the beginning of a URL, or a
            whole pin, see `Input.pin`.

    Raises:
        ShellRefused: an input is not on the list or not pinned.
        TicketFailure: this is no lock file.
    """
    if not lock:
        return ()
    return tuple(_inputs(_nodes(lock), allowed))


def _inputs(nodes: Mapping[str, Mapping[str, Any]], allowed: Sequence[str]) -> Iterator[Input]:
    for name, node in nodes.items():
        locked = node.get("locked")
        if not isinstance(locked, dict):
            raise _refused(name, "is not pinned in `flake.lock`")
        if locked.get("type") == "path":
            _inside(name, locked)
        else:
            yield _judged(name, locked, allowed)


def _nodes(lock: bytes) -> dict[str, dict[str, Any]]:
    """All nodes but the root, which is the repository."""
    if len(lock) > LOCK_LIMIT:
        raise TicketFailure(f"`flake.lock` is larger than {LOCK_LIMIT >> 20} MiB: restore the committed one")
    try:
        document = from_json(lock, longest=LOCK_LIMIT)
    except Unreadable as error:
        raise _malformed(f"it is no JSON ({one_line(str(error))})") from error
    if not isinstance(document, dict) or document.get("version") not in _VERSIONS:
        raise _malformed("its version is not one of " + ", ".join(map(str, _VERSIONS)))
    nodes, root = document.get("nodes"), document.get("root")
    if not isinstance(nodes, dict) or not isinstance(root, str) or root not in nodes:
        raise _malformed("it has no root node")
    if len(nodes) > _NODES:
        raise _malformed(f"it has more than {_NODES} inputs")
    if not all(isinstance(node, dict) for node in nodes.values()):
        raise _malformed("an input is no object")
    return {name: node for name, node in nodes.items() if name != root}


def _malformed(why: str) -> TicketFailure:
    return TicketFailure(f"`flake.lock` cannot be read: {why}; restore the committed one")


def _refused(name: str, why: str, what: str = "") -> ShellRefused:
    of = f" ({one_line(what)})" if what else ""
    return ShellRefused(f"the flake input `{one_line(name, 60)}`{of} {why}: {INSTEAD}")


def _inside(name: str, locked: Mapping[str, Any]) -> None:
    """A `path:` input is a folder of the repository, or nothing that is taken."""
    path = locked.get("path")
    if not isinstance(path, str) or path.startswith("/") or "\0" in path or posixpath.normpath(path).startswith(".."):
        raise _refused(name, "lies outside the repository", f"path:{path}")


def _judged(name: str, locked: Mapping[str, Any], allowed: Sequence[str]) -> Input:
    kind = str(locked.get("type", ""))
    if kind not in _FETCHED:
        raise _refused(name, f"is of the type `{one_line(kind, 40)}`, which cannot be fetched by its hash")
    fetched = _FETCHED[kind]
    off = {key for key in _LEADING_ON if kind == "git" and locked.get(key) is False}
    unknown = sorted(set(locked) - fetched.keys() - _LEFT_OUT - off)
    if unknown:
        raise _refused(name, f"is pinned with `{one_line(unknown[0], 40)}`, which is not taken here")
    attributes = {key: locked[key] for key in fetched if key in locked}
    if not all(isinstance(value, fetched[key]) for key, value in attributes.items()):
        raise _refused(name, "is not pinned in a form that is known here")
    place = _place(attributes)
    if kind in _FORGES:
        owner = str(attributes.get("owner", ""))
        groups = owner.replace("%2f", _GROUP).split(_GROUP) if kind == "gitlab" else [owner]
        parts = (*groups, str(attributes.get("repo", "")), str(attributes.get("host", "host")))
        well = all(map(_NAME.match, parts)) and "rev" in attributes
    else:
        url = str(attributes.get("url", ""))
        well = _plain(url) and (kind != "git" or ("rev" in attributes and "?" not in url))
    digest = _digest(attributes.get("narHash"))
    ref = str(attributes.get("ref", "a"))
    pinned = digest and _REV.match(str(attributes.get("rev", "0" * 40))) and _REF.match(ref) and ".." not in ref
    if not well or not pinned:
        raise _refused(name, "is not pinned by revision and narHash in a form that is known here", place)
    one = Input(name, attributes, digest)
    if not vouched(one, allowed) and not any(_covers(pattern, attributes) for pattern in allowed):
        raise _refused(name, f"is not on the list of inputs that are taken here ({', '.join(allowed)})", place)
    return one


def vouched(one: Input, allowed: Sequence[str]) -> bool:
    """Whether the operator has named the very content of an input, with its address."""
    return bool(one.pin) and one.pin in map(unquoted, allowed)


def _place(attributes: Mapping[str, Any]) -> str:
    if "url" in attributes:
        return f"{attributes.get('type')}+{attributes['url']}"
    host = f"?host={attributes['host']}" if "host" in attributes else ""
    return f"{attributes.get('type')}:{attributes.get('owner', '')}/{attributes.get('repo', '')}{host}"


def _plain(url: str) -> bool:
    """Whether a URL means what it seems to mean: no credentials, no way up, nothing hidden by escapes."""
    if len(url) > LINE or not url.isascii() or not url.isprintable() or any(sign in url for sign in ' "\\<>^`{|}'):
        return False
    try:
        parts = split_url(url)
        host = parts.hostname
    except ValueError:
        return False
    path = unquoted(parts.path)
    up = ".." in path.split("/") or "//" in path or "%" in path or "\\" in path
    return (
        bool(parts.scheme) and bool(host) and "#" not in url and "@" not in parts.netloc.removeprefix("git@") and not up
    )


def _digest(nar_hash: Any) -> bytes:
    """The SHA-256 of an SRI hash; empty if it is none."""
    if not isinstance(nar_hash, str) or not nar_hash.startswith("sha256-"):
        return b""
    try:
        digest = base64.b64decode(nar_hash.removeprefix("sha256-"), validate=True)
    except (binascii.Error, ValueError):
        return b""
    return digest if len(digest) == _SHA256 else b""


def _covers(pattern: str, attributes: Mapping[str, Any]) -> bool:
    if "url" in attributes:
        url = str(attributes["url"])
        return any(_below(one, pattern) for one in (url, f"{attributes['type']}+{url}"))
    place, wanted = _place(attributes).casefold(), pattern.casefold()
    if wanted.split("?")[0].endswith("/*"):
        owner, _, host = wanted.partition("/*")
        return place.startswith(f"{owner}/") and place.partition("?")[2] == host.removeprefix("?")
    return place == wanted


def _below(url: str, prefix: str) -> bool:
    """Whether a URL begins with another at a border of its parts: `https://a.example` has no `https://a.example.org`."""
    if "://" not in prefix or not url.startswith(prefix):
        return False
    rest = url[len(prefix) :]
    return not rest or (prefix.endswith("/") and split_url(prefix).netloc != "") or rest[0] in "/?#"
