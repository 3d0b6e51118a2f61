"""The command `openproject` (agent-tool-openproject-cli) as one process that runs command after command, each as if it had been started anew."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Self

from support.boards import Board
from support.replay_tools import tool

_DRIVER = """
import contextlib, io, json, os, sys
from opcli.cli import main
for line in sys.stdin:
    asked = json.loads(line)
    os.environ.update(asked["env"])
    sys.argv = ["openproject", *asked["arguments"]]
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main()
        except SystemExit as stop:
            code = stop.code
    answer = {"code": code or 0, "out": out.getvalue(), "err": err.getvalue()}
    print(json.dumps(answer), file=sys.__stdout__, flush=True)
"""


class OtherClient:
    """Commands in the name of an account of a board."""

    def __init__(self, board: Board, home: Path) -> None:
        self._board = board
        home.mkdir()
        self._process = subprocess.Popen(
            [str(tool("openproject").with_name("python")), "-c", _DRIVER],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
                "NO_COLOR": "1",
            },
            cwd=home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process as process:
            if process.stdin:
                process.stdin.close()

    def run(self, *arguments: str, account: str = "agent") -> tuple[int, Any]:
        """The exit code and what was printed, as JSON where it is."""
        assert self._process.stdin
        assert self._process.stdout
        env = {"OPCLI_BASE_URL": self._board.url, "OPCLI_TOKEN": self._board.tokens[account]}
        print(json.dumps({"arguments": arguments, "env": env}), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        text = answer["out"] or answer["err"]
        try:
            return answer["code"], json.loads(text)
        except ValueError:
            return answer["code"], text

    def ok(self, *arguments: str, account: str = "agent") -> Any:
        code, found = self.run(*arguments, account=account)
        assert code == 0, (arguments, found)
        return found
