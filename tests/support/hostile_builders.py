"""Builders that write to more than their own result: what one ticket's build leaves for another ticket."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.devshell import client_options
from agent.devshell.client_options import private_store
from agent.errors import TicketFailure
from agent.programs.removal import remove_folder
from support.git_repo import FLAKE
from support.store_pods import Pod

_VARIABLE: Final = 'SOME_VAR = "from the shell";'
_TOOL: Final = """derivation {
  inherit system; name = "tool"; builder = "/bin/bash"; args = [ "-c" "echo echo good > $out" ];
}"""
BASE: Final = FLAKE.replace(_VARIABLE, f"tool = {_TOOL};")
"""Its shell has a tool that is built; a check that runs it prints `good`."""
VERDICT: Final = 'sh "$tool"; echo "EVIL=$EVIL"'
GOOD: Final = b"good\nEVIL=\n"
_REGISTER: Final = """python3 -c '
import sqlite3, sys
db = sqlite3.connect(sys.argv[2])
db.execute("insert into ValidPaths (path, hash, registrationTime, narSize) values (?, ?, 1, 120)", (sys.argv[1], "sha256:" + 64 * "a"))
db.commit()
' $tool $state/db/db.sqlite"""
_OVERWRITE: Final = "chmod u+w $tool; echo echo evil > $tool"


class Way(Struct, frozen=True):
    """What a builder does.

    Attributes:
        script: for its shell; `$tool`, `$store` and `$state` are set.
        input: whether the tool is its input, so that it is built by then.
        before: whether another ticket has built the tool before.
    """

    script: str
    input: bool = False
    before: bool = False


WAYS: Final[Mapping[str, Way]] = {
    "a result of the same plan": Way(_OVERWRITE, input=True),
    "a result of an earlier ticket": Way(_OVERWRITE, input=True, before=True),
    "a result of an earlier ticket that is no input": Way(_OVERWRITE, before=True),
    "what every shell is made of": Way(
        "for one in $store/*-stdenv; do chmod -R u+w $one; echo export EVIL=1 >> $one/setup; done", before=True
    ),
    "a result of the future": Way("echo echo evil > $tool"),
    "a result of the future, registered": Way(f"echo echo evil > $tool; {_REGISTER}"),
    "a result of the same plan, moved away": Way("mv $tool $store/x; echo echo evil > $tool", input=True),
    "the number of the schema": Way("rm -f $state/db/schema; echo 99 > $state/db/schema"),
    "junk in the database": Way("for one in $state/db/*; do echo junk > $one; done"),
    "no database": Way("rm -rf $state/db"),
    "a pipe among the files of the state": Way(
        "for one in $state/temproots $state/gc.lock $state/db/big-lock; do rm -rf $one; mkfifo $one; done"
    ),
    "links among the roots and profiles": Way(
        "rm -rf $state/gcroots $state/profiles; ln -s /etc $state/gcroots; ln -s $tool $state/profiles"
    ),
    "folders that are closed": Way("chmod 0 $state/db $state $store"),
    "a process that goes on": Way(
        f"(trap : HUP TERM; while :; do {_OVERWRITE}; done) > /dev/null 2>&1 < /dev/null & sleep 0.2", input=True
    ),
    "a result that leads elsewhere": Way("ln -s $state $out"),
    "lines without end, as Nix's own words": Way(
        "yes 'abc\n' | head -c 31000000 > x; for one in /proc/[0-9]*; do [ $one = /proc/$$ ] || cat x > $one/fd/1; done 2>&1 > /dev/null"
    ),
    "words that blame the host": Way(
        "for one in /proc/[0-9]*; do echo 'error: out of memory' > $one/fd/2; done; exit 1"
    ),
}


def _lost(nix: Path) -> None:
    """What was written last is gone, and the database knows nothing of that."""
    for path in (nix / "store").glob("*-stdenv"):
        remove_folder(path)


