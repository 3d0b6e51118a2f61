"""Kills a pod exactly at an effect: a proxy before the board, wrappers around its programs, and a word from its own files.

Every effect has two boundaries: before it happens, and after it has happened while the pod does not know yet. The pod
stands still at each until the test has said "go", or has killed it.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from support import boundary
from support.boards import Board
from support.pods import MODEL

PROGRAMS: Final = {"git": "/usr/bin/git", "nix": "/usr/bin/nix", "bwrap": "/usr/bin/bwrap"}
SYSTEM: Final = "/usr/local/bin:/usr/bin:/bin"
READERS: Final = frozenset(
    [
        "ls-remote",
        "rev-parse",
        "ls-tree",
        "cat-file",
        "for-each-ref",
        "log",
        "ls-files",
        "diff",
        "diff-tree",
        "update-index",
        "status",
        "merge-base",
        "rev-list",
        "gc",
        "show",
        "check-attr",
        "check-ref-format",
        "var",
        "config",
        "--version",
        "--help",
    ]
)
"""Commands of git that change nothing but what git remembers of times."""

_LOOK: Final = """\
skip=
for word; do
    if [ "$skip" ]; then skip=; continue; fi
    case $word in
        -c) skip=1 ;;
        {readers}) exec {real} "$@" ;;
        -*) ;;
        *) break ;;
    esac
done
"""
"""What only looks is no effect, and is not even announced."""

_IN_ITS_PLACE: Final = """\
exec {{line}}<> /dev/tcp/127.0.0.1/{port} || exit {dead}
{{ echo {name} $#; printf '%s\\0' "$@"; }} >&$line
read -r said <&$line
case $said in
    look) exec {real} "$@" {{line}}>&- ;;
    go) ;;
    *) exit {dead} ;;
