#!/usr/bin/python3 -IB
"""In the place of harmonia, which Debian does not have: serves the store of this host, signed, by plain HTTP.

What is asked for is first copied into a signed `file://` cache by Nix itself; the rest is files. It gets the key and runs
under the very unit that the module renders for harmonia.
"""

import os
import re
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CACHE = Path(os.environ["HOME"]) / "cache"
DESTINATION = f"file://{CACHE}?secret-key={os.environ['SIGN_KEY_PATH']}&compression=none"
copying = threading.Lock()


def copied(digest: str) -> bool:
    """Whether the store has a path of this hash; it is in the cache then."""
    with copying:
        for path in Path("/nix/store").glob(f"{digest}-*"):
            command = [
                "/usr/bin/nix",
                "--extra-experimental-features",
                "nix-command",
                "copy",
                "--to",
                DESTINATION,
                str(path),
            ]
            if subprocess.run(command, check=False).returncode == 0:
                return True
    return False


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        found = re.fullmatch(r"/(nix-cache-info|([0-9a-z]{32})\.narinfo|nar/[0-9a-z]+\.nar)", self.path)
        file = CACHE / found[1] if found else None
        if found and file and not file.exists() and found[2]:
            copied(found[2])
        if found and self.path == "/nix-cache-info":
            self._answer(b"StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 30\n")
        elif file and file.exists():
            self._answer(file.read_bytes())
        else:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


shutil.rmtree(CACHE, ignore_errors=True)
ThreadingHTTPServer(("0.0.0.0", 5000), Handler).serve_forever()
