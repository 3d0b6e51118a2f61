"""The whole way of a pod: the jailed client on a miss, the saved shell, and the sandbox around what is entered."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.devshell.client_options import configuration
from agent.devshell.enter import DevShell
from agent.devshell.flake import Flake, ShellRefused
from agent.devshell.nix import Nix
from agent.devshell.shells import Shells
from agent.programs.command import environment, make_folders
from agent.programs.runner import Finished, Job
from agent.sandbox.jail import Jail
from agent.sandbox.sandbox import Sandbox
from agent.texts.evidence import redactor
from support.git_repo import FLAKE
from support.needs import needs
from support.nix_client import Counting, listed, writable
from support.nix_jail import LIMITS, PATH
from support.nix_jail import Bench as ClientBench

pytestmark = [
    pytest.mark.nix,
    needs("nix", "bwrap"),
]


class Pod:
    """What a pod has for one repository."""

    def __init__(self, folder: Path) -> None:
        self.bench = ClientBench(folder, folder / "nix")
        self.checkout = self.bench.checkout
        self.saved = folder / "shells"
        self.outside, self.inside = Counting(), Counting()
        env = {"PATH": PATH, "HOME": str(folder), "NIX_CONFIG": configuration(self.bench.options)}
        nix = Nix(runner=self.outside, folder=folder / "home-nix", env=env, redact=redactor())
        shells = Shells(self.bench.client, self.saved, nix=nix, options=self.bench.options)
        self.env = environment(path=PATH, home=folder / "home", run="r")
        make_folders(self.env)
        jail = Jail(
            writable=(self.checkout, folder / "home"),
            readable=(self.saved, folder / "nix" / "store"),
            tmp=folder / "home" / "tmp",
        )
        sandbox = Sandbox(runner=self.inside, jail=jail, limits=LIMITS)
        self.shell = DevShell(runner=sandbox, shells=shells, flake=self.flake, redact=redactor())

    async def flake(self) -> Flake:
        return await listed(self.checkout, runner=self.outside)

    async def run(self, *argv: str) -> Finished:
        self.saved.mkdir(exist_ok=True)
        return await self.shell.run(Job(argv=argv, cwd=self.checkout, env=self.env, timeout=60))

    def edit(self, old: str, new: str) -> None:
        assert old in FLAKE
        (self.checkout / "flake.nix").write_text(FLAKE.replace(old, new))


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    yield Pod(tmp_path)
    writable(tmp_path)


async def test_a_miss_and_a_hit_in_the_sandbox(pod: Pod) -> None:
    for _ in range(2):
        done = await pod.run("sh", "-c", 'echo "$SOME_VAR, $HOOKED, $TMPDIR"; exit 7')
        assert (done.returncode, done.stdout.decode()) == (7, f"from the shell, 1, {pod.env['TMPDIR']}\n")
        assert list(Path(pod.env["TMPDIR"]).glob("enter-*")) == []  # noqa: ASYNC240
    steps = len(pod.bench.jails.made)
    pod.outside.started.clear()
    assert (await pod.run("true")).ok
    assert len(pod.bench.jails.made) == steps
    assert [Path(argv[0]).name for argv in pod.outside.started] == ["git"]


async def test_a_hook_runs_in_the_sandbox_on_a_miss_too(pod: Pod, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2")
    pod.edit("export HOOKED=1", f"touch here; cat {tmp_path}/secret; touch {tmp_path}/escaped {pod.saved}/planted")
    done = await pod.run("true")
    assert done.ok
    assert b"hunter2" not in done.stdout + done.stderr
    assert (pod.checkout / "here").exists()
    assert not (tmp_path / "escaped").exists()
    assert not (pod.saved / "planted").exists()


async def test_what_the_client_refuses_arrives_as_it_is_and_nothing_is_kept(pod: Pod) -> None:
    pod.edit("SOME_VAR =", "__structuredAttrs = true; SOME_VAR =")
    with pytest.raises(ShellRefused):
        await pod.run("true")
    assert list(pod.saved.iterdir()) == []
