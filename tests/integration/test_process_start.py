"""A pass that finds nothing to do is mostly the start of its process: it loads nothing that only work, people or a server need."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from httpx._transports import default as transports

from agent.relay.upstream import Upstream
from support.boards import embedded_board
from support.fleet import Fleet

HEAVY = {
    "pydantic": "typer loads it to turn a text into a text",
    "rich.console": "httpx loads it for a command line of its own",
    "starlette": "a server",
    "uvicorn": "a server",
    "agent.server": "the embedded board",
    "agent.relay": "the model's way out",
    "agent.room": "sandbox and development shells",
    "agent.demo": "the demo",
    "agent.operate.doctor": "for people",
}
CODE = """\
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
sys.argv = ["agent", "cycle", "--config", sys.argv[1]]
from agent.cli import main
main()
"""


def test_an_idle_pass_loads_only_what_it_needs(tmp_path: Path) -> None:
    board = embedded_board(tmp_path / "board")
    config = Fleet(board, "shop", tmp_path).pod()
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(config)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    board.close()
    assert done.returncode == 0, done.stderr
    assert done.stdout == "pod-a: nothing to do\n"
    assert HEAVY.keys() & set(json.loads(done.stderr.splitlines()[-1])) == set()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_certificates_are_read_when_somebody_asks_an_api_that_has_one(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of the rooms of a ticket have a relay, most often for the broker alone: each reading takes as long as ten gits."""
    reads = []

    def read(*, verify: ssl.SSLContext | bool, **_: object) -> ssl.SSLContext:
        if isinstance(verify, ssl.SSLContext):
            return verify
        reads.append(scheme)
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    monkeypatch.setattr(transports, "create_ssl_context", read)
    async with Upstream(f"{scheme}://127.0.0.1:9", "key") as upstream:
        assert not reads, "nobody has asked yet"
        with pytest.raises(httpx.ConnectError):
            await upstream.models()
    assert reads == ["https"] * (scheme == "https")
