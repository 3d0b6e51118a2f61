"""A host on which Nix was installed and never used: no /nix, for a program of root or of an ordinary user."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

_HIDE = '[ ! -e /nix ] || mount --bind "$0" /nix; exec "$@"'
_ORDINARY = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")


def without_nix(argv: Sequence[str], empty: Path, *, ordinary: bool) -> list[str]:
    """The command in a mount namespace where /nix is empty, or missing as on the host.

    Args:
        argv: a program and its arguments.
        empty: an empty folder.
        ordinary: whether it has an ordinary user's number and no right beyond his; the files of the test are his.
    """
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    return [*namespace, "sh", "-c", _HIDE, str(empty), *(_ORDINARY if ordinary else ()), *argv]


def script(path: Path, argv: Sequence[str], empty: Path, *, ordinary: bool) -> Path:
    """The same as a program, for what starts one."""
    path.write_text(f'#!/bin/sh\nexec {shlex.join(without_nix(argv, empty, ordinary=ordinary))} "$@"\n')
    path.chmod(0o755)
    return path
