"""What a run sees of Nix's stores: its own shells, and of no other repository a byte."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from agent.devshell import client_options
from agent.devshell.client_options import private_store
from agent.errors import PodTrouble, TicketFailure
from agent.git.tree import JailPaths
from agent.programs.processes import Processes
from agent.programs.runner import Ended, Finished, Job
from agent.room import Rooms
from agent.settings import Ambient, load
from agent.texts.evidence import redactor
from support.git_repo import FLAKE, PROJECT, git
from support.needs import needs
from support.nix_daemon import Daemon, needs_daemon
from support.nix_jail import PATH, checkout, loosen

pytestmark = [pytest.mark.nix, needs("nix", "bwrap")]
CANARY: Final = "canary-of-the-vault-7c1d"
STORES: Final = ["own", "named", pytest.param("daemon", marks=needs_daemon)]
SECRETS: Final = {**PROJECT, "stdenv/secret": f"{CANARY}\n", "secret.txt": f"{CANARY}\n"}
LOOK: Final = (
    "ls $STORE; ls /nix/var 2>&1; "
    "grep -rsl canary-of-the-vault / --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr --exclude-dir=dev 2> /dev/null"
)


class Tree:
    """A checkout as a room wants it."""

    def __init__(self, project: str, path: Path) -> None:
        self.project = project
        self.path = path

    def made_of(self) -> str:
        return ""

    async def flake_files(self, _patterns: object = ()) -> tuple[str, ...]:
        return ("flake.nix",)

    async def show_to_nix(self, _patterns: object = ()) -> None: ...

    ties: tuple[Path, ...] = ()

    async def jail_paths(self) -> JailPaths:
        return JailPaths((), (), (self.path / ".git",))


class Pod:
    """One pod with two repositories."""

    def __init__(self, folder: Path, options: dict[str, str], store: Path) -> None:
        self.folder = folder
        self.store = store
        self.state = folder / "state"
        self.trees = {
            "shop": Tree("shop", checkout(folder / "shop")),
            "vault": Tree("vault", checkout(folder / "vault", SECRETS)),
        }
        nix = "".join(f'"{key}" = "{value}"\n' for key, value in options.items())
        config = folder / "agent.toml"
        config.write_text(
            f'pod = "pod-a"\nstate = "{self.state}"\n[board]\nurl = "http://board.example"\n'
            f'[model]\nkind = "command"\ncommand = ["true"]\n[nix.settings]\n{nix}'
            + "".join(f'[repositories.{name}]\nurl = "{folder / name}"\n' for name in self.trees)
        )
        settings = load(str(config), environ={"HOME": str(folder)})
        ambient = Ambient(children={"PATH": PATH, "HOME": str(folder)}, journal=False, colour=False)
        self.rooms = Rooms(settings, ambient, Processes(grace=0.3), "", redactor())

    def write(self, project: str, name: str, content: str) -> None:
        (self.trees[project].path / name).write_text(content)
        git(self.trees[project].path, "add", "--all")
        git(self.trees[project].path, "commit", "--quiet", "-m", "A change")

    async def run(self, project: str, script: str, run: str = "") -> Finished:
        """A program in the room of a run."""
        tree: Any = self.trees[project]
        async with self.rooms.open(tree, run or f"{project}-run") as room:
            env = {**room.env, "STORE": str(self.store)}
            return await room.runner.run(Job(argv=("sh", "-c", script), cwd=tree.path, env=env, timeout=90))


@pytest.fixture(params=STORES)
def pod(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    kind = request.param
    if kind == "own":  # whatever this host has
        monkeypatch.setattr(client_options, "_SOCKET", tmp_path / "no-socket")
        yield Pod(tmp_path, {"substituters": ""}, Path("/nix/store"))
    elif kind == "named":
        yield Pod(tmp_path, private_store(tmp_path / "named"), tmp_path / "named/store")
    else:
        daemon = Daemon(tmp_path / "daemon", sandbox="true")
        yield Pod(tmp_path, daemon.options, tmp_path / "daemon/store")
        daemon.close()
    loosen(tmp_path)


async def test_from_a_run_of_one_repository_no_byte_of_another_is_seen(pod: Pod) -> None:
    """The vault's shell is made of a folder with its secret, and its whole checkout was evaluated."""
    assert (await pod.run("vault", 'grep -q canary "$stdenv/secret"')).ok, "it does see its own"
    done = await pod.run("shop", LOOK)
    lines = done.stdout.decode().splitlines()
    assert done.ended is Ended.COMPLETED, (done.ended, done.limit)
    assert not [line for line in lines if line.startswith("/")], "no file with a secret"
    names = {line[33:] for line in lines if line[32:33] == "-"}
    assert names == {"fixture-shell-env", "stdenv"}, "the closure of its shell, and nothing else"
    assert "cannot access '/nix/var'" in done.stdout.decode(), "no database, no roots, no socket"


