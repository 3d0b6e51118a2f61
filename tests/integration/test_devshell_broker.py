"""`nix develop` inside the real sandbox: the shim, a socket, the broker, the saved shells and the real Nix behind them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from agent.devshell.broker import Broker
from agent.devshell.client_options import configuration
from agent.devshell.flake import Flake
from agent.devshell.shells import Shells
from agent.devshell.shim import NAMES, install, interpreter
from agent.errors import ConfigurationError
from agent.programs.processes import Processes
from agent.programs.runner import Finished, Job
from agent.sandbox.jail import Jail
from agent.sandbox.sandbox import Sandbox
from agent.texts.evidence import redactor
from support.git_repo import FLAKE, git
from support.needs import needs
from support.nix_client import listed, nix_environment, nix_of
from support.nix_jail import LIMITS, PATH, Bench, Listener, listening

pytestmark = [
    pytest.mark.nix,
    needs("nix", "bwrap"),
]
VALUE: Final = 'SOME_VAR = "from the shell";'
TOOL: Final = """\
SOME_VAR = "from the shell";
            newtool = derivation {
              inherit system;
              name = "newtool";
              builder = "/bin/bash";
              args = [ "-c" "/bin/mkdir -p $out/bin; printf '#!/bin/sh\\necho newtool $1: $SOME_VAR\\n' > $out/bin/newtool; /bin/chmod 755 $out/bin/newtool; exit 0" ];
            };
"""
"""A builder ends in a builtin of bash: Nix kills it as soon as its output is closed, and coreutils close it before they end."""
SETUP: Final = "export PATH=${newtool:+$newtool/bin:}/usr/local/bin:/usr/bin:/bin\n"
INTERPRETER, PREFIX = interpreter()


class Run:
    """One run of a model: a checkout, a sandbox around it, and the broker behind a socket."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        env = nix_environment(
            {**bench.options, "experimental-features": "nix-command flakes"}, bench.folder / "nix-home"
        )
        self.saved = bench.folder / "saved"
        self.saved.mkdir()
        self.shells = Shells(
            bench.client,
            self.saved,
            nix=nix_of(Processes(grace=0.3), bench.folder / "nix-home", env),
            options=bench.options,
        )
        self.broker = Broker(flake=self.flake, shells=self.shells, redact=redactor())
        self.asked: list[bytes] = []
        self.cancelled = 0
        sockets = bench.folder / "sockets"
        sockets.mkdir()
        self.socket = sockets / "relay.sock"
        self.shim = install(bench.folder / "shim", INTERPRETER, self.socket)
        self.home = bench.folder / "model-home"
        self.home.mkdir()
        store = bench.folder / "nix/store"
        store.mkdir(parents=True, exist_ok=True)
        jail = Jail(
            writable=(bench.checkout, self.home),
            readable=(self.saved, sockets, self.shim.parent, store, PREFIX),
            nested=(bench.checkout / ".git",),
            tmp=bench.folder / "model-tmp",
        )
        self.sandbox = Sandbox(runner=Processes(grace=0.3), jail=jail, limits=LIMITS)

    async def flake(self) -> Flake:
        return await listed(self.bench.checkout, "stdenv/setup")

    async def sh(self, script: str, stdin: bytes = b"", cwd: Path | None = None) -> Finished:
        """What the model's Bash tool does."""
        env = {
            "PATH": f"{self.shim.parent}:{PATH}",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PYTHONPATH": "/nowhere",
        }
        job = Job(argv=("/bin/bash", "-c", script), cwd=cwd or self.bench.checkout, env=env, stdin=stdin, timeout=120)
        async with self.serving():
            return await self.sandbox.run(job)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """As much of an HTTP server as the shim needs; a client that goes away cancels its question."""
        server = await asyncio.start_unix_server(self._serve, self.socket)
        async with server:
            yield
        self.socket.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"POST /nix/develop HTTP/1.1\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length:")
        )
        body = await reader.readexactly(length)
        self.asked.append(body)
        question = asyncio.create_task(self.broker(body))
        gone = asyncio.create_task(reader.read())
        await asyncio.wait((question, gone), return_when=asyncio.FIRST_COMPLETED)
        if question.done():
            status, document = question.result()
            content = json.dumps(document).encode()
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(content), content))
            gone.cancel()
        else:
            question.cancel()
            await asyncio.wait((question,))
            self.cancelled += 1
        writer.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    yield Run(Bench(tmp_path, tmp_path / "nix"))
    for path in tmp_path.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(path.stat().st_mode | stat.S_IRWXU)  # a store is read-only, and pytest cleans up


