"""The development shell by the real Nix, offline, in a store of the test's own."""

import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agent.errors import PodTrouble, TicketFailure
from agent.programs.command import Command, environment, verify
from agent.programs.nix import DevShell, failure, private_store
from agent.programs.processes import Processes
from agent.programs.runner import Ended, Finished, Job
from agent.texts.evidence import redactor
from support.git_repo import FLAKE, PROJECT, git

pytestmark = [
    pytest.mark.nix,
    pytest.mark.skipif(shutil.which("nix") is None, reason="the nix command is not installed"),
]
PATH = os.environ["PATH"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("nix")
    yield folder
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(path.stat().st_mode | stat.S_IRWXU)  # a store is read-only, and pytest cleans up


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    for name, content in PROJECT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    git(folder, "init", "--quiet", "-b", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "First commit")
    return folder


class Bench:
    """A dev shell over a checkout."""

    def __init__(self, tmp_path: Path, checkout: Path, options: Mapping[str, str]) -> None:
        self.checkout = checkout
        self.runner = Processes(grace=0.3)
        self.folder = tmp_path / "dev"
        self.shell = DevShell(runner=self.runner, folder=self.folder, options=options, redact=redactor())
        self.home = tmp_path / "home"

    async def run(self, *argv: str, env: Mapping[str, str] | None = None, **more: Any) -> Finished:
        self.home.mkdir(exist_ok=True)
        whole = env or {"PATH": PATH, "HOME": str(self.home)}
        return await self.shell.run(Job(argv=argv, cwd=self.checkout, env=whole, **more))

    def flake(self, old: str, new: str) -> None:
        assert old in FLAKE
        (self.checkout / "flake.nix").write_text(FLAKE.replace(old, new))


@pytest.fixture
def bench(tmp_path: Path, checkout: Path, store: Path) -> Bench:
    return Bench(tmp_path, checkout, impatient(private_store(store)))


def impatient(options: Mapping[str, str]) -> dict[str, str]:
    """Without Nix's own retries."""
    return {**options, "download-attempts": "1"}


async def test_a_program_runs_in_the_repositorys_shell(bench: Bench) -> None:
    done = await bench.run(
        "sh", "-c", 'cat; echo "$SOME_VAR, $HOOKED, $1"; pwd; exit 7', "sh", "two words", stdin=b"prompt\n"
    )
    assert done.stdout.decode() == f"prompt\nfrom the shell, 1, two words\n{bench.checkout}\n"
    assert done.returncode == 7


async def test_what_the_shell_hook_prints_stays_out_of_the_output(bench: Bench) -> None:
    bench.flake("export HOOKED=1", "echo welcome to the shop")
    done = await bench.run("echo", "{}")
    assert done.stdout == b"{}\n"
    assert b"welcome to the shop" in done.stderr


@pytest.mark.parametrize("code", [1, 2, 100, 127])
async def test_an_exit_code_of_the_program_is_never_one_of_nix(bench: Bench, code: int) -> None:
    done = await bench.run("sh", "-c", f"echo 'error: cannot connect to socket' >&2; exit {code}")
    assert done.returncode == code


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("stdenv = ./stdenv;", "stdenv = nope;", "undefined variable 'nope'"),
        ("builtins.listToAttrs", "builtins.listToAttrs (", "syntax error"),
        ("devShells =", "shells =", "does not provide attribute 'devShells"),
        ("export > $out", "echo boom >&2; exit 3", "failed"),
        ("stdenv = ./stdenv;", "stdenv = ./missing;", "missing"),
        ("export HOOKED=1", "exit 4", "exit code 4"),
        ("export HOOKED=1", "exit 0", "exit code 0"),
        ('builder = "/bin/bash"', 'builder = "/no/bash"', "failed with exit code 1"),
    ],
    ids=["evaluation", "syntax", "no shell", "build", "untracked", "hook", "quiet hook", "builder"],
)
async def test_a_broken_flake_is_the_tickets_failure(bench: Bench, old: str, new: str, said: str) -> None:
    bench.flake(old, new)
    if old.startswith("export >"):  # the build of `nix develop` is its own; a dependency's is not
        bench.flake(
            "stdenv = ./stdenv;",
            'stdenv = ./stdenv; dep = derivation { inherit system; name = "dep"; builder = "/bin/sh"; args = [ "-c" "exit 3" ]; };',
        )
    with pytest.raises(TicketFailure, match=r"the development shell of `flake.nix` cannot be entered: ") as caught:
        await bench.run("true")
    assert said in caught.value.reason + caught.value.evidence


