"""Settings of Nix: what is always so here, what an operator may choose, and what a store of one's own needs.

Settings travel in NIX_CONFIG, and a jailed Nix reads no file of the host: neither the host's access tokens nor a hook of the
host's are in its reach. The operator's own words count inside only where they are on `_INSIDE`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.errors import ConfigurationError
from agent.texts.bounded import parameters

_ALWAYS: Final = {"experimental-features": "nix-command flakes", "accept-flake-config": "false", "flake-registry": ""}
"""A flake's own settings are never taken, and no registry is asked."""
_JAILED: Final = {
    "allow-import-from-derivation": "false",
    "builders": "",
    "connect-timeout": "5",
    "download-attempts": "1",
    "eval-cache": "false",
    "pure-eval": "true",
    "restrict-eval": "true",
    "substitute": "false",
    "substituters": "",
    "use-registries": "false",
    "warn-dirty": "false",
}
_INSIDE: Final = frozenset(
    {
        "build-users-group", "cores", "extra-platforms", "extra-sandbox-paths", "log-lines", "max-jobs", "sandbox",
        "sandbox-fallback", "sandbox-paths", "system",
    }
)  # fmt: skip
"""Settings of the operator that a jailed Nix is told: none of them is secret, opens a network or starts a program."""
_HOST_STATE: Final = Path("/nix/var/nix")
_SOCKET: Final = _HOST_STATE / "daemon-socket/socket"
_HOST_STORE: Final = Path("/nix/store")


def configuration(options: Mapping[str, str]) -> str:
    """The text for NIX_CONFIG outside the jail; `options` are the operator's and go last, but for what is always so."""
    return _lines({**options, **_ALWAYS})


def jailed(options: Mapping[str, str], store: Store, uris: tuple[str, ...] = ()) -> str:
    """The text for NIX_CONFIG of a Nix that handles the repository's code."""
    chosen = {key: value for key, value in options.items() if key in _INSIDE}
    return _lines({**chosen, **_ALWAYS, **_JAILED, "allowed-uris": " ".join(uris), "store": store.uri})


def _lines(settings: Mapping[str, str]) -> str:
    return "".join(f"{key} = {value}\n" for key, value in settings.items())


def private_store(folder: Path) -> dict[str, str]:
    """Options for a store of one's own below `folder`: no daemon, no root, no cache.

    Its paths begin with `folder`, so a public cache has nothing for it; it serves flakes without inputs, as in the demo
    and in tests. Its builders run beside each other in the jail and can change each other's results: it is for one
    repository, or for several that trust each other.
    """
    place = folder.resolve()
    return {
        "store": f"local?store={place}/store&state={place}/state&log={place}/log",
        "substituters": "",
        "sandbox": "false",
        "build-users-group": "",
    }


class Store(Struct, frozen=True):
    """The store that is used.

    Attributes:
        uri: as Nix is told.
        folder: where its paths lie.
        state: where Nix keeps what it knows of them.
        daemon: whether a daemon builds, and not the client.
        readable: what a jailed client must see of it.
        writable: what a jailed client must be able to change.
    """

    uri: str
    folder: Path
    state: Path
    daemon: bool
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()


def store_of(options: Mapping[str, str]) -> Store:
    """The store that these options name, said aloud from there on. Where they name none, the daemon if there is one.

    Nix itself would let root open the store without it; then the repository's builders could write there too.

    Raises:
        ConfigurationError: it is none of those whose paths are read here.
    """
    uri = options.get("store", "auto")
    if uri in ("auto", ""):
        own = os.access(_HOST_STATE, os.R_OK | os.W_OK) and not _SOCKET.is_socket()
        uri = "local" if own else "daemon"
    kind, _, query = uri.partition("?")
    words = {key: Path(values[-1]) for key, values in parameters(query).items()}
    if "root" in words or not (kind in ("local", "daemon") or kind.startswith("unix://")):
        raise ConfigurationError(
            f"the Nix store `{uri}` cannot be used: `store` is `daemon`, `unix://SOCKET` or `local?store=FOLDER&state=FOLDER`"
        )
    folder = words.get("store", _HOST_STORE)
    state = words.get("state", _HOST_STATE)
    if kind == "local":
        return Store(
            uri, folder, state, daemon=False, writable=(folder, state, words.get("log", state.parent / "log/nix"))
        )
    socket = Path(kind.removeprefix("unix://")) if kind.startswith("unix://") else _SOCKET
    return Store(uri, folder, state, daemon=True, readable=(folder, socket.parent))
