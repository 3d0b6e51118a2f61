"""Pure: what the parts of the development shell hand to each other."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from msgspec import Struct

from agent.errors import TicketFailure


class Flake(Struct, frozen=True):
    """What decides about the shells of a checkout.

    Attributes:
        folder: the checkout.
        files: relative paths of every `*.nix`, every `flake.lock`, every symbolic link and whatever the settings name
            besides, as git lists them: tracked, or new and not ignored. A listed file may be gone.
        commit: what git has just made the checkout of, and nobody but us was in it since; empty if that is not known.
    """

    folder: Path
    files: tuple[str, ...]
    commit: str = ""


class Copy(Struct, frozen=True):
    """A checkout as it was at one moment, in the store: all that its evaluation can read but the inputs that it pins.

    Attributes:
        path: where it lies.
        hash: of everything in it, as Nix writes it (`sha256-…`). Git's id of a tree says less: with `ident` or `eol` in
            `.gitattributes`, files that differ have the same.
        committed: whether it is a commit's, and nothing in the checkout differed from that.
    """

    path: str
    hash: str
    committed: bool


class Evaluated(Struct, frozen=True):
    """What a flake says about a shell.

    Attributes:
        drv: store path of the derivation, which names everything that the shell is made from.
        inputs: store paths of the flake's inputs; nothing keeps them yet.
    """

    drv: str
    inputs: tuple[Path, ...] = ()


class Realised(Struct, frozen=True):
    """A shell, made.

    Attributes:
        script: what `nix print-dev-env` printed.
        environment: the store path `…-env`; nothing keeps it yet.
    """

    script: bytes
    environment: Path


class Saved(Struct, frozen=True):
    """A shell that can be entered without Nix.

    Attributes:
        script: for bash to source.
        environment: the store path `…-env`, whose closure is the shell.
    """

    script: Path
    environment: Path


class ShellRefused(TicketFailure):
    """This shell is not made here; the reason tells the model what it can do instead."""


class Client(Protocol):
    """Nix, as far as a shell that is not saved needs it: three steps, each with its own limit in seconds.

    Each raises:
        ShellRefused: the shell asks for something that is not given here.
        TicketFailure: it does not evaluate, does not build, or not in time.
        PodTrouble: Nix, its store or a cache is the trouble.
    """

    async def copy(self, flake: Flake, *, timeout: float) -> Copy:  # noqa: ASYNC109 - the runner's
        """Copy the checkout into the store."""
        ...

    async def evaluate(self, copy: Copy, shell: str, *, timeout: float) -> Evaluated:  # noqa: ASYNC109 - the runner's
        """Evaluate `devShells.<system>.<shell>` of the copy."""
        ...

    async def realise(self, drv: str, *, timeout: float) -> Realised:  # noqa: ASYNC109 - the runner's
        """Build a shell, or take it from a cache."""
        ...
