"""What a flake names by a hash is not handed over for that alone: each lock file that pins a repository says its hash."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from agent.devshell import client_options
from agent.devshell.client_options import private_store
from agent.devshell.flake import ShellRefused
from agent.errors import TicketFailure
from support.git_repo import FLAKE
from support.input_forge import Forge, forge
from support.needs import needs
from support.nix_daemon import Daemon, needs_daemon
from support.nix_jail import VALUE, Bench, flake, loosen
from support.store_pods import CANARY, Pod

__all__ = ["forge"]

pytestmark = [pytest.mark.nix, needs("nix", "bwrap")]
STORES: Final = ["cache", "named", pytest.param("daemon", marks=needs_daemon)]
FIXED: Final = (
    'fixed = derivation {{ inherit system; name = "source"; builder = "/bin/bash"; args = [ "-c" "{script}" ]; '
    'outputHashMode = "recursive"; outputHashAlgo = "sha256"; outputHash = "{hash}"; }};'
)


def nix(options: Mapping[str, str], *words: str) -> str:
    """Nix as the host's operator uses it."""
    config = "".join(f"{key} = {value}\n" for key, value in options.items())
    env = {
        "PATH": os.environ["PATH"],
        "HOME": "/nowhere",
        "NIX_CONFIG": f"{config}experimental-features = nix-command\n",
    }
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def hash_of(path: Path) -> str:
    return nix({}, "nix-hash", "--type", "sha256", "--sri", str(path))


