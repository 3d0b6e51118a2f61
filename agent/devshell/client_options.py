"""Settings of Nix: what is always so here, what an operator may choose, and what a store of one's own needs.

Settings travel in NIX_CONFIG, and a jailed Nix reads no file of the host: neither the host's access tokens nor a hook of the
host's are in its reach. The operator's own words count inside only where they are on `_INSIDE`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

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
_OWN: Final = {"build-users-group": "", "min-free": "0", "sandbox": "false"}
"""A repository's own store belongs to the pod's user, who cannot become another; the jail is the builder's sandbox (`apart`).
What is kept from being collected is not in the jail, so nothing is collected there."""
_HOST_STATE: Final = Path("/nix/var/nix")
_SOCKET: Final = _HOST_STATE / "daemon-socket/socket"
HOST_STORE: Final = Path("/nix/store")


def configuration(options: Mapping[str, str]) -> str:
    """The text for NIX_CONFIG outside the jail; `options` are the operator's and go last, but for what is always so."""
    return _lines({**options, **_ALWAYS})


def fetching(options: Mapping[str, str], store: Store) -> str:
    """The text for NIX_CONFIG of a Nix that fetches into this very store, whatever NIX_REMOTE says."""
    return configuration({**options, **(_OWN if store.own else {}), "store": store.uri})


def jailed(options: Mapping[str, str], store: Store, uris: tuple[str, ...] = ()) -> str:
    """The text for NIX_CONFIG of a Nix that handles the repository's code."""
    chosen = {key: value for key, value in options.items() if key in _INSIDE} | (_OWN if store.own else {})
    return _lines({**chosen, **_ALWAYS, **_JAILED, "allowed-uris": " ".join(uris), "store": store.uri})


def _lines(settings: Mapping[str, str]) -> str:
    return "".join(f"{key} = {value}\n" for key, value in settings.items())


def private_store(folder: Path) -> dict[str, str]:
    """Options for a store of one's own below `folder`: no daemon, no root, no cache.

    Its paths begin with `folder`, so a public cache has nothing for it; it serves flakes without inputs, as in the demo
    and in tests. It is for one repository, or for several that trust each other: whose paths are whose, nothing says.
    """
    place = quote(str(folder.resolve()))
    return {
        "store": f"local?store={place}/store&state={place}/state&log={place}/log",
        "substituters": "",
        "sandbox": "false",
        "build-users-group": "",
    }


class Store(Struct, frozen=True, kw_only=True):
    """A store that is used.

    Attributes:
        uri: as Nix is told.
        folder: what its paths begin with.
        real: where that folder is on this host.
        state: where Nix keeps what it knows of them, on this host.
        daemon: whether a daemon builds, and not the client.
        own: whether it was made for one repository, below the pod's state.
        readable: what a jailed client must see of it.
        writable: what a jailed client must be able to change.
        elsewhere: likewise, at another path inside: where it is on this host, and where inside.
    """

    uri: str
    folder: Path
    real: Path
    state: Path
    daemon: bool = False
    own: bool = False
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    elsewhere: tuple[tuple[Path, Path], ...] = ()

    def here(self, path: str) -> Path:
        """Where one of its paths is on this host."""
        return self.real / Path(path).relative_to(self.folder)

    def called(self, path: Path) -> str:
        """What something in it is called by Nix."""
        return str(self.folder / path.relative_to(self.real))


def unnamed(options: Mapping[str, str]) -> bool:
    """Whether the operator left it to us which store there is."""
    return options.get("store", "auto") in ("auto", "")


def alone(options: Mapping[str, str], program: str) -> bool:
    """Whether Nix has no store on this host yet: none is named, no daemon has its socket, and Nix itself lies in none.

    Args:
        options: the operator's settings of Nix.
        program: the path of Nix, without links.
    """
    return unnamed(options) and not _answered() and not Path(program).is_relative_to(HOST_STORE.parent)


def _writable(state: Path) -> bool:
    """Whether we may open the host's store ourselves; root makes it where there is none, as Nix does."""
    return os.access(state, os.R_OK | os.W_OK) or (os.geteuid() == 0 and not state.exists())


def _answered() -> bool:
    """Whether a daemon has its socket; where we may not look, it has one, and says no to us."""
    try:
        return stat.S_ISSOCK(_SOCKET.stat().st_mode)
    except PermissionError:
        return True
    except OSError:
        return False


def store_of(options: Mapping[str, str]) -> Store:
    """The store that these options name, said aloud from there on. Where they name none, the daemon if there is one.

    Nix itself would let root open the store without it; then the repository's builders could write there too.

    Raises:
        ConfigurationError: it is none of those whose paths are read here.
    """
    uri = options.get("store", "auto")
    if unnamed(options):
        uri = "local" if not _answered() and _writable(_HOST_STATE) else "daemon"
    kind, _, query = uri.partition("?")
    words = {key: Path(values[-1]) for key, values in parameters(query).items()}
    if "root" in words or not (kind in ("local", "daemon") or kind.startswith("unix://")):
        raise ConfigurationError(
            f"the Nix store `{uri}` cannot be used: `store` is `daemon`, `unix://SOCKET` or `local?store=FOLDER&state=FOLDER`"
        )
    folder = words.get("store", HOST_STORE)
    if any(sign.isspace() for sign in str(folder)):  # `nix print-dev-env` writes to its paths unquoted
        raise ConfigurationError(
            f"the Nix store `{folder}` has a blank in its path, where Nix saves no shell: name another"
        )
    state = words.get("state", _HOST_STATE)
    if kind == "local":
        writable = (folder, state, words.get("log", state.parent / "log/nix"))
        return Store(uri=uri, folder=folder, real=folder, state=state, writable=writable)
    socket = Path(kind.removeprefix("unix://")) if kind.startswith("unix://") else _SOCKET
    return Store(uri=uri, folder=folder, real=folder, state=state, daemon=True, readable=(folder, socket.parent))
