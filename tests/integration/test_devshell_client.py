"""The Nix client with the real Nix and the real sandbox: what it makes, what it refuses and in which words."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.devshell.client_options import configuration, private_store
from agent.devshell.flake import Flake, ShellRefused
from agent.errors import PodTrouble, TicketFailure
from agent.programs.processes import Processes
from agent.programs.runner import Job
from support.git_repo import FLAKE, git
from support.needs import needs
from support.nix_jail import PATH, SYSTEM, Bench, all_steps, flake, loosen

pytestmark = [
    pytest.mark.nix,
    needs("nix", "bwrap"),
]
TOOL = (
    'dep = derivation { inherit system; name = "dep"; builder = "/bin/bash"; '
    'args = [ "-c" "/bin/mkdir -p $out/bin; echo made > $out/bin/dep" ]; };'
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("nix")
    yield folder
    loosen(folder)


@pytest.fixture
def bench(tmp_path: Path, store: Path) -> Bench:
    return Bench(tmp_path, store)


async def test_a_shell_is_copied_evaluated_and_realised(bench: Bench) -> None:
    made = await bench.evaluate()
    assert b"SOME_VAR='from the shell'" in made.script
    assert made.environment.name.endswith("-fixture-shell-env")
    assert (bench.copied(made.copy) / "flake.nix").read_text() == FLAKE
    await asyncio.get_running_loop().shutdown_default_executor()  # nobody else waits for what a step leaves
    assert [path.name for path in bench.home.iterdir()] == ["own"], (
        "a step leaves nothing but the repository's own store"
    )


async def test_what_a_shell_needs_is_built(bench: Bench) -> None:
    bench.write("flake.nix", flake(variables=TOOL))
    made = await bench.evaluate()
    (dep,) = made.environment.parent.glob("*-dep")
    assert (dep / "bin/dep").read_text() == "made\n"
    assert f"dep='{dep}'".encode() in made.script


async def test_another_shell_and_an_unsaved_edit_count(bench: Bench) -> None:
    bench.write("flake.nix", flake(value="value.other"))
    assert b"from the shell" in (await bench.evaluate("other")).script
    with pytest.raises(
        ShellRefused,
        match=rf"^`flake.nix` has no development shell `devShells.{SYSTEM}.default` \(there are: `other`\)",
    ):
        await bench.evaluate()


async def test_packages_stand_in_for_shells_as_with_nix_develop(bench: Bench) -> None:
    bench.write("flake.nix", FLAKE.replace("devShells =", "packages ="))
    assert b"from the shell" in (await bench.evaluate()).script


async def test_a_worktree_beside_its_repository_needs_its_git_folders(bench: Bench) -> None:
    tree = bench.folder / "tree"
    git(bench.checkout, "worktree", "add", "--quiet", "--detach", str(tree))
    (tree / "flake.nix").write_text(flake(variables='SOME_VAR = "in the worktree";'))
    client = bench.make(git=(bench.checkout / ".git",))
    assert b"in the worktree" in (await all_steps(client, Flake(tree, ()))).script


async def test_only_the_copy_is_made_where_the_checkout_can_be_read_and_nothing_can_write_to_it(bench: Bench) -> None:
    await bench.client.check()
    before = len(bench.jails.made)
    await bench.evaluate()
    copying, *others = bench.jails.made[before:]
    assert bench.checkout in copying[0]
    assert not [path for jail in others for paths in jail for path in paths if path == bench.checkout]
    assert not [path for _, writable in bench.jails.made for path in writable if path == bench.checkout]


async def test_a_copy_says_whether_it_is_a_commits_and_its_hash_is_of_everything_in_it(bench: Bench) -> None:
    committed = await bench.client.copy(await bench.flake(), timeout=60)
    assert committed.committed
    bench.write("notes.txt", "a file that no flake reads")
    dirty = await bench.client.copy(await bench.flake(), timeout=60)
    assert not dirty.committed
    assert dirty.hash != committed.hash
    git(bench.checkout, "commit", "--quiet", "-a", "-m", "Notes")
    again = await bench.client.copy(await bench.flake(), timeout=60)
    assert (again.committed, again.hash) == (True, dirty.hash)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            flake(variables="SOME_VAR = nope;"),
            r"^`flake.nix` cannot be evaluated: undefined variable 'nope' \(flake.nix:25:24\)$",
        ),
        (
            flake(variables="SOME_VAR = = 1;"),
            r"^`flake.nix` cannot be evaluated: syntax error, unexpected '=' \(flake.nix:25:24\)$",
        ),
        (flake(variables="SOME_VAR = ./missing;"), r"path 'missing' does not exist"),
        (flake(variables='SOME_VAR = throw "no such luck";'), r"^`flake.nix` cannot be evaluated: no such luck$"),
        (
            flake(
                variables='dep = derivation { inherit system; name = "dep"; builder = "/bin/sh"; args = [ "-c" "echo boom; exit 3" ]; };'
            ),
            r"^the development shell of `flake.nix` cannot be built: ",
        ),
        (FLAKE.replace("/bin/bash", "/no/bash"), r"^the development shell of `flake.nix` cannot be built: "),
    ],
    ids=["evaluation", "syntax", "untracked", "throw", "dependency", "builder"],
)
async def test_a_broken_flake_is_the_tickets_failure_and_names_the_place(bench: Bench, text: str, said: str) -> None:
    bench.write("flake.nix", text)
    with pytest.raises(TicketFailure, match=said) as caught:
        await bench.evaluate()
    assert not isinstance(caught.value, ShellRefused)
    assert caught.value.evidence
    assert str(bench.folder / "nix/store") not in caught.value.reason


async def test_a_failed_build_shows_its_own_words(bench: Bench) -> None:
    bench.write("flake.nix", flake(variables=TOOL.replace("/bin/mkdir -p $out/bin", "echo the moon is full; exit 3")))
    with pytest.raises(TicketFailure) as caught:
        await bench.evaluate()
    assert "the moon is full" in caught.value.evidence


async def test_a_repository_without_a_flake_is_the_tickets_failure(bench: Bench) -> None:
    git(bench.checkout, "rm", "--quiet", "-f", "flake.nix")
    with pytest.raises(TicketFailure, match=r"the repository has no `flake.nix` that git lists"):
        await bench.evaluate()


UNFREE = 'throw "Package \u2018nicetool-1.0\u2019 in /nix/store/x has an unfree license (\u2018unfree\u2019), refusing to evaluate."'


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            'SOME_VAR = builtins.readFile (builtins.fetchurl "http://far.invalid/x?secret=1");',
            r"^evaluating `flake.nix` would download http://far.invalid/x: nothing is fetched while it is evaluated",
        ),
        (
            'SOME_VAR = builtins.readFile (derivation { inherit system; name = "ifd"; builder = "/bin/sh"; });',
            r"would have to build something first \(import from derivation\), which is off here: write the generated",
        ),
        (f"SOME_VAR = {UNFREE};", r"^the package `nicetool-1.0` is unfree.*`stuck`"),
        ("SOME_VAR = builtins.readFile /etc/hostname;", r"reads `/etc` outside the repository"),
        ("__structuredAttrs = true;", r"`__structuredAttrs = true`.*take that line out"),
        ("__contentAddressed = true;", r"experimental feature `ca-derivations`, which is off here"),
        ("__noChroot = true;", r"asks to be built outside the sandbox"),
    ],
    ids=["download", "ifd", "unfree", "impure", "structured", "content-addressed", "no chroot"],
)
async def test_a_wish_that_is_not_granted_is_refused_in_a_sentence(bench: Bench, variables: str, said: str) -> None:
    bench.write("flake.nix", flake(variables=variables))
    with pytest.raises(ShellRefused, match=said):
        await bench.evaluate()


async def test_a_shell_that_is_none_is_refused(bench: Bench) -> None:
    bench.write("flake.nix", f'{{ outputs = _: {{ devShells.{SYSTEM}.default.drvPath = "/etc/passwd"; }}; }}')
    with pytest.raises(ShellRefused, match="is no derivation"):
        await bench.evaluate()
    with pytest.raises(ShellRefused, match="no name of a development shell"):
        await all_steps(bench.client, await bench.flake(), 'x" --impure')


async def test_an_evaluation_without_end_ends_at_the_limit(bench: Bench) -> None:
    loop = "builtins.foldl' (a: b: a + builtins.foldl' (c: d: c + d) b (builtins.genList (y: y) 30000)) 0 (builtins.genList (x: x) 30000)"
    bench.write("flake.nix", flake(variables=f"SOME_VAR = {loop};"))
    with pytest.raises(
        TicketFailure, match=r"^the development shell of `flake.nix` was not evaluated: timed out after"
    ):
        await bench.evaluate(timeout=1.5)


async def test_a_store_that_does_not_open_is_pod_trouble(bench: Bench, tmp_path: Path) -> None:
    gone = bench.make(options={"store": f"unix://{tmp_path}/nobody/socket"})
    with pytest.raises(PodTrouble, match=r"Nix's daemon is not there"):
        await gone.check()
    (tmp_path / "nobody").mkdir()
    with pytest.raises(PodTrouble, match=r"Nix cannot be used on this host: .*socket"):
        await gone.check()
    with pytest.raises(PodTrouble, match=r"`nix` is missing.*nix-bin"):
        await bench.make(env={"PATH": str(tmp_path)}).check()
    await bench.client.check()


async def test_a_cache_that_does_not_answer_is_not_the_flakes_fault(bench: Bench) -> None:
    """Its packages would seem to be downloads of the flake's own."""
    fetched = 'dep = derivation { inherit system; name = "dep"; builder = "/bin/sh"; url = "https://far.invalid/x"; outputHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="; };'
    bench.write("flake.nix", flake(variables=fetched))
    dead = bench.make(options={**bench.options, "substituters": "http://127.0.0.1:9", "download-attempts": "1"})
    with pytest.raises(PodTrouble, match=r"^a binary cache cannot be used: .*127.0.0.1:9"):
        await all_steps(dead, await bench.flake())
    with pytest.raises(ShellRefused, match=r"^the shell would fetch https://far.invalid/x for `dep`: .*`stuck`"):
        await bench.evaluate()