DAMAGES: Final[Mapping[str, Callable[[Path], object]]] = {
    "junk in the database": lambda nix: (nix / "var/nix/db/db.sqlite").write_bytes(b"junk\n" * 20_000),
    "an empty database": lambda nix: (nix / "var/nix/db/db.sqlite").write_bytes(b""),
    "half a database": lambda nix: os.truncate(nix / "var/nix/db/db.sqlite", 20_000),
    "an empty number of the schema": lambda nix: (nix / "var/nix/db/schema").write_bytes(b""),
    "another number of the schema": lambda nix: (nix / "var/nix/db/schema").write_bytes(b"99"),
    "a path that is gone": _lost,
}
"""What the power leaves of a repository's own store, when it fails."""


def hostile(*ways: str) -> str:
    """The flake of a ticket whose builder does that."""
    chosen = [WAYS[way] for way in ways]
    tool = f"{_TOOL}" if any(way.input for way in chosen) else f"builtins.unsafeDiscardStringContext ({_TOOL}).outPath"
    script = "\n".join(f"( {way.script}\n) || :" if len(chosen) > 1 else way.script for way in chosen)
    return FLAKE.replace(
        _VARIABLE,
        f"""evil = derivation {{
              inherit system; name = "evil"; builder = "/bin/bash"; PATH = "/usr/bin:/bin"; tool = {tool};
              args = [ "-c" ''
                store=''${{out%/*}} state=/nix/var/nix
                [ $store = /nix/store ] || state=''${{store%/*}}/state
                {script}
                [ -e $out ] || [ -L $out ] || echo evil > $out
              '' ];
            }};""",
    )


def many(count: int, variables: int) -> str:
    """A flake whose shell needs so many builds, each with so many variables: some seconds of reading."""
    each = f'builtins.listToAttrs (builtins.genList (number: {{ name = "v${{toString number}}"; value = ""; }}) {variables})'
    build = f'({each}) // {{ inherit system; name = "many${{toString n}}"; builder = "/bin/sh"; args = [ "-c" "echo > $out" ]; }}'
    return FLAKE.replace(_VARIABLE, f"many = map (n: derivation ({build})) (builtins.genList (n: n) {count});")


def pod_with(kind: str, folder: Path) -> Pod:
    """A pod with a store without a daemon: each repository's own at /nix, or one that the operator named."""
    if kind == "own":
        return Pod(folder, {"substituters": ""}, Path("/nix/store"))
    return Pod(folder, private_store(folder / "named"), folder / "named/store")


async def after(pod: Pod, *ways: str) -> bytes:
    """What an unrelated ticket's check says after one whose builder did all that, and a restart."""
    if any(WAYS[way].before for way in ways):
        pod.write("shop", "flake.nix", BASE)
        assert (await pod.run("shop", VERDICT, "first")).stdout == GOOD
    pod.write("shop", "flake.nix", hostile(*ways))
    try:
        await pod.run("shop", "true", "hostile")
    except TicketFailure as failure:  # the pod's trouble it must not be
        if "evaluated" in str(failure):
            raise  # the builder had no chance
    return await verdict(pod)


async def verdict(pod: Pod) -> bytes:
    """What a ticket's check says after a restart; its base adds a line, so that its shell is a new one."""
    pod.start()
    await pod.rooms.check()
    pod.write("shop", "flake.nix", BASE.replace("HOOKED=1", "HOOKED=2"))
    return (await pod.run("shop", VERDICT, "later")).stdout


def killed(pod: Pod, way: str) -> None:
    """A pod is killed while a builder that has done that runs on; all its folders are as it left them."""
    pod.write("shop", "flake.nix", hostile(way).replace("[ -e $out ]", "touch $out.began; sleep 100\n[ -e $out ]"))
    process = get_context("spawn").Process(target=_run, args=(str(pod.folder),))
    process.start()
    until = time.monotonic() + 60
    while not begun(pod):
        assert process.is_alive(), "the build ended"
        assert time.monotonic() < until, "it never began"
        time.sleep(0.05)
    process.kill()
    process.join()


def begun(pod: Pod) -> bool:
    """Whether there is anything of a build that began."""
    return any(name.endswith("-evil.began") for *_, names in os.walk(pod.state) for name in names)


def _run(folder: str) -> None:
    setattr(client_options, "_SOCKET", Path(folder) / "no-socket")  # noqa: B010 - as the test has it
    pod = Pod(Path(folder), {"substituters": ""}, Path("/nix/store"))
    asyncio.run(pod.run("shop", "true", "hostile"))
