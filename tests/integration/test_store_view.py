"""What a run sees of Nix's stores: its own shells, and of no other repository a byte."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from agent.devshell import client_options
from agent.devshell.client_options import private_store
from agent.errors import PodTrouble, TicketFailure
from agent.programs.runner import Ended
from support.git_repo import FLAKE
from support.needs import needs
from support.nix_daemon import Daemon, needs_daemon
from support.nix_jail import loosen
from support.store_pods import Pod

pytestmark = [pytest.mark.nix, needs("nix", "bwrap")]
STORES: Final = ["own", "named", pytest.param("daemon", marks=needs_daemon)]
IN_PROOF: Final = pytest.param("named", marks=pytest.mark.proof)
"""It is opened like a repository's own; what else differs is asked by the tests that have it in `make test`."""
LOOK: Final = (
    "ls $STORE; ls /nix/var 2>&1; "
    "grep -rsl canary-of-the-vault / --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr --exclude-dir=dev 2> /dev/null"
)


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


@pytest.mark.parametrize("pod", ["own", IN_PROOF, pytest.param("daemon", marks=needs_daemon)], indirect=True)
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
