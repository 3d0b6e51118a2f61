"""A place that flake inputs come from, on the loopback."""

from __future__ import annotations

import http.server
import json
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.nix_jail import flake, loosen


class Forge:
    """Serves one archive of a flake on the loopback."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "tree").mkdir()
        (folder / "tree/flake.nix").write_text('{ outputs = _: { word = "from the input"; }; }\n')
        with tarfile.open(folder / "far.tar.gz", "w:gz") as archive:
            archive.add(folder / "tree", "tree")
        said = subprocess.run(
            ["nix-hash", "--type", "sha256", "--sri", str(folder / "tree")], capture_output=True, check=True
        )
        self.hash = said.stdout.decode().strip()
        handler = type("Handler", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
        self.asked: list[str] = []
        forge = self

        class Counted(handler):  # type: ignore[valid-type,misc]
            def __init__(self, *arguments: object) -> None:
                super().__init__(*arguments, directory=str(folder))

            def do_GET(self) -> None:  # noqa: N802
                forge.asked.append(self.path)
                super().do_GET()

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counted)
        self.place = f"http://127.0.0.1:{self.server.server_port}/"
        self.url = f"{self.place}far.tar.gz"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def lock(self, **changes: Any) -> str:
        locked = {"type": "tarball", "url": self.url, "narHash": self.hash, **changes}
        node = {"locked": locked, "original": {"type": "tarball", "url": locked["url"]}}
        return json.dumps({"nodes": {"far": node, "root": {"inputs": {"far": "far"}}}, "root": "root", "version": 7})

    def flake(self, url: str = "") -> str:
        head = f'inputs.far.url = "{url or self.url}";\n  outputs =\n    {{ self, far }}:'
        return flake(variables="SOME_VAR = far.word;", head=head)


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    """One, until the test is over; what Nix has made beside it can be removed then."""
    one = Forge(tmp_path / "forge")
    yield one
    one.server.shutdown()
    one.server.server_close()
    loosen(tmp_path)
