"""A plain Nix client for tests of the saved shells: `nix print-dev-env`, without a jail and without an allow-list."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from agent.devshell.flake import Copy, Evaluated, Flake, Realised
from agent.devshell.key import host_system
from agent.devshell.nix import Nix
from agent.errors import TicketFailure
from agent.programs.processes import Processes
from agent.programs.runner import Finished, Job, Runner
from agent.texts.evidence import last_words, redactor

PATTERNS = ("*.nix", "flake.lock", "*/flake.lock")


def settings(store: Path) -> dict[str, str]:
    """Nix for a store of one's own, as `client_options.private_store`, and without retries."""
    return {
        "store": f"local?store={store}/store&state={store}/state&log={store}/log",
        "substituters": "",
        "sandbox": "false",
        "build-users-group": "",
        "flake-registry": "",
        "experimental-features": "nix-command flakes",
        "download-attempts": "1",
    }


def nix_environment(options: Mapping[str, str], home: Path) -> dict[str, str]:
    """What a process of Nix needs."""
    config = "".join(f"{key} = {value}\n" for key, value in options.items())
    return {"PATH": os.environ["PATH"], "HOME": str(home), "NIX_CONFIG": config, "XDG_CACHE_HOME": str(home / "cache")}


class Counting(Processes):
    """Notes what was started."""

    def __init__(self) -> None:
        super().__init__(grace=0.3)
        self.started: list[tuple[str, ...]] = []

    async def run(self, job: Job) -> Finished:
        self.started.append(job.argv)
        return await super().run(job)

    def nix(self) -> list[str]:
        """The commands of Nix that were started."""
        return [argv[1] for argv in self.started if Path(argv[0]).name in ("nix", "nix-store")]


class PlainClient:
    """Copies, evaluates and builds as a person would by hand; `inputs` are said to be the flake's."""

    def __init__(self, runner: Runner, env: Mapping[str, str], inputs: tuple[Path, ...] = ()) -> None:
        self.runner = runner
        self.env = dict(env)
        self.inputs = inputs
        self.evaluations = 0
        self.realised = 0

    async def copy(self, flake: Flake, *, timeout: float) -> Copy:  # noqa: ASYNC109
        found = json.loads(
            await self._nix("flake", "prefetch", "--json", f"git+file://{flake.folder}", timeout=timeout)
        )
        return Copy(found["storePath"], found["hash"], committed="rev" in found["locked"])

    async def evaluate(self, copy: Copy, shell: str, *, timeout: float) -> Evaluated:  # noqa: ASYNC109
        self.evaluations += 1
        what = f"path:{copy.path}?narHash={quote(copy.hash, safe='')}#devShells.{host_system()}.{shell}.drvPath"
        return Evaluated((await self._nix("eval", "--raw", what, timeout=timeout)).decode(), self.inputs)

    async def realise(self, drv: str, *, timeout: float) -> Realised:  # noqa: ASYNC109
        self.realised += 1
        profile = Path(self.env["HOME"]) / "profile"
        script = await self._nix("print-dev-env", "--profile", str(profile), drv, timeout=timeout)
        environment = Path(os.path.realpath(profile))  # noqa: ASYNC240
        for link in profile.parent.glob("profile*"):
            link.unlink()
        return Realised(script, environment)

    async def _nix(self, *words: str, timeout: float) -> bytes:  # noqa: ASYNC109
        done = await self.runner.run(
            Job(argv=("nix", *words), cwd=Path(self.env["HOME"]), env=self.env, timeout=timeout)
        )
        if not done.ok:
            raise TicketFailure("the flake does not evaluate", evidence=last_words(done.stderr, redact=redactor()))
        return done.stdout


def nix_of(runner: Runner, folder: Path, env: Mapping[str, str]) -> Nix:
    """Questions to that Nix."""
    return Nix(runner=runner, folder=folder, env=env, redact=redactor())


async def listed(folder: Path, *patterns: str, runner: Runner | None = None) -> Flake:
    """One `git ls-files`, as the workspace will do it; links are not looked for."""
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    argv = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PATTERNS, *patterns)
    done = await (runner or Processes()).run(Job(argv=argv, cwd=folder, env=env, timeout=60))
    assert done.ok, done.stderr
    return Flake(folder, tuple(map(os.fsdecode, done.stdout.split(b"\0")[:-1])))


def writable(folder: Path) -> None:
    """A store is read-only, and pytest cleans up."""
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(path.stat().st_mode | stat.S_IRWXU)
