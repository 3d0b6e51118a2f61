"""Pure: which stores a repository has: one of its own that its flake is evaluated in, and the one that its shells are built in.

What Nix evaluates it copies into a store: a whole checkout, and every file that a derivation names. In a store that several
repositories share, each could read what the others' held. So a flake is evaluated in a store of its repository's own, and
of what comes of it only the derivation goes on to where it is built: the daemon's store, or the one that the operator named.
Where there is neither, it is built in the repository's own store, which then lies at /nix in every box: its paths are called
as anywhere, and the public caches serve them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

from msgspec import Struct
from msgspec.structs import replace

from agent.devshell.client_options import HOST_STORE, Store, alone, store_of


class Stores(Struct, frozen=True):
    """The stores of a repository.

    Attributes:
        sources: where its flake is evaluated, and what that needs is fetched; always its own.
        builds: where its shells are built; a run sees a part of it.
    """

    sources: Store
    builds: Store

    @property
    def fetched(self) -> Store:
        """Where what is built is fetched to: as `builds`, for a Nix in a box in which no store lies elsewhere."""
        return self.sources if self.builds.own else self.builds

    @property
    def all(self) -> tuple[Store, ...]:
        """Each folder once."""
        return (self.sources,) if self.builds.own else (self.sources, self.builds)


def stores_of(options: Mapping[str, str], place: Path, program: str) -> Stores:
    """The stores of a repository.

    Args:
        options: the operator's settings of Nix.
        place: the folder for its own one, as of `nix --store PLACE`.
        program: the path of Nix, without links.

    Raises:
        ConfigurationError: the settings name a store that cannot be used.
    """
    if alone(options, program):
        sources = own_store(place, HOST_STORE)
        return Stores(sources, at_home(sources))
    builds = store_of(options)
    return Stores(own_store(place, builds.folder), builds)


def own_store(place: Path, folder: Path) -> Store:
    """A store below `place` whose paths begin with `folder`: it can be read and evaluated in where it lies."""
    real, state, log = (place.resolve() / "nix" / name for name in ("store", "var/nix", "var/log/nix"))
    return Store(
        uri="local?"
        + urlencode({"store": folder, "real": real, "state": state, "log": log}, safe="/", quote_via=quote),
        folder=folder,
        real=real,
        state=state,
        own=True,
        writable=(real, state, log),
    )


def at_home(store: Store) -> Store:
    """The same store where it lies at /nix, so that its paths can be run."""
    homes = (HOST_STORE, HOST_STORE.parent / "var/nix", HOST_STORE.parent / "var/log/nix")
    return replace(store, uri="local", writable=(), elsewhere=tuple(zip(store.writable, homes, strict=True)))
