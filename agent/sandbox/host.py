"""The part of the host that every sandboxed program needs: read here, mounted by `bubblewrap`.

Debian keeps its programs below /usr, with /bin and /lib as symlinks; NixOS has real folders with one symlink each into the
store. Both are reproduced as they are. Of /etc only what is listed exists inside: nothing with a password, a token or a
key in it, also for root, who owns the folders that are closed to others.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from msgspec import Struct

PROGRAMS: Final = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Folders of programs and libraries, or symlinks to them."""
SYSTEM: Final = "run/current-system"
"""NixOS: a symlink to the system's programs, in every PATH."""
ETC: Final = (
    "alternatives",
    "fonts",
    "group",
    "hosts",
    "ld.so.cache",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki/ca-trust/extracted",
    "pki/tls/certs",
    "profiles",
    "protocols",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "static",
    "terminfo",
)
"""What programs read of /etc."""
PATTERNS: Final = ("java-*-openjdk",)
"""Folders of /etc into which Debian's /usr points."""


class Host(Struct, frozen=True, kw_only=True):
    """What a host has of it.

    Attributes:
        folders: paths that are mounted read-only, folders and files.
        links: symlinks that are made anew, each as its path and its target.
    """

    folders: tuple[Path, ...] = ()
    links: tuple[tuple[Path, str], ...] = ()


def this_host(root: Path = Path("/")) -> Host:
    """Look at the host below `root`."""
    wanted = [root / name for name in (*PROGRAMS, SYSTEM)]
    etc = [root / "etc" / name for name in ETC]
    for pattern in PATTERNS:
        etc += sorted((root / "etc").glob(pattern))
    folders: list[Path] = []
    links: list[tuple[Path, str]] = []
    for path in (*wanted, *etc):
        if path.is_symlink() and (path.is_dir() or path in wanted):
            links.append((path, os.readlink(path)))  # noqa: PTH115 - the target as it is written
        elif path.exists():
            folders.append(path)  # of a symlink to a file, the file
    store = root / "nix/store"
    if store.is_dir() and _needs(store, (root / "bin/sh", root / "usr/bin/env", root / SYSTEM)):
        folders.append(store)
    return Host(folders=tuple(folders), links=tuple(links))


def _needs(store: Path, programs: tuple[Path, ...]) -> bool:
    return any(path.resolve().is_relative_to(store) for path in programs if path.is_symlink())