async def test_a_tool_is_added_and_used_in_the_same_run(run: Run, measured: Callable[[str], None]) -> None:
    """Without a network and without a daemon in the sandbox; the edit is the model's own."""
    before = await run.sh("nix develop --command newtool 1")
    assert before.returncode == 127
    git(run.bench.checkout, "rm", "--quiet", "--cached", "stdenv/setup")  # so that the model's own is new
    edit = json.dumps({"flake": FLAKE.replace(VALUE, TOOL), "setup": SETUP})
    (run.home / "edit.json").write_text(edit)
    write = (
        "python3 -c 'import json; e = json.load(open(\"'$HOME'/edit.json\")); "
        'open("flake.nix", "w").write(e["flake"]); open("stdenv/setup", "w").write(e["setup"])\''
    )
    assert (await run.sh(write)).ok
    git(run.bench.checkout, "add", "--intent-to-add", "--all")  # the workspace's part, before each evaluation
    done = await run.sh("nix develop .#default --command newtool 'two words' && ls /nix/var/nix /run/nix 2>&1 | wc -l")
    assert (done.returncode, done.stdout) == (0, b"newtool two words: from the shell\n2\n"), done.stderr
    again = await run.sh("nix develop -c newtool again")
    assert again.stdout == b"newtool again: from the shell\n"
    measured(f"nix develop in the sandbox, nothing changed: {again.duration * 1000:.0f} ms with the sandbox itself")


async def test_the_command_has_its_own_input_output_and_exit_status(run: Run) -> None:
    done = await run.sh(
        """echo heard | nix develop --command bash -c 'cat; echo "$SOME_VAR, $HOOKED, $1"; exit 7' sh 'two  words'"""
    )
    assert (done.returncode, done.stdout) == (7, b"heard\nfrom the shell, 1, two  words\n"), done.stderr
    here = await run.sh("cd stdenv && nix --extra-experimental-features 'nix-command flakes' develop -L . -c pwd")
    assert here.stdout.decode() == f"{run.bench.checkout}/stdenv\n"
    script = await run.sh("nix develop", stdin=b'echo "$SOME_VAR"\n')
    assert script.stdout == b"from the shell\n"


async def test_a_shell_within_a_shell_keeps_the_outer_programs_behind_its_own(run: Run) -> None:
    done = await run.sh(
        "mkdir -p $HOME/bin; PATH=$HOME/bin:$PATH nix develop -c bash -c 'echo $PATH; nix develop -c echo twice'"
    )
    path, twice = done.stdout.decode().splitlines()
    assert twice == "twice", done.stderr
    folders = path.split(":")
    assert folders[0] == str(run.shim.parent)
    assert str(run.home / "bin") in folders[1:]


async def test_what_is_refused_is_told_with_what_can_be_done_instead(run: Run) -> None:
    run.bench.write(
        "flake.nix", FLAKE.replace(VALUE, 'SOME_VAR = builtins.readFile (builtins.fetchurl "http://far.invalid/x");')
    )
    done = await run.sh("nix develop -c true")
    assert done.returncode == 1
    assert (
        "error: evaluating `flake.nix` would download http://far.invalid/x: nothing is fetched" in done.stderr.decode()
    )
    run.bench.write("flake.nix", FLAKE.replace(VALUE, "SOME_VAR = = 1;"))
    broken = (await run.sh("nix develop -c true")).stderr.decode()
    assert "syntax error, unexpected '=' (flake.nix:25:24)" in broken
    assert "SOME_VAR = = 1;" in broken
    (run.bench.checkout / "flake.nix").unlink()
    assert b"there is no flake.nix in " in (await run.sh("nix develop -c true")).stderr


async def test_another_repository_is_not_taken_for_this_one(run: Run) -> None:
    done = await run.sh("mkdir -p $HOME/other; cd $HOME/other; echo '{ }' > flake.nix; nix develop -c true")
    assert done.returncode == 1
    assert f"is not the repository of this run: change to {run.bench.checkout} first" in done.stderr.decode()


REFUSED: Final = {
    "nix build": "`nix build` is not available in this sandbox: build with the repository's own tools",
    "nix build .#x --option substituters http://127.0.0.1:PORT": "takes no `--option`",
    "nix run nixpkgs#hello": "`nix run` is not available in this sandbox: add what you need to the `devShells`",
    "nix shell nixpkgs#hello -c hello": "`nix shell` is not available",
    "nix flake update": "the inputs in flake.lock are pinned",
    "nix flake lock --override-input nixpkgs http://127.0.0.1:PORT/x": "takes no `--override-input`",
    "nix develop --option substituters http://127.0.0.1:PORT -c true": "takes no `--option`",
    "nix develop --substituters http://127.0.0.1:PORT -c true": "takes no `--substituters`",
    "nix --store http://127.0.0.1:PORT develop -c true": "takes no `--store`",
    "nix develop --override-input a http://127.0.0.1:PORT/x -c true": "takes no `--override-input`",
    "nix develop --impure -c true": "takes no `--impure`",
    "nix develop --accept-flake-config -c true": "takes no `--accept-flake-config`",
    "nix develop --refresh http://127.0.0.1:PORT/x.tar.gz -c true": "only the repository's own flake: `.#NAME`",
    "nix develop git+http://127.0.0.1:PORT/x -c true": "only the repository's own flake",
    "nix develop 'path:/etc#x' -c true": "only the repository's own flake",
    "nix develop '.#a\"b' -c true": "only the repository's own flake",
    "nix develop . .#other -c true": "takes one `.#NAME`",
    "nix develop -c": "`-c` needs a program",
    "nix eval --expr 1": "takes no `--expr`",
    "nix": "knows `nix develop",
    "nix-shell -p hello": "`nix-shell` is not available in this sandbox: add what you need",
    "nix-build": "`nix-build` is not available in this sandbox",
    "nix-store -r /nix/store/x": "`nix-store` is not available in this sandbox",
}