async def test_a_repository_without_a_flake_is_the_tickets_failure(bench: Bench) -> None:
    (bench.checkout / "flake.nix").unlink()
    with pytest.raises(TicketFailure, match=r"flake\.nix"):
        await bench.run("true")


async def test_a_program_that_is_nowhere_is_pod_trouble(bench: Bench) -> None:
    with pytest.raises(
        PodTrouble, match="`no-such-model` is neither in the repository's development shell nor on this host"
    ):
        await bench.run("no-such-model")


async def test_missing_nix_is_pod_trouble(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(PodTrouble, match=r"`nix` is missing.*nix-bin"):
        await bench.run("true", env={"PATH": str(tmp_path)})
    with pytest.raises(PodTrouble, match=r"`nix` is missing.*nix-bin"):
        await bench.shell.check(cwd=bench.checkout, env={"PATH": str(tmp_path)})


async def test_a_daemon_that_does_not_answer_is_pod_trouble(tmp_path: Path, checkout: Path) -> None:
    socket = f"unix://{tmp_path}/nobody"
    bench = Bench(tmp_path, checkout, {"store": socket, "substituters": ""})
    with pytest.raises(PodTrouble, match="cannot connect to socket"):
        await bench.run("true")
    with pytest.raises(PodTrouble, match="Nix cannot be used on this host: cannot connect to socket"):
        await bench.shell.check(cwd=checkout, env={"PATH": PATH, "HOME": str(tmp_path)})


async def test_an_input_that_cannot_be_reached_is_pod_trouble(bench: Bench) -> None:
    bench.flake(
        "outputs =\n    { self }:",
        'inputs.far.url = "https://forge.invalid/far.tar.gz";\n  outputs =\n    { self, far }:',
    )
    with pytest.raises(PodTrouble, match="unable to download"):
        await bench.run("true")


async def test_an_unreachable_cache_does_not_stop_what_can_be_built_here(
    tmp_path: Path, checkout: Path, store: Path
) -> None:
    options = impatient({**private_store(store), "substituters": "https://cache.invalid"})
    bench = Bench(tmp_path, checkout, options)
    bench.flake("from the shell", f"fresh {uuid.uuid4()}")
    assert (await bench.run("true")).ok


def test_two_stores_never_share_a_cache_and_one_store_keeps_its_own(tmp_path: Path) -> None:
    def cache(options: Mapping[str, str]) -> str:
        return DevShell(runner=Processes(), folder=tmp_path, options=options, redact=redactor()).environment()[
            "XDG_CACHE_HOME"
        ]

    own = private_store(tmp_path / "own")
    assert len({cache(own), cache(private_store(tmp_path / "other")), cache({})}) == 3
    assert cache(own) == cache({**own, "max-jobs": "1"})


async def test_the_preflight_opens_the_store(bench: Bench) -> None:
    await bench.shell.check(cwd=bench.checkout, env={"PATH": PATH, "HOME": str(bench.checkout.parent)})


async def test_a_flakes_own_settings_are_not_taken(bench: Bench) -> None:
    (bench.checkout / "flake.nix").write_text(
        FLAKE.replace("{\n  outputs", "{\n  nixConfig.allow-dirty = false;\n  outputs", 1)
    )
    assert (await bench.run("true")).ok


async def test_an_evaluation_without_end_ends_at_the_limit(bench: Bench) -> None:
    bench.flake(
        "SOME_VAR =",
        "LOOP = builtins.foldl' (a: b: a + b) 0 (builtins.genList (x: builtins.foldl' (a: b: a + b) x (builtins.genList (y: y) 30000)) 30000); SOME_VAR =",
    )
    with pytest.raises(TicketFailure, match="not entered in time"):
        await bench.run("true", timeout=1.0)


async def test_a_run_in_the_shell_ends_at_its_limit_and_leaves_nothing(bench: Bench) -> None:
    done = await bench.run("sh", "-c", "echo begun; sleep 60", timeout=1.5)
    assert (done.ended, done.stdout) == (Ended.TIMED_OUT, b"begun\n")
    assert [path.name for path in bench.folder.iterdir() if path.name.startswith("enter-")] == []


async def test_the_checkout_stays_as_it_is(bench: Bench) -> None:
    await bench.run("true")
    assert git(bench.checkout, "status", "--porcelain") == ""


ALLOWED = {"PATH", "HOME", "TMPDIR", "LANG", "AGENT_RUN"}


async def test_agent_sees_no_board_or_git_secret(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """I-70."""
    for name in ("AGENT_BOARD_TOKEN", "AGENT_CONFIG", "GIT_SSH_COMMAND", "SSH_AUTH_SOCK", "CREDENTIALS_DIRECTORY"):
        monkeypatch.setenv(name, "hunter2hunter2")
    run = str(uuid.uuid4())
    env = environment(path=PATH, home=tmp_path / "home", run=run)
    plain = await bench.run("env", env={**env, "AGENT_RUN": run})
    seen = dict(line.split("=", 1) for line in plain.stdout.decode().splitlines() if "=" in line)
    assert "hunter2" not in plain.stdout.decode()
    assert seen["AGENT_RUN"] == run
    assert seen["HOME"] == str(tmp_path / "home")
    assert set(env) == ALLOWED
    assert not [name for name in seen if name.startswith(("AGENT_", "GIT_", "SSH_", "XDG_")) and name != "AGENT_RUN"]


async def test_a_model_and_the_checks_run_in_the_shell(bench: Bench, tmp_path: Path) -> None:
    program = tmp_path / "model"
    program.write_text(
        '#!/bin/sh\ncat > prompt.txt; [ "$HOOKED" = 1 ] || exit 9\n'
        'echo \'{"type":"result","subtype":"success","is_error":false,"structured_output":{"verdict":"done"}}\'\n'
    )
    program.chmod(0o755)
    home = tmp_path / "home"
    model = Command(runner=bench.shell, argv=[str(program)], path=PATH, home=home, redact=redactor())
    result = await model.run("Do it.", cwd=bench.checkout, run=str(uuid.uuid4()), timeout=60)
    assert result.verdict == "done"
    assert (bench.checkout / "prompt.txt").read_text() == "Do it."
    env = environment(path=PATH, home=home, run="r")
    assert (
        await verify(
            ["python3 -m unittest -q", 'test "$HOOKED" = 1'],
            runner=bench.shell,
            cwd=bench.checkout,
            env=env,
            timeout=60,
            redact=redactor(),
        )
        > 0
    )
    (bench.checkout / "shop.py").write_text("def total(prices):\n    return 0\n")
    with pytest.raises(TicketFailure, match=r"^test suite failed with exit code 1$") as caught:
        await verify(
            ["python3 -m unittest -q"], runner=bench.shell, cwd=bench.checkout, env=env, timeout=60, redact=redactor()
        )
    assert "AssertionError: 0 != 3" in caught.value.evidence


class AsNobody(Processes):
    """Everything as an ordinary user without access to Nix's store or daemon."""

    async def run(self, job: Job) -> Finished:
        os.chown(job.env["TMPDIR"], 65534, 65534)  # made by the pod, which is the same user in earnest
        argv = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *job.argv)
        return await super().run(replace(job, argv=argv))


@pytest.fixture
def belongs_to_nobody(checkout: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="agent-nix-"))  # pytest's own folders are closed to others
    shutil.copytree(checkout, folder / "checkout")
    for name in ("home", "dev", "nix"):
        (folder / name).mkdir()
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, 65534, 65534)
    (folder / "dev").chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv to become an ordinary user"
)
async def test_an_ordinary_user_without_a_daemon_enters_by_a_store_of_its_own(belongs_to_nobody: Path) -> None:
    folder = belongs_to_nobody
    env = {"PATH": PATH, "HOME": str(folder / "home")}

    async def enter(options: Mapping[str, str]) -> Finished:
        shell = DevShell(runner=AsNobody(grace=0.3), folder=folder / "dev", options=options, redact=redactor())
        return await shell.run(Job(argv=("sh", "-c", 'echo "$SOME_VAR"; id -u'), cwd=folder / "checkout", env=env))

    with pytest.raises(PodTrouble, match=r"ermission denied|annot connect"):
        await enter({"store": "daemon", "substituters": ""})
    done = await enter(private_store(folder / "nix"))
    assert done.stdout == b"from the shell\n65534\n"


def test_a_host_without_pseudoterminals_is_pod_trouble() -> None:
    """Seen in a bare chroot: no ticket is to blame, and no Spike may be raised for it."""
    said = b"error: opening pseudoterminal master: No such device\n"
    assert isinstance(failure(Finished(1, stderr=said), redactor(())), PodTrouble)
