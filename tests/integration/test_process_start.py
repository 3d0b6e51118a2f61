"""A pass that finds nothing to do is mostly the start of its process: it loads nothing that only work, people or a server need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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