async def test_what_an_earlier_run_of_the_repository_left_in_the_store_is_not_seen_either(pod: Pod) -> None:
    before = await pod.run("shop", "ls $STORE", "first")
    tool = (
        'dep = derivation { inherit system; name = "dep"; builder = "/bin/bash"; args = [ "-c" "echo made > $out" ]; };'
    )
    pod.write("shop", "flake.nix", FLAKE.replace('SOME_VAR = "from the shell";', f'SOME_VAR = "another"; {tool}'))
    changed = await pod.run("shop", "ls $STORE", "second")
    assert b"-dep\n" in changed.stdout
    pod.write("shop", "flake.nix", FLAKE)
    assert (await pod.run("shop", "ls $STORE", "third")).stdout == before.stdout


@pytest.mark.parametrize("pod", ["own", pytest.param("daemon", marks=needs_daemon)], indirect=True)
async def test_a_builder_of_one_repository_sees_nothing_of_another(pod: Pod) -> None:
    """A store that the operator names is for one repository, or for several that trust each other."""
    assert (await pod.run("vault", "true")).ok
    spy = (
        'spy = derivation { inherit system; name = "spy"; builder = "/bin/bash"; PATH = "/usr/bin:/bin"; '
        'args = [ "-c" "grep -rs canary-of-the-vaul[t] / --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr --exclude-dir=dev > $out; echo looked >> $out; exit 0" ]; };'
    )
    pod.write("shop", "flake.nix", FLAKE.replace('SOME_VAR = "from the shell";', f'SOME_VAR = "x"; {spy}'))
    assert (await pod.run("shop", 'cat "$spy"')).stdout == b"looked\n"


@pytest.mark.parametrize("pod", ["own", "named"], indirect=True)
async def test_a_link_that_a_builder_plants_in_the_stores_database_leads_nix_nowhere(pod: Pod) -> None:
    """Nix fills the file `db/reserved` with eight megabytes whenever it opens a store in which it has another size."""
    victim = pod.folder / "victim"
    victim.write_text("precious\n")
    state = "/nix/var/nix" if pod.store == Path("/nix/store") else str(pod.folder / "named/state")
    planted = " ".join(
        f"rm -f {state}/db/{name}; ln -s {victim} {state}/db/{name};" for name in ("reserved", "big-lock", "schema")
    )
    plant = (
        'plant = derivation { inherit system; name = "plant"; builder = "/bin/bash"; PATH = "/usr/bin:/bin"; '
        f'args = [ "-c" "{planted} echo planted > $out; exit 0" ]; }};'
    )
    pod.write("shop", "flake.nix", FLAKE.replace('SOME_VAR = "from the shell";', f'SOME_VAR = "x"; {plant}'))
    with contextlib.suppress(TicketFailure, PodTrouble):
        await pod.run("shop", 'cat "$plant"', "first")
    after = 'after = derivation { inherit system; name = "after"; builder = "/bin/bash"; args = [ "-c" "echo built > $out" ]; };'
    pod.write("shop", "flake.nix", FLAKE.replace('SOME_VAR = "from the shell";', f'SOME_VAR = "y"; {after}'))
    done = await pod.run("shop", 'cat "$after"', "second")
    assert victim.read_text() == "precious\n"
    assert done.stdout == b"built\n", "and the next ticket finds a store that works"