async def test_what_a_trusted_cache_has_is_taken_and_never_built(bench: Bench, tmp_path: Path) -> None:
    """A download that the cache has is none; one that it lost is not made up for by building."""
    bench.options = private_store(tmp_path / "own")
    made = "sha256-" + base64.b64encode(hashlib.sha256(b"made\n").digest()).decode()
    fixed = f'dep = derivation {{ inherit system; name = "dep"; builder = "/bin/bash"; args = [ "-c" "echo made > $out" ]; outputHash = "{made}"; }};'
    bench.write("flake.nix", flake(variables=fixed))
    with pytest.raises(ShellRefused, match="would fetch something for `dep`"):
        await all_steps(bench.make(), await bench.flake())
    env = {"PATH": PATH, "HOME": str(tmp_path / "home"), "NIX_CONFIG": configuration(bench.options)}
    (drv,) = (tmp_path / "own/store").glob("*-dep.drv")
    cache = f"file://{tmp_path}/cache?store={tmp_path}/own/store"
    for words in (("build", "--no-link", f"{drv}^out"), ("copy", "--to", cache, f"{drv}^out")):
        assert (await Processes().run(Job(argv=("nix", *words), cwd=tmp_path, env=env))).ok
    loosen(tmp_path / "own")
    shutil.rmtree(tmp_path / "own")
    trusting = {**bench.options, "substituters": f"{cache}&trusted=1"}
    client = bench.make(options=trusting)
    result = await all_steps(client, await bench.flake())
    assert b"-dep'" in result.script
    loosen(tmp_path / "own")
    shutil.rmtree(tmp_path / "own")
    shutil.rmtree(tmp_path / "cache/nar")
    with pytest.raises(PodTrouble, match=r"^a package of the development shell cannot be fetched: "):
        await all_steps(client, await bench.flake())
    loosen(tmp_path / "own")


async def test_a_flake_that_blames_the_host_is_the_tickets_failure(bench: Bench) -> None:
    """Else it would hold up all work of the pod."""
    bench.write("flake.nix", flake(variables='A = throw "no space left on device";'))
    with pytest.raises(TicketFailure, match="no space left on device"):
        await bench.evaluate()
