"""A forge over HTTP for tests: git's own `http-backend` behind a token, on loopback."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

from support.git_repo import git
from support.http_served import served


@contextmanager
def git_over_http(repository: Path, token: str, *, old: str = "", most: int = 1 << 30) -> Iterator[str]:
    """Serve a bare repository to whoever has the token; its address. What is below `old` has moved there.

    Bodies of more than `most` bytes are too large.
    """
    git(repository, "config", "http.receivepack", "true")
    wanted = "Basic " + base64.b64encode(f"x-access-token:{token}".encode()).decode()

    class Forge(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            if self.headers.get("Authorization") != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="forge"')
                self.end_headers()
                return
            if int(self.headers.get("Content-Length") or 0) > most:
                self.send_response(413)
                self.end_headers()
                return
            if old and self.path.startswith(f"/{old}/"):
                self.send_response(301)
                self.send_header("Location", self.path.replace(old, repository.name, 1))
                self.end_headers()
                return
            head, _, body = _backend(self, repository).partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in fields.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: a test that fails shows what the pod saw."""

    with served(Forge) as url:
        yield f"{url}/{repository.name}"


def _backend(request: BaseHTTPRequestHandler, repository: Path) -> bytes:
    """One request through git's CGI program (git-http-backend(1))."""
    address = urlsplit(request.path)
    body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
    if request.headers.get("Transfer-Encoding") == "chunked":
        body = b"".join(_chunks(request))
    env = {
        "PATH": os.environ["PATH"],
        "GIT_PROJECT_ROOT": str(repository.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "PATH_INFO": address.path,
        "QUERY_STRING": address.query,
        "REQUEST_METHOD": request.command,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        "REMOTE_USER": "agent",
    }
    return subprocess.run(["git", "http-backend"], env=env, input=body, capture_output=True, check=True).stdout


def _chunks(request: BaseHTTPRequestHandler) -> Iterator[bytes]:
    while size := int(request.rfile.readline().strip(), 16):
        yield request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