esac
{real} "$@" {{line}}>&-
code=$?
echo done >&$line
read -r said <&$line && [ "$said" = go ] || exit {dead}
exit $code
"""
"""A program, announced. It is bash: a ticket has dozens of them, and a start of Python takes longer than most of them."""


class Killer:
    """Counts the boundaries of a pod, and kills it at one of them.

    Args:
        board: which the pod reaches through `url` only.
        folder: for the wrappers; every pod's settings lie in a folder beside it.
        at: the number of the boundary; None only counts.
        first: a boundary at which the pod is killed before the count begins.
        until: the boundary after which nothing counts any more.
        hand: the boundary at which a person does something, and what.
        programs: whose calls are effects.
    """

    def __init__(
        self,
        board: Board,
        folder: Path,
        at: int | None = None,
        *,
        first: str = "",
        until: str = "",
        hand: tuple[str, Callable[[], object]] | None = None,
        programs: Collection[str] = tuple(PROGRAMS),
    ) -> None:
        self.board = board
        self.folder = folder
        self.at = at
        self.boundaries: list[str] = []
        self.pod: subprocess.Popen[str] | None = None
        self.killed = False
        self.url = ""
        self.readable: list[str] = []
        """What a sandbox has to show besides."""
        self._first = first
        self._until = until
        self._hand = hand
        self._programs = programs
        self._here = threading.Lock()

    def reached(self, moment: str, effect: str) -> bool:
        """Whether the pod goes on; it is dead when this is False."""
        with self._here:
            boundary = f"{moment} {effect}"
            if self._hand is not None and boundary == self._hand[0]:
                self._hand[1]()
                self._hand = None
            if self.killed or self.pod is None:
                return True
            if self._first:
                if boundary != self._first:
                    return True
                self._first = ""
                return self._kill()
            if boundary == self._until:
                self.killed = True  # what comes now does not count
                return True
            self.boundaries.append(boundary)
            if len(self.boundaries) - 1 != self.at:
                return True
            self.killed = True
            return self._kill()

    def _kill(self) -> bool:
        assert self.pod is not None
        os.kill(self.pod.pid, signal.SIGKILL)  # the process alone: its children go on as they may
        self.pod.wait()
        return False

    @contextmanager
    def watching(self, state: Path) -> Iterator[dict[str, str]]:
        """The environment of a pod whose every effect passes here."""
        with tempfile.TemporaryDirectory(prefix="kill-") as short:
            address = f"{short}/line"
            line = _Line(address, _Listener)
            programs = _Programs(("127.0.0.1", 0), _Program)
            line.killer = programs.killer = self
            proxy = ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
            proxy.daemon_threads = True
            proxy.killer = self  # type: ignore[attr-defined]
            self.url = f"http://127.0.0.1:{proxy.server_address[1]}"
            for server in (line, programs, proxy):
                threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            try:
                yield self._installed(address, programs.server_address[1], short, state)
            finally:
                for server in (line, programs, proxy):
                    server.shutdown()
                    server.server_close()

    def _installed(self, address: str, port: int, short: str, state: Path) -> dict[str, str]:
        programs, site = self.folder / "bin", self.folder / "site"
        for one in (programs, site):
            one.mkdir(parents=True, exist_ok=True)
        python = f"{os.path.realpath(sys.executable)} -ISs {boundary.__file__}"
        for name in self._programs:
            real = PROGRAMS[name]
            look = _LOOK.format(readers="|".join(sorted(READERS)), real=real) if name == "git" else ""
            announced = _IN_ITS_PLACE.format(name=name, real=real, port=port, dead=boundary.DEAD)
            _script(programs / name, f"#!/bin/bash\n{look}{announced}")
        _script(programs / "nix-store", '#!/bin/sh\nexec /usr/bin/nix-store "$@"\n')  # lies beside nix
        _script(self.folder / "model", f'#!/bin/sh\nexec {python} model {address} {MODEL} "$@"\n')
        _script(self.folder / "check", f"#!/bin/sh\nexec {python} check {address}\n")
        (site / "sitecustomize.py").write_text(
            "import runpy, sys\nsys.modules['trio'] = None\n"  # Selenium's: no pod has it, but httpcore loads it here
            f"runpy.run_path({boundary.__file__!r}, run_name='boundary')['watch_files']({address!r}, {str(state)!r})\n"
        )
        self.readable = [str(self.folder), short, str(Path(boundary.__file__).parent), sys.base_prefix]
        return {"PATH": f"{programs}:{SYSTEM}", "PYTHONPATH": str(site)}


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


class _Line(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    killer: Killer


class _Listener(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        moment, _, effect = self.rfile.readline().decode().strip().partition(" ")
        assert isinstance(self.server, _Line)
        if self.server.killer.reached(moment, effect):
            self.wfile.write(boundary.GO)


class _Programs(socketserver.ThreadingTCPServer):
    daemon_threads = True
    killer: Killer


class _Program(socketserver.StreamRequestHandler):
    """One call of a program, with its words."""

    def handle(self) -> None:
        name, count = self.rfile.readline().decode().split()
        said = b""
        while said.count(b"\0") < int(count):
            if not (more := self.rfile.read1()):
                return
            said += more
        effect = program_effect(name, said.decode(errors="replace").split("\0")[:-1])
        assert isinstance(self.server, _Programs)
        if effect is None:
            self.wfile.write(b"look\n")
        elif self.server.killer.reached("before", effect):
            self.wfile.write(b"go\n")
            if self.rfile.readline() and self.server.killer.reached("after", effect):
                self.wfile.write(b"go\n")


class _Proxy(BaseHTTPRequestHandler):
    """Hands requests on; a write is an effect."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def setup(self) -> None:
        super().setup()
        self.killer: Killer = self.server.killer  # type: ignore[attr-defined]
        board = urlsplit(self.killer.board.url)
        self.board = http.client.HTTPConnection(board.hostname or "", board.port, timeout=60)

    def finish(self) -> None:
        super().finish()
        self.board.close()

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        effect = (
            ""
            if self.command == "GET" or "/form" in self.path
            else effect_of(self.command, self.path, body, self.killer.board)
        )
        if effect and not self.killer.reached("before", effect):
            self.close_connection = True
            return
        headers = {key: value for key, value in self.headers.items() if key.lower() not in ("host", "connection")}
        self.board.request(self.command, self.path, body or None, headers)
        answer = self.board.getresponse()
        content = answer.read()
        if effect and not self.killer.reached("after", effect):
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    do_GET = do_POST = do_PATCH = do_DELETE = handle_one  # noqa: N815 - the base class calls them so


def program_effect(program: str, words: list[str]) -> str | None:
    """What a call of a program does; None if it only looks."""
    rest = iter(words)
    command = ""
    for word in rest:
        if program == "git" and word == "-c":
            next(rest)
        elif not word.startswith("-") or word in ("--version", "--help"):
            command = word
            break
    if program == "git" and (command in READERS or (command, words[-2]) == ("read-tree", "-u")):
        return None  # the last is a spare checkout, which is made beside all that
    if program == "git" and command == "push":
        target = next((word for word in reversed(words) if ":" in word), "")
        return f"git push {re.sub('[0-9a-f]{40}', 'SHA', re.sub('-[0-9a-f]{8}$', '-RUN', target))}"
    return f"{program} {command}" if program != "bwrap" else "bwrap"


def effect_of(method: str, path: str, body: bytes, board: Board) -> str:
    """A write in words."""
    document: dict[str, Any] = json.loads(body or b"{}")
    number = re.search(r"work_packages/(\d+)", path)
    where = f" on #{number[1]}" if number else ""
    if "/activities" in path:
        marker = re.search(r"event=(\w+) -->$", document["comment"]["raw"])
        return f"comment {marker[1] if marker else '?'}{where}"
    if method == "POST":
        return "create Spike"
    if method == "PATCH":
        status = str(document.get("_links", {}).get("status", {}).get("href", "")).rpartition("/")[2]
        name = next((name for name, one in board.statuses.items() if str(one) == status), "no status")
        token = document.get(board.run)
        if token:
            return f"{'claim' if ' try 1 ' in token else 'take over'}{where}"
        return f"{'end the claim' if board.run in document else 'change'}{where} to {name}"
    return f"{method} {path}"
