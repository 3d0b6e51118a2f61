"""What the demo made is removed, a store's read-only paths included."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from agent.demo.folders import remove

NOBODY = 65_534


def make(folder: Path) -> None:
    """A folder such as a private Nix store leaves."""
    path = folder / "store" / "abc-shell" / "bin"
    path.mkdir(parents=True)
    (path / "tool").write_text("x")
    (path / "out").symlink_to("/etc")
    path.chmod(0o555)
    path.parent.chmod(0o555)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_read_only_folders_are_removed_by_an_ordinary_user_too() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        folder.chmod(0o777)

        def as_nobody() -> None:
            os.setuid(NOBODY)
            make(folder / "demo")
            remove(folder / "demo")

        subprocess.run(["/bin/true"], preexec_fn=as_nobody, check=True)
        assert list(folder.iterdir()) == []


def test_what_a_link_points_at_stays(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o750)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "link").symlink_to(kept)
    remove(tmp_path / "demo")
    assert kept.stat().st_mode & 0o777 == 0o750
