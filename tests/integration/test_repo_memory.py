"""T10: a git that talks with a remote takes no more memory than it may, whatever that sends."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from agent.git import mirror
from agent.git.mirror import Mirror
from agent.git.refs import RepositoryUnreachable
from agent.git.repo import Repository
from agent.programs.processes import Processes
from agent.texts.evidence import redactor
from support.git_repo import Remote
from support.http_served import served

BOUND = 64 << 20
MEBIBYTE = bytes(1 << 20)


@contextmanager
def bomb() -> Iterator[str]:
    """A server whose every answer is a megabyte that git's HTTP unpacks to 200 MiB."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            service = self.path.partition("service=")[2]
            self.send_response(200)
            self.send_header("Content-Type", f"application/x-{service}-advertisement")
            self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            packer = zlib.compressobj(1, zlib.DEFLATED, 31)
            with suppress(OSError):  # git is gone
                for _ in range(200):
                    self.wfile.write(packer.compress(MEBIBYTE))
                self.wfile.write(packer.flush())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with served(Handler) as url:
        yield f"{url}/shop.git"


def repository(folder: Path, url: str) -> Repository:
    return Repository(Mirror(url=url, base="main", folder=folder, runner=Processes(), redact=redactor([])))


ASKED: dict[str, Callable[[Repository], Awaitable[object]]] = {
    "its refs": Repository.preflight,
    "its branches": Repository.fetch,
    "a push": lambda repo: repo.probe("pod-a"),
}


@pytest.mark.parametrize("what", ASKED)
async def test_a_remote_that_sends_too_much_for_its_git_is_told(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "LIST_MEMORY", BOUND)
    monkeypatch.setattr(mirror, "MEMORY", BOUND)
    with bomb() as url, pytest.raises(RepositoryUnreachable, match="the memory that it may take here"):
        await ASKED[what](repository(tmp_path, url))


async def test_a_remote_of_as_many_branches_as_are_read_has_room(tmp_path: Path) -> None:
    remote = Remote(tmp_path)
    tip = remote.tip("main")
    packed = "".join(f"{tip} refs/heads/agent/{number:06}-a-branch-of-a-long-subject\n" for number in range(180_000))
    (remote.path / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted \n{packed}")
    assert len((await repository(tmp_path / "state", remote.url).preflight()).heads) == 180_001
