"""T10: git and redirects: the credential goes where the settings say, and nowhere else."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agent.git.mirror import Mirror
from agent.git.refs import RepositoryUnreachable
from agent.git.repo import Repository
from agent.programs.processes import Processes
from agent.texts.evidence import redactor
from support.git_http import git_over_http
from support.git_repo import Remote

TOKEN = "forge-token-0123456789"
OK = 200
ADVERTISEMENT = b"001e# service=git-upload-pack\n0000000eversion 2\n000cls-refs\n0000"
"""What a git server says first: git then asks it, at its own address, with all that it has."""


class Answers(ThreadingHTTPServer):
    """What it sent elsewhere, and what it was told."""

    heard: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def redirecting(to: str, status: int = 301) -> Iterator[Answers]:
    """A server that says of everything that it is elsewhere; `{path}` stands for the path and query. With 200 it is a forge."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            server.heard.append(str(self.headers.get("Authorization")))
            self.send_response(status)
            if status == OK:
                self.send_header("Content-Type", "application/x-git-upload-pack-advertisement")
            else:
                self.send_header("Location", to.replace("{path}", self.path))
            self.end_headers()
            if status == OK:
                self.wfile.write(ADVERTISEMENT)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = Answers(("127.0.0.1", 0), Handler)
    server.heard = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def repository(folder: Path, url: str) -> Repository:
    basic = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
    credential = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{url}.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
    }
    return Repository(
        Mirror(url=url, base="main", folder=folder, runner=Processes(), redact=redactor([TOKEN]), credential=credential)
    )


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_to_another_origin_is_told_and_never_gets_the_token(tmp_path: Path, status: int) -> None:
    with (
        redirecting("", OK) as elsewhere,
        redirecting(f"{elsewhere.url}/new{{path}}", status) as forge,
        pytest.raises(RepositoryUnreachable) as refused,
    ):
        await repository(tmp_path, f"{forge.url}/shop.git").preflight()
    assert elsewhere.heard == []
    assert all(one.startswith("Basic ") for one in forge.heard)
    assert str(refused.value) == (
        f"the repository {forge.url}/shop.git cannot be used: the remote is now at {elsewhere.url}/new/shop.git: set `url`"
    )


async def test_a_redirect_within_the_origin_is_followed(tmp_path: Path) -> None:
    remote = Remote(tmp_path / "forge")
    with git_over_http(remote.path, TOKEN, old="old.git") as url:
        repo = repository(tmp_path / "state", url.replace(remote.path.name, "old.git"))
        assert (await repo.preflight()).heads["main"] == remote.tip("main")
        await repo.fetch()
        blob = await repo.set_claim(42, "token", None)
        assert await repo.read_claim(42) == blob


async def test_a_remote_that_redirects_in_a_circle_is_unreachable(tmp_path: Path) -> None:
    with redirecting("/a{path}") as forge:
        with pytest.raises(RepositoryUnreachable, match="returned error: 301"):
            await repository(tmp_path, f"{forge.url}/shop.git").preflight()
        assert len(forge.heard) == 11
