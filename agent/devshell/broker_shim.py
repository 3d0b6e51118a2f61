"""The `nix` of the sandbox: a program of its own, copied there by `shim`; it imports nothing of ours.

It knows `nix develop [.#NAME] [--command PROGRAM …]` alone. The shell is made outside, by the broker behind SOCKET; what
comes back is the path of a script, which bash sources before it becomes the program.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

SOCKET = ""
VERSION = "2.26"
WAIT = 3600.0
MEANT = re.compile(r"(?:\.|\./)?(?:#([A-Za-z0-9_][A-Za-z0-9_.+-]*))?\Z")
EMPTY = [
    "--quiet",
    "--verbose",
    "-v",
    "-vv",
    "--print-build-logs",
    "-L",
    "--no-write-lock-file",
    "--no-update-lock-file",
    "--offline",
    "--no-pure-eval-cache",
    "--show-trace",
    "--refresh",
    "--no-registries",
]
ONE = ("--extra-experimental-features", "--experimental-features", "--log-format")
"""Options that change nothing here, and those of them that have a value."""
KNOWN = "`nix` in this sandbox knows `nix develop [.#NAME] [--command PROGRAM …]` and nothing else"
ADD = "add what you need to the `devShells` of flake.nix, then run `nix develop --command PROGRAM`"
INSTEAD = {
    "build": "build with the repository's own tools: `nix develop --command make`, for instance",
    "run": ADD,
    "shell": ADD,
    "profile": ADD,
    "search": ADD,
    "flake": "the inputs in flake.lock are pinned and stay as they are; packages of the pinned nixpkgs can be added freely",
    "fmt": "call the formatter: `nix develop --command FORMATTER`",
    "eval": "`nix develop --command true` evaluates flake.nix and shows its errors",
    "print-dev-env": "`nix develop --command env` shows the environment",
    "nix-shell": ADD,
    "nix-env": ADD,
    "nix-build": "build with the repository's own tools: `nix develop --command make`, for instance",
}
ENTER = '. "$1"; PATH="$2:$PATH"; shift 2; exec "$@"'
"""The shell's own programs come before those of the shell around it, and this one before a `nix` that could do nothing."""


def refuse(sentence: str, evidence: str = "") -> NoReturn:
    """Say why not, and fail as Nix does."""
    sys.stderr.write("\n".join(filter(None, (evidence, f"error: {sentence}\n"))))
    raise SystemExit(1)


def asked(arguments: list[str]) -> tuple[str, list[str]]:
    """The shell's name and the command; whatever this program cannot do is refused."""
    words = plain(list(arguments))
    if not words or words[0] != "develop":
        word = words[0] if words and words[0] not in ("--command", "-c") else ""
        refuse(f"`nix {word}` is not available in this sandbox: {INSTEAD.get(word, ADD)}" if word else KNOWN)
    words = words[1:]
    name = "default"
    if words and words[0] not in ("--command", "-c"):
        name = target(words.pop(0))
    if words and words[0] not in ("--command", "-c"):
        refuse(f"`nix develop` in this sandbox takes one `.#NAME`, and no `{words[0]}` behind it")
    if len(words) == 1:
        refuse(f"`{words[0]}` needs a program")
    return name, words[1:]


def plain(words: list[str]) -> list[str]:
    """The words without options that change nothing here; every other option is refused."""
    kept: list[str] = []
    while words:
        word = words.pop(0)
        if word in ("--command", "-c"):
            return [*kept, word, *words]
        if word in ONE:
            del words[:1]
        elif word.startswith("-") and word not in EMPTY:
            refuse(f"`nix` in this sandbox takes no `{word}`: it has the settings of the fleet. {KNOWN}")
        elif word not in EMPTY:
            kept.append(word)
    return kept


def target(word: str) -> str:
    """The name in `.#name`; no other flake can be had here."""
    place, sign, name = word.partition("#")
    here = place in ("", ".", "./", "path:.", "git+file:.") or os.path.realpath(place) == str(root())
    found = MEANT.match(f".{sign}{name}") if here else None
    if found is None:
        refuse(
            f"`{word}` cannot be had in this sandbox, only the repository's own flake: `.#NAME`. {ADD[0].upper()}{ADD[1:]}"
        )
    return re.sub(r"^devShells\.[a-z0-9_]+-[a-z]+\.", "", found[1] or "default")


def root() -> Path | None:
    """The nearest folder with a flake.nix, as Nix looks for it."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "flake.nix").exists()), None)


class Connection(http.client.HTTPConnection):
    """HTTP over the socket."""

    def connect(self) -> None:
        """Take the socket instead of a network."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(WAIT)
        self.sock.connect(SOCKET)


def answer(name: str) -> dict[str, Any]:
    """What the broker says."""
    connection = Connection("localhost")
    try:
        connection.request("POST", "/nix/develop", json.dumps({"shell": name}), {"Content-Type": "application/json"})
        document = json.loads(connection.getresponse().read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        refuse(f"the development shells of this sandbox cannot be reached ({error}): go on without `nix`")
    finally:
        with contextlib.suppress(OSError):
            connection.close()
    return document if isinstance(document, dict) else {}


def main(program: str, arguments: list[str]) -> NoReturn:
    """Enter a shell, or say why not."""
    if program != "nix":
        refuse(f"`{program}` is not available in this sandbox: {INSTEAD.get(program, ADD)}")
    if arguments == ["--version"]:
        sys.stdout.write(f"nix (Nix) {VERSION} (of the sandbox: `nix develop` alone)\n")
        raise SystemExit(0)
    name, command = asked(arguments)
    folder = root()
    if folder is None:
        refuse(f"there is no flake.nix in {Path.cwd()} or above: change to the repository first")
    told = answer(name)
    script = told.get("script")
    if not isinstance(script, str):
        error = told.get("error")
        reason = told.get("refused") or (error.get("message") if isinstance(error, dict) else error)
        refuse(str(reason or "the answer is not understood"), str(told.get("evidence", "")))
    if told.get("folder") not in (None, str(folder)):
        refuse(f"{folder} is not the repository of this run: change to {told['folder']} first")
    bash = shutil.which("bash") or "/bin/bash"
    shell = [bash, "--norc", "--noprofile"]
    os.execv(bash, [*shell, "-c", ENTER, "nix", script, str(Path(sys.argv[0]).resolve().parent), *(command or shell)])  # noqa: S606 - it becomes the program


if __name__ == "__main__":
    main(Path(sys.argv[0]).name, sys.argv[1:])