@pytest.fixture(params=STORES)
def pod(request: pytest.FixtureRequest, forge: Forge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    kind, inputs, daemon = request.param, (forge.place,), None
    if kind == "cache":  # and a store of the repository's own, whatever this host has
        monkeypatch.setattr(client_options, "_SOCKET", tmp_path / "no-socket")
        options, store = {"substituters": f"file://{tmp_path}/cache", "require-sigs": "false"}, Path("/nix/store")
    elif kind == "named":
        options, store = private_store(tmp_path / "named"), tmp_path / "named/store"
    else:
        daemon = Daemon(tmp_path / "daemon", sandbox="true")
        options, store = daemon.options, tmp_path / "daemon/store"
    yield Pod(tmp_path / "pod", options, store, inputs)
    if daemon:
        daemon.close()


async def test_a_run_reads_no_other_repository_by_its_hash(pod: Pod, forge: Forge, tmp_path: Path) -> None:
    """Out of the store that builds, or out of the fleet's cache, to which every shell is pushed with what it is made of."""
    vault = await vaults_tree(pod, tmp_path)
    pod.write(
        "shop",
        "flake.nix",
        forge.flake().replace("SOME_VAR = far.word;", 'SOME_VAR = builtins.readFile "${far}/secret.txt";'),
    )
    pod.write("shop", "flake.lock", forge.lock(narHash=vault))
    with pytest.raises(TicketFailure, match=r"^the flake input `far` .* is not what `flake.lock` says"):
        await pod.run("shop", "echo $SOME_VAR", "by a lock file")
    assert forge.asked, "it was looked for where the lock file says"
    pod.write("shop", "flake.lock", '{"nodes": {"root": {}}, "root": "root", "version": 7}')
    fixed = FIXED.format(script="exit 1", hash=vault)
    pod.write("shop", "flake.nix", FLAKE.replace(VALUE, f'SOME_VAR = "x"; {fixed}'))
    with pytest.raises(ShellRefused, match=r"^the shell would use `source` by its hash"):
        await pod.run("shop", "cat $fixed/secret.txt", "by a derivation")
    read = 'read = derivation { inherit system; name = "read"; builder = "/bin/bash"; args = [ "-c" "read -r x < ${fixed}/secret.txt; echo $x > $out" ]; };'
    pod.write("shop", "flake.nix", FLAKE.replace(VALUE, f'SOME_VAR = "x"; inherit (rec {{ {fixed} {read} }}) read;'))
    with pytest.raises(ShellRefused, match=r"^the shell would use `source` by its hash"):
        await pod.run("shop", "cat $read", "by what a derivation is built from")
    assert not list((pod.state / "stores/shop").rglob("secret.txt")), "nor can its flake read it from there"


async def vaults_tree(pod: Pod, folder: Path) -> str:
    """The hash of vault's tree, which lies where it comes to lie: in the store that builds, or in the cache."""
    pod.write("vault", "flake.nix", FLAKE.replace(VALUE, 'SOME_VAR = "x"; src = self;'))
    done = await pod.run("vault", 'cat "$src/secret.txt" && echo "$src"')
    assert CANARY in done.stdout.decode(), "vault's own run sees it"
    tree = pod.store / Path(done.stdout.decode().split()[-1]).name
    if pod.store == Path("/nix/store"):
        own = pod.state / "stores/vault"
        tree = own / "nix/store" / tree.name
        nix({"store": str(own)}, "nix", "copy", "--to", f"file://{folder}/cache", f"/nix/store/{tree.name}")
    return hash_of(tree)


async def test_one_address_does_not_speak_for_another(tmp_path: Path, forge: Forge) -> None:
    """What lies in the repository's own store for one input, or was some ticket's tree, is no other input."""
    bench = Bench(tmp_path / "bench", tmp_path / "store")
    bench.client = bench.make(allowed_inputs=[forge.place])
    bench.write("flake.nix", forge.flake())
    bench.write("flake.lock", forge.lock())
    await bench.evaluate()
    assert forge.asked == ["/far.tar.gz"]
    await bench.evaluate()
    assert forge.asked == ["/far.tar.gz"], "what came from there is known"
    bench.write("flake.nix", forge.flake(f"{forge.place}other.tar.gz"))
    bench.write("flake.lock", forge.lock(url=f"{forge.place}other.tar.gz"))
    with pytest.raises(TicketFailure, match=r"cannot be had as `flake.lock` pins it"):
        await bench.evaluate()
    assert forge.asked[1:] == ["/other.tar.gz"]


async def test_what_the_operator_pins_is_taken_from_the_hosts_store(tmp_path: Path, forge: Forge) -> None:
    """A host without a network has nixpkgs in its store; who names it by address, revision and hash hands it over."""
    bench = Bench(tmp_path / "bench", tmp_path / "store")
    (tmp_path / "forge/tree").rename(tmp_path / "source")
    nix(bench.options, "nix", "store", "add", str(tmp_path / "source"))
    rev, place = "1" * 40, "github:NixOS/nixpkgs"
    original = {"type": "github", "owner": "NixOS", "repo": "nixpkgs"}
    node = {"locked": {**original, "rev": rev, "narHash": forge.hash}, "original": original}
    nodes = {"far": node, "root": {"inputs": {"far": "far"}}}
    bench.write("flake.nix", forge.flake(place))
    bench.write("flake.lock", json.dumps({"nodes": nodes, "root": "root", "version": 7}))
    bench.client = bench.make(allowed_inputs=[f"{place}/{'2' * 40}?narHash={forge.hash}"])
    with pytest.raises(ShellRefused, match="is not on the list"):
        await bench.evaluate()
    bench.client = bench.make(allowed_inputs=[f"{place}/{rev}?narHash={forge.hash.replace('=', '%3D')}"])
    assert b"SOME_VAR='from the input'" in (await bench.evaluate()).script


async def test_a_download_counts_where_it_was_made_for_this_or_is_the_publics(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bench", tmp_path / "store")
    (tmp_path / "made").write_text("downloaded\n")
    made = hash_of(tmp_path / "made")

    def asking(script: str) -> None:
        fixed = FIXED.format(script=script, hash=made)
        bench.write("flake.nix", flake(variables=f'SOME_VAR = "x"; {fixed}'))

    asking("echo downloaded > $out")
    with pytest.raises(ShellRefused, match=r"^the shell would fetch"):
        await bench.evaluate()
    evaluated = await bench.client.evaluate(
        await bench.client.copy(await bench.flake(), timeout=60), "default", timeout=60
    )
    nix(bench.options, "nix-store", "--realise", evaluated.drv)
    await bench.evaluate()
    asking("echo downloaded > $out # from elsewhere")
    with pytest.raises(ShellRefused, match=r"^the shell would use `source` by its hash"):
        await bench.evaluate()
    (path,) = (tmp_path / "store/store").glob("*-source")
    for name in ("fleet-1", "cache.nixos.org-1"):
        key = tmp_path / name
        key.write_text(nix({}, "nix", "key", "generate-secret", "--key-name", name))
        nix(bench.options, "nix", "store", "sign", "--key-file", str(key), str(path))
        if name == "fleet-1":
            with pytest.raises(ShellRefused, match=r"^the shell would use `source` by its hash"):
                await bench.evaluate()
    await bench.evaluate()
    loosen(tmp_path)


@pytest.mark.parametrize("pod", ["cache"], indirect=True)
async def test_a_download_of_a_cache_counts_where_the_public_one_has_signed_it(pod: Pod, tmp_path: Path) -> None:
    made, chroot, cache = tmp_path / "source", {"store": str(tmp_path / "chroot")}, f"file://{tmp_path}/cache"
    made.write_text("of a cache\n")
    there = nix(chroot, "nix", "store", "add", str(made))
    nix(chroot, "nix", "copy", "--to", cache, there)
    fixed = FIXED.format(script="exit 1", hash=hash_of(made))
    pod.write("shop", "flake.nix", FLAKE.replace(VALUE, f'SOME_VAR = "x"; {fixed}'))
    with pytest.raises(ShellRefused, match=r"^the shell would use `source` by its hash"):
        await pod.run("shop", "cat $fixed", "first")
    assert not (pod.state / "stores/shop" / there.lstrip("/")).exists(), "it was not taken, to be judged afterwards"
    key = tmp_path / "key"
    key.write_text(nix({}, "nix", "key", "generate-secret", "--key-name", "cache.nixos.org-1"))
    nix({}, "nix", "store", "sign", "--store", cache, "--key-file", str(key), there)
    assert (await pod.run("shop", "cat $fixed", "second")).stdout == b"of a cache\n"
