"""Ways out of the sandbox by sockets. Every listener is the test's own, on loopback or in a network namespace of its own."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.attacks import USERS, Cell, attack, attempt, prison, python
from support.boards import missing

Note = Callable[[str], None]
ANSWER = b"reached"


@pytest.fixture(params=USERS)
def cell(request: pytest.FixtureRequest) -> Iterator[Cell]:
    with prison(request.param) as furnished:
        yield furnished


LISTENER = """import socket, sys
family, kind, address, port = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
server = socket.socket(family, kind)
server.bind((address, port))
if kind == socket.SOCK_STREAM: server.listen()
print(server.getsockname()[1], flush=True)
while True:
    if kind == socket.SOCK_STREAM:
        client, _ = server.accept()
        client.sendall(b"reached")
        client.close()
    else:
        data, peer = server.recvfrom(1000)
        server.sendto(data[:2] + b"reached", peer)
"""


@contextlib.contextmanager
def listener(family: int, kind: int, address: str, *prefix: str) -> Iterator[int]:
    argv = [*prefix, sys.executable, "-c", LISTENER, str(int(family)), str(int(kind)), address, "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


KNOCK = """import socket, sys
family, kind, address, port = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
client = socket.socket(family, kind)
client.settimeout(1)
client.connect((address, port))
if kind == socket.SOCK_DGRAM: client.send(b"id")
sys.exit(b"reached" not in client.recv(100))"""

KINDS = {
    "TCP": (socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1"),
    "UDP": (socket.AF_INET, socket.SOCK_DGRAM, "127.0.0.1"),
    "TCP over IPv6": (socket.AF_INET6, socket.SOCK_STREAM, "::1"),
    "UDP over IPv6": (socket.AF_INET6, socket.SOCK_DGRAM, "::1"),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_loopback_of_the_host_is_not_reached(cell: Cell, measured: Note, kind: str) -> None:
    family, socket_kind, address = KINDS[kind]
    with listener(family, socket_kind, address) as port:
        await attack(cell, *python(KNOCK, int(family), int(socket_kind), address, port))
    measured(attempt(cell, f"reach the host's loopback by {kind}"))


@contextlib.contextmanager
def other_host() -> Iterator[tuple[str, list[str]]]:
    """Another host, as it were: a network namespace behind a veth; its address, and how to run something there."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a network namespace")
    if shutil.which("ip") is None:
        missing("iproute2 is not installed")
    name = f"ag{uuid.uuid4().hex[:8]}"
    third = os.getpid() % 200
    near, far = f"10.213.{third}.1", f"10.213.{third}.2"
    commands = [
        f"netns add {name}",
        f"link add {name}a type veth peer name {name}b netns {name}",
        f"addr add {near}/30 dev {name}a",
        f"link set {name}a up",
        f"-n {name} addr add {far}/30 dev {name}b",
        f"-n {name} link set {name}b up",
        f"-n {name} link set lo up",
    ]
    try:
        for command in commands:
            subprocess.run(["ip", *command.split()], check=True, capture_output=True)
        yield far, ["ip", "netns", "exec", name]
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.mark.parametrize("kind", ["TCP", "UDP"])
async def test_another_host_is_not_reached(cell: Cell, measured: Note, kind: str) -> None:
    family, socket_kind, _ = KINDS[kind]
    with other_host() as (address, prefix), listener(family, socket_kind, address, *prefix) as port:
        await attack(cell, *python(KNOCK, int(family), int(socket_kind), address, port))
    measured(attempt(cell, f"reach another host by {kind}"))


RESOLVE = """import socket, sys
name = b"".join(bytes([len(label)]) + label.encode() for label in "secret.example.org".split(".")) + b"\\0"
query = b"\\x12\\x34\\x01\\0\\0\\x01\\0\\0\\0\\0\\0\\0" + name + b"\\0\\x01\\0\\x01"
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(1)
client.sendto(query, (sys.argv[1], int(sys.argv[2])))
sys.exit(client.recv(100)[:2] != b"\\x12\\x34")"""


@pytest.mark.parametrize("where", ["on loopback", "on another host"])
async def test_no_name_is_resolved(cell: Cell, measured: Note, where: str) -> None:
    """One bit in a name would be enough."""
    with contextlib.ExitStack() as stack:
        address, prefix = "127.0.0.1", list[str]()
        if where == "on another host":
            address, prefix = stack.enter_context(other_host())
        port = stack.enter_context(listener(socket.AF_INET, socket.SOCK_DGRAM, address, *prefix))
        await attack(cell, *python(RESOLVE, address, port))
    measured(attempt(cell, f"ask a DNS server {where}"))


@contextlib.contextmanager
def unix_listener(address: str) -> Iterator[None]:
    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                client.sendall(ANSWER)
                client.close()

    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen()
    if not address.startswith("\0"):
        Path(address).chmod(0o777)
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)


UNIX = """import socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(("\\0" if sys.argv[1] == "abstract" else "") + sys.argv[2])
sys.exit(client.recv(100) != b"reached")"""


@pytest.mark.parametrize("kind", ["abstract", "path"])
async def test_a_unix_socket_of_the_host_is_not_reached(cell: Cell, measured: Note, kind: str) -> None:
    name = f"agent-{uuid.uuid4()}" if kind == "abstract" else str(cell.state / "other.sock")
    with unix_listener("\0" + name if kind == "abstract" else name):
        await attack(cell, *python(UNIX, kind, name))
    measured(attempt(cell, f"reach a Unix socket of the host ({kind})"))


STRANGE = {
    "a socket of the virtual machine": "s = socket.socket(40, 1); s.bind((0xffffffff, 0xffffffff)); s.listen()",
    "a raw packet socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "a ring that opens sockets": """import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(425, 1, ctypes.create_string_buffer(200)) < 0: raise OSError(ctypes.get_errno())""",
    "an interface of its own": """import fcntl
with open("/dev/net/tun", "r+b", buffering=0) as device: fcntl.ioctl(device, 0x400454CA, b"agtun%d".ljust(16, b"\\0") + b"\\x02\\x10".ljust(24, b"\\0"))""",
}


@pytest.mark.parametrize("way", STRANGE)
async def test_no_other_kind_of_socket_can_be_had(cell: Cell, measured: Note, way: str) -> None:
    argv = python("import socket\n" + STRANGE[way])
    if not (await cell.outside(*argv)).ok:
        assert not (await cell.inside(*argv)).ok
        pytest.skip("this host or user has none outside either")
    await attack(cell, *argv)
    measured(attempt(cell, f"open {way}"))
