"""Puts the `nix` of the sandbox into a folder that comes first on the PATH of the sandbox."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import Final

from agent.errors import ConfigurationError

NAMES: Final = ("nix", "nix-build", "nix-env", "nix-instantiate", "nix-shell", "nix-store")
"""The old commands are there too, to say what to do instead."""
_LONGEST: Final = 200
"""The kernel reads 255 bytes of a program's first line."""


def interpreter() -> tuple[Path, Path]:
    """The Python that runs us, and the folder that has its standard library: both must be readable in the sandbox."""
    return Path(sys.executable).resolve(), Path(sys.base_prefix).resolve()


def install(folder: Path, interpreter: Path, socket: Path, *, version: str = "2.26") -> Path:
    """Write the program.

    Args:
        folder: made if it is missing; nobody in the sandbox may write there.
        interpreter: a Python ≥ 3.11 by its absolute path, which exists in the sandbox with its standard library.
        socket: where the broker listens.
        version: what `nix --version` says.

    Returns:
        The program `nix`.

    Raises:
        ConfigurationError: a path cannot stand in the first line of a program.
    """
    if not interpreter.is_absolute() or len(str(interpreter).split()) != 1 or len(str(interpreter)) > _LONGEST:
        raise ConfigurationError(f"Python lies at {interpreter}, which cannot begin a program: move it")
    source = resources.files("agent.devshell").joinpath("broker_shim.py").read_text("utf-8")
    source = source.replace('\nSOCKET = ""\n', f"\nSOCKET = {str(socket)!r}\n", 1)
    source = source.replace('\nVERSION = "2.26"\n', f"\nVERSION = {version!r}\n", 1)
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        path = folder / name
        new = folder / f".{name}.new"
        new.write_text(f"#!{interpreter} -IS\n{source}", "utf-8")  # -IS: the shell's PYTHONPATH is not ours
        new.chmod(0o755)
        new.replace(path)
    return folder / "nix"