async def test_everything_else_is_refused_without_a_question(run: Run, measured: Callable[[str], None]) -> None:
    """Options that would open a network, and commands that this `nix` does not have."""
    with listening() as listener:
        lines = [command.replace("PORT", str(listener.port)) for command in REFUSED]
        script = "; ".join(f"{line} </dev/null 2>&1 | tr '\\n' ' '; echo \"=${{PIPESTATUS[0]}}\"" for line in lines)
        done = await run.sh(script)
        for said, (command, sentence) in zip(done.stdout.decode().splitlines(), REFUSED.items(), strict=True):
            assert sentence in said, command
            assert said.endswith("=1"), command
        assert listener.heard() == []
    assert run.asked == []
    measured(f"Nix, one bit out by the commands and options of `nix`: {len(REFUSED)} attempts, 0 successes")


async def test_the_real_nix_gets_nowhere_in_the_sandbox(run: Run, measured: Callable[[str], None]) -> None:
    """With the host's program, without the shim: no daemon, no writable store, no network."""
    nix, attempts = shutil.which("nix"), 0
    config = configuration({}).replace("flake-registry = \n", "")
    with listening() as listener:
        for words in (
            f"develop git+file://{run.bench.checkout} -c true",
            f"eval --impure --expr 'builtins.readFile (builtins.fetchurl \"{listener.url}/x\")'",
            f"--store {listener.url} store info",
            "--store daemon store info",
            f"flake metadata {listener.url}/x.tar.gz",
        ):
            attempts += 1
            script = f"export NIX_CONFIG='{config}connect-timeout = 2\ndownload-attempts = 1'; {nix} {words}"
            if words.startswith("develop"):
                script += f" --option substituters {listener.url}"
            await run.sh(script)
        assert listener.heard() == []
    measured(f"Nix, one bit out by the host's own nix inside the sandbox: {attempts} attempts, 0 successes")


async def test_a_caller_that_goes_away_cancels_its_question(run: Run) -> None:
    loop = "builtins.foldl' (a: b: a + builtins.foldl' (c: d: c + d) b (builtins.genList (y: y) 30000)) 0 (builtins.genList (x: x) 30000)"
    run.bench.write("flake.nix", FLAKE.replace(VALUE, f"SOME_VAR = {loop};"))
    done = await run.sh("timeout 1 nix develop -c true; echo $?; nix develop -c true & sleep 0.6; kill $!; wait")
    assert done.stdout.splitlines()[0] == b"124"
    for _ in range(100):
        if run.cancelled == 2:
            break
        await asyncio.sleep(0.02)
    assert run.cancelled == 2
    run.bench.write("flake.nix", FLAKE)
    assert (await run.sh("nix develop -c true")).ok


async def test_without_a_broker_the_sentence_says_so(run: Run) -> None:
    env = {"PATH": PATH, "HOME": str(run.home)}
    job = Job(argv=(str(run.shim), "develop", "-c", "true"), cwd=run.bench.checkout, env=env, timeout=60)
    done = await run.sandbox.run(job)
    assert done.returncode == 1
    assert b"cannot be reached" in done.stderr
    version = await run.sandbox.run(Job(argv=(str(run.shim), "--version"), cwd=run.home, env=env, timeout=60))
    assert version.stdout.startswith(b"nix (Nix) 2.")


def test_the_program_is_written_whole_and_for_one_socket(tmp_path: Path) -> None:
    shim = install(tmp_path / "bin", INTERPRETER, tmp_path / "it's.sock")
    assert sorted(path.name for path in shim.parent.iterdir()) == sorted(NAMES)
    text = shim.read_text()
    assert text.startswith(f"#!{INTERPRETER} -IS\n")
    assert f'SOCKET = "{tmp_path}/it\'s.sock"' in text
    compile(text, "nix", "exec")
    with pytest.raises(ConfigurationError, match="cannot begin a program"):
        install(tmp_path, Path("/a b/python3"), tmp_path / "s")


def test_a_listener_hears_an_attack() -> None:
    """The control of the tests above: the listener counts."""
    with listening() as listener:
        probe: Listener = listener
        os.system(f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/{probe.port}; echo 1 >&3'")
        assert probe.heard()
