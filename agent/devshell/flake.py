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
    """

    folder: Path
    files: tuple[str, ...]


class Evaluated(Struct, frozen=True):
    """What a client made of a flake.

    Attributes:
        script: what `nix print-dev-env` printed.
        environment: the store path `…-env`; the profile that the caller named keeps it from being collected.
        inputs: store paths of the flake's inputs; nothing keeps them yet.
    """

    script: bytes
    environment: Path
    inputs: tuple[Path, ...] = ()


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
    """Nix, as far as a miss needs it."""

    async def evaluate(
        self,
        flake: Flake,
        shell: str,
        *,
        profile: Path,
        timeout: float,  # noqa: ASYNC109 - the runner's
    ) -> Evaluated:
        """Evaluate and build `devShells.<system>.<shell>`, and let `profile` keep it.

        Raises:
            ShellRefused: it asks for something that is not given here.
            TicketFailure: it does not evaluate, does not build, or not in time.
            PodTrouble: Nix, its store or a cache is the trouble.
        """
        ...
