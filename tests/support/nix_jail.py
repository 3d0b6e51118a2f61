"""What the tests of the Nix client share: the real sandbox around a real Nix, and a listener that counts who calls."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from agent.devshell.client import NixClient
from agent.devshell.client_options import private_store
from agent.devshell.client_steps import Seen
from agent.devshell.flake import Copy, Flake
from agent.programs.processes import Processes
from agent.programs.runner import Runner
from agent.sandbox.jail import Jail, Limits
from agent.sandbox.sandbox import Sandbox
from agent.sandbox.view import Shelf, View
from agent.texts.evidence import redactor
from support.git_repo import FLAKE, PROJECT, git

SYSTEM = f"{os.uname().machine}-linux"
PATH = os.environ["PATH"]
_OWN = b"our own call, the last one"
LIMITS = Limits(disk=4 << 30, processes=500)


HEAD = "outputs =\n    { self }:"
VALUE = 'SOME_VAR = "from the shell";'


def flake(**changes: str) -> str:
    """The fixture's flake with other outputs, other variables, or a head before its outputs."""
    text = FLAKE.replace(VALUE, changes.get("variables", VALUE)).replace(
        "value.default", changes.get("value", "value.default")
    )
    return text.replace(HEAD, changes["head"]) if "head" in changes else text


def loosen(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(path.stat().st_mode | stat.S_IRWXU)  # a store is read-only, and pytest cleans up


class Jails:
    """Makes a real sandbox for each step of the client; `between` runs before each of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[tuple[tuple[Path, ...], tuple[Path, ...]]] = []

    def __call__(
        self,
        *,
        readable: tuple[Path, ...],
        writable: tuple[Path, ...],
        elsewhere: tuple[tuple[Path, Path], ...] = (),
        seen: Seen | None = None,
    ) -> Runner:
        self.made.append((readable, writable))
        tmp = self.folder / f"tmp-{len(self.made)}"
        jail = Jail(writable=writable, readable=readable, elsewhere=elsewhere, tmp=tmp)
        view = View([Shelf(seen.real, seen.place)], shown=seen.names) if seen else None
        return Sandbox(runner=Processes(grace=0.3), jail=jail, limits=LIMITS, view=view)


class Listener:
    """Counts connections to a port of the loopback, whatever they say; it answers that there is nothing."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._calls: list[bytes] = []
        self._settled = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def heard(self) -> list[bytes]:
        """Every call until now, and forget them; calls are taken in their order, so one of our own is the last."""
        self._settled.clear()
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(_OWN)
            assert self._settled.wait(10)
        calls, self._calls = self._calls, []
        return calls

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(0.5)
                said = b""
                try:
                    said = connection.recv(1 << 12)
                    connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                except OSError:
                    pass
            if said == _OWN:
                self._settled.set()
            else:
                self._calls.append(said)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@contextmanager
def listening() -> Iterator[Listener]:
    listener = Listener()
    try:
        yield listener
    finally:
        listener.close()


def checkout(folder: Path, files: Mapping[str, str] = PROJECT) -> Path:
    """A repository with one commit."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    git(folder, "init", "--quiet", "-b", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "First commit")
    return folder


class Bench:
    """A client over one checkout, with a store of its own."""

    def __init__(self, folder: Path, store: Path, **more: object) -> None:
        self.folder = folder
        self.checkout = checkout(folder / "checkout")
        self.options = private_store(store)
        self.jails = Jails(folder / "jails")
        self.home = folder / "client"
        self.client = self.make(**more)

    def make(self, **more: object) -> NixClient:
        keywords = {
            "jail": self.jails,
            "fetch": Processes(grace=0.3),
            "folder": self.home,
            "env": {"PATH": PATH},
            "options": self.options,
            "redact": redactor(),
            **more,
        }
        return NixClient(**keywords)  # type: ignore[arg-type]

    def write(self, name: str, content: str) -> None:
        (self.checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (self.checkout / name).write_text(content)
        git(self.checkout, "add", "--intent-to-add", "--", name)

    async def flake(self) -> Flake:
        return Flake(self.checkout, ("flake.nix",))

    def copied(self, copy: Copy) -> Path:
        """Where the copy of the checkout lies."""
        return self.client.stores().sources.here(copy.path)

    async def evaluate(self, shell: str = "default", timeout: float = 60) -> Made:  # noqa: ASYNC109
        return await all_steps(self.client, await self.flake(), shell, timeout)


class Made(Struct):
    """What came of all steps."""

    copy: Copy
    inputs: tuple[Path, ...]
    script: bytes
    environment: Path


async def all_steps(client: NixClient, flake: Flake, shell: str = "default", timeout: float = 60) -> Made:  # noqa: ASYNC109
    """All steps of a client, one after the other."""
    copy = await client.copy(flake, timeout=timeout)
    evaluated = await client.evaluate(copy, shell, timeout=timeout)
    realised = await client.realise(evaluated.drv, timeout=timeout)
    return Made(copy, evaluated.inputs, realised.script, realised.environment)
