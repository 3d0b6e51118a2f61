"""Folders that come and go with the demo."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def remove(folder: Path) -> None:
    """Remove a folder of ours and all in it; paths of a Nix store are read-only, to their owner too."""
    for place, folders, _ in os.walk(folder):
        for name in folders:
            inside = Path(place, name)
            if not inside.is_symlink():
                inside.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
